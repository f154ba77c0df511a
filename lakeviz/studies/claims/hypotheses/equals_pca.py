"""Claim 3: selecting by variance is equivalent to truncated PCA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lakeviz.activations import ChannelStatistics
from lakeviz.lake import select
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Equivalence, NonInferiority
from lakeviz.studies.overlap.measures import projection_kernel

_DETECTION, _SUBSPACE = "detection", "subspace"
_PERMUTATIONS = 5


def _measure(case: Case) -> Mapping[str, Effect]:
    if case.k == case.n_channels:
        reason = f"all {case.k} channels are selected: the two are the same by construction"
        return {_DETECTION: Effect.absent(reason), _SUBSPACE: Effect.absent(reason)}
    settings = case.settings
    pca = case.measure(case.score(case.select("pca")))
    detection = over(case.top, pca, settings.metric, settings.bootstrap)
    return {_DETECTION: detection, _SUBSPACE: _nearness(case)}


def _nearness(case: Case) -> Effect:
    """Projection kernel of the two spans minus the same of tokens without any correlation.

    Each channel's tokens are put in an order of their own: their covariance is diagonal but for
    noise, and what is missing to 1 there is missing by noise alone.
    """
    data, k = case.data, case.k
    own = [
        projection_kernel(data.select(k, "variance")[p], data.select(k, "pca")[p])
        for p in data.points
    ]
    ceiling = [
        np.mean([_permuted(data, p, k, case.settings.seed + i) for p in data.points])
        for i in range(_PERMUTATIONS)
    ]
    return Effect(float(np.mean(own) - np.mean(ceiling)), n_draws=_PERMUTATIONS)


def _permuted(data: StudyData, point: str, k: int, seed: int) -> float:
    tokens = data.normal.patches(point)
    flat = tokens.reshape(-1, tokens.shape[-1])
    generator = np.random.default_rng([seed, data.points.index(point)])
    shuffled = flat.new_tensor(generator.permuted(flat.numpy(), axis=0))
    statistics = ChannelStatistics(point, with_covariance=True).update(shuffled)
    return projection_kernel(select(statistics, k, "variance"), select(statistics, k, "pca"))


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Detection in neurons minus that in principal directions, and how near the two spans are."""
    return by_category(cases, _measure)


CLAIM = Claim(
    3,
    "equals_pca",
    "Selecting neurons by variance is equivalent to truncated PCA of the same size.",
    (
        Part(
            _DETECTION,
            "top-variance neurons minus principal directions",
            "truncated PCA, same size",
            Equivalence(SMALLEST_EFFECT),
        ),
        Part(
            _SUBSPACE,
            "projection kernel of the two spans minus that of uncorrelated tokens",
            "the same tokens, each channel in an order of its own",
            NonInferiority(0.1),
            "projection kernel",
        ),
    ),
    measure,
)
