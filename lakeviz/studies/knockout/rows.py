"""Rows of a knock-out study: curves, contrasts with controls, single neurons, rank correlations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from lakeviz.errors import SelectionError
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.lake.selectors import get_selector
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference, difference_to, mean_estimate, n_below
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, quantile_interval
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.studies.knockout.ablation import Condition, Engine, Sets
from lakeviz.studies.knockout.result import VARIANCE, Settings
from lakeviz.studies.knockout.score_engine import ScoreEngine

Measured = Mapping[str, Measurement]
"""Measurement of each branch under one condition."""
Rows = Iterator[dict[str, Any]]

_AT_ONCE = 24  # conditions whose maps are held at a time


@dataclass
class Measurer:
    """Measures conditions, each once however often it is asked for."""

    engine: Engine
    evaluator: PairedEvaluator
    found: dict[Condition, Measured] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def measure(self, conditions: Sequence[Condition]) -> list[Measured]:
        """Run and measure conditions, some at a time."""
        missing = [c for c in dict.fromkeys(conditions) if c not in self.found]
        for start in range(0, len(missing), _AT_ONCE):
            group = missing[start : start + _AT_ONCE]
            for condition, knocked in zip(group, self.engine.run(group), strict=True):
                self.found[condition] = knocked.measure(self.evaluator)
        return [self.found[c] for c in conditions]

    @property
    def intact(self) -> Measured:
        """Measurement of the intact detector."""
        return self.measure([()])[0]

    def singles(self, point: str, channels: Sequence[int]) -> list[Measured]:
        """Measure the knock-out of each of some neurons alone."""
        if isinstance(self.engine, ScoreEngine):
            return [k.measure(self.evaluator) for k in self.engine.singles(point, channels)]
        return self.measure([(self.engine.ablation(point, [c]),) for c in channels])

    def each_metric(self) -> Iterator[tuple[str, Metric, dict[str, str]]]:
        """Yield every branch and metric that is measured, with the columns of the metric."""
        for branch, measurement in self.intact.items():
            for metric, columns in metric_columns(tuple(measurement.values)):
                yield branch, metric, columns


# --- sets of neurons ---


@dataclass(frozen=True)
class Group:
    """Knock-outs of the neurons that one selector chooses at one size: several where random."""

    selector: str
    size: int
    conditions: list[Condition]
    members: list[Measured]
    note: str = ""


def measure_groups(
    measurer: Measurer, sizes: Sequence[int], mode: str, settings: Settings
) -> list[Group]:
    """Measure the top neurons and every control, size by size, where it can be made.

    Raises
    ------
    SelectionError
        If a control is no set of neurons.
    """
    found, engine = [], measurer.engine
    names = tuple(dict.fromkeys((VARIANCE, *settings.controls)))
    sets_of = {name: _sets(measurer, name, sizes, settings) for name in names}
    for size in sizes:
        for name in names:
            if size not in sets_of[name]:
                continue
            sets = sets_of[name][size]
            conditions = [engine.condition(chosen, mode) for chosen in sets]
            members = measurer.measure(conditions)
            found.append(Group(name, size, conditions, members, _overlap(name, sets, size)))
    return found


def _sets(
    measurer: Measurer, name: str, sizes: Sequence[int], settings: Settings
) -> dict[int, list[Sets]]:
    """Sets of a selector by their size, without the sizes that it cannot serve."""
    engine, found = measurer.engine, {}
    seeds = _seeds(name, settings.n_random_sets, settings.seed)
    engine.sets(1, name, seeds[0])  # what is no set of neurons at all is refused
    for size in sizes:
        try:
            found[size] = [engine.sets(size, name, seed) for seed in seeds]
        except SelectionError as error:
            label = get_selector(name).label
            measurer.notes.append(f"{engine.data.category}: no {size} {label}: {error}")
    return found


def _seeds(selector: str, n_random_sets: int, seed: int) -> list[int]:
    """Seeds of the sets of a selector; its name enters, so that controls are independent."""
    if not get_selector(selector).is_random:
        return [seed]
    generator = np.random.default_rng([seed, zlib.crc32(selector.encode())])
    return generator.integers(2**31, size=n_random_sets).tolist()


def _overlap(selector: str, sets: Sequence[Sets], size: int) -> str:
    """Say where a control next in variance had to take some of the top neurons themselves."""
    if selector != "next_variance":
        return ""
    shared = max(int(s.provenance["overlap_with_top_k"]) for own in sets for s in own.values())
    said = (
        f"{shared} of the {size} neurons of this control are among the top {size} themselves: too "
        "few others are left"
    )
    return said if shared else ""


def curve_rows(measurer: Measurer, groups: Sequence[Group]) -> Rows:
    """Value and change of every selector, size, branch and metric."""
    bootstrap = measurer.evaluator.bootstrap
    for group in groups:
        for branch, metric, columns in measurer.each_metric():
            members = [m[branch] for m in group.members]
            intact = measurer.intact[branch]
            yield {
                "branch": branch,
                "selector": group.selector,
                "size": group.size,
                **columns,
                **mean_estimate(members, metric, bootstrap).columns(),
                **difference_to(members, intact, metric, bootstrap).columns("change"),
                "intact": intact.values[metric],
                "n_random_sets": len(members),
                **measurer.evaluator.counts,
                "reason": _reason(measurer, group, branch),
            }


def contrast_rows(measurer: Measurer, groups: Sequence[Group]) -> Rows:
    """Knock-out by variance minus each control of the same size."""
    top = {group.size: group for group in groups if group.selector == VARIANCE}
    evaluator = measurer.evaluator
    for group in groups:
        own = top[group.size]
        if group is own:
            continue
        same = set(group.conditions) == set(own.conditions)
        for branch, one in own.members[0].items():
            members = [m[branch] for m in group.members]
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


def _reason(measurer: Measurer, group: Group, branch: str) -> str:
    """Why this knock-out cannot change the branch, or what is particular about the control."""
    return measurer.engine.impossible(group.conditions[0], branch) or group.note


# --- single neurons ---


class Single(NamedTuple):
    """One neuron that is knocked out alone."""

    point: str
    channel: int
    group: str
    variance: float
    variance_rank: int


def single_neurons(engine: Engine, k: int, seed: int) -> Iterator[list[Single]]:
    """Yield, per hook point, the top ``k`` by variance and as many others drawn at random."""
    for point in engine.points:
        channels, variance = engine.by_variance(point)
        generator = np.random.default_rng([seed, zlib.crc32(point.encode())])
        others = generator.permutation(np.arange(len(channels))[k:])[:k]
        groups = {"selected": range(len(channels))[:k], "random": others.tolist()}
        yield [
            Single(point, int(channels[i]), group, float(variance[i]), i + 1)
            for group, places in groups.items()
            for i in places
        ]


def single_rows(
    measurer: Measurer, k: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Change of every metric without each neuron; rank correlation of variance and importance."""
    alone, correlated = [], []
    for singles in single_neurons(measurer.engine, k, seed):
        channels = [single.channel for single in singles]
        measured = measurer.singles(singles[0].point, channels)
        for single, found in zip(singles, measured, strict=True):
            alone += _single_rows(measurer, single, found)
        correlated += _correlation_rows(measurer, singles, measured)
    return alone, correlated


def _single_rows(measurer: Measurer, single: Single, found: Measured) -> Rows:
    engine, bootstrap = measurer.engine, measurer.evaluator.bootstrap
    condition = (engine.ablation(single.point, [single.channel]),)
    for branch, metric, columns in measurer.each_metric():
        intact, value = measurer.intact[branch], found[branch].values[metric]
        yield {
            "branch": branch,
            **single._asdict(),
            **columns,
            "value": value,
            **difference(found[branch], intact, metric, bootstrap).columns("change"),
            "importance": intact.values[metric] - value,
            **measurer.evaluator.counts,
            "reason": engine.impossible(condition, branch),
        }


def _correlation_rows(
    measurer: Measurer, singles: Sequence[Single], measured: Sequence[Measured]
) -> Rows:
    variance = np.array([single.variance for single in singles])
    is_selected = np.array([single.group == "selected" for single in singles])
    groups = {"selected": is_selected}
    if not is_selected.all():
        groups["selected and random"] = np.ones_like(is_selected)
    for branch, metric, columns in measurer.each_metric():
        intact, without = measurer.intact[branch], [m[branch] for m in measured]
        value = np.array([intact.values[metric] - one.values[metric] for one in without])
        draws = np.array([intact.draws[metric] - one.draws[metric] for one in without])
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
