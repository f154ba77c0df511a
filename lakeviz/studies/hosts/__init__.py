"""LAKE's neurons plugged into other detectors, and into the same ones with controls."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.hosts.detectors import HOSTS as HOSTS
    from lakeviz.studies.hosts.detectors import HostScores as HostScores
    from lakeviz.studies.hosts.detectors import ImageDetector as ImageDetector
    from lakeviz.studies.hosts.detectors import PatchFeatureDetector as PatchFeatureDetector
    from lakeviz.studies.hosts.detectors import get_host as get_host
    from lakeviz.studies.hosts.result import HostResult as HostResult

compare_host = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "compare_host")
