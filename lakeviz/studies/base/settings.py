"""Settings that every study has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lakeviz import settings
from lakeviz.metrics.measurement import DEFAULT_METRICS
from lakeviz.settings import option

__all__ = ["DrawSettings", "Settings", "option"]


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Base of the settings of a study; see :class:`lakeviz.settings.Settings`.

    The docstring of a subclass is the help of its command.
    """

    several_runs: ClassVar[bool] = False
    """Whether its command takes several runs."""

    metrics: tuple[tuple[str, str], ...] = option(
        DEFAULT_METRICS, "Metrics measured: (level, name).", command=False
    )
    seed: int = option(0, "Seed of random sets and draws.", least=0, command=False)


@dataclass(frozen=True)
class DrawSettings(Settings):
    """Base of the settings of a study that measures every draw of the normal images."""

    draws: int | None = option(
        None,
        "Draws of RUN's normal images that are measured; all by default. Time grows with their "
        "number, but the images pass the tower once.",
        least=1,
    )
