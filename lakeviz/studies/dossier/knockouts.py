"""How much each tested neuron alone matters: three kinds of knock-out, and random neurons.

A score knock-out is cheap and is made of every tested neuron on all images. The other two run the
tower once per neuron: they are made of the first few neurons on some of the images, and every row
that is missing says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import LakevizError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.comparison import NO_COMPARISON, compare_with
from lakeviz.metrics.contrasts import difference, estimate_of
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.correlated_neurons import ONE_RANDOM, control_columns
from lakeviz.studies.dossier.result import Settings
from lakeviz.studies.knockout.groups import Measurer
from lakeviz.studies.knockout.result import Settings as KnockoutSettings
from lakeviz.studies.knockout.study import make_engine
from lakeviz.studies.neurons.tested_neurons import Choice

_BRANCH = "visual"


@dataclass(frozen=True)
class Knocked:
    """One kind of knock-out at one point.

    ``found`` is by the neuron's number among the tested ones, ``reasons`` say what is wrong with
    one of these, and ``missing`` why the others were not knocked out.
    """

    kind: str
    choice: Choice
    evaluator: PairedEvaluator
    missing: str = ""
    intact: Measurement | None = None
    found: Mapping[int, Measurement] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)


def knockouts(
    data: StudyData, choices: Mapping[str, Choice], settings: Settings, evaluator: PairedEvaluator
) -> Iterator[Knocked]:
    """Knock every tested neuron out of the score, and some out of the network, point by point.

    The detector reads all channels of its points, so that a random neuron is as much a part of it
    as a selected one.
    """
    measurer = _measurer("score", data, "", evaluator)
    for choice in choices.values():
        yield _measured(Knocked("score", choice, evaluator), measurer, range(len(choice.tested)))
    some = some_images(data, settings.network_images, settings.seed)
    few = some.evaluator(settings.metrics, evaluator.bootstrap)
    for kind in ("forward", "weights"):
        measurer = None
        for point, choice in choices.items():
            numbers, missing = _asked(kind, choice, settings, few, len(data.test))
            own = Knocked(kind, choice, few, missing)
            try:
                if numbers and few.measured:
                    if measurer is None or kind == "forward":  # that of weights is of all points
                        measurer = _measurer(kind, some, point, few)
                    own = _measured(own, measurer, numbers)
            except LakevizError as error:
                own = replace(own, missing=f"no {kind} knock-out: {error}")
            yield own


def n_knockouts(choices: Mapping[str, Choice], settings: Settings) -> int:
    """How many single knock-outs of all kinds are made, with the intact detector of each kind."""
    tested = sum(len(choice.tested) for choice in choices.values())
    if not settings.network_neurons:
        return tested + 1
    n = settings.network_neurons
    network = sum(len(c.selected[:n]) + len(c.random[:n]) for c in choices.values())
    return tested + 2 * network + len(choices) + 2


def some_images(data: StudyData, n: int, seed: int) -> StudyData:
    """At most ``n`` test images, of both classes as nearly alike as there are images of them."""
    labels = data.truth.labels
    if len(labels) <= n:
        return data
    generator = np.random.default_rng([seed, n])
    classes = [generator.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
    short = min(len(own) for own in classes)
    half = min(short, n // 2)
    keep = np.zeros(len(labels), dtype=bool)
    for own in classes:
        keep[own[: half if len(own) == short else n - half]] = True
    rows = np.flatnonzero(keep).tolist()
    return replace(
        data,
        test=data.test.some(rows),
        truth=data.truth.where(keep),
        sizes=[data.sizes[i] for i in rows],
        dataset=None if data.dataset is None else data.dataset.where(keep),
        text=None,
        text_weight=0.0,
    )


def _asked(
    kind: str, choice: Choice, settings: Settings, evaluator: PairedEvaluator, n_all: int
) -> tuple[list[int], str]:
    """Numbers of the neurons that are knocked out of the network, and why the others are not."""
    n = settings.network_neurons
    selected, random = choice.selected[:n], choice.random[:n]
    if not n:
        return [], f"no {kind} knock-outs were asked for; ask with network_neurons"
    numbers = [*range(len(selected)), *(len(choice.selected) + i for i in range(len(random)))]
    return numbers, (
        f"{kind} knock-outs run the tower once per neuron and are made of the first "
        f"{len(selected)} selected and {len(random)} random neurons of a point, on "
        f"{evaluator.n_images} of {n_all} test images; ask for more with network_neurons"
    )


def _measurer(kind: str, data: StudyData, point: str, evaluator: PairedEvaluator) -> Measurer:
    place = point if kind == "forward" else None
    asked = KnockoutSettings(kinds=(kind,), branches=(_BRANCH,), point=place)
    return Measurer(make_engine(data, kind, asked), evaluator)


def _measured(own: Knocked, measurer: Measurer, numbers: Sequence[int]) -> Knocked:
    """Knock some of the tested neurons out, one by one."""
    engine, point = measurer.engine, own.choice.point
    channels = own.choice.tested[list(numbers)].tolist()
    found = [one[_BRANCH] for one in measurer.singles(point, channels)]
    reasons = [
        engine.impossible((engine.ablation(point, [channel]),), _BRANCH) for channel in channels
    ]
    return replace(
        own,
        intact=measurer.intact[_BRANCH],
        found=dict(zip(numbers, found, strict=True)),
        reasons=dict(zip(numbers, reasons, strict=True)),
    )


def knockout_table(runs: Sequence[Knocked], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Change of each metric without each tested neuron, by kind, and that of random neurons.

    ``n_as_low`` counts the random neurons whose change is as low.
    """
    return pd.DataFrame(
        [
            {"kind": run.kind, **row, "level": level, "metric": metric}
            | _columns(run, number, (level, metric))
            for run in runs
            for number, row in run.choice.rows()
            for level, metric in metrics
        ]
    )


def _columns(run: Knocked, number: int, metric: Metric) -> dict[str, Any]:
    """Value without the neuron, its change, and the changes of the (other) random neurons."""
    evaluator, bootstrap = run.evaluator, run.evaluator.bootstrap
    value = change = NOT_MEASURED
    gap = dict(NO_COMPARISON)
    changes, one, intact = np.empty(0), run.found.get(number), run.intact
    reason = run.missing if one is None else evaluator.reasons.get(metric[0], "")
    if one is not None and intact is not None and metric in one.values:
        value = estimate_of(one, metric, bootstrap)
        change = difference(one, intact, metric, bootstrap)
        n_selected = len(run.choice.selected)
        others = [m for i, m in run.found.items() if i >= n_selected and i != number]
        changes = np.array([m.values[metric] - intact.values[metric] for m in others])
        if others:
            gap = compare_with(one, others, metric, bootstrap).difference_columns()
        reason = run.reasons[number] or ("" if others else ONE_RANDOM)
    return {
        **value.columns(),
        **change.columns("change"),
        **control_columns(changes),
        **gap,
        "n_as_low": int((changes <= change.value).sum()),
        **evaluator.counts,
        "reason": reason,
    }
