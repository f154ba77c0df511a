"""Overlap of selected neurons across categories, data sets, layers, shots and seeds."""

from lakeviz.studies.overlap.capture import capture_items, run_items
from lakeviz.studies.overlap.result import OverlapResult
from lakeviz.studies.overlap.selections import ACROSS, OverlapItem
from lakeviz.studies.overlap.study import overlap

__all__ = [
    "ACROSS",
    "OverlapItem",
    "OverlapResult",
    "capture_items",
    "overlap",
    "run_items",
]
