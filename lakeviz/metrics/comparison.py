"""One set of scores against controls of the same images: every effect beside its control.

A control may have several members, such as selections of random neurons. The interval of the
difference is then over images and over members: each bootstrap draw resamples both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Evaluate, Interval
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.image import both_classes, image_metrics
from lakeviz.metrics.image_intervals import ImageDraws
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.pixel import check_metrics
from lakeviz.metrics.pixel_intervals import PixelDraws, estimate_all
from lakeviz.metrics.results import IMAGE_METRICS


@dataclass(frozen=True)
class Comparison:
    """A metric of the scores in question beside a control's.

    Attributes
    ----------
    metric, control
        Names.
    value
        The metric of the scores in question.
    members
        The metric of each member of the control.
    difference
        ``value`` minus the mean of the members, with its interval over images (and over members,
        where there are several).
    share_above_zero
        Share of draws in which the difference is positive.
    """

    metric: str
    control: str
    value: float
    members: tuple[float, ...]
    difference: Interval
    share_above_zero: float

    @property
    def control_mean(self) -> float:
        """Mean of the metric over the members of the control."""
        return float(np.mean(self.members))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self) | {"members": list(self.members)}


@dataclass(frozen=True)
class _Resampled:
    """Exact values of some metrics and a way to resample them."""

    exact: Mapping[str, float]
    evaluators: Mapping[str, Evaluate]


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
    check_metrics(metrics, IMAGE_METRICS)

    def resampled(one: ArrayLike) -> _Resampled:
        checked, anomalous = both_classes(one, labels)
        exact = image_metrics(checked, anomalous, conventions)
        draws = ImageDraws(checked, anomalous, conventions)
        return _Resampled(
            {m: exact.require(m) for m in metrics},
            {m: partial(draws.evaluate, m) for m in metrics},
        )

    anomalous = both_classes(scores, labels)[1]
    tables = {name: [resampled(s) for s in members] for name, members in controls.items()}
    return _compare(resampled(scores), tables, anomalous, anomalous.size, bootstrap, conventions)


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
    check_metrics(metrics)
    widths: list[int] = []
    defective: list[np.ndarray] = []

    def resampled(one: ArrayLike) -> _Resampled:
        images, exact = estimate_all(one, masks, conventions, metrics)
        table = PixelDraws.build(images, exact.conventions)
        widths.append(table.tp.shape[1])
        defective.append(table.n_defect > 0)
        return _Resampled(
            {m: exact.require(m) for m in metrics},
            {m: partial(table.evaluate, m) for m in metrics},
        )

    reference = resampled(maps)
    tables = {name: [resampled(m) for m in members] for name, members in controls.items()}
    return _compare(reference, tables, defective[0], max(widths), bootstrap, conventions)


def _compare(
    reference: _Resampled,
    controls: Mapping[str, Sequence[_Resampled]],
    anomalous: np.ndarray,
    width: int,
    bootstrap: Bootstrap,
    conventions: Conventions,
) -> list[Comparison]:
    everyone = [reference, *(member for members in controls.values() for member in members)]
    found = []
    for metric, value in reference.exact.items():
        draws = bootstrap.draw([r.evaluators[metric] for r in everyone], anomalous, width)
        first = 1
        for name, members in controls.items():
            own = draws[first : first + len(members)]
            first += len(members)
            gap = draws[0] - _resampled_mean(own, bootstrap.seed)
            exact = tuple(member.exact[metric] for member in members)
            difference = bootstrap.interval(
                value - float(np.mean(exact)), gap, len(anomalous), conventions
            )
            found.append(
                Comparison(metric, name, value, exact, difference, float(np.mean(gap > 0)))
            )
    return found


def _resampled_mean(
    draws: Float[np.ndarray, "member draw"], seed: int
) -> Float[np.ndarray, " draw"]:
    """Mean over members, drawn with replacement anew in each draw where there are several."""
    n, n_draws = draws.shape
    if n == 1:
        return draws[0]
    # A stream of its own, so that members and images are drawn independently.
    picks = np.random.default_rng([seed, n]).integers(n, size=(n, n_draws))
    return np.take_along_axis(draws, picks, axis=0).mean(axis=0)
