"""LAKE's neurons plugged into other detectors, and into the same ones with controls."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.hosts.detectors import (
        HOSTS,
        HostScores,
        ImageDetector,
        PatchFeatureDetector,
        get_host,
    )
    from lakeviz.studies.hosts.result import HostResult

__all__ = [
    "HOSTS",
    "HostResult",
    "HostScores",
    "ImageDetector",
    "PatchFeatureDetector",
    "compare_host",
    "get_host",
]

compare_host = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HostResult": "result",
        **dict.fromkeys(
            ("HOSTS", "HostScores", "ImageDetector", "PatchFeatureDetector", "get_host"),
            "detectors",
        ),
    },
)
