"""The other way round: score maps of any detector, measured as lakeviz measures its own."""

from lakeviz.plugins.score.predictions import save_predictions
from lakeviz.plugins.score.result import ScoredMaps
from lakeviz.plugins.score.scoring import score_maps

__all__ = ["ScoredMaps", "save_predictions", "score_maps"]
