"""Rows of a knock-out study: curves, contrasts with controls, single neurons, rank correlations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from lakeviz.lake.paired_evaluator import compare
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference, difference_to, mean_estimate, n_below
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, quantile_interval
from lakeviz.studies.base.draws import not_measured
from lakeviz.studies.knockout.ablation import Engine
from lakeviz.studies.knockout.groups import DrawMeasurers, Group, OverDraws

Rows = Iterator[dict[str, Any]]
_NOTHING = dict.fromkeys(
    (
        *("value", "low", "high", "control_mean", "control_min", "control_max"),
        *("control_quantile_low", "control_quantile_high"),
    ),
    np.nan,
)


def curve_rows(measurer: DrawMeasurers, groups: Sequence[Group]) -> Rows:
    """Value and change of every selector, size, branch and metric."""
    bootstrap, of_intact = measurer.evaluator.bootstrap, measurer.intact
    for group in groups:
        if group.missing:
            continue
        for branch, metric, columns in measurer.each_metric():
            members, intact = group.members[branch], of_intact[branch]
            change = difference_to(members, intact, metric, bootstrap)
            yield {
                "branch": branch,
                "selector": group.selector,
                "size": group.size,
                **columns,
                **mean_estimate(members, metric, bootstrap).columns(),
                **change.columns("change"),
                "intact": float(intact.values(metric).mean()),
                "n_random_sets": members.n_members,
                "n_draws": members.n_draws,
                **change.share_columns(),
                **measurer.evaluator.counts,
                "reason": _reason(measurer, group, branch),
            }


def contrast_rows(measurer: DrawMeasurers, groups: Sequence[Group], selector: str) -> Rows:
    """Knock-out of the neurons in question minus each control of the same size, or a reason."""
    top = {group.size: group for group in groups if group.selector == selector}
    evaluator = measurer.evaluator
    for group in groups:
        own = top[group.size]
        if group is own or group.missing:
            continue
        same = [set(draw) for draw in group.conditions] == [set(draw) for draw in own.conditions]
        for branch, one in own.members.items():
            members = group.members[branch]
            reason = _reason(measurer, own, branch) or group.note
            for row in compare(one, {group.selector: members}, evaluator):
                metric = row["level"], row["metric"]
                band = mean_estimate(members, metric, evaluator.bootstrap)
                yield {
                    "branch": branch,
                    "size": group.size,
                    **row,
                    "control_quantile_low": band.low,
                    "control_quantile_high": band.high,
                    "n_below": n_below(one, members, metric),
                    "reason": "both knock out the same neurons" if same else reason,
                }
    for group in groups:
        for branch in top[group.size].members if group.missing else ():
            said = {"branch": branch, "size": group.size, "control": group.selector}
            said |= {"n_members": 0, "n_below": 0, "n_draws": len(measurer.of_draws)}
            yield from not_measured(group.missing, evaluator, **_NOTHING, **said)


def _reason(measurer: DrawMeasurers, group: Group, branch: str) -> str:
    """Why this knock-out cannot change the branch, or what is particular about the control."""
    return measurer.engine.impossible(group.conditions[0][0], branch) or group.note


# --- single neurons ---


class Single(NamedTuple):
    """One neuron that is knocked out alone."""

    point: str
    channel: int
    group: str
    variance: float
    variance_rank: int


def single_neurons(engines: Sequence[Engine], k: int, seed: int) -> Iterator[list[Single]]:
    """Yield, per hook point, the top ``k`` by variance and as many others drawn at random.

    Of several draws variances are means over them, and neurons those that the detector reads on
    every draw.
    """
    for point in engines[0].points:
        channels, variance = _by_mean_variance(engines, point)
        generator = np.random.default_rng([seed, zlib.crc32(point.encode())])
        others = generator.permutation(np.arange(len(channels))[k:])[:k]
        groups = {"selected": range(len(channels))[:k], "random": others.tolist()}
        yield [
            Single(point, int(channels[i]), group, float(variance[i]), i + 1)
            for group, places in groups.items()
            for i in places
        ]


def _by_mean_variance(engines: Sequence[Engine], point: str) -> tuple[np.ndarray, np.ndarray]:
    found = [dict(zip(*engine.by_variance(point), strict=True)) for engine in engines]
    common = [c for c in found[0] if all(c in other for other in found)]
    variance = np.array([np.mean([own[c] for own in found]) for c in common])
    order = np.argsort(-variance, kind="stable")
    return np.array(common, dtype=np.int64)[order], variance[order]


def single_rows(
    measurer: DrawMeasurers, k: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Change of every metric without each neuron; rank correlation of variance and importance."""
    alone, correlated = [], []
    for singles in single_neurons([m.engine for m in measurer.of_draws], k, seed):
        channels = [single.channel for single in singles]
        measured = measurer.singles(singles[0].point, channels) if channels else []
        for single, found in zip(singles, measured, strict=True):
            alone += _single_rows(measurer, single, found)
        if singles:
            correlated += _correlation_rows(measurer, singles, measured)
    return alone, correlated


def _single_rows(measurer: DrawMeasurers, single: Single, found: OverDraws) -> Rows:
    engine, bootstrap = measurer.engine, measurer.evaluator.bootstrap
    condition = (engine.ablation(single.point, [single.channel]),)
    of_intact = measurer.intact
    for branch, metric, columns in measurer.each_metric():
        change = difference(found[branch], of_intact[branch], metric, bootstrap)
        yield {
            "branch": branch,
            **single._asdict(),
            **columns,
            "value": float(found[branch].values(metric).mean()),
            **change.columns("change"),
            "importance": 0.0 - change.value,
            **measurer.evaluator.counts,
            "n_draws": found[branch].n_draws,
            "reason": engine.impossible(condition, branch),
        }


def _correlation_rows(
    measurer: DrawMeasurers, singles: Sequence[Single], measured: Sequence[OverDraws]
) -> Rows:
    variance = np.array([single.variance for single in singles])
    is_selected = np.array([single.group == "selected" for single in singles])
    groups = {"selected": is_selected}
    if not is_selected.all():
        groups["selected and random"] = np.ones_like(is_selected)
    of_intact = measurer.intact
    for branch, metric, columns in measurer.each_metric():
        intact, without = of_intact[branch], [m[branch] for m in measured]
        whole, kept = intact.values(metric).mean(), intact.mean_resampled(metric)
        value = np.array([whole - one.values(metric).mean() for one in without])
        draws = np.array([kept - one.mean_resampled(metric) for one in without])
        for group, keep in groups.items():
            rho, p_value, reason = rank_correlation(
                variance[keep], value[keep], draws[keep], measurer.evaluator.bootstrap
            )
            yield {
                "branch": branch,
                "point": singles[0].point,
                "group": group,
                **columns,
                **rho.columns(),
                "p_value": p_value,
                "n_neurons": int(keep.sum()),
                **measurer.evaluator.counts,
                "n_draws": intact.n_draws,
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
