"""The study ``contamination``: defective images take the place of normal ones, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakeviz.lake import NeuronSelection, Selection, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.provenance import as_plain
from lakeviz.metrics import Bootstrap, contrasts
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.estimates import NOT_MEASURED, mean_over_categories
from lakeviz.metrics.measurement import Measurement, metric_columns
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import absence, servable
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.contamination.fitting import (
    Condition,
    DrawFits,
    Plan,
    kept_images,
    make_plan,
    replaced_counts,
)
from lakeviz.studies.contamination.result import ContaminationResult, Settings
from lakeviz.studies.overlap.measures import hypergeometric, jaccard, projection_kernel

REFERENCE = "variance"
OfConditions = Mapping[Condition, Sequence[Measurement]]
"""Per condition, one measurement per repeat."""


def metric_rows(
    measured: OfConditions,
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


def _of(measured: OfConditions, selector: str, what: str, n: int) -> Replicates:
    condition = Condition(selector, what, n) if n else Condition(selector, "both", 0)
    return Replicates.over_draws(measured[condition])


def _rows_of(
    measured: OfConditions, name: str, what: str, n: int, plan: Plan, evaluator: PairedEvaluator
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


def measure(data: StudyData, settings: Settings, evaluator: PairedEvaluator) -> Measured:
    """Replace normal images by defective ones; measure the selection and the detector.

    Contaminants are reserved once from the defective test images and are tested on nowhere, so
    that all degrees and repeats share one test set. Each repeat takes its own ``shots`` of
    ``data.normal`` and its own contaminants; more of them at a higher degree are those of the lower
    ones and others. The visual branch alone is scored. More normal images than ``shots`` let the
    repeats differ, and let ``"swapped"`` replace normal images by other normal ones.

    Raises
    ------
    DataError
        If there are too few normal images, or defective ones to test on.
    SelectionError
        If a selector is unknown.
    MetricError
        If no metric is defined for the images that are left.
    """
    shots, names, kinds, notes = settings.shots, settings.names, settings.kinds, []
    if len(data.normal) == shots:
        notes.append(
            f"{data.category}: all repeats fit on the same {shots} normal images, for no more were "
            "captured; repeats differ in which are replaced, and by what"
        )
    counts = replaced_counts(settings.fractions, shots)
    if "swapped" in kinds and len(data.normal) < shots + max(counts):
        kinds.remove("swapped")
        notes.append(
            f"{data.category}: no control that swaps normal images, which needs "
            f"{shots + max(counts)} of them; {len(data.normal)} were captured"
        )
    names, missing = servable([data], names, data.options.k)
    notes += [absence(data, name, why) for name, why in missing.items()]
    plan = make_plan(
        data.normal.sample_ids,
        data.test.sample_ids,
        data.truth.labels,
        shots=shots,
        counts=counts,
        n_repeats=settings.n_repeats,
        seed=settings.seed,
        category=data.category,
    )
    kept = kept_images(data, plan)
    evaluator = evaluator.some(np.isin(np.arange(len(data.test)), kept))
    evaluator.require_some()
    fits = [DrawFits(data, draw, names, settings.seed + i) for i, draw in enumerate(plan.draws)]
    conditions = [Condition(name, "both", 0) for name in names]
    conditions += [Condition(s, w, n) for s in names for w in kinds for n in plan.counts[1:]]
    expect(len(conditions) * len(fits))
    found = [fit.measure(conditions, kept, evaluator) for fit in fits]
    measured = {condition: [one[condition] for one in found] for condition in conditions}
    return Measured(
        {
            "metrics": metric_rows(measured, names, kinds, plan, evaluator),
            "stability": stability_rows(fits, names, kinds, plan, evaluator.bootstrap),
        },
        notes,
        {
            "contaminants": [data.test.sample_ids[i] for i in plan.reserved],
            "draws": as_plain(
                [{"normal": [data.normal_names[i] for i in d.fitted]} for d in plan.draws]
            ),
        },
    )


class ContaminationStudy(Study):
    """Captures as many normal images of a run's category as the pool asks for, or there are.

    Of clips so many that they hold about as many frames.
    """

    def data(self, run: StudyRun, category: str, settings: Any) -> StudyData:
        """Capture a category."""
        normal = run.dataset.category(category).split("train").normal()
        units = len({clip for clip, _ in normal.frames}) or len(normal)
        wanted = -(-settings.pool * units // max(1, len(normal)))
        return run.data(category, shots=max(1, min(wanted, units)))


STUDY = ContaminationStudy(Settings, ContaminationResult, measure)
