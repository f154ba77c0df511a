"""Mean-ablation on stored contributions: the direct effect of a component, without a forward pass.

A component's contribution is replaced by its mean over the normal images that the detector was
fitted on; everything else stays as it was: deviations, patterns, and what later blocks read. So it
is the effect along the direct path to the output alone, not that of a knock-out in the network,
after which later blocks compute something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap, contrasts
from lakeviz.metrics.comparison import NO_COMPARISON, compare_with
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.decompose.component_rows import AUROC, Comparison, mean_difference, place
from lakeviz.studies.decompose.decomposer import Gathered


def mean_ablated(
    scores: Float[np.ndarray, " image"],
    terms: Float[np.ndarray, "image term"],
    reference: Float[np.ndarray, "normal term"],
) -> Float[np.ndarray, " image"]:
    """Scores after some terms were replaced by their means over reference images.

    ``scores`` is the sum of all terms, so this is exact.
    """
    return scores - terms.sum(1) + reference.sum(1).mean()


def halves(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the images by chance, each with about half of either class."""
    generator = np.random.default_rng([seed, 2])
    first = np.zeros(len(labels), dtype=bool)
    for group in (np.flatnonzero(labels == 0), np.flatnonzero(labels != 0)):
        first[generator.permutation(group)[: len(group) // 2]] = True
    return first, ~first


def ablation_rows(
    found: Gathered, reference: Gathered, sizes: list[int], comparison: Comparison
) -> pd.DataFrame:
    """Blocks and heads one by one, and sets of neurons; each beside others of its kind and size."""
    rows: list[dict[str, Any]] = []
    for level, names in found.names.items():
        rows += _single(found, reference, level, names, comparison)
    rows += _neuron_sets(found, reference, sizes, comparison)
    return pd.DataFrame(rows)


def _single(
    found: Gathered, reference: Gathered, level: str, names: list[str], comparison: Comparison
) -> list[dict[str, Any]]:
    evaluator = comparison.evaluator
    intact = evaluator.measure_scores(found.output)
    terms, normal = found.terms[level], reference.terms[level]
    measured = [
        evaluator.measure_scores(
            mean_ablated(found.output, terms[:, i : i + 1], normal[:, i : i + 1])
        )
        for i in range(len(names))
    ]
    places = [place(name) for name in names]
    kinds = np.array([p["kind"] for p in places])
    rows = []
    for i, name in enumerate(names):
        others = [measured[j] for j in np.flatnonzero(kinds == kinds[i]) if j != i]
        about = {"level": level, "component": name, **places[i], "size": 1}
        rows.append(about | _row(intact, measured[i], others, evaluator))
    return rows


def _neuron_sets(
    found: Gathered, reference: Gathered, sizes: list[int], comparison: Comparison
) -> list[dict[str, Any]]:
    """Chosen on one half of the test images and measured on the other."""
    first, second = halves(comparison.labels, comparison.seed)
    if not all(0 < comparison.labels[h].astype(bool).sum() < h.sum() for h in (first, second)):
        return []
    own = comparison.evaluator
    evaluator = PairedEvaluator(
        truth=Truth.of_masks(comparison.labels[second], None),
        metrics=(AUROC,),
        bootstrap=own.bootstrap.some(second),
        conventions=own.conventions,
        image_score=own.image_score,
    )
    difference = np.abs(
        mean_difference(found.neurons[first].astype(float), comparison.labels[first])
    )
    order = np.argsort(-difference, kind="stable")
    scores, terms = found.output[second], found.neurons[second].astype(float)
    generator = np.random.default_rng([comparison.seed, 3])

    def measured(chosen: np.ndarray) -> Measurement:
        normal = reference.neurons[:, chosen].astype(float)
        return evaluator.measure_scores(mean_ablated(scores, terms[:, chosen], normal))

    rows = []
    intact = evaluator.measure_scores(scores)
    for size in (s for s in sizes if s <= len(order)):
        others = [
            measured(generator.choice(len(order), size, replace=False))
            for _ in range(comparison.n_random_sets)
        ]
        about = {"level": "neurons", "component": f"top {size}", "kind": "neurons"}
        about |= {"block": -1, "head": -1, "size": size}
        rows.append(about | _row(intact, measured(order[:size]), others, evaluator))
    return rows


def _row(
    intact: Measurement, one: Measurement, others: list[Measurement], evaluator: PairedEvaluator
) -> dict[str, Any]:
    bootstrap: Bootstrap = evaluator.bootstrap
    control, gap = NOT_MEASURED, dict(NO_COMPARISON)
    if others:
        gap = compare_with(one, others, AUROC, bootstrap).difference_columns()
        control = contrasts.mean_estimate(others, AUROC, bootstrap)
    return {
        "metric": "auroc",
        "intact": intact.values[AUROC],
        **contrasts.estimate_of(one, AUROC, bootstrap).columns(),
        **contrasts.difference(one, intact, AUROC, bootstrap).columns("change"),
        "control_mean": control.value,
        **gap,
        "n_random_sets": len(others),
        **evaluator.counts,
        "reason": "" if others else "the only one of its kind",
    }
