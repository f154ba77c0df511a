"""Studies of a detector, each with its controls, intervals and provenance.

A study is a callable: ``pca(data, n_random_sets=20)`` of captured tokens (:func:`capture_study`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.registry import register_study
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
    from lakeviz.studies.base.capture import capture_study as capture_study
    from lakeviz.studies.base.captured import StudyData as StudyData
    from lakeviz.studies.base.registry import get_study as get_study
    from lakeviz.studies.base.registry import load_studies as load_studies
    from lakeviz.studies.base.registry import load_study as load_study
    from lakeviz.studies.base.registry import study_names as study_names
    from lakeviz.studies.base.result import StudyResult as StudyResult
    from lakeviz.studies.base.study_run import StudyRun as StudyRun
    from lakeviz.studies.claims.case import Case as Case
    from lakeviz.studies.claims.case import ClaimSettings as ClaimSettings
    from lakeviz.studies.claims.claim import Claim as Claim
    from lakeviz.studies.claims.claim import Part as Part
    from lakeviz.studies.claims.result import ClaimsResult as ClaimsResult
    from lakeviz.studies.claims.study import CLAIMS as CLAIMS
    from lakeviz.studies.contamination.result import ContaminationResult as ContaminationResult
    from lakeviz.studies.decompose.decomposer import Decomposer as Decomposer
    from lakeviz.studies.decompose.result import DecomposeResult as DecomposeResult
    from lakeviz.studies.dossier.result import DossierResult as DossierResult
    from lakeviz.studies.hosts.detectors import HOSTS as HOSTS
    from lakeviz.studies.hosts.detectors import HostScores as HostScores
    from lakeviz.studies.hosts.detectors import ImageDetector as ImageDetector
    from lakeviz.studies.hosts.detectors import PatchFeatureDetector as PatchFeatureDetector
    from lakeviz.studies.hosts.detectors import get_host as get_host
    from lakeviz.studies.hosts.result import HostResult as HostResult
    from lakeviz.studies.knockout.ablation import Ablation as Ablation
    from lakeviz.studies.knockout.result import KnockoutResult as KnockoutResult
    from lakeviz.studies.neurons.result import NeuronsResult as NeuronsResult
    from lakeviz.studies.overlap.result import OverlapResult as OverlapResult
    from lakeviz.studies.overlap.selections import OverlapItem as OverlapItem
    from lakeviz.studies.patching.result import PatchingResult as PatchingResult
    from lakeviz.studies.pca.result import PCAResult as PCAResult
    from lakeviz.studies.probes.result import ProbesResult as ProbesResult
    from lakeviz.studies.readings.result import ReadingsResult as ReadingsResult
    from lakeviz.studies.score_maps.anomalib_predictions import save_predictions as save_predictions
    from lakeviz.studies.score_maps.result import ScoredMaps as ScoredMaps
    from lakeviz.studies.sweep.grid import SweepSpec as SweepSpec
    from lakeviz.studies.sweep.result import SweepResult as SweepResult

for _study in (
    compare_host,
    contamination,
    decompose,
    dossier,
    judge_claims,
    knockout,
    neurons,
    overlap,
    patching,
    pca,
    probes,
    readings,
    score_maps,
    sweep,
):
    register_study(_study)

__getattr__, __dir__, __all__ = lazy_face(
    __name__,
    "compare_host",
    "contamination",
    "decompose",
    "dossier",
    "judge_claims",
    "knockout",
    "neurons",
    "overlap",
    "patching",
    "pca",
    "probes",
    "readings",
    "register_study",
    "score_maps",
    "sweep",
)
