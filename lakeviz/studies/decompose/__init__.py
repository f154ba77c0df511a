"""Exact decomposition of a tower's output into embedding, heads, neurons and biases."""

from lakeviz.studies.decompose.decomposer import Decomposer
from lakeviz.studies.decompose.directions import (
    Direction,
    class_mean_direction,
    given_direction,
    text_direction,
)
from lakeviz.studies.decompose.mean_ablation import mean_ablated
from lakeviz.studies.decompose.result import DecomposeResult
from lakeviz.studies.decompose.study import decompose
from lakeviz.studies.decompose.terms import Decomposition

__all__ = [
    "DecomposeResult",
    "Decomposer",
    "Decomposition",
    "Direction",
    "class_mean_direction",
    "decompose",
    "given_direction",
    "mean_ablated",
    "text_direction",
]
