"""From measurements to the tables of :class:`~lakeviz.studies.hosts.result.HostResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.comparison import compare_with
from lakeviz.metrics.contrasts import Replicates, mean_estimate, n_below
from lakeviz.metrics.measurement import metric_columns
from lakeviz.studies.base.draws import not_measured
from lakeviz.studies.hosts.conditions import Group
from lakeviz.studies.hosts.result import ADD, ALONE, NO_SELECTOR, RESTRICT

Members = Mapping[Group, Replicates]
Rows = list[dict[str, Any]]


def metric_rows(members: Members, evaluator: PairedEvaluator) -> Rows:
    """Each condition with its value, and what it gains over the host alone."""
    bootstrap = evaluator.bootstrap
    alone = members[ALONE, NO_SELECTOR]
    rows = []
    for (mode, selector), group in members.items():
        for metric, columns in metric_columns(evaluator.measured):
            gain = compare_with(alone, group, metric, bootstrap).gain_columns()
            if mode == ALONE:
                gain |= {name: np.nan for name in gain if name != "n_draws"} | {"estimand": ""}
            rows.append(
                {
                    "mode": mode,
                    "selector": selector,
                    **columns,
                    **mean_estimate(group, metric, bootstrap).columns(),
                    **gain,
                    "n_random_sets": group.n_members,
                    **evaluator.counts,
                    "reason": "the others are compared with it" if mode == ALONE else "",
                }
            )
    return rows


def contrast_rows(
    members: Members,
    selectors: Sequence[str],
    missing: Mapping[str, str],
    evaluator: PairedEvaluator,
) -> Rows:
    """The selection in question against each control, with the host around both.

    A control of ``missing`` has rows with the reason why it could not be made.
    """
    reference, *controls = selectors
    rows, absent = [], []
    for mode in (RESTRICT, ADD):
        if (mode, reference) not in members:
            continue
        own = members[mode, reference]
        said = {"mode": mode, "selector": reference}
        for control in controls:
            others = members[mode, control]
            for metric, columns in metric_columns(evaluator.measured):
                gap = compare_with(own, others, metric, evaluator.bootstrap)
                rows.append(
                    {
                        **said,
                        "control": control,
                        **columns,
                        "value": gap.value.value,
                        "control_mean": gap.control_mean,
                        **gap.difference_columns(),
                        "n_random_sets": others.n_members,
                        "n_below": n_below(own, others, metric),
                        **evaluator.counts,
                        "reason": "",
                    }
                )
        for control, why in missing.items():
            said = said | {"control": control, "n_random_sets": 0, "n_below": 0}
            said |= {"n_draws": own.n_draws}
            absent += not_measured(why, evaluator, **said)
    return rows + absent
