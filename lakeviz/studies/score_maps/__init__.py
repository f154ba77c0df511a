"""Score maps of any detector, measured as lakeviz measures its own."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.score_maps.anomalib_predictions import save_predictions as save_predictions
    from lakeviz.studies.score_maps.result import ScoredMaps as ScoredMaps

score_maps = LazyStudy(__name__, "score", on_runs=False)

__getattr__, __dir__, __all__ = lazy_face(__name__, "score_maps")
