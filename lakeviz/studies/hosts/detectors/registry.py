"""Hosts by name, as on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lakeviz.errors import ConfigError, HostError, nearest
from lakeviz.studies.hosts.detectors.anomalib_hosts import PadimHost, PatchCoreHost
from lakeviz.studies.hosts.detectors.image_hosts import WinClipHost, ZeroShotHost
from lakeviz.studies.hosts.detectors.protocol import Host, ImageDetector, PatchFeatureDetector
from lakeviz.studies.hosts.detectors.sklearn_hosts import (
    LocalOutlierFactorHost,
    NearestNeighboursHost,
    PCAResidualHost,
)

HOSTS: dict[str, Callable[..., Host]] = {
    host.name: host
    for host in (
        NearestNeighboursHost,
        LocalOutlierFactorHost,
        PCAResidualHost,
        PatchCoreHost,
        PadimHost,
        WinClipHost,
        ZeroShotHost,
    )
}
"""The hosts that lakeviz brings adapters for."""


def get_host(host: str | Host, **settings: Any) -> Host:
    """Make a host by name, or take one that is made.

    Raises
    ------
    HostError
        If the name is unknown, its library is missing, or the object is no host.
    ConfigError
        If a setting is unknown or out of range.
    """
    if not isinstance(host, str):
        if not isinstance(host, (PatchFeatureDetector, ImageDetector)):
            raise HostError(
                f"{type(host).__name__} is no host: it needs fit, score and describe (a detector "
                "of patch features) or prepare, score_images and describe (one of images)"
            )
        return host
    if host not in HOSTS:
        raise HostError(f"no host {host!r}; known: {', '.join(HOSTS)}{nearest(host, HOSTS)}")
    try:
        return HOSTS[host](**settings)
    except TypeError as error:
        raise ConfigError(f"{host} does not take {', '.join(settings)}: {error}") from error
