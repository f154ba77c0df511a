"""The study ``contamination``: defective images take the place of normal ones, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake import get_selector
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP, DEFAULT_METRICS, PairedEvaluator
from lakeviz.lake.provenance import as_plain
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.contamination.fitting import Condition, DrawFits, kept_images
from lakeviz.studies.contamination.plan import WHAT, Plan, make_plan, replaced_counts
from lakeviz.studies.contamination.result import ContaminationResult
from lakeviz.studies.contamination.rows import REFERENCE, metric_rows, stability_rows

FRACTIONS = (0.0, 0.125, 0.25, 0.375, 0.5)


def contamination(
    data: StudyData,
    *,
    shots: int = 8,
    fractions: Sequence[float] = FRACTIONS,
    n_draws: int = 10,
    selectors: Sequence[str] = ("variance", "mad", "trimmed_variance"),
    controls: Sequence[str] = ("random", "pca", "all"),
    what: Sequence[str] = ("both", "swapped"),
    metrics: Sequence[Metric] = DEFAULT_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    seed: int = 0,
) -> ContaminationResult:
    """Replace normal images by defective ones, and see what selection and detector make of it.

    Contaminants are reserved once from the defective test images and are tested on nowhere, so
    that all degrees and draws share one test set. Each draw takes its own ``shots`` of
    ``data.normal`` and its own contaminants; more of them at a higher degree are those of the lower
    ones and others. The visual branch alone is scored.

    Parameters
    ----------
    data : StudyData
        With at least ``shots`` normal images; more let the draws differ, and let ``"swapped"``
        replace normal images by other normal ones.
    shots : int
        Images fitted on.
    fractions : sequence of float
        Shares of them that are replaced, 0 to 0.5, rounded to whole images; 0 is always among
        them.
    n_draws : int
        At least 2.
    selectors, controls : sequences of str
        Registered selectors; ``"variance"`` is always among them. Random ones keep one set per
        draw.
    what : sequence of str
        What is contaminated: ``"both"`` selection and memory, the ``"selection"`` or the
        ``"memory"`` alone; and the controls ``"swapped"`` (replaced by other normal images) and
        ``"fewer"`` (taken away). ``"both"`` is always among them.
    metrics : sequence of (level, metric)
    bootstrap : Bootstrap
    seed : int

    Returns
    -------
    ContaminationResult

    Raises
    ------
    DataError
        If there are too few normal images, or defective ones to test on.
    ConfigError
        On a fraction out of range, fewer than 2 draws, or an unknown ``what``.
    SelectionError
        If a selector is unknown.
    MetricError
        If no metric is defined.
    """
    kinds, notes = _checked(data, shots, n_draws, what)
    counts = replaced_counts(fractions, shots)
    if "swapped" in kinds and len(data.normal) < shots + max(counts):
        kinds.remove("swapped")
        notes.append(
            f"{data.category}: no control that swaps normal images, which needs "
            f"{shots + max(counts)} of them; {len(data.normal)} were captured"
        )
    names = list(dict.fromkeys((REFERENCE, *selectors, *controls)))
    for name in names:
        get_selector(name)
    plan = make_plan(
        data.normal.sample_ids,
        data.test.sample_ids,
        data.truth.labels,
        shots=shots,
        counts=counts,
        n_draws=n_draws,
        seed=seed,
        category=data.category,
    )
    evaluator = _evaluator(data, plan, metrics, bootstrap)
    fits = [DrawFits(data, draw, names, seed + i) for i, draw in enumerate(plan.draws)]
    measured = _measure(data, fits, names, kinds, plan, evaluator)
    settings = {
        "shots": shots,
        "fractions": [float(f) for f in fractions],
        "n_draws": n_draws,
        "selectors": names,
        "what": list(dict.fromkeys(("both", *what))),
        "metrics": [list(m) for m in metrics],
        "seed": seed,
    }
    metrics_table = pd.DataFrame(metric_rows(measured, names, kinds, plan, evaluator))
    stability = pd.DataFrame(stability_rows(fits, names, kinds, plan, bootstrap))
    for table in (metrics_table, stability):
        table.insert(0, "category", data.category)
    provenance = data.describe("contamination", settings, evaluator)
    ids = data.test.sample_ids
    provenance["categories"][data.category]["contaminants"] = [ids[i] for i in plan.reserved]
    provenance["categories"][data.category]["draws"] = as_plain(
        [{"normal": [data.normal.sample_ids[i] for i in d.fitted]} for d in plan.draws]
    )
    notes += data.absences(evaluator)
    return ContaminationResult(
        metrics=metrics_table, stability=stability, provenance=provenance, notes=notes
    )


def _checked(
    data: StudyData, shots: int, n_draws: int, what: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Kinds of contamination, the main one first, and notes."""
    unknown = [w for w in what if w not in WHAT]
    if unknown:
        raise ConfigError(f"what must be of {', '.join(WHAT)}, not {unknown[0]!r}")
    if n_draws < 2:
        raise ConfigError(f"contamination needs at least 2 draws, not {n_draws}")
    notes = []
    if len(data.normal) == shots:
        notes.append(
            f"{data.category}: all draws fit on the same {shots} normal images, for no more were "
            "captured; draws differ in which are replaced, and by what"
        )
    return list(dict.fromkeys(("both", *what))), notes


def _evaluator(
    data: StudyData, plan: Plan, metrics: Sequence[Metric], bootstrap: Bootstrap
) -> PairedEvaluator:
    """The evaluator of the test images that are left."""
    kept = kept_images(data, plan)
    keep = np.zeros(len(data.test), dtype=bool)
    keep[kept] = True
    evaluator = replace(
        data.evaluator(metrics, bootstrap),
        truth=data.truth.where(keep),
        sizes=[data.sizes[i] for i in kept],
    )
    evaluator.require_some()
    return evaluator


def _measure(
    data: StudyData,
    fits: Sequence[DrawFits],
    names: Sequence[str],
    kinds: Sequence[str],
    plan: Plan,
    evaluator: PairedEvaluator,
) -> dict[Condition, list[Measurement]]:
    conditions = [Condition(name, "both", 0) for name in names]
    conditions += [Condition(s, w, n) for s in names for w in kinds for n in plan.counts[1:]]
    kept = kept_images(data, plan)
    found: dict[Condition, list[Measurement]] = {condition: [] for condition in conditions}
    for fit in fits:
        for condition, measurement in fit.measure(conditions, kept, evaluator).items():
            found[condition].append(measurement)
    return found
