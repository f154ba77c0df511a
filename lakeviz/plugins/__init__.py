"""LAKE's neurons in other detectors, and other detectors' maps under lakeviz' metrics."""

from lakeviz.plugins.compare import HostResult, compare_host
from lakeviz.plugins.hosts import HOSTS, HostScores, ImageDetector, PatchFeatureDetector, get_host
from lakeviz.plugins.score import ScoredMaps, save_predictions, score_maps

__all__ = [
    "HOSTS",
    "HostResult",
    "HostScores",
    "ImageDetector",
    "PatchFeatureDetector",
    "ScoredMaps",
    "compare_host",
    "get_host",
    "save_predictions",
    "score_maps",
]
