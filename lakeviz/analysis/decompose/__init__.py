"""Exact decomposition of a tower's output into embedding, heads, neurons and biases."""

from lakeviz.analysis.decompose.ablation import mean_ablated
from lakeviz.analysis.decompose.decomposition import Decomposer
from lakeviz.analysis.decompose.directions import (
    Direction,
    class_mean_direction,
    given_direction,
    text_direction,
)
from lakeviz.analysis.decompose.result import DecomposeResult
from lakeviz.analysis.decompose.study import decompose
from lakeviz.analysis.decompose.terms import Decomposition

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
