"""Single neurons: what each alone matters, and whether variance tells it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, difference, quantile_interval
from lakeviz.studies.knockout.conditions import Neurons
from lakeviz.studies.knockout.rows import Measured, Measurer

GROUPS: tuple[str, ...] = ("selected", "random")


@dataclass(frozen=True)
class Single:
    """One neuron that is knocked out alone."""

    point: str
    channel: int
    group: str
    variance: float
    rank: int


def single_neurons(neurons: Neurons, k: int, seed: int) -> list[Single]:
    """The top ``k`` of each hook point by variance, and as many others drawn at random."""
    found = []
    for point in neurons.engine.points:
        order = neurons.ordered(point)
        top, others = order[:k], order[k:]
        generator = np.random.default_rng([seed, zlib.crc32(point.encode())])
        drawn = generator.permutation(others)[:k]
        rank = {int(channel): i for i, channel in enumerate(order, start=1)}
        for group, chosen in zip(GROUPS, (top, drawn), strict=True):
            for channel, variance in zip(chosen, neurons.variance(point, chosen), strict=True):
                number = int(channel)
                found.append(Single(point, number, group, float(variance), rank[number]))
    return found


def neuron_tables(
    measurer: Measurer, k: int, seed: int, words: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Change of every metric without each neuron; rank correlation of variance and importance."""
    singles = single_neurons(measurer.neurons, k, seed)
    rows: list[dict[str, Any]] = []
    correlations: list[dict[str, Any]] = []
    for point in measurer.neurons.engine.points:
        of_point = [single for single in singles if single.point == point]
        measured = measurer.singles(point, [single.channel for single in of_point])
        for single, found in zip(of_point, measured, strict=True):
            rows += _single_rows(measurer, single, found, words)
        correlations += _correlations(measurer, point, of_point, measured, words)
    return pd.DataFrame(rows), pd.DataFrame(correlations)


def _single_rows(
    measurer: Measurer, single: Single, found: Measured, words: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    engine, bootstrap = measurer.neurons.engine, measurer.evaluator.bootstrap
    condition = (measurer.neurons.ablation(single.point, [single.channel]),)
    for part, measurement in found.items():
        intact = measurer.intact[part]
        for level, metric in measurement.values:
            change = difference(measurement, intact, (level, metric), bootstrap)
            yield {
                **words,
                "part": part,
                "point": single.point,
                "channel": single.channel,
                "group": single.group,
                "variance": single.variance,
                "variance_rank": single.rank,
                "level": level,
                "metric": metric,
                "value": measurement.values[level, metric],
                **change.columns("change"),
                "importance": intact.values[level, metric] - measurement.values[level, metric],
                "n_images": measurer.evaluator.n_images,
                "reason": engine.impossible(condition, part),
            }


def _correlations(
    measurer: Measurer,
    point: str,
    singles: Sequence[Single],
    measured: Sequence[Measured],
    words: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    variance = np.array([single.variance for single in singles])
    is_selected = np.array([single.group == "selected" for single in singles])
    groups = {"selected": is_selected}
    if not is_selected.all():
        groups["selected and random"] = np.ones_like(is_selected)
    for part, intact in measurer.intact.items():
        for metric in intact.values:
            value = np.array([intact.values[metric] - m[part].values[metric] for m in measured])
            draws = np.array([intact.draws[metric] - m[part].draws[metric] for m in measured])
            for group, keep in groups.items():
                rho, p_value, reason = rank_correlation(
                    variance[keep], value[keep], draws[keep], measurer.evaluator.bootstrap
                )
                yield {
                    **words,
                    "part": part,
                    "point": point,
                    "group": group,
                    "level": metric[0],
                    "metric": metric[1],
                    **rho.columns(),
                    "p_value": p_value,
                    "n_neurons": int(keep.sum()),
                    "n_images": measurer.evaluator.n_images,
                    "reason": reason,
                }


def rank_correlation(
    variance: np.ndarray, importance: np.ndarray, draws: np.ndarray, bootstrap: Bootstrap
) -> tuple[Estimate, float, str]:
    """Spearman's rank correlation, its interval over images and neurons, and scipy's p-value.

    Parameters
    ----------
    variance, importance : float arrays [neuron]
    draws : float array [neuron, draw]
        Importance on each resample of the images. Each draw takes neurons with replacement too:
        with these very neurons fixed, a correlation by chance would look certain. A draw on which
        all are equally important counts as a correlation of 0.
    bootstrap : Bootstrap

    Returns
    -------
    rho, p_value, reason
        NaN, with a reason, where fewer than three neurons or no differences are there.
    """
    if len(variance) < 3:
        return NOT_MEASURED, np.nan, f"a rank correlation of {len(variance)} neurons says nothing"
    if np.ptp(variance) == 0 or np.ptp(importance) == 0:
        what = "variance" if np.ptp(variance) == 0 else "importance"
        return NOT_MEASURED, np.nan, f"all {len(variance)} neurons have the same {what}"
    rho, p_value = np.asarray(stats.spearmanr(variance, importance), dtype=float).tolist()
    n, n_draws = draws.shape
    picks = np.random.default_rng([bootstrap.seed, n]).multinomial(n, np.full(n, 1 / n), n_draws).T
    x, y = (
        ranks - (picks * ranks).sum(0) / n
        for ranks in (stats.rankdata(variance)[:, None], stats.rankdata(draws, axis=0))
    )
    length = np.sqrt((picks * x**2).sum(0) * (picks * y**2).sum(0))
    products = (picks * x * y).sum(0)
    drawn = np.divide(products, length, out=np.zeros_like(products), where=length > 1e-9)
    interval = quantile_interval(drawn, bootstrap.confidence)
    return Estimate(rho, *interval), p_value, ""
