"""Exact decomposition of a tower's output into embedding, heads, neurons and biases."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.decompose.decomposer import Decomposer as Decomposer
    from lakeviz.studies.decompose.directions import Direction as Direction
    from lakeviz.studies.decompose.directions import class_mean_direction as class_mean_direction
    from lakeviz.studies.decompose.directions import given_direction as given_direction
    from lakeviz.studies.decompose.directions import text_direction as text_direction
    from lakeviz.studies.decompose.mean_ablation import mean_ablated as mean_ablated
    from lakeviz.studies.decompose.result import DecomposeResult as DecomposeResult
    from lakeviz.studies.decompose.terms import Decomposition as Decomposition

decompose = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "decompose")
