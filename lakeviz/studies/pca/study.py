"""The study ``pca``: selections of every kind at every size, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import NeuronSelection, Selection, SubspaceSelection, get_selector
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP, DEFAULT_METRICS, PairedEvaluator
from lakeviz.metrics import Bootstrap, estimates
from lakeviz.metrics.measurement import Metric, metric_columns
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.pca.diagonality import diagonality_rows
from lakeviz.studies.pca.result import SMALLEST_EFFECT, PCAResult
from lakeviz.studies.pca.scoring import Scored, score
from lakeviz.studies.pca.subspaces import nearness, nearness_of_many, retained_variance

SELECTORS = ("variance", "pca", "random_rotation", "random", "bottom_variance", "all")
REFERENCE = "variance"
PERMUTATIONS = 5
Selections = Mapping[str, Selection]


def pca(
    data: StudyData,
    *,
    sizes: Sequence[int] | None = None,
    n_draws: int = 10,
    selectors: Sequence[str] = SELECTORS,
    metrics: Sequence[Metric] = DEFAULT_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    seed: int = 0,
) -> PCAResult:
    """Compare the channels of highest variance with truncated PCA and controls, size by size.

    At each size K every selector keeps K dimensions at each hook point, from the same normal
    tokens, and scores the same test images with the visual branch alone.

    Parameters
    ----------
    data : StudyData
    sizes : sequence of int, optional
        K, each between 1 and the number of channels D; by default the powers of two below D. The
        detector's own ``k`` and D are always among them.
    n_draws : int
        Draws of each random selector, at least 2.
    selectors : sequence of str
        Registered selectors; ``"variance"``, with which all are compared, is always among them.
    metrics : sequence of (level, metric)
    bootstrap : Bootstrap
        Over images.
    seed : int
        Of the random selectors and permutations.

    Returns
    -------
    PCAResult

    Raises
    ------
    SelectionError
        If a size is out of range or a selector unknown.
    ConfigError
        If there are fewer than 2 draws, or a metric is unknown.
    MetricError
        If no metric is defined for the test images.
    """
    if n_draws < 2:
        raise ConfigError(f"a random control needs at least 2 draws, not {n_draws}")
    chosen = list(dict.fromkeys((REFERENCE, *selectors)))
    grid = size_grid(data, sizes)
    evaluator = data.evaluator(metrics, bootstrap)
    evaluator.require_some()
    metric_rows: list[dict[str, Any]] = []
    geometry_rows: list[dict[str, Any]] = []
    everything: dict[str, Scored] = {}
    for k in grid:
        groups = {
            name: _members(data, name, k, n_draws, seed)
            for name in chosen
            if name not in everything
        }
        found = score(data, groups, evaluator) | everything
        everything = {n: s for n, s in found.items() if not get_selector(n).uses_k}
        metric_rows += _metric_rows(k, {n: found[n] for n in chosen}, evaluator)
        geometry_rows += _geometry_rows(data, k, n_draws, seed, bootstrap.confidence)
    settings = {
        "sizes": None if sizes is None else sorted(set(sizes)),
        "n_draws": n_draws,
        "selectors": chosen,
        "metrics": [list(m) for m in metrics],
        "smallest_effect": SMALLEST_EFFECT,
        "permutations": PERMUTATIONS,
        "seed": seed,
    }
    return PCAResult(
        metrics=_table(data, metric_rows),
        geometry=_table(data, geometry_rows),
        covariance=_table(data, _covariance_rows(data, seed, bootstrap.confidence)),
        spectrum=_spectrum(data),
        provenance=data.describe("pca", settings, evaluator),
        notes=data.absences(evaluator),
    )


def size_grid(data: StudyData, sizes: Sequence[int] | None) -> list[int]:
    """Sizes in ascending order, with the detector's own and all channels among them.

    Raises
    ------
    SelectionError
        If one is out of range.
    """
    most = min(data.n_channels(point) for point in data.points)
    if sizes is None:
        sizes = [2**power for power in range(most.bit_length()) if 2**power < most]
    for k in (*sizes, data.options.k):
        if not isinstance(k, (int, np.integer)) or not 1 <= k <= most:
            raise SelectionError(
                f"{data.category}: a size must be a whole number between 1 and {most} channels, "
                f"not {k}"
            )
    return sorted({int(k) for k in sizes} | {data.options.k, most})


def _members(data: StudyData, name: str, k: int, n_draws: int, seed: int) -> list[Selections]:
    n = n_draws if get_selector(name).is_random else 1
    return [data.select(k, name, seed + draw) for draw in range(n)]


def _metric_rows(
    k: int, found: Mapping[str, Scored], evaluator: PairedEvaluator
) -> list[dict[str, Any]]:
    bootstrap = evaluator.bootstrap
    (reference,) = found[REFERENCE].members
    rows = []
    for name, scored in found.items():
        for metric, columns in metric_columns(evaluator.measured):
            value = estimates.mean_estimate(scored.members, metric, bootstrap)
            gap, reason = estimates.NOT_MEASURED, "the others are compared with it"
            if name != REFERENCE:
                gap = estimates.difference_to(reference, scored.members, metric, bootstrap)
                reason = ""
            rows.append(
                {
                    "selector": name,
                    "k": k,
                    **columns,
                    **value.columns(),
                    "retained_variance": float(np.mean(scored.retained)),
                    **gap.columns("difference"),
                    "n_draws": len(scored.members),
                    "n_images": evaluator.n_images,
                    "gallery_bytes": scored.gallery_bytes,
                    "seconds": scored.seconds,
                    "reason": reason,
                }
            )
    return rows


def _geometry_rows(
    data: StudyData, k: int, n_draws: int, seed: int, level: float
) -> list[dict[str, Any]]:
    channels, principal = data.select(k, REFERENCE), data.select(k, "pca")
    draws = _members(data, "random", k, n_draws, seed)
    rows = []
    for point in data.points:
        own, subspace = channels[point], principal[point]
        random = [d for d in (draw[point] for draw in draws) if isinstance(d, NeuronSelection)]
        assert isinstance(own, NeuronSelection)
        assert isinstance(subspace, SubspaceSelection)
        covariance = data.statistics[point].covariance
        kept, most = (retained_variance(s, covariance) for s in (own, subspace))
        near, others = nearness(own, subspace), nearness_of_many(random, subspace)
        row = {
            "point": point,
            "k": k,
            "variance_retained": kept,
            "pca_retained": most,
            "retained_ratio": kept / most,
            **_control("retained", [retained_variance(r, covariance) for r in random], level),
            "angle_largest": near.largest,
            "angle_mean": near.mean,
            **_control("angle_largest", [o.largest for o in others], level),
            **_control("angle_mean", [o.mean for o in others], level),
            "kernel": near.kernel,
            "kernel_expected": k / data.n_channels(point),
            **_control("kernel", [o.kernel for o in others], level),
        }
        rows.append(row | {"n_draws": n_draws, "n_channels": data.n_channels(point)})
    return rows


def _control(name: str, values: Sequence[float], level: float) -> dict[str, float]:
    """Mean and interval of random channel sets."""
    low, high = estimates.quantile_interval(np.asarray(values), level)
    return estimates.Estimate(float(np.mean(values)), low, high).columns(f"random_{name}")


def _covariance_rows(data: StudyData, seed: int, level: float) -> list[dict[str, Any]]:
    rows = []
    for number, point in enumerate(data.points):
        rows += diagonality_rows(
            data.statistics[point],
            data.normal.patches(point),
            n_draws=PERMUTATIONS,
            generator=np.random.default_rng([seed, number]),
            level=level,
        )
    return rows


def _spectrum(data: StudyData) -> pd.DataFrame:
    """Eigenvalues of the covariance beside the channels' variances, both by falling size."""
    parts = []
    for point, statistics in data.statistics.items():
        eigenvalues = np.linalg.eigvalsh(statistics.covariance)[::-1]
        part = {
            "category": data.category,
            "point": point,
            "rank": np.arange(1, statistics.n_channels + 1),
            "eigenvalue": np.maximum(eigenvalues, 0),
            "variance": np.sort(statistics.variance)[::-1],
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _table(data: StudyData, rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table.insert(0, "category", data.category)
    return table
