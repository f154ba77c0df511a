"""The study ``contamination``: defective images take the place of normal ones, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.provenance import as_plain
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import absence, servable
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.contamination.fitting import Condition, DrawFits, kept_images
from lakeviz.studies.contamination.plan import make_plan, replaced_counts
from lakeviz.studies.contamination.result import ContaminationResult, Settings
from lakeviz.studies.contamination.rows import metric_rows, stability_rows


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
                [{"normal": [data.normal.sample_ids[i] for i in d.fitted]} for d in plan.draws]
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
