"""Old names of modules are there for one version, with a warning that says the new one."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import lakeviz
from lakeviz.renamed import MOVED, new_name


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_old_module_leads_to_one_that_exists(old):
    assert import_module(MOVED[old])


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("lakeviz.analysis", "pca", "lakeviz.studies"),
        ("lakeviz.analysis", "capture_study", "lakeviz.studies"),
        ("lakeviz.analysis.overlap", "capture_items", "lakeviz.studies.overlap"),
        ("lakeviz.plugins", "compare_host", "lakeviz.studies"),
        ("lakeviz.claims", "judge_claims", "lakeviz.studies.claims"),
        ("lakeviz.lake.run", "RunSpec", "lakeviz"),
        ("lakeviz.plots.pca", "retained_figure", "lakeviz.studies.pca.figures"),
    ],
)
def test_an_old_name_warns_and_works(old, name, new):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} now"):
        module = import_module(old)
    assert getattr(module, name) is getattr(import_module(new), name)


def test_what_has_not_moved_is_left_alone():
    assert new_name("lakeviz.lake.gallery") is None
    assert new_name("numpy") is None
    assert new_name("lakeviz.analysis.pca.result") == "lakeviz.studies.pca.result"
    with pytest.raises(ModuleNotFoundError):
        import_module("lakeviz.nothing")


def test_old_names_cost_nothing_until_they_are_used():
    code = "import lakeviz, sys; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lakeviz.__version__
