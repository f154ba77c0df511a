"""Sweeps: a detector at every point of a grid of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.sweep.axes import AXES, read_grid
    from lakeviz.studies.sweep.grid import SweepSpec
    from lakeviz.studies.sweep.result import SweepResult

__all__ = ["AXES", "SweepResult", "SweepSpec", "read_grid", "sweep"]

sweep = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__, {"AXES": "axes", "SweepResult": "result", "SweepSpec": "grid", "read_grid": "axes"}
)
