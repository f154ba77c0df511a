"""Conditions compared with controls of the same images, by one metric each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.estimates import Estimate, difference_draws, difference_to, mean_estimate
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.metrics.pixel_intervals import measure_pixels
from lakeviz.metrics.results import IMAGE_METRICS


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
        Of each member of the control.
    difference
        Condition minus the mean of the control's members; the interval is of the difference to one
        member at random (:func:`~lakeviz.metrics.estimates.difference_to`).
    share_above_zero
        Share of the resamples in which the difference is positive.
    """

    control: str
    metric: Metric
    value: Estimate
    control_values: tuple[float, ...]
    difference: Estimate
    share_above_zero: float

    @property
    def control_mean(self) -> float:
        """Mean of the control's members."""
        return float(np.mean(self.control_values))

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
            **self.difference.columns("difference"),
            "share_above_zero": self.share_above_zero,
        }


def compare_measurements(
    own: Sequence[Measurement],
    controls: Mapping[str, Sequence[Measurement]],
    metrics: Iterable[Metric],
    bootstrap: Bootstrap,
) -> Iterator[Comparison]:
    """Compare a condition with controls, by each metric; all were measured by one bootstrap.

    Parameters
    ----------
    own
        Members of the condition in question: one, or several random ones.
    controls
        Name of each control to its members.
    """
    for metric in metrics:
        for name, members in controls.items():
            gap = difference_draws(own, members, metric, bootstrap)
            yield Comparison(
                name,
                metric,
                mean_estimate(own, metric, bootstrap),
                tuple(m.values[metric] for m in members),
                difference_to(own, members, metric, bootstrap),
                float(np.mean(gap > 0)),
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

    def measured(one: ArrayLike) -> Measurement:
        return measure_images(one, labels, metrics, bootstrap, conventions)

    own = [measured(scores)]
    found = {name: [measured(one) for one in members] for name, members in controls.items()}
    return list(compare_measurements(own, found, list(own[0].values), bootstrap))


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

    def measured(one: ArrayLike) -> Measurement:
        return measure_pixels(one, masks, metrics, bootstrap, conventions)

    own = [measured(maps)]
    found = {name: [measured(one) for one in members] for name, members in controls.items()}
    return list(compare_measurements(own, found, list(own[0].values), bootstrap))


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
