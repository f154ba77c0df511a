"""Hosts: detectors of other libraries behind two small protocols, each a thin wrap."""

from lakeviz.plugins.hosts.anomalib_hosts import PadimHost, PatchCoreHost
from lakeviz.plugins.hosts.protocol import HostScores, ImageDetector, PatchFeatureDetector
from lakeviz.plugins.hosts.registry import HOSTS, get_host
from lakeviz.plugins.hosts.sklearn_hosts import (
    LocalOutlierFactorHost,
    NearestNeighboursHost,
    PCAResidualHost,
)
from lakeviz.plugins.hosts.winclip import WinClipHost
from lakeviz.plugins.hosts.zero_shot import ZeroShotHost

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
