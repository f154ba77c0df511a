"""Overlap of selected neurons across categories, data sets, layers, shots and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.overlap.capture import capture_items, run_items
    from lakeviz.studies.overlap.result import ACROSS, OverlapResult
    from lakeviz.studies.overlap.selections import OverlapItem

__all__ = ["ACROSS", "OverlapItem", "OverlapResult", "capture_items", "overlap", "run_items"]

overlap = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ACROSS": "result",
        "OverlapItem": "selections",
        "OverlapResult": "result",
        "capture_items": "capture",
        "run_items": "capture",
    },
)
