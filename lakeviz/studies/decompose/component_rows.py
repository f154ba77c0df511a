"""Rows of the tables: what each component adds, and what random directions do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap, contrasts, estimates
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.metrics.measurement import Measurement, metric_columns
from lakeviz.studies.decompose.decomposer import Gathered

_BLOCK = 2**24  # values of shuffled means held at a time


def mean_difference(
    terms: Float[np.ndarray, "image term"], labels: Int[np.ndarray, " image"]
) -> Float[np.ndarray, " term"]:
    """Mean over anomalous minus mean over normal images."""
    anomalous = np.asarray(labels) != 0
    return terms[anomalous].mean(0) - terms[~anomalous].mean(0)


def difference_draws(
    terms: Float[np.ndarray, "image term"], labels: Int[np.ndarray, " image"], bootstrap: Bootstrap
) -> Float[np.ndarray, "draw term"]:
    """The same on every resample of the images, of which both classes keep their size."""
    anomalous = np.asarray(labels) != 0
    sign = np.where(anomalous, 1 / anomalous.sum(), -1 / (~anomalous).sum())
    draws = np.empty((bootstrap.n_resamples, terms.shape[1]))
    for rows, weights in bootstrap.blocks(anomalous, terms.shape[1]):
        draws[rows] = (weights * sign) @ terms
    return draws


def shuffled_p_values(
    terms: Float[np.ndarray, "image term"],
    labels: Int[np.ndarray, " image"],
    n_shuffles: int,
    seed: int,
    *,
    pooled: bool = False,
) -> Float[np.ndarray, " term"]:
    """Two-sided p-values of Welch's statistic among those of shuffled labels.

    ``pooled`` ranks each statistic among the shuffled ones of all terms instead of its own: for
    thousands of terms, where too few shuffles could be made for each.
    """
    generator = np.random.default_rng(seed)
    anomalous = np.asarray(labels) != 0
    shuffles = np.stack([generator.permutation(anomalous) for _ in range(n_shuffles)])
    observed = np.abs(_welch(terms, anomalous[None]))[0]
    step = max(1, _BLOCK // n_shuffles)
    higher = np.zeros(len(observed))
    null = []
    for start in range(0, terms.shape[1], step):
        own = slice(start, start + step)
        shuffled = np.abs(_welch(terms[:, own], shuffles))
        higher[own] = (shuffled >= observed[own] - 1e-12).sum(0)
        if pooled:
            null.append(np.sort(shuffled, axis=None))
    if not pooled:
        return (1 + higher) / (1 + n_shuffles)
    every = np.sort(np.concatenate(null))
    above = len(every) - np.searchsorted(every, observed - 1e-12, side="left")
    return (1 + above) / (1 + len(every))


def _welch(
    terms: Float[np.ndarray, "image term"], anomalous: np.ndarray
) -> Float[np.ndarray, "shuffle term"]:
    """Difference of means over its standard error; 0 where nothing varies."""
    # Centred, so that the sums of squares lose no digits.
    centred = np.asarray(terms, dtype=np.float64) - terms.mean(0)
    squares = centred**2
    means, errors = [], 0.0
    for group in (anomalous, ~anomalous):
        n = group.sum(1, keepdims=True)
        weights = group / n
        mean = weights @ centred
        variance = np.maximum(weights @ squares - mean**2, 0) * n / np.maximum(n - 1, 1)
        means.append(mean)
        errors = errors + variance / n
    gap = means[0] - means[1]
    scale = np.sqrt(errors)
    # What rounding leaves of a constant is no difference.
    tiny = scale <= 1e-12 * np.maximum(np.abs(terms).max(0), 1e-30)
    return np.where(tiny, 0.0, gap / np.where(tiny, 1.0, scale))


AUROC = ("image", "auroc")
N_MAPS = 10  # random directions whose patch maps are measured, the costliest of all
N_SHUFFLES, N_NEURON_SHUFFLES = 999, 99
_PLACE = re.compile(r"blocks\.(\d+)\.(attn|mlp)(?:\.(head)\.(\d+))?(\.bias)?$")


@dataclass(frozen=True)
class Comparison:
    """What all rows are made with."""

    labels: Int[np.ndarray, " image"]
    evaluator: PairedEvaluator
    n_random_sets: int
    top: int
    seed: int


def place(component: str) -> dict[str, Any]:
    """Kind, block and head of a component by its name; -1 where it has none."""
    found = _PLACE.match(component)
    if found is None:
        kind = {"embedding": "embedding", "pool.mlp": "mlp"}.get(component, "bias")
        return {"kind": "output" if component == "output" else kind, "block": -1, "head": -1}
    block, branch, head, number, bias = found.groups()
    kind = "bias" if bias else "head" if head else {"attn": "attention", "mlp": "mlp"}[branch]
    return {"kind": kind, "block": int(block), "head": int(number) if number else -1}


def turned(found: Gathered, labels: np.ndarray) -> Float[np.ndarray, " draw"]:
    """Signs that turn each random direction so that anomalous images lie higher along it.

    A random direction has no sign of its own; turned so, it is the harder one to beat.
    """
    return np.where(mean_difference(found.output_random, labels) < 0, -1.0, 1.0)


def component_rows(found: Gathered, comparison: Comparison) -> pd.DataFrame:
    """All components of both levels of detail, the output itself first."""
    sign = turned(found, comparison.labels)
    output = _effects(
        ["output"], found.output[:, None], found.output_random[:, None] * sign, comparison
    )
    tables = [output.assign(level="output")]
    for level, names in found.names.items():
        made = _effects(names, found.terms[level], found.random[level] * sign, comparison)
        tables.append(made.assign(level=level))
    return pd.concat(tables, ignore_index=True)


def _effects(
    names: list[str], terms: np.ndarray, random: np.ndarray, comparison: Comparison
) -> pd.DataFrame:
    labels, evaluator = comparison.labels, comparison.evaluator
    made = pd.DataFrame([{"component": name, **place(name)} for name in names])
    made = _differences(made, terms, comparison)
    p_values = shuffled_p_values(terms, labels, N_SHUFFLES, comparison.seed)
    null = mean_difference(random.reshape(len(random), -1), labels).reshape(len(names), -1)
    made = _against_random(made, null, evaluator.bootstrap.confidence)
    made["p"], made["p_corrected"] = p_values, estimates.benjamini_hochberg(p_values)
    measured = [evaluator.measure_scores(column) for column in terms.T]
    made = made.join(_alone(measured, evaluator))
    if names == ["output"]:
        # Another output there is not: what it is compared with are random directions.
        own = [evaluator.measure_scores(column) for column in random[:, 0].T]
        return made.assign(**_of_kind(measured[0], own, evaluator))
    rows = [
        _of_kind(
            measured[i],
            _others(measured, np.flatnonzero(made["kind"] == kind), i, comparison),
            evaluator,
        )
        for i, kind in enumerate(made["kind"])
    ]
    return made.assign(**{n: [row[n] for row in rows] for n in rows[0]})


def _differences(made: pd.DataFrame, terms: np.ndarray, comparison: Comparison) -> pd.DataFrame:
    anomalous = comparison.labels != 0
    bootstrap = comparison.evaluator.bootstrap
    draws = difference_draws(terms, comparison.labels, bootstrap)
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return made.assign(
        mean_normal=terms[~anomalous].mean(0),
        mean_anomalous=terms[anomalous].mean(0),
        difference=mean_difference(terms, comparison.labels),
        difference_low=low,
        difference_high=high,
    )


def _against_random(made: pd.DataFrame, null: np.ndarray, confidence: float) -> pd.DataFrame:
    """Band of the same component's difference along random directions, and the rank among them."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(null, [tail, 1 - tail], axis=1)
    size = np.abs(made["difference"].to_numpy())
    p = [estimates.rank_p_value(s, np.abs(n)) for s, n in zip(size, null, strict=True)]
    return made.assign(
        control_mean=null.mean(1),
        control_quantile_low=low,
        control_quantile_high=high,
        p_control=p,
        n_random_sets=null.shape[1],
    )


def _alone(measured: list[Measurement], evaluator: PairedEvaluator) -> pd.DataFrame:
    """AUROC of the contribution alone."""
    found = [
        contrasts.estimate_of(m, AUROC, evaluator.bootstrap).columns("auroc") for m in measured
    ]
    return pd.DataFrame(found).assign(n_images=evaluator.n_images)


def _others(
    measured: list[Measurement], of_kind: np.ndarray, index: int, comparison: Comparison
) -> list[Measurement]:
    """Other components of the kind, drawn at random where there are many."""
    others = of_kind[of_kind != index]
    if len(others) > comparison.n_random_sets:
        generator = np.random.default_rng([comparison.seed, index])
        others = generator.choice(others, comparison.n_random_sets, replace=False)
    return [measured[i] for i in others]


def _of_kind(
    one: Measurement, others: list[Measurement], evaluator: PairedEvaluator
) -> dict[str, Any]:
    if not others:
        gap = mean = NOT_MEASURED
        reason = "the only one of its kind"
    else:
        gap = contrasts.difference_to(one, others, AUROC, evaluator.bootstrap)
        mean = contrasts.mean_estimate(others, AUROC, evaluator.bootstrap)
        reason = ""
    return {
        "random_auroc": mean.value,
        **gap.columns("auroc_difference"),
        "n_others": len(others),
        "reason": reason,
    }


def neuron_rows(found: Gathered, comparison: Comparison) -> pd.DataFrame:
    """The neurons with the largest differences; p-values are corrected over all neurons."""
    labels = comparison.labels
    terms = found.neurons
    p_values = shuffled_p_values(terms, labels, N_NEURON_SHUFFLES, comparison.seed, pooled=True)
    corrected = estimates.benjamini_hochberg(p_values)
    difference = mean_difference(terms.astype(np.float64), labels)
    chosen = np.argsort(-np.abs(difference), kind="stable")[: comparison.top]
    made = pd.DataFrame(
        {"block": found.neuron_names[chosen, 0], "neuron": found.neuron_names[chosen, 1]}
    )
    own = terms[:, chosen].astype(np.float64)
    made = _differences(made, own, comparison)
    null = (found.neurons_random[1] - found.neurons_random[0])[chosen] * turned(found, labels)
    made = _against_random(made, null, comparison.evaluator.bootstrap.confidence)
    made["p"], made["p_corrected"] = p_values[chosen], corrected[chosen]
    measured = [comparison.evaluator.measure_scores(column) for column in own.T]
    made = made.join(_alone(measured, comparison.evaluator))
    generator = np.random.default_rng([comparison.seed, 1])
    n = min(comparison.n_random_sets, terms.shape[1])
    random = generator.choice(terms.shape[1], n, replace=False)
    others = [comparison.evaluator.measure_scores(terms[:, i]) for i in random]
    rows = [_of_kind(m, others, comparison.evaluator) for m in measured]
    made = made.assign(**{name: [row[name] for row in rows] for name in rows[0]})
    return made.assign(rank=np.arange(1, len(made) + 1), n_neurons=terms.shape[1])


def location_rows(found: Gathered, comparison: Comparison) -> pd.DataFrame:
    """Whether source patches that push towards "anomalous" are those of defects."""
    evaluator = comparison.evaluator
    if "pixel" in evaluator.reasons:
        return pd.DataFrame(columns=pd.Index(LOCATION_COLUMNS))
    signs = enumerate(turned(found, comparison.labels)[:N_MAPS])
    random_maps = [found.maps_random[:, draw].astype(np.float64) * s for draw, s in signs]
    own, *random = evaluator.measure_all([found.maps.astype(np.float64), *random_maps])
    rows = []
    for metric, columns in metric_columns(evaluator.measured):
        if metric[0] != "pixel":
            continue
        mean: Estimate = contrasts.mean_estimate(random, metric, evaluator.bootstrap)
        gap = contrasts.difference_to(own, random, metric, evaluator.bootstrap)
        rows.append(
            {
                **columns,
                **contrasts.estimate_of(own, metric, evaluator.bootstrap).columns(),
                **mean.columns("control_mean"),
                **gap.columns("difference"),
                "n_random_sets": len(random),
                **evaluator.counts,
            }
        )
    return pd.DataFrame(rows)


LOCATION_COLUMNS = (
    "level",
    "metric",
    *("value", "low", "high"),
    *("control_mean", "control_mean_low", "control_mean_high"),
    *("difference", "difference_low", "difference_high"),
    *("n_random_sets", "n_images", "n_regions"),
)
