"""The documentation names what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from lakeviz import errors

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
