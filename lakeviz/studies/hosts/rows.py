"""From measurements to the tables of :class:`~lakeviz.studies.hosts.result.HostResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.contrasts import difference_to, mean_estimate
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.studies.hosts.conditions import Group
from lakeviz.studies.hosts.result import ADD, ALONE, NO_SELECTOR, RESTRICT

Members = Mapping[Group, Sequence[Measurement]]


def metric_rows(members: Members, evaluator: PairedEvaluator) -> list[dict[str, Any]]:
    """Each condition with its value, and what it gains over the host alone."""
    bootstrap = evaluator.bootstrap
    (alone,) = members[ALONE, NO_SELECTOR]
    rows = []
    for (mode, selector), group in members.items():
        for metric, columns in metric_columns(evaluator.measured):
            value = mean_estimate(group, metric, bootstrap)
            gain, reason = NOT_MEASURED, "the others are compared with it"
            if mode != ALONE:
                gain, reason = -difference_to(alone, group, metric, bootstrap), ""
            rows.append(
                {
                    "mode": mode,
                    "selector": selector,
                    **columns,
                    **value.columns(),
                    **gain.columns("difference"),
                    "n_random_sets": len(group),
                    **evaluator.counts,
                    "reason": reason,
                }
            )
    return rows


def contrast_rows(
    members: Members, selectors: Sequence[str], evaluator: PairedEvaluator
) -> list[dict[str, Any]]:
    """The selection in question against each control, with the host around both."""
    reference, *controls = selectors
    rows = []
    for mode in (RESTRICT, ADD):
        if (mode, reference) not in members:
            continue
        own = members[mode, reference]
        for control in controls:
            others = members[mode, control]
            for metric, columns in metric_columns(evaluator.measured):
                gap = difference_to(own, others, metric, evaluator.bootstrap)
                rows.append(
                    {
                        "mode": mode,
                        "selector": reference,
                        "control": control,
                        **columns,
                        "value": _mean(own, metric),
                        "control_mean": _mean(others, metric),
                        **gap.columns("difference"),
                        "n_random_sets": len(others),
                        "n_below": sum(m.values[metric] < _mean(own, metric) for m in others),
                        **evaluator.counts,
                    }
                )
    return rows


def _mean(group: Sequence[Measurement], metric: Metric) -> float:
    return sum(m.values[metric] for m in group) / len(group)
