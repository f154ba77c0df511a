"""Studies on top of the detector: each with its controls, intervals and provenance."""

from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.result import StudyResult, load_studies, load_study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.contamination import ContaminationResult, contamination
from lakeviz.studies.decompose import Decomposer, DecomposeResult, decompose
from lakeviz.studies.dossier import DossierResult, dossier
from lakeviz.studies.knockout import Ablation, KnockoutResult, knockout
from lakeviz.studies.neurons import NeuronsResult, neurons
from lakeviz.studies.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.studies.pca import PCAResult, pca
from lakeviz.studies.sweep import SweepResult, SweepSpec, sweep

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
