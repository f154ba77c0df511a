"""Studies on top of the detector: each with its controls, intervals and provenance."""

from lakeviz.analysis.contamination import ContaminationResult, contamination
from lakeviz.analysis.decompose import Decomposer, DecomposeResult, decompose
from lakeviz.analysis.dossier import DossierResult, dossier
from lakeviz.analysis.knockout import Ablation, KnockoutResult, knockout
from lakeviz.analysis.neurons import NeuronsResult, neurons
from lakeviz.analysis.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.analysis.pca import PCAResult, pca
from lakeviz.analysis.result import StudyResult, load_studies, load_study
from lakeviz.analysis.study_capture import capture_study
from lakeviz.analysis.study_data import StudyData
from lakeviz.analysis.study_run import StudyRun
from lakeviz.analysis.sweep import SweepResult, SweepSpec, sweep

__all__ = [
    "Ablation",
    "ContaminationResult",
    "DecomposeResult",
    "Decomposer",
    "DossierResult",
    "KnockoutResult",
    "NeuronsResult",
    "OverlapItem",
    "OverlapResult",
    "PCAResult",
    "StudyData",
    "StudyResult",
    "StudyRun",
    "SweepResult",
    "SweepSpec",
    "capture_study",
    "contamination",
    "decompose",
    "dossier",
    "knockout",
    "load_studies",
    "load_study",
    "neurons",
    "overlap",
    "pca",
    "sweep",
]
