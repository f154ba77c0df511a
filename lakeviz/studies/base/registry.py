"""The studies there are, by name, and their results read back from disk."""

from __future__ import annotations

from pathlib import Path

from lakeviz.errors import ConfigError, StoreError
from lakeviz.studies.base.result import STUDIES, STUDY_FILE, StudyResult, read_description
from lakeviz.studies.base.study import LazyStudy, Study

_REGISTRY: dict[str, Study | LazyStudy] = {}


def register_study(study: Study | LazyStudy) -> None:
    """Make a study known to the command line, the report, ``lakeviz figure`` and the readers.

    Raises
    ------
    ConfigError
        Another study has its name.
    """
    if study.name in _REGISTRY:
        raise ConfigError(f"there is a study {study.name!r} already")
    _REGISTRY[study.name] = study


def get_study(name: str) -> Study | LazyStudy:
    """Return a study by its name.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in _REGISTRY:
        raise ConfigError(f"there is no study {name!r}; there are {', '.join(study_names())}")
    return _REGISTRY[name]


def study_names(*, on_runs: bool = False) -> list[str]:
    """Names of all studies, sorted; or of those alone that are run on the folder of a run."""
    return sorted(name for name, study in _REGISTRY.items() if study.on_runs or not on_runs)


def load_study(folder: str | Path) -> StudyResult:
    """Read the result of any study back.

    Raises
    ------
    StoreError
        If it is missing, damaged, or of a study this version does not know.
    """
    folder = Path(folder)
    name = read_description(folder)["study"]
    if name not in _REGISTRY:
        raise StoreError(f"{folder} holds a study {name!r}, which this version does not know")
    return _REGISTRY[name].result.from_parquet(folder)


def load_studies(run: str | Path) -> list[StudyResult]:
    """Read every study of a run's folder, in the order of their names.

    Raises
    ------
    StoreError
        As :func:`load_study`.
    """
    found = sorted((Path(run) / STUDIES).glob(f"*/{STUDY_FILE}"))
    return [load_study(path.parent) for path in found]
