"""Conditions compared with controls of the same images, by one metric each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from lakeviz.metrics.contrasts import (
    Group,
    Replicates,
    difference,
    difference_to,
    mean_estimate,
    p_value_among,
)
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.metrics.pixel_intervals import measure_pixels
from lakeviz.metrics.results import IMAGE_METRICS

ONE_MORE = "minus one more random set"
PAIRED = "paired over images"


@dataclass(frozen=True)
class Comparison:
    """A condition and a control by one metric.

    Attributes
    ----------
    control
        Name of the control; empty where two conditions are compared.
    metric
        Level and name.
    value
        Of the condition.
    control_values
        Of each member of the control, as means over the draws of the normal images.
    difference
        Condition minus the mean of the control's members. Where the control is random, its interval
        is the prediction interval of the difference to *one more* random set.
    to_mean
        The same difference with the interval of that to the *mean* of random sets.
    p_value
        Rank of the condition among the members of a random control, as a p-value.
    n_draws
        Draws of the normal images that values and differences are means over.
    """

    control: str
    metric: Metric
    value: Estimate
    control_values: tuple[float, ...]
    difference: Estimate
    to_mean: Estimate
    p_value: float
    n_draws: int = 1

    @property
    def control_mean(self) -> float:
        """Mean of the control's members."""
        return float(np.mean(self.control_values))

    @property
    def estimand(self) -> str:
        """What the interval of the difference is of."""
        return ONE_MORE if len(self.control_values) > 1 else PAIRED

    def columns(self) -> dict[str, str | float]:
        """Columns of a tidy table."""
        level, name = self.metric
        return {
            "control": self.control,
            "level": level,
            "metric": name,
            **self.value.columns(),
            "control_mean": self.control_mean,
            "control_min": min(self.control_values),
            "control_max": max(self.control_values),
            "n_members": len(self.control_values),
            **self.difference_columns(),
        }

    def difference_columns(self) -> dict[str, str | float]:
        """Columns of the difference: what its interval is of, the rank, draws, and the shares."""
        return {
            **self.difference.columns("difference"),
            "estimand": self.estimand,
            "difference_to_mean_low": self.to_mean.low,
            "difference_to_mean_high": self.to_mean.high,
            "p_value": self.p_value,
            "n_draws": self.n_draws,
            **self.difference.share_columns(),
        }

    def gain_columns(self) -> dict[str, str | float]:
        """The same of the control minus the condition, which has no rank among itself."""
        turned = replace(self, difference=-self.difference, to_mean=-self.to_mean, p_value=math.nan)
        return turned.difference_columns()


def _no_comparison() -> dict[str, str | float]:
    """Columns of a difference where there is none."""
    nothing = Comparison("", ("", ""), NOT_MEASURED, (), NOT_MEASURED, NOT_MEASURED, math.nan)
    return nothing.difference_columns() | {"estimand": ""}


NO_COMPARISON: Mapping[str, str | float] = _no_comparison()
"""The columns of :meth:`Comparison.difference_columns` where nothing was compared."""


def compare_measurements(
    own: Group, controls: Mapping[str, Group], metrics: Iterable[Metric], bootstrap: Bootstrap
) -> Iterator[Comparison]:
    """Compare a condition with controls, by each metric; all were measured by one bootstrap.

    Parameters
    ----------
    own
        The condition in question.
    controls
        Name of each control to its measurement, its random sets, or its replicates.
    """
    for metric in metrics:
        for name, members in controls.items():
            yield compare_with(own, members, metric, bootstrap, name)


def compare_with(
    own: Group, control: Group, metric: Metric, bootstrap: Bootstrap, name: str = ""
) -> Comparison:
    """Compare a condition with one control by one metric; see :func:`compare_measurements`."""
    own, control = Replicates.of(own), Replicates.of(control)
    return Comparison(
        name,
        metric,
        mean_estimate(own, metric, bootstrap),
        tuple(control.values(metric).mean(axis=0).tolist()),
        difference_to(own, control, metric, bootstrap),
        difference(own, control, metric, bootstrap),
        p_value_among(own, control, metric),
        max(own.n_draws, control.n_draws),
    )


def compare_images(
    scores: ArrayLike,
    controls: Mapping[str, Sequence[ArrayLike]],
    labels: ArrayLike,
    metrics: Sequence[str] = IMAGE_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> list[Comparison]:
    """Compare image scores with those of controls.

    Parameters
    ----------
    scores
        The scores in question ``[image]``.
    controls
        Name of each control to the scores of its members.
    labels
        0 normal, 1 anomalous.
    metrics, bootstrap, conventions
        As for :func:`image_intervals`.

    Raises
    ------
    MetricError, ConfigError
        As :func:`image_intervals`.
    """
    how = (labels, metrics, bootstrap, conventions)
    return _compared(lambda one: measure_images(one, *how), scores, controls, bootstrap)


def compare_pixels(
    maps: ArrayLike,
    controls: Mapping[str, Sequence[ArrayLike]],
    masks: ArrayLike,
    metrics: Sequence[str] = ("auroc", "aupro"),
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> list[Comparison]:
    """Compare pixel maps with those of controls; see :func:`compare_images`.

    Maps may be given lazily: each member is read once, so only one set of maps is in memory at a
    time if the sequences make them on demand.

    Raises
    ------
    MetricError, ConfigError
        As :func:`pixel_intervals`.
    """
    how = (masks, metrics, bootstrap, conventions)
    return _compared(lambda one: measure_pixels(one, *how), maps, controls, bootstrap)


def _compared(
    measured: Callable[[ArrayLike], Measurement],
    own: ArrayLike,
    controls: Mapping[str, Sequence[ArrayLike]],
    bootstrap: Bootstrap,
) -> list[Comparison]:
    found = measured(own)
    members: dict[str, Group] = {n: [measured(one) for one in c] for n, c in controls.items()}
    return list(compare_measurements(found, members, list(found.values), bootstrap))


def paired_difference(
    metric: str,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    labels: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> Comparison:
    """How much higher an image-level metric is for scores a than for scores b of the same images.

    Raises
    ------
    MetricError, ConfigError
        As :func:`image_intervals`.
    """
    (found,) = compare_images(scores_a, {"": [scores_b]}, labels, (metric,), bootstrap, conventions)
    return found


def paired_pixel_difference(
    metric: str,
    maps_a: ArrayLike,
    maps_b: ArrayLike,
    masks: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> Comparison:
    """How much higher a pixel-level metric is for maps a than for maps b of the same images.

    Raises
    ------
    MetricError, ConfigError
        As :func:`pixel_intervals`.
    """
    (found,) = compare_pixels(maps_a, {"": [maps_b]}, masks, (metric,), bootstrap, conventions)
    return found
