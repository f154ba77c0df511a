"""What each tested neuron alone matters: three kinds of knock-out, beside random neurons.

A score knock-out costs next to nothing and is made of every tested neuron on all images. The other
two run the tower once per neuron: they are made of the first few neurons on some of the images, and
every row that is missing says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import LakevizError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import NOT_MEASURED, difference, difference_to, estimate_of
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.effect_sizes import ONE_RANDOM
from lakeviz.studies.knockout import ScoreEngine
from lakeviz.studies.knockout.ablation import Engine
from lakeviz.studies.knockout.conditions import Neurons
from lakeviz.studies.knockout.rows import Measurer
from lakeviz.studies.neurons.tested_neurons import Choice

PART = "visual"


@dataclass(frozen=True)
class Limits:
    """How much of the tower is run for dossiers.

    Attributes
    ----------
    neurons : int
        Selected neurons of each point that are knocked out of the network (``forward`` and
        ``weights``), and as many random ones; 0 for none.
    images : int
        Test images at most that these are measured on, drawn class by class.
    """

    neurons: int = 3
    images: int = 64

    def chosen(self, choice: Choice) -> list[int]:
        """Numbers, among the tested neurons, of those knocked out of the network."""
        selected, random = (
            range(min(self.neurons, len(own))) for own in (choice.selected, choice.random)
        )
        return [*selected, *(len(choice.selected) + i for i in random)]


@dataclass(frozen=True)
class _Run:
    """One kind at one point: which neurons were measured, how, and why not the others."""

    kind: str
    choice: Choice
    places: Sequence[int]
    found: Sequence[Measurement]
    intact: Measurement | None
    n_images: int
    reasons: Mapping[int, str]
    missing: str


def knockout_table(
    data: StudyData,
    choices: Mapping[str, Choice],
    metrics: Sequence[Metric],
    bootstrap: Bootstrap,
    limits: Limits,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, tuple[Measurement, list[Measurement]]]]:
    """Change of each metric without each tested neuron, by kind, beside random neurons.

    The detector reads all channels of its points, so that a random neuron is as much a part of it
    as a selected one.

    Returns
    -------
    table, found
        ``found`` holds, per point, the intact measurement and that of the score knock-out of every
        tested neuron.
    """
    evaluator = data.evaluator(metrics, bootstrap)
    kept: dict[str, tuple[Measurement, list[Measurement]]] = {}
    rows: list[dict[str, Any]] = []
    for run in _score(data, choices, evaluator):
        assert run.intact is not None
        kept[run.choice.point] = run.intact, list(run.found)
        rows += _rows(run, metrics, evaluator)
    some = some_images(data, limits.images, seed)
    few = some.evaluator(metrics, bootstrap)
    for kind in ("forward", "weights"):
        for run in _network(some, choices, few, kind, limits, len(data.test)):
            rows += _rows(run, metrics, few)
    return pd.DataFrame(rows), kept


def some_images(data: StudyData, n: int, seed: int) -> StudyData:
    """At most ``n`` test images, of both classes as nearly alike as there are images of them."""
    labels = data.truth.labels
    if len(labels) <= n:
        return data
    generator = np.random.default_rng([seed, n])
    classes = [generator.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
    short = min(len(own) for own in classes)
    half = min(short, n // 2)
    shares = [half if len(own) == short else n - half for own in classes]
    keep = np.zeros(len(labels), dtype=bool)
    for own, share in zip(classes, shares, strict=True):
        keep[own[:share]] = True
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


# --- running ---


def _score(
    data: StudyData, choices: Mapping[str, Choice], evaluator: PairedEvaluator
) -> Iterator[_Run]:
    engine = ScoreEngine(data, base="all", parts=(PART,))
    measurer = Measurer(Neurons.of(engine, data, {}), evaluator)
    intact = measurer.intact[PART]
    for point, choice in choices.items():
        found = [own[PART] for own in measurer.singles(point, choice.tested.tolist())]
        places = range(len(choice.tested))
        yield _Run("score", choice, places, found, intact, evaluator.n_images, {}, "")


def _network(
    data: StudyData,
    choices: Mapping[str, Choice],
    evaluator: PairedEvaluator,
    kind: str,
    limits: Limits,
    n_all: int,
) -> Iterator[_Run]:
    """Runs of the kinds that need the tower; where it cannot be run, the reason."""
    make = _forward if kind == "forward" else _weights
    engines: dict[str, Engine] = {}
    for point, choice in choices.items():
        places = limits.chosen(choice)
        n_random = sum(place >= len(choice.selected) for place in places)
        missing = (
            f"{kind} knock-outs run the tower once per neuron and are made of the first "
            f"{len(places) - n_random} selected and {n_random} random neurons of a point, on "
            f"{evaluator.n_images} of {n_all} test images; ask for more with network_neurons"
            if places
            else f"no {kind} knock-outs were asked for; ask with network_neurons"
        )
        run = _Run(kind, choice, (), (), None, evaluator.n_images, {}, missing)
        if not places or not evaluator.measured:
            yield run
            continue
        try:
            engine = make(data, point, engines)
            choices_of = {"tokens": "all", "reference": "mean"} if kind == "forward" else {}
            measurer = Measurer(Neurons.of(engine, data, choices_of), evaluator)
            channels = choice.tested[places].tolist()
            found = [own[PART] for own in measurer.singles(point, channels)]
            reasons = {
                place: engine.impossible((measurer.neurons.ablation(point, [channel]),), PART)
                for place, channel in zip(places, channels, strict=True)
            }
            intact = measurer.intact[PART]
        except LakevizError as error:
            yield replace(run, missing=f"no {kind} knock-out: {error}")
            continue
        yield replace(run, places=places, found=found, intact=intact, reasons=reasons)


def _forward(data: StudyData, point: str, _engines: dict[str, Engine]) -> Engine:
    from lakeviz.studies.knockout.forward_engine import ForwardEngine

    return ForwardEngine(data, base="all", parts=(PART,), reference="mean", point=point)


def _weights(data: StudyData, _point: str, engines: dict[str, Engine]) -> Engine:
    from lakeviz.studies.knockout.weights_engine import WeightsEngine

    if "weights" not in engines:  # one for all points: it remembers the intact detector
        engines["weights"] = WeightsEngine(data, base="all", parts=(PART,))
    return engines["weights"]


# --- rows ---


def _rows(
    run: _Run, metrics: Sequence[Metric], evaluator: PairedEvaluator
) -> Iterator[dict[str, Any]]:
    n_selected = len(run.choice.selected)
    measured = dict(zip(run.places, run.found, strict=True))
    random = [place for place in run.places if place >= n_selected]
    for number, channel in enumerate(run.choice.tested):
        row = {
            "kind": run.kind,
            "point": run.choice.point,
            "channel": int(channel),
            "group": "selected" if number < n_selected else "random",
        }
        others = [measured[place] for place in random if place != number]
        for level, metric in metrics:
            one, key = measured.get(number), (level, metric)
            known = one is not None and key in one.values
            why = run.missing if one is None else evaluator.reasons.get(level, "")
            if known:
                why = run.reasons.get(number, "") or ("" if others else ONE_RANDOM)
            numbers = _numbers(one if known else None, run.intact, others, key, evaluator.bootstrap)
            yield {**row, "level": level, "metric": metric, **numbers} | {
                "n_draws": len(others) if known else 0,
                "n_images": run.n_images,
                "reason": why,
            }


def _numbers(
    one: Measurement | None,
    intact: Measurement | None,
    others: Sequence[Measurement],
    metric: Metric,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Value without the neuron, its change, and the changes of random neurons beside it."""
    value = change = gap = NOT_MEASURED
    changes: np.ndarray = np.empty(0)
    below = 0
    if one is not None and intact is not None:
        value = estimate_of(one, metric, bootstrap)
        change = difference(one, intact, metric, bootstrap)
        changes = np.array([own.values[metric] - intact.values[metric] for own in others])
        if len(changes):
            gap = difference_to(one, others, metric, bootstrap)
            below = int((changes <= change.value).sum())
    spread = (changes.mean(), changes.min(), changes.max()) if len(changes) else (np.nan,) * 3
    return {
        **value.columns(),
        **change.columns("change"),
        **dict(zip(("control_mean", "control_low", "control_high"), map(float, spread))),
        **gap.columns("difference"),
        "n_as_low": below,
    }
