"""Overlap of selected neurons across categories, data sets, layers, shots and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.overlap.capture import capture_items as capture_items
    from lakeviz.studies.overlap.capture import run_items as run_items
    from lakeviz.studies.overlap.result import ACROSS as ACROSS
    from lakeviz.studies.overlap.result import OverlapResult as OverlapResult
    from lakeviz.studies.overlap.selections import OverlapItem as OverlapItem

overlap = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "overlap")
