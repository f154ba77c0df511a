"""Figures show the names of the selectors that are registered."""

import lakeviz.lake.selectors  # noqa: F401
