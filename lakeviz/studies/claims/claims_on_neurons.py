"""Claims 3, 4 and 5: the neurons themselves, against PCA, over categories, and knocked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np

from lakeviz.lake import NeuronSelection, Selection, SubspaceSelection
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.estimates import Estimate, joint_reach, variance_of_mean
from lakeviz.metrics.registry import better
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, each
from lakeviz.studies.claims.effects import (
    CATEGORIES,
    Effect,
    Pooled,
    Spread,
    at_ceiling,
    over,
    unmeasured,
)
from lakeviz.studies.claims.rules import Equivalence, Superiority
from lakeviz.studies.knockout.ablation import Ablation, Condition
from lakeviz.studies.knockout.score_engine import ScoreEngine
from lakeviz.studies.overlap.measures import hypergeometric, jaccard
from lakeviz.studies.overlap.pairs import pair_mean

# --- claim 3: selecting by variance is equivalent to truncated PCA ---

_DETECTION, _SUBSPACE = "detection", "subspace"


def _equals_pca(case: Case) -> Mapping[str, Effect]:
    """Detection in neurons minus that in principal directions, and how near the two spans are."""
    if reason := case.all_selected("the two are the same by construction"):
        return {_DETECTION: Effect.absent(reason), _SUBSPACE: Effect.absent(reason)}
    detection = over(case.top, case.measured("pca"), case.settings.metric, SMALLEST_EFFECT)
    return {_DETECTION: detection, _SUBSPACE: _nearness(case)}


def _nearness(case: Case) -> Effect:
    """Projection kernel of neurons and principal span minus that of the axes of rotated streams.

    Axes of a rotated stream are ranked by their variance as neurons are. Where neurons come no
    nearer to the principal span than those, nothing about PCA is special to the basis of neurons.
    """
    own, rotated = zip(*(_kernels(data, case) for data in case.draws), strict=True)
    gaps = np.array(own)[:, None] - np.array(rotated)
    per_draw, spread = gaps.mean(axis=1), gaps.mean(axis=0).std(ddof=1)
    value, n_draws, n_sets = float(gaps.mean()), *gaps.shape

    def at(confidence: float) -> Estimate:
        sources = [(variance_of_mean(v), v.size - 1) for v in (per_draw, gaps.mean(axis=0))]
        reach = float(joint_reach(sources, [], confidence))
        return Estimate(value, value - reach, value + reach)

    deviation = float(per_draw.std(ddof=1)) if n_draws > 1 else 0.0
    return Effect(
        value,
        at if n_draws > 1 else None,
        n_random_sets=n_sets,
        n_draws=n_draws,
        gaps=gaps.mean(axis=0),
        spread=Spread(draws=deviation, sets=float(spread), n_draws=n_draws, n_sets=n_sets),
    )


def _kernels(data: StudyData, case: Case) -> tuple[float, list[float]]:
    """Projection kernel with the principal span: of the neurons, and of each rotation's axes."""
    principal = case.select(data, "pca")[0]
    neurons, rotated = case.select(data, "variance")[0], case.select(data, "rotated")

    def near(chosen: Mapping[str, Selection]) -> float:
        return float(np.mean([_kernel(chosen[p], principal[p]) for p in data.points]))

    return near(neurons), [near(one) for one in rotated]


def _kernel(one: Selection, principal: Selection) -> float:
    """Mean squared cosine of the principal angles; both bases are orthonormal."""
    assert isinstance(principal, SubspaceSelection)
    if isinstance(one, NeuronSelection):
        return float(np.square(principal.basis[one.channels]).sum() / one.k)
    assert isinstance(one, SubspaceSelection)
    return float(np.square(one.basis.T @ principal.basis).sum() / one.basis.shape[1])


EQUALS_PCA = Claim(
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
            "projection kernel of neurons and PCA minus that of axes of rotated streams",
            "top-variance axes of randomly rotated streams, same size",
            Superiority(0.05),
            "projection kernel",
            against_sets=True,
        ),
    ),
    each(_equals_pca),
)


# --- claim 4: categories select the same neurons more often than chance would have it ---

_MINUS_CHANCE = "minus_chance"
_FEWEST = 3


def _measure_overlaps(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Mean Jaccard index of all pairs of categories minus that of random sets of the size.

    The interval is a jackknife over categories, which share pairs, with Student's quantiles. Each
    pair is compared on every draw of the normal images that both have.
    """
    reason = _no_overlap(cases)
    rows = {case.data.category: Effect.absent(reason) for case in cases}
    if reason:
        return {_MINUS_CHANCE: unmeasured(rows, reason)}
    chosen = [[_channels(case, data) for data in case.draws] for case in cases]
    sides = np.array(list(combinations(range(len(cases)), 2)))
    gaps = np.array(
        [
            np.mean([_jaccard_gap(*pair, cases[0]) for pair in zip(chosen[a], chosen[b])])
            for a, b in sides
        ]
    )
    for i, case in enumerate(cases):
        own = gaps[(sides == i).any(1)]
        rows[case.data.category] = Effect(float(own.mean()), n_draws=len(case.draws))

    def at(confidence: float) -> Estimate:
        return pair_mean(gaps, sides, confidence)

    # Pseudo-values: n times the mean minus n - 1 times the mean without the category.
    n = len(cases)
    left = np.array([gaps[(sides != i).all(1)].mean() for i in range(n)])
    units = n * gaps.mean() - (n - 1) * left
    return {_MINUS_CHANCE: Pooled(at, CATEGORIES, rows, units=units)}


def _no_overlap(cases: Sequence[Case]) -> str:
    if len(cases) < _FEWEST:
        return f"it needs {_FEWEST} categories, and there are {len(cases)}"
    return cases[0].all_selected("every category shares all")


def _channels(case: Case, data: StudyData) -> dict[str, set[int]]:
    selections = case.select(data, "variance")[0]
    return {
        p: set(s.channels.tolist()) for p, s in selections.items() if isinstance(s, NeuronSelection)
    }


def _jaccard_gap(one: Mapping[str, set[int]], other: Mapping[str, set[int]], case: Case) -> float:
    """Jaccard index of two categories minus its expectation by chance, mean over hook points."""
    gaps = []
    for point, channels in one.items():
        k = len(channels)
        expected = hypergeometric(case.data.n_channels(point), k).expected_jaccard
        gaps.append(float(jaccard(len(channels & other[point]), k)) - expected)
    return float(np.mean(gaps))


OVERLAPS = Claim(
    4,
    "overlaps",
    "The selected neurons of different categories overlap beyond chance.",
    (
        Part(
            _MINUS_CHANCE,
            "Jaccard index of two categories minus that of random sets",
            "random sets, same size (exact)",
            Superiority(0.05),
            "Jaccard index",
        ),
    ),
    _measure_overlaps,
)


# --- claim 5: of the selected neurons, those of higher variance matter more to their detector ---

_MINUS_RANDOM = "minus_random"
_FEWEST_HALVES = 1000
"""With fewer ways to halve the selection, the upper half is too often a random one by chance."""


def _knockout_hurts(case: Case) -> Mapping[str, Effect]:
    """Loss without the upper half of the selection minus loss without a random half of it.

    Both are knocked out of the detector that reads the selection: a score knock-out, see
    :mod:`lakeviz.studies.knockout.score_engine`. It can come out either way: a channel of high
    variance may carry the defects, or drown them.
    """
    half = case.k // 2
    if comb(case.k, half) < _FEWEST_HALVES:
        return {
            _MINUS_RANDOM: Effect.absent(
                f"{case.k} neurons have {comb(case.k, half)} halves, too few to tell one of them "
                "from random halves"
            )
        }
    top, random = [], []
    for data in case.draws:
        by_variance = data.view(options=replace(data.options, selector="variance"))
        engine = ScoreEngine(by_variance, base="selected", branches=("visual",))
        chosen = case.select(data, "variance")[0]
        upper, *halves = (_drop(chosen, half, seed) for seed in (None, *case.seeds))
        top.append(case.evaluator.measure(engine.run([upper])[0].maps["visual"]))
        runs = (engine.run([one])[0].maps["visual"] for one in halves)
        random.append(case.measure_sets(runs))
    without, control = Replicates.over_draws(top), Replicates.over_draws(random)
    metric = case.settings.metric
    if metric not in without.first.values:
        return {_MINUS_RANDOM: Effect.absent(f"no {metric[0]} {metric[1]} for these images")}
    reason = at_ceiling([without, control], metric, SMALLEST_EFFECT)
    if reason:
        return {_MINUS_RANDOM: Effect.absent(reason)}
    # What is left with the random half dropped minus what is left with the upper half dropped.
    effect = Effect.of([(-1, without), (1, control)], metric)
    gaps = control.values(metric).mean(axis=0) - without.values(metric).mean()
    return {_MINUS_RANDOM: replace(effect, gaps=better(metric, gaps))}


def _drop(chosen: Mapping[str, Selection], half: int, seed: int | None) -> Condition:
    """Knock out half of the neurons: the upper half, or a random one."""
    found = []
    for number, (point, selection) in enumerate(chosen.items()):
        assert isinstance(selection, NeuronSelection)
        channels = selection.channels  # by descending variance
        if seed is not None:
            channels = np.random.default_rng([seed, number]).permutation(channels)
        found.append(Ablation(point, tuple(channels[:half].tolist())))
    return tuple(found)


KNOCKOUT_HURTS = Claim(
    5,
    "knockout_hurts",
    "Knocking the upper half of the selected neurons out of their detector hurts it more than "
    "knocking out a random half of them.",
    (
        Part(
            _MINUS_RANDOM,
            "loss without the upper half minus loss without a random half",
            "random halves of the same selection, knocked out of the same detector",
            Superiority(SMALLEST_EFFECT),
            against_sets=True,
        ),
    ),
    each(_knockout_hurts),
)
