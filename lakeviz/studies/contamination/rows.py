"""From the measurements of all repeats to the tables of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakeviz.lake import NeuronSelection, Selection, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap, contrasts
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.estimates import NOT_MEASURED, mean_over_categories
from lakeviz.metrics.measurement import Measurement, metric_columns
from lakeviz.studies.contamination.fitting import Condition, DrawFits
from lakeviz.studies.contamination.plan import Plan
from lakeviz.studies.overlap.measures import jaccard, projection_kernel
from lakeviz.studies.overlap.null_models import hypergeometric

REFERENCE = "variance"
Measured = Mapping[Condition, Sequence[Measurement]]
"""Per condition, one measurement per repeat."""


def metric_rows(
    measured: Measured,
    selectors: Sequence[str],
    what: Sequence[str],
    plan: Plan,
    evaluator: PairedEvaluator,
) -> list[dict[str, Any]]:
    """One row per selector, kind of contamination, degree and metric."""
    rows = []
    for arm in what:
        for n in plan.counts:
            for name in selectors:
                rows += _rows_of(measured, name, arm, n, plan, evaluator)
    return rows


def _of(measured: Measured, selector: str, what: str, n: int) -> Replicates:
    condition = Condition(selector, what, n) if n else Condition(selector, "both", 0)
    return Replicates.over_draws(measured[condition])


def _rows_of(
    measured: Measured, name: str, what: str, n: int, plan: Plan, evaluator: PairedEvaluator
) -> list[dict[str, Any]]:
    own, reference = (_of(measured, s, what, n) for s in (name, REFERENCE))
    clean, reference_clean = (_of(measured, s, what, 0) for s in (name, REFERENCE))
    shots = len(plan.draws[0].fitted)
    rows = []
    for metric, columns in metric_columns(evaluator.measured):
        change = difference = excess = NOT_MEASURED
        lower, reasons = 0, []
        if n:
            change = contrasts.difference(own, clean, metric, evaluator.bootstrap)
            lower = int((own.values(metric) < clean.values(metric)).sum())
        else:
            reasons.append("changes are taken from here")
        if name != REFERENCE:
            difference = contrasts.difference(reference, own, metric, evaluator.bootstrap)
            if n:
                terms = [(1, reference), (-1, reference_clean), (-1, own), (1, clean)]
                excess = contrasts.contrast(terms, metric, evaluator.bootstrap.confidence)
        else:
            reasons.append("the others are compared with it")
        rows.append(
            {
                "selector": name,
                "what": what,
                "fraction": n / shots,
                "n_contaminated": n,
                "n_fit": shots - n if what == "fewer" else shots,
                **columns,
                **contrasts.estimate_of(own, metric, evaluator.bootstrap).columns(),
                **change.columns("change"),
                "n_lower": lower,
                **difference.columns("difference"),
                **excess.columns("change_difference"),
                "n_repeats": own.n_draws,
                **evaluator.counts,
                "reason": "; ".join(reasons),
            }
        )
    return rows


def stability_rows(
    fits: Sequence[DrawFits],
    selectors: Sequence[str],
    what: Sequence[str],
    plan: Plan,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """How much of the clean selection of the same repeat is left, per hook point.

    Selectors that do not look at the images have nothing to lose and are left out, and so are
    kinds of contamination that leave the selection alone.
    """
    rows = []
    for name in selectors:
        if get_selector(name).is_random or not get_selector(name).uses_k:
            continue
        for arm in [w for w in what if w != "gallery"]:
            for n in plan.counts[1:]:
                for point in fits[0].data.points:
                    pairs = [
                        (
                            one.selection_of(Condition(name, arm, 0))[point],
                            one.selection_of(Condition(name, arm, n))[point],
                        )
                        for one in fits
                    ]
                    shots = len(plan.draws[0].fitted)
                    row = {
                        "selector": name,
                        "what": arm,
                        "point": point,
                        "fraction": n / shots,
                        "n_contaminated": n,
                    }
                    rows += [row | measure for measure in _stability(pairs, bootstrap)]
    return rows


def _stability(
    pairs: Sequence[tuple[Selection, Selection]], bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    first = pairs[0][0]
    kernels = np.array([projection_kernel(a, b) for a, b in pairs])
    rows = [_mean("kernel", kernels, first.k / first.n_channels, bootstrap)]
    shared = [
        len(set(a.channels.tolist()) & set(b.channels.tolist()))
        for a, b in pairs
        if isinstance(a, NeuronSelection) and isinstance(b, NeuronSelection)
    ]
    if shared:
        found = np.asarray(jaccard(np.array(shared), first.k), dtype=float)
        chance = hypergeometric(first.n_channels, first.k).expected_jaccard
        rows.insert(0, _mean("jaccard", found, chance, bootstrap))
    return rows


def _mean(measure: str, values: np.ndarray, chance: float, bootstrap: Bootstrap) -> dict[str, Any]:
    estimate = mean_over_categories(values, bootstrap.confidence)
    return {
        "measure": measure,
        **estimate.columns(),
        "lowest": float(values.min()),
        "expected": chance,
        "n_repeats": len(values),
    }
