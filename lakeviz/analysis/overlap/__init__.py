"""Overlap of selected neurons across categories, data sets, layers, shots and seeds."""

from lakeviz.analysis.overlap.capture import capture_items, run_items
from lakeviz.analysis.overlap.items import ACROSS, OverlapItem
from lakeviz.analysis.overlap.result import OverlapResult
from lakeviz.analysis.overlap.study import overlap

__all__ = [
    "ACROSS",
    "OverlapItem",
    "OverlapResult",
    "capture_items",
    "overlap",
    "run_items",
]
