"""Metrics by name: what each is called, which direction is better, and how it is computed.

A metric is one object, registered once. The evaluator of studies, differences, verdicts, tables and
figures ask this object, so that a new metric needs nothing but its own file::

    register_metric(MetricDefinition("fpr95", "FPR95", image=fpr95, pixel=fpr95,
                                     higher_is_better=False, best=0.0))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.metrics import formulas
from lakeviz.metrics.conventions import Conventions
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.formulas import Variance, auroc_variance
from lakeviz.metrics.measurement import Metric

Formula = Callable[[Any, Conventions], Float[np.ndarray, "*resample"]]
"""Counts at descending thresholds to values.

The counts are of all images (no leading axis) or of resamples of them (one leading axis); both have
``tp, fp, fp_above, n_positive, n_negative``. Resampled image scores also have ``scores, anomalous,
weights`` (:class:`~lakeviz.metrics.image_intervals.ImageResamples`), pixel counts ``overlap``.
"""

Difference = TypeVar("Difference", float, np.ndarray, Estimate)

_BEST_TOLERANCE = 1e-9
_DEFINITIONS: dict[str, MetricDefinition] = {}


@dataclass(frozen=True)
class MetricDefinition:
    """A metric.

    Parameters
    ----------
    name : str
        As in tables and options.
    label : str
        For people, such as ``"AUROC"``.
    image, pixel : Formula, optional
        How it is computed from image scores and from the pixels of all maps; None where it is not
        defined at that level.
    higher_is_better : bool
    best : float
        Value of a perfect detector; infinite where there is no bound.
    bounds : (float, float)
        Least and greatest value there can be, infinite where there is no bound; intervals stay
        inside. Where ``best`` lies outside them there are none.
    image_variance : Variance, optional
        Sampling variance of the image-level metric where theory knows it; intervals rest on it
        where the resamples hold few errors (:func:`~lakeviz.metrics.intervals.interval`).
    """

    name: str
    label: str
    image: Formula | None = None
    pixel: Formula | None = None
    higher_is_better: bool = True
    best: float = 1.0
    bounds: tuple[float, float] = (0.0, 1.0)
    image_variance: Variance | None = None

    def __post_init__(self) -> None:
        if not self.bounds[0] <= self.best <= self.bounds[1]:
            object.__setattr__(self, "bounds", (-math.inf, math.inf))

    @property
    def levels(self) -> tuple[str, ...]:
        """``"image"``, ``"pixel"`` or both."""
        return tuple(level for level in ("image", "pixel") if getattr(self, level) is not None)

    def evaluator(self, level: str, conventions: Conventions) -> Callable[[Any], np.ndarray]:
        """Its formula at a level and under conventions: counts to values."""
        formula: Formula = getattr(self, level)
        return lambda counts: formula(counts, conventions)


def register_metric(metric: MetricDefinition) -> MetricDefinition:
    """Make a metric known under its name.

    Raises
    ------
    ConfigError
        It has no formula, or the name is taken.
    """
    if not metric.levels:
        raise ConfigError(f"metric {metric.name!r} has neither an image nor a pixel formula")
    if metric.name in _DEFINITIONS:
        raise ConfigError(f"a metric {metric.name!r} is already registered")
    _DEFINITIONS[metric.name] = metric
    return metric


def get_metric(level: str, name: str) -> MetricDefinition:
    """Return the metric of a level and name.

    Raises
    ------
    ConfigError
        There is none; the message lists those that there are.
    """
    if (level, name) not in known_metrics():
        known = ", ".join(f"{lv} {m}" for lv, m in known_metrics())
        raise ConfigError(f"no metric {level} {name}; known: {known}")
    return _DEFINITIONS[name]


def known_metrics() -> list[Metric]:
    """Level and name of every registered metric, those of images first."""
    return [
        (level, metric.name)
        for level in ("image", "pixel")
        for metric in _DEFINITIONS.values()
        if level in metric.levels
    ]


def metric_label(name: str) -> str:
    """Label of a metric without its level; the name itself where it is not registered."""
    return _DEFINITIONS[name].label if name in _DEFINITIONS else name


def metric_title(level: str, name: str) -> str:
    """Label of a metric with its level, such as "pixel AUROC".

    A metric that is defined at one level only, such as AUPRO, is named without it.
    """
    one_level = name in _DEFINITIONS and len(_DEFINITIONS[name].levels) == 1
    return metric_label(name) if one_level else f"{level} {metric_label(name)}"


def metric_bounds(level: str, name: str, *, difference: bool = False) -> tuple[float, float]:
    """Least and greatest value of a metric, or of the difference of two; infinite without bound."""
    low, high = get_metric(level, name).bounds
    return (low - high, high - low) if difference else (low, high)


def better(metric: Metric, difference: Difference) -> Difference:
    """A difference (number, array or Estimate) counted so that positive means better."""
    return difference if get_metric(*metric).higher_is_better else -difference


def room(metric: Metric, value: float) -> float:
    """How far a value could still improve: its distance to the best value."""
    best = get_metric(*metric).best
    return 0.0 if value == best else better(metric, best - value)


def at_best(metric: Metric, value: float) -> bool:
    """Whether a value is the best there is, up to rounding: no difference can show there."""
    return room(metric, value) < _BEST_TOLERANCE


# --- the metrics that lakeviz brings ---


def _of_both(
    name: str, label: str, formula: Formula, image_variance: Variance | None = None
) -> None:
    register_metric(
        MetricDefinition(name, label, image=formula, pixel=formula, image_variance=image_variance)
    )


_of_both("auroc", "AUROC", lambda counts, _: formulas.auroc(counts), auroc_variance)
_of_both("average_precision", "AP", lambda c, rules: formulas.average_precision(c, rules.ap_rule))
_of_both("f1_max", "F1-max", lambda counts, _: formulas.f1_max(counts)[0])
register_metric(
    MetricDefinition(
        "aupro",
        "AUPRO",
        pixel=lambda c, rules: formulas.aupro(c, c.overlap, rules.aupro_limit),
    )
)
for _limit in (0.05, 0.01):  # beside 0.3, as published for MVTec 3D-AD
    register_metric(
        MetricDefinition(
            f"aupro_{_limit:g}",
            f"AUPRO to {_limit:g}",
            pixel=lambda c, _, limit=_limit: formulas.aupro(c, c.overlap, limit),
        )
    )
register_metric(
    MetricDefinition("aupimo", "AUPIMO", pixel=lambda c, rules: c.aupimo(rules.aupimo_bounds))
)
