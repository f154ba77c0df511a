"""The study ``pca``: selections of every kind at every size, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection, Selection, SubspaceSelection, VisualBranch, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.selectors import expand_selectors
from lakeviz.metrics import estimates
from lakeviz.metrics.comparison import compare_with
from lakeviz.metrics.contrasts import Replicates, mean_estimate
from lakeviz.metrics.measurement import Measurement, metric_columns
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import (
    absence,
    mean_of_tables,
    members_of,
    n_members,
    not_measured,
    servable,
)
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.pca.geometry import (
    diagonality_rows,
    nearness,
    nearness_of_many,
    retained_variance,
)
from lakeviz.studies.pca.result import REFERENCE, PCAResult, Settings

Selections = Mapping[str, Selection]


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Compare the channels of highest variance with truncated PCA and controls, size by size.

    At each size K every selector keeps K dimensions at each hook point, from the same normal
    tokens, and scores the same test images with the visual branch alone. A selector that cannot
    serve a size has a row with the reason there. Of several draws of the normal images everything
    is done on each, and all tables are means over them.

    Raises
    ------
    SelectionError
        If a size is out of range or a selector unknown.
    """
    chosen = expand_selectors((REFERENCE, *settings.selectors))
    confidence = evaluator.bootstrap.confidence
    metrics: list[dict[str, Any]] = []
    absent: list[dict[str, Any]] = []
    everything: list[dict[str, Scored]] = [{} for _ in draws]
    notes: list[str] = []
    sizes = size_grid(draws[0], settings.sizes)
    members = {name: n_members(name, settings.n_random_sets) for name in chosen}
    once = sum(n for name, n in members.items() if not get_selector(name).uses_k)
    expect(once + len(sizes) * (sum(members.values()) - once), len(draws))
    for k in sizes:
        able, missing = servable(draws, chosen, k)
        notes += [f"K = {k}: {absence(draws[0], name, why)}" for name, why in missing.items()]
        for data, done in zip(draws, everything, strict=True):
            groups = {
                name: members_of(data, k, name, settings.n_random_sets, settings.seed)
                for name in able
                if name not in done
            }
            done |= _score(data, groups, evaluator)
        found = {name: [done[name] for done in everything] for name in able}
        everything = [
            {n: scored for n, scored in done.items() if not get_selector(n).uses_k}
            for done in everything
        ]
        metrics += _metric_rows(k, found, evaluator)
        for name, why in missing.items():
            said = {"selector": name, "k": k, "n_random_sets": 0, "n_draws": len(draws)}
            absent += not_measured(why, evaluator, **said)
    tables = {
        "metrics": metrics + absent,
        "geometry": mean_of_tables(
            [
                pd.DataFrame(r for k in sizes for r in _geometry_rows(d, k, settings, confidence))
                for d in draws
            ]
        ),
        "covariance": mean_of_tables([_covariance(d, settings, confidence) for d in draws]),
        "spectrum": mean_of_tables([_spectrum(data) for data in draws]),
    }
    return Measured(tables, notes)


STUDY = Study(Settings, PCAResult, measure, over_draws=True)


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
        if not 1 <= k <= most:
            raise SelectionError(
                f"{data.category}: a size must be between 1 and {most} channels, got {k}"
            )
    return sorted({*sizes, data.options.k, most})


@dataclass(frozen=True)
class Scored:
    """A selector at one size: its members (one, or one per random set) as they were measured.

    Attributes
    ----------
    members : list of Measurement
    retained : list of float
        Retained variance of each member, mean over hook points.
    gallery_bytes : int
        Of one member.
    seconds : float
        Restriction and search of all test images, mean over members.
    """

    members: list[Measurement]
    retained: list[float]
    gallery_bytes: int
    seconds: float


def _score(
    data: StudyData, groups: Mapping[str, Sequence[Selections]], evaluator: PairedEvaluator
) -> dict[str, Scored]:
    """Score the members of each group; the test tokens are read once for all."""
    branches = data.branches([selections for members in groups.values() for selections in members])
    maps, seconds = _timed_maps(data, branches)
    found, start = {}, 0
    for name, members in groups.items():
        own = slice(start, start + len(members))
        found[name] = Scored(
            evaluator.measure_all(maps[own]),
            [_retained(data, selections) for selections in members],
            branches[start].gallery_bytes,
            float(seconds[own].mean()),
        )
        start += len(members)
    return found


def _retained(data: StudyData, selections: Selections) -> float:
    shares = [retained_variance(s, data.statistics[p].covariance) for p, s in selections.items()]
    return float(np.mean(shares))


def _timed_maps(
    data: StudyData, branches: Sequence[VisualBranch]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Patch maps of each branch, and the seconds it took without reading the tokens."""
    parts: list[list[np.ndarray]] = [[] for _ in branches]
    seconds = np.zeros(len(branches))
    with torch.inference_mode():
        for _, tokens in data.batches():
            for number, branch in enumerate(branches):
                start = perf_counter()
                scores = branch.score(tokens)
                parts[number].append(join_layers(scores, data.grids)[0].cpu().numpy())
                seconds[number] += perf_counter() - start
    return [np.concatenate(maps) for maps in parts], seconds


def _metric_rows(
    k: int, found: Mapping[str, Sequence[Scored]], evaluator: PairedEvaluator
) -> list[dict[str, Any]]:
    bootstrap = evaluator.bootstrap
    measured = {
        name: Replicates.over_draws([scored.members for scored in draws])
        for name, draws in found.items()
    }
    rows = []
    for name, draws in found.items():
        for metric, columns in metric_columns(evaluator.measured):
            own = measured[name]
            gap = compare_with(measured[REFERENCE], own, metric, bootstrap).difference_columns()
            if name == REFERENCE:
                gap |= {name: np.nan for name in gap if name != "n_draws"} | {"estimand": ""}
            rows.append(
                {
                    "selector": name,
                    "k": k,
                    **columns,
                    **mean_estimate(own, metric, bootstrap).columns(),
                    "retained_variance": float(np.mean([scored.retained for scored in draws])),
                    **gap,
                    "n_random_sets": own.n_members,
                    **evaluator.counts,
                    "gallery_bytes": draws[0].gallery_bytes,
                    "seconds": float(np.mean([scored.seconds for scored in draws])),
                    "reason": "the others are compared with it" if name == REFERENCE else "",
                }
            )
    return rows


def _geometry_rows(
    data: StudyData, k: int, settings: Settings, confidence: float
) -> list[dict[str, Any]]:
    channels, principal = data.select(k, REFERENCE), data.select(k, "pca")
    sets = members_of(data, k, "random", settings.n_random_sets, settings.seed)
    rows = []
    for point in data.points:
        own, subspace = channels[point], principal[point]
        random = [s for s in (one[point] for one in sets) if isinstance(s, NeuronSelection)]
        assert isinstance(own, NeuronSelection)
        assert isinstance(subspace, SubspaceSelection)
        covariance = data.statistics[point].covariance
        kept, most = (retained_variance(s, covariance) for s in (own, subspace))
        near, others = nearness(own, subspace), nearness_of_many(random, subspace)

        def control(name: str, values: Sequence[float]) -> dict[str, float]:
            low, high = estimates.quantile_interval(np.asarray(values), confidence)
            mean = estimates.Estimate(float(np.mean(values)), low, high)
            return mean.columns(f"random_{name}")

        rows.append(
            {
                "point": point,
                "k": k,
                "variance_retained": kept,
                "pca_retained": most,
                "retained_ratio": kept / most,
                **control("retained", [retained_variance(r, covariance) for r in random]),
                "angle_largest": near.largest,
                "angle_mean": near.mean,
                **control("angle_largest", [o.largest for o in others]),
                **control("angle_mean", [o.mean for o in others]),
                "kernel": near.kernel,
                "kernel_expected": k / data.n_channels(point),
                **control("kernel", [o.kernel for o in others]),
                "n_random_sets": settings.n_random_sets,
                "n_channels": data.n_channels(point),
            }
        )
    return rows


def _covariance(data: StudyData, settings: Settings, confidence: float) -> pd.DataFrame:
    rows = []
    for number, point in enumerate(data.points):
        rows += diagonality_rows(
            data.statistics[point],
            data.normal.patches(point),
            n_permutations=settings.n_permutations,
            generator=np.random.default_rng([settings.seed, number]),
            confidence=confidence,
        )
    return pd.DataFrame(rows)


def _spectrum(data: StudyData) -> pd.DataFrame:
    """Eigenvalues of the covariance and variances of the channels, each in descending order."""
    parts = []
    for point, statistics in data.statistics.items():
        eigenvalues = np.linalg.eigvalsh(statistics.covariance)[::-1]
        part = {
            "point": point,
            "rank": np.arange(1, statistics.n_channels + 1),
            "eigenvalue": np.maximum(eigenvalues, 0),
            "variance": np.sort(statistics.variance)[::-1],
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
