"""Sweeps: a detector at every point of a grid of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.sweep.axes import AXES as AXES
    from lakeviz.studies.sweep.axes import read_grid as read_grid
    from lakeviz.studies.sweep.grid import SweepSpec as SweepSpec
    from lakeviz.studies.sweep.result import SweepResult as SweepResult

sweep = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "sweep")
