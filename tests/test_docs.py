"""The documentation names what there is."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from lakeviz import errors

pytestmark = pytest.mark.docs

DOCS = Path(__file__).parent.parent / "docs"


def test_every_error_has_its_entry():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    known = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.LakevizError)
    }
    documented = set(re.findall(r"^`(\w+)`$", page, flags=re.MULTILINE))
    assert documented == known - {"LakevizError"}


@pytest.mark.parametrize(
    "name", ["metrics.image", "metrics.estimates", "studies.overlap.measures", "report.latex"]
)
def test_examples_of_docstrings(name):
    result = doctest.testmod(import_module(f"lakeviz.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    "package", ["studies", "studies.hosts", "studies.claims", "plots", "explorer", "report"]
)
def test_public_names_are_in_the_reference(package):
    """Every class and function that a package exports is of a module that the reference lists."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"automodule:: (\S+)", page))
    module = import_module(f"lakeviz.{package}")
    made = [getattr(module, name) for name in module.__all__]
    homes = {own.__module__ for own in made if inspect.isclass(own) or inspect.isfunction(own)}
    assert {home for home in homes if home.startswith("lakeviz.")} <= listed


def test_a_page_is_of_one_question():
    """At most 700 words outside its tables, or it is split; what stands in code counts."""
    pages = [page for page in DOCS.rglob("*.md") if page.parent.name != "tables"]
    lines = {page: page.read_text(encoding="utf-8").splitlines() for page in pages}
    words = {
        str(page.relative_to(DOCS)): sum(len(x.split()) for x in of if not x.startswith("|"))
        for page, of in lines.items()
    }
    assert len(words) > 60
    assert {page: n for page, n in words.items() if n > 700} == {}
