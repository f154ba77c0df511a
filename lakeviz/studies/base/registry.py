"""Results of every study, read back: the one place that knows all packages with results."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeviz.studies.base.result import StudyResult

PACKAGES = (
    "lakeviz.studies",
    "lakeviz.studies.hosts",
    "lakeviz.studies.score_maps",
    "lakeviz.studies.claims",
)
"""Packages whose import makes their result classes known."""


def load_study(folder: str | Path) -> StudyResult:
    """Read the result of any study back.

    Raises
    ------
    StoreError
        If it is missing, damaged, or of a study this version does not know.
    """
    _know_all()
    from lakeviz.studies.base.result import load_study as load

    return load(folder)


def load_studies(run: str | Path) -> list[StudyResult]:
    """Read every study of a run's folder, in the order of their names.

    Raises
    ------
    StoreError
        As :func:`load_study`.
    """
    _know_all()
    from lakeviz.studies.base.result import load_studies as load

    return load(run)


def _know_all() -> None:
    for package in PACKAGES:
        import_module(package)
