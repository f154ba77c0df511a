"""Studies of a detector, each with its controls, intervals and provenance.

A study is a callable: ``pca(data, n_random_sets=20)`` of captured tokens (:func:`capture_study`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lakeviz.studies.claims
import lakeviz.studies.hosts
import lakeviz.studies.score_maps  # noqa: F401
from lakeviz.lazy import lazy_face
from lakeviz.studies.base.registry import (
    get_study,
    load_studies,
    load_study,
    register_study,
    study_names,
)
from lakeviz.studies.contamination import contamination
from lakeviz.studies.decompose import Decomposer, DecomposeResult, decompose
from lakeviz.studies.dossier import dossier
from lakeviz.studies.knockout import Ablation, KnockoutResult, knockout
from lakeviz.studies.neurons import NeuronsResult, neurons
from lakeviz.studies.overlap import OverlapItem, OverlapResult, overlap
from lakeviz.studies.pca import pca
from lakeviz.studies.sweep import SweepResult, SweepSpec, sweep

if TYPE_CHECKING:
    from lakeviz.studies.base.capture import capture_study
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.result import StudyResult
    from lakeviz.studies.base.study_run import StudyRun
    from lakeviz.studies.contamination.result import ContaminationResult
    from lakeviz.studies.dossier.result import DossierResult
    from lakeviz.studies.pca.result import PCAResult

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
    "get_study",
    "knockout",
    "load_studies",
    "load_study",
    "neurons",
    "overlap",
    "pca",
    "register_study",
    "study_names",
    "sweep",
]

for _study in (contamination, dossier, pca):
    register_study(_study)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ContaminationResult": "contamination.result",
        "DossierResult": "dossier.result",
        "PCAResult": "pca.result",
        "StudyData": "base.captured",
        "StudyResult": "base.result",
        "StudyRun": "base.study_run",
        "capture_study": "base.capture",
    },
)
