"""Studies on top of the detector: each with its controls, intervals and provenance."""

from lakeviz.analysis.contamination import ContaminationResult, contamination
from lakeviz.analysis.knockout import Ablation, KnockoutResult, knockout
from lakeviz.analysis.neurons import NeuronsResult, neurons
from lakeviz.analysis.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.analysis.pca import PCAResult, pca
from lakeviz.analysis.sweep import SweepResult, SweepSpec, sweep

__all__ = [
    "Ablation",
    "ContaminationResult",
    "KnockoutResult",
    "NeuronsResult",
    "OverlapItem",
    "OverlapResult",
    "PCAResult",
    "SweepResult",
    "SweepSpec",
    "contamination",
    "knockout",
    "neurons",
    "overlap",
    "pca",
    "sweep",
]
