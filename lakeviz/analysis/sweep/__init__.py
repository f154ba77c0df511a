"""Sweeps: a detector at every point of a grid of settings."""

from lakeviz.analysis.sweep.axes import AXES, read_grid
from lakeviz.analysis.sweep.result import SweepResult
from lakeviz.analysis.sweep.spec import SweepSpec
from lakeviz.analysis.sweep.sweeping import sweep

__all__ = ["AXES", "SweepResult", "SweepSpec", "read_grid", "sweep"]
