"""Sweeps: a detector at every point of a grid of settings."""

from lakeviz.studies.sweep.axes import AXES, read_grid
from lakeviz.studies.sweep.grid import SweepSpec
from lakeviz.studies.sweep.result import SweepResult
from lakeviz.studies.sweep.study import sweep

__all__ = ["AXES", "SweepResult", "SweepSpec", "read_grid", "sweep"]
