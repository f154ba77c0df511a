"""Hosts: detectors of other libraries behind two small protocols, each a thin wrap."""

from lakeviz.studies.hosts.detectors.anomalib_hosts import PadimHost, PatchCoreHost
from lakeviz.studies.hosts.detectors.image_hosts import WinClipHost, ZeroShotHost
from lakeviz.studies.hosts.detectors.protocol import HostScores, ImageDetector, PatchFeatureDetector
from lakeviz.studies.hosts.detectors.registry import HOSTS, get_host
from lakeviz.studies.hosts.detectors.sklearn_hosts import (
    LocalOutlierFactorHost,
    NearestNeighboursHost,
    PCAResidualHost,
)

__all__ = [
    "HOSTS",
    "HostScores",
    "ImageDetector",
    "LocalOutlierFactorHost",
    "NearestNeighboursHost",
    "PCAResidualHost",
    "PadimHost",
    "PatchCoreHost",
    "PatchFeatureDetector",
    "WinClipHost",
    "ZeroShotHost",
    "get_host",
]
