"""lakeviz: mechanistic interpretability of anomaly-sensitive neurons in vision-language models.

Names are loaded on first use: ``import lakeviz`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz import renamed
from lakeviz.lazy import lazy_face
from lakeviz.version import __version__

if TYPE_CHECKING:
    from lakeviz.activations import capture_activations, capture_to_store, stream_statistics
    from lakeviz.data import Dataset, read_dataset
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.explorer import explore
    from lakeviz.lake import Evaluation, Gallery, Lake, LakeOptions, NeuronSelection, select
    from lakeviz.lake.detector import load_lake, save_lake
    from lakeviz.lake.evaluation import load_evaluation, save_evaluation
    from lakeviz.models import load_model, models_table
    from lakeviz.report import write_report
    from lakeviz.runs.run import execute
    from lakeviz.runs.run_folder import RunFolder, RunResult
    from lakeviz.runs.spec import RunSpec
    from lakeviz.studies.base.capture import capture_study
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.registry import load_study
    from lakeviz.studies.base.study_run import StudyRun
    from lakeviz.studies.hosts import compare_host
    from lakeviz.studies.score_maps import score_maps

__all__ = [
    "Dataset",
    "Evaluation",
    "Gallery",
    "Lake",
    "LakeOptions",
    "NeuronSelection",
    "RunFolder",
    "RunResult",
    "RunSpec",
    "StudyData",
    "StudyRun",
    "__version__",
    "capture_activations",
    "capture_study",
    "capture_to_store",
    "compare_host",
    "execute",
    "explore",
    "load_evaluation",
    "load_lake",
    "load_model",
    "load_study",
    "models_table",
    "read_dataset",
    "save_evaluation",
    "save_lake",
    "score_maps",
    "select",
    "stream_statistics",
    "write_benchmark",
    "write_report",
]


__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Dataset": "data",
        "Evaluation": "lake",
        "Gallery": "lake",
        "Lake": "lake",
        "LakeOptions": "lake",
        "NeuronSelection": "lake",
        "RunFolder": "runs.run_folder",
        "RunResult": "runs.run_folder",
        "RunSpec": "runs.spec",
        "StudyData": "studies.base.captured",
        "StudyRun": "studies.base.study_run",
        "capture_activations": "activations",
        "capture_study": "studies.base.capture",
        "capture_to_store": "activations",
        "compare_host": "studies",
        "execute": "runs.run",
        "explore": "explorer",
        "load_evaluation": "lake.evaluation",
        "load_lake": "lake.detector",
        "load_model": "models",
        "load_study": "studies",
        "models_table": "models",
        "read_dataset": "data",
        "save_evaluation": "lake.evaluation",
        "save_lake": "lake.detector",
        "score_maps": "studies",
        "select": "lake",
        "stream_statistics": "activations",
        "write_benchmark": "data.synthetic",
        "write_report": "report",
    },
)

renamed.install()
