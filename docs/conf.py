"""Sphinx configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import lakeviz

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import gallery

project = "lakeviz"
author = "The lakeviz authors"
copyright = "2026, the lakeviz authors"
release = version = lakeviz.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "gallery",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# Parameter types such as "k" name several attributes; the text shows the type all the same.
suppress_warnings = ["ref.python"]
exclude_patterns = ["_build", "_ext", "coverage_table.md", "coverage_groups.md", "claims_error.md"]

html_theme = "furo"
html_title = "lakeviz"
html_static_path = ["_static", str(gallery.PLOTLY)]
html_css_files = ["gallery.css"]
