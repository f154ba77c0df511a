"""Knock-out curves: the top neurons by variance, and controls of the same size, at each size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import (
    Estimate,
    difference,
    difference_to,
    estimate_of,
    mean_estimate,
    n_below,
)
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.studies.knockout.ablation import Condition, Knocked
from lakeviz.studies.knockout.conditions import VARIANCE, Neurons, overlap_note, seeds_of

Measured = Mapping[str, Measurement]
"""Measurement of each part under one condition."""

_AT_ONCE = 24  # conditions whose maps are held at a time


@dataclass
class Measurer:
    """Measures conditions, each once however often it is asked for."""

    neurons: Neurons
    evaluator: PairedEvaluator
    found: dict[Condition, Measured] = field(default_factory=dict)

    def measure(self, conditions: Sequence[Condition]) -> list[Measured]:
        """Run and measure conditions, some at a time."""
        missing = [c for c in dict.fromkeys(conditions) if c not in self.found]
        for start in range(0, len(missing), _AT_ONCE):
            group = missing[start : start + _AT_ONCE]
            for condition, knocked in zip(group, self.neurons.engine.run(group), strict=True):
                self.found[condition] = knocked.measure(self.evaluator)
        return [self.found[c] for c in conditions]

    @property
    def intact(self) -> Measured:
        """Measurement of the intact detector."""
        return self.measure([()])[0]

    def singles(self, point: str, channels: Sequence[int]) -> list[Measured]:
        """Measure the knock-out of each of some neurons alone."""
        engine = self.neurons.engine
        together: Callable[..., Iterator[Knocked]] | None = getattr(engine, "singles", None)
        if together is not None:
            return [knocked.measure(self.evaluator) for knocked in together(point, channels)]
        return self.measure([(self.neurons.ablation(point, [c]),) for c in channels])


@dataclass(frozen=True)
class Order:
    """Knock-outs of one size in one order: by variance, or a control with its members."""

    name: str
    size: int
    conditions: list[Condition]
    members: list[Measured]
    note: str = ""


def measure_orders(
    measurer: Measurer,
    sizes: Sequence[int],
    mode: str,
    controls: Sequence[str],
    draws: int,
    seed: int,
) -> list[Order]:
    """Measure every order at every size."""
    found = []
    neurons = measurer.neurons
    for size in sizes:
        for name in (VARIANCE, *controls):
            sets = [neurons.sets(size, name, s) for s in seeds_of(name, draws, seed)]
            conditions = [neurons.condition(chosen, mode) for chosen in sets]
            members = measurer.measure(conditions)
            note = overlap_note(name, sets, size)
            found.append(Order(name, size, conditions, members, note))
    return found


def curve_table(
    measurer: Measurer, orders: Sequence[Order], words: Mapping[str, Any]
) -> pd.DataFrame:
    """Value and change of every order, size, part and metric."""
    rows = []
    for order in orders:
        for part, metric, columns in _measured(measurer):
            members = [m[part] for m in order.members]
            intact = measurer.intact[part]
            value, change = _level(members, intact, metric, measurer.evaluator)
            rows.append(
                {
                    **words,
                    "part": part,
                    "order": order.name,
                    "size": order.size,
                    **columns,
                    **value.columns(),
                    **change.columns("change"),
                    "intact": intact.values[metric],
                    "n_draws": len(members),
                    "n_images": measurer.evaluator.n_images,
                    "reason": _reason(measurer, order, part),
                }
            )
    return pd.DataFrame(rows)


def contrast_table(
    measurer: Measurer, orders: Sequence[Order], words: Mapping[str, Any]
) -> pd.DataFrame:
    """Knock-out by variance minus each control of the same size."""
    top = {order.size: order for order in orders if order.name == VARIANCE}
    rows = []
    bootstrap = measurer.evaluator.bootstrap
    for order in orders:
        if order.name == VARIANCE:
            continue
        own = top[order.size]
        for part, metric, columns in _measured(measurer):
            one, members = own.members[0][part], [m[part] for m in order.members]
            gap = difference_to(one, members, metric, bootstrap)
            control = mean_estimate(members, metric, bootstrap)
            same = set(order.conditions) == set(own.conditions)
            reason = _reason(measurer, own, part) or order.note
            rows.append(
                {
                    **words,
                    "part": part,
                    "control": order.name,
                    "size": order.size,
                    **columns,
                    "value": one.values[metric],
                    **gap.columns("difference"),
                    **{f"control_{n}": v for n, v in _named(control).items()},
                    "n_below": n_below(one, members, metric),
                    "n_draws": len(members),
                    "n_images": measurer.evaluator.n_images,
                    "reason": "both knock out the same neurons" if same else reason,
                }
            )
    return pd.DataFrame(rows)


def _measured(measurer: Measurer) -> Iterator[tuple[str, Metric, dict[str, str]]]:
    for part, measurement in measurer.intact.items():
        for metric, columns in metric_columns(tuple(measurement.values)):
            yield part, metric, columns


def _level(
    members: Sequence[Measurement], intact: Measurement, metric: Metric, evaluator: PairedEvaluator
) -> tuple[Estimate, Estimate]:
    """Value, and change from the intact detector."""
    bootstrap = evaluator.bootstrap
    if len(members) == 1:
        one = members[0]
        return estimate_of(one, metric, bootstrap), difference(one, intact, metric, bootstrap)
    higher = difference_to(intact, members, metric, bootstrap)
    change = Estimate(0.0 - higher.value, 0.0 - higher.high, 0.0 - higher.low)
    return mean_estimate(members, metric, bootstrap), change


def _named(control: Estimate) -> dict[str, float]:
    return {"mean": control.value, "low": control.low, "high": control.high}


def _reason(measurer: Measurer, order: Order, part: str) -> str:
    """Why this knock-out cannot change the part, or what is particular about the control."""
    said = [measurer.neurons.engine.impossible(c, part) for c in order.conditions[:1]]
    return said[0] or order.note
