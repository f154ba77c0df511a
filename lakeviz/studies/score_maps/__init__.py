"""The other way round: score maps of any detector, measured as lakeviz measures its own."""

from lakeviz.studies.score_maps.anomalib_predictions import save_predictions
from lakeviz.studies.score_maps.result import ScoredMaps
from lakeviz.studies.score_maps.study import score_maps

__all__ = ["ScoredMaps", "save_predictions", "score_maps"]
