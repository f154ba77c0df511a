"""Studies of a detector, each with its controls, intervals and provenance.

A study is a callable: ``pca(data, n_random_sets=20)`` of captured tokens (:func:`capture_study`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.registry import (
    get_study,
    load_studies,
    load_study,
    register_study,
    study_names,
)
from lakeviz.studies.base.study import LazyStudy
from lakeviz.studies.claims import judge_claims
from lakeviz.studies.contamination import contamination
from lakeviz.studies.decompose import decompose
from lakeviz.studies.dossier import dossier
from lakeviz.studies.hosts import compare_host
from lakeviz.studies.knockout import knockout
from lakeviz.studies.neurons import neurons
from lakeviz.studies.overlap import overlap
from lakeviz.studies.patching import patching
from lakeviz.studies.pca import pca
from lakeviz.studies.probes import probes
from lakeviz.studies.readings import readings
from lakeviz.studies.score_maps import score_maps
from lakeviz.studies.sweep import sweep

if TYPE_CHECKING:
    from lakeviz.studies.base.capture import capture_study
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.result import StudyResult
    from lakeviz.studies.base.study_run import StudyRun
    from lakeviz.studies.claims.case import Case, ClaimSettings
    from lakeviz.studies.claims.claim import Claim, Part
    from lakeviz.studies.claims.result import ClaimsResult
    from lakeviz.studies.claims.study import CLAIMS
    from lakeviz.studies.contamination.result import ContaminationResult
    from lakeviz.studies.decompose.decomposer import Decomposer
    from lakeviz.studies.decompose.result import DecomposeResult
    from lakeviz.studies.dossier.result import DossierResult
    from lakeviz.studies.hosts.detectors import (
        HOSTS,
        HostScores,
        ImageDetector,
        PatchFeatureDetector,
        get_host,
    )
    from lakeviz.studies.hosts.result import HostResult
    from lakeviz.studies.knockout.ablation import Ablation
    from lakeviz.studies.knockout.result import KnockoutResult
    from lakeviz.studies.neurons.result import NeuronsResult
    from lakeviz.studies.overlap.result import OverlapResult
    from lakeviz.studies.overlap.selections import OverlapItem
    from lakeviz.studies.patching.result import PatchingResult
    from lakeviz.studies.pca.result import PCAResult
    from lakeviz.studies.probes.result import ProbesResult
    from lakeviz.studies.readings.result import ReadingsResult
    from lakeviz.studies.score_maps.anomalib_predictions import save_predictions
    from lakeviz.studies.score_maps.result import ScoredMaps
    from lakeviz.studies.sweep.grid import SweepSpec
    from lakeviz.studies.sweep.result import SweepResult

__all__ = [
    "CLAIMS",
    "HOSTS",
    "Ablation",
    "Case",
    "Claim",
    "ClaimSettings",
    "ClaimsResult",
    "ContaminationResult",
    "DecomposeResult",
    "Decomposer",
    "DossierResult",
    "HostResult",
    "HostScores",
    "ImageDetector",
    "KnockoutResult",
    "NeuronsResult",
    "OverlapItem",
    "OverlapResult",
    "PCAResult",
    "Part",
    "PatchFeatureDetector",
    "PatchingResult",
    "ProbesResult",
    "ReadingsResult",
    "ScoredMaps",
    "StudyData",
    "StudyResult",
    "StudyRun",
    "SweepResult",
    "SweepSpec",
    "capture_study",
    "compare_host",
    "contamination",
    "decompose",
    "dossier",
    "get_host",
    "get_study",
    "judge_claims",
    "knockout",
    "load_studies",
    "load_study",
    "neurons",
    "overlap",
    "patching",
    "pca",
    "probes",
    "readings",
    "register_study",
    "save_predictions",
    "score_maps",
    "study_names",
    "sweep",
]

for _study in [one for one in globals().values() if isinstance(one, LazyStudy)]:
    register_study(_study)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Ablation": "knockout.ablation",
        "CLAIMS": "claims.study",
        "Case": "claims.case",
        "Claim": "claims.claim",
        "ClaimSettings": "claims.case",
        "ClaimsResult": "claims.result",
        "ContaminationResult": "contamination.result",
        "DecomposeResult": "decompose.result",
        "Decomposer": "decompose.decomposer",
        "DossierResult": "dossier.result",
        "HOSTS": "hosts.detectors",
        "HostResult": "hosts.result",
        "HostScores": "hosts.detectors",
        "ImageDetector": "hosts.detectors",
        "KnockoutResult": "knockout.result",
        "NeuronsResult": "neurons.result",
        "OverlapItem": "overlap.selections",
        "OverlapResult": "overlap.result",
        "PCAResult": "pca.result",
        "PatchingResult": "patching.result",
        "ProbesResult": "probes.result",
        "Part": "claims.claim",
        "PatchFeatureDetector": "hosts.detectors",
        "ReadingsResult": "readings.result",
        "ScoredMaps": "score_maps.result",
        "StudyData": "base.captured",
        "StudyResult": "base.result",
        "StudyRun": "base.study_run",
        "SweepResult": "sweep.result",
        "SweepSpec": "sweep.grid",
        "capture_study": "base.capture",
        "get_host": "hosts.detectors",
        "save_predictions": "score_maps.anomalib_predictions",
    },
)
