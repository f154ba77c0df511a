"""Studies on top of the detector: each with its controls, intervals and provenance."""

from lakeviz.analysis.knockout import Ablation, KnockoutResult, knockout
from lakeviz.analysis.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.analysis.sweep import SweepResult, SweepSpec, sweep

__all__ = [
    "Ablation",
    "KnockoutResult",
    "OverlapItem",
    "OverlapResult",
    "SweepResult",
    "SweepSpec",
    "knockout",
    "overlap",
    "sweep",
]
