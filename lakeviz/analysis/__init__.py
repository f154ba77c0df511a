"""Studies on top of the detector: each with its controls, intervals and provenance."""

from lakeviz.analysis.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.analysis.sweep import SweepResult, SweepSpec, sweep

__all__ = [
    "OverlapItem",
    "OverlapResult",
    "SweepResult",
    "SweepSpec",
    "overlap",
    "sweep",
]
