"""lakeviz: mechanistic interpretability of anomaly-sensitive neurons in vision-language models.

Names are loaded on first use: ``import lakeviz`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz import renamed
from lakeviz.lazy import lazy_face
from lakeviz.version import __version__ as __version__

if TYPE_CHECKING:
    from lakeviz.activations import capture_activations as capture_activations
    from lakeviz.activations import capture_to_store as capture_to_store
    from lakeviz.activations import stream_statistics as stream_statistics
    from lakeviz.data import Dataset as Dataset
    from lakeviz.data import read_dataset as read_dataset
    from lakeviz.data.synthetic import write_benchmark as write_benchmark
    from lakeviz.explorer import explore as explore
    from lakeviz.lake import Evaluation as Evaluation
    from lakeviz.lake import Gallery as Gallery
    from lakeviz.lake import Lake as Lake
    from lakeviz.lake import LakeOptions as LakeOptions
    from lakeviz.lake import NeuronSelection as NeuronSelection
    from lakeviz.lake import select as select
    from lakeviz.lake.detector import load_lake as load_lake
    from lakeviz.lake.detector import save_lake as save_lake
    from lakeviz.lake.evaluation import load_evaluation as load_evaluation
    from lakeviz.lake.evaluation import save_evaluation as save_evaluation
    from lakeviz.models import load_model as load_model
    from lakeviz.models import models_table as models_table
    from lakeviz.report import write_report as write_report
    from lakeviz.runs.run import execute as execute
    from lakeviz.runs.run_folder import RunFolder as RunFolder
    from lakeviz.runs.run_folder import RunResult as RunResult
    from lakeviz.runs.spec import RunSpec as RunSpec
    from lakeviz.studies.base.capture import capture_study as capture_study
    from lakeviz.studies.base.captured import StudyData as StudyData
    from lakeviz.studies.base.registry import load_study as load_study
    from lakeviz.studies.base.study_run import StudyRun as StudyRun
    from lakeviz.studies.hosts import compare_host as compare_host
    from lakeviz.studies.score_maps import score_maps as score_maps

__getattr__, __dir__, __all__ = lazy_face(__name__, "__version__")

renamed.install()
