"""lakeviz: mechanistic interpretability of anomaly-sensitive neurons in vision-language models.

Names are loaded on first use: ``import lakeviz`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lakeviz.activations import capture_activations, capture_to_store, stream_statistics
    from lakeviz.analysis.study_capture import capture_study
    from lakeviz.analysis.study_data import StudyData
    from lakeviz.analysis.study_run import StudyRun
    from lakeviz.data import Dataset, read_dataset
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.explorer import explore
    from lakeviz.lake import Evaluation, Gallery, Lake, LakeOptions, NeuronSelection, select
    from lakeviz.lake.persist import load_evaluation, load_lake, save_evaluation, save_lake
    from lakeviz.lake.run import RunResult, RunSpec, execute
    from lakeviz.models import load_model, models_table
    from lakeviz.plugins import compare_host, score_maps
    from lakeviz.report import write_report
    from lakeviz.results import load_study

_HOME = {
    "Dataset": "data",
    "Evaluation": "lake",
    "Gallery": "lake",
    "Lake": "lake",
    "LakeOptions": "lake",
    "NeuronSelection": "lake",
    "RunResult": "lake.run",
    "RunSpec": "lake.run",
    "StudyData": "analysis.study_data",
    "StudyRun": "analysis.study_run",
    "capture_activations": "activations",
    "capture_study": "analysis.study_capture",
    "capture_to_store": "activations",
    "compare_host": "plugins",
    "execute": "lake.run",
    "explore": "explorer",
    "load_evaluation": "lake.persist",
    "load_lake": "lake.persist",
    "load_model": "models",
    "load_study": "results",
    "models_table": "models",
    "read_dataset": "data",
    "save_evaluation": "lake.persist",
    "save_lake": "lake.persist",
    "score_maps": "plugins",
    "select": "lake",
    "stream_statistics": "activations",
    "write_benchmark": "data.synthetic",
    "write_report": "report",
}

__all__ = [
    "Dataset",
    "Evaluation",
    "Gallery",
    "Lake",
    "LakeOptions",
    "NeuronSelection",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
