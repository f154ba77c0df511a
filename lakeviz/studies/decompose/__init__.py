"""Exact decomposition of a tower's output into embedding, heads, neurons and biases."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.decompose.decomposer import Decomposer
    from lakeviz.studies.decompose.directions import (
        Direction,
        class_mean_direction,
        given_direction,
        text_direction,
    )
    from lakeviz.studies.decompose.mean_ablation import mean_ablated
    from lakeviz.studies.decompose.result import DecomposeResult
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

decompose = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "DecomposeResult": "result",
        "Decomposer": "decomposer",
        "Decomposition": "terms",
        "Direction": "directions",
        "class_mean_direction": "directions",
        "given_direction": "directions",
        "mean_ablated": "mean_ablation",
        "text_direction": "directions",
    },
)
