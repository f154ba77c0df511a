"""Claims 3, 4, 8 and 9: the selection against PCA, over categories, contaminated, and in hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import DataError, HostError
from lakeviz.lake import NeuronSelection, select
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.metrics.registry import at_best
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, each
from lakeviz.studies.claims.effects import CATEGORIES, NOTHING, Effect, Pooled, over
from lakeviz.studies.claims.rules import Equivalence, NonInferiority, Superiority
from lakeviz.studies.contamination.fitting import Condition, DrawFits, kept_images
from lakeviz.studies.contamination.plan import make_plan
from lakeviz.studies.hosts.conditions import Plan, run_conditions
from lakeviz.studies.hosts.detectors.registry import get_host
from lakeviz.studies.hosts.result import ADD, ALONE, NO_SELECTOR
from lakeviz.studies.overlap.measures import jaccard, projection_kernel
from lakeviz.studies.overlap.null_models import hypergeometric
from lakeviz.studies.overlap.pairs import pair_mean

# --- claim 3: selecting by variance is equivalent to truncated PCA ---

_DETECTION, _SUBSPACE = "detection", "subspace"
_PERMUTATIONS = 5


def _equals_pca(case: Case) -> Mapping[str, Effect]:
    """Detection in neurons minus that in principal directions, and how near the two spans are."""
    if case.k == case.n_channels:
        reason = f"all {case.k} channels are selected: the two are the same by construction"
        return {_DETECTION: Effect.absent(reason), _SUBSPACE: Effect.absent(reason)}
    settings = case.settings
    pca = case.measure(case.score(case.select("pca")))
    detection = over(case.top, pca, settings.metric)
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
    return Effect(float(np.mean(own) - np.mean(ceiling)), n_random_sets=_PERMUTATIONS)


def _permuted(data: StudyData, point: str, k: int, seed: int) -> float:
    tokens = data.normal.patches(point)
    flat = tokens.reshape(-1, tokens.shape[-1])
    generator = np.random.default_rng([seed, data.points.index(point)])
    shuffled = flat.new_tensor(generator.permuted(flat.numpy(), axis=0))
    statistics = ChannelStatistics(point, with_covariance=True).update(shuffled)
    return projection_kernel(select(statistics, k, "variance"), select(statistics, k, "pca"))


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
            "projection kernel of the two spans minus that of uncorrelated tokens",
            "the same tokens, each channel in an order of its own",
            NonInferiority(0.1),
            "projection kernel",
        ),
    ),
    each(_equals_pca),
)


# --- claim 4: categories select the same neurons more often than chance would have it ---

_MINUS_CHANCE = "minus_chance"
_FEWEST = 3


def _measure_overlaps(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Mean Jaccard index of all pairs of categories minus that of random sets of the size.

    The interval is a jackknife over categories, which share pairs.
    """
    reason = _no_overlap(cases)
    rows = {case.data.category: Effect.absent(reason) for case in cases}
    if reason:
        return {_MINUS_CHANCE: Pooled(lambda level: NOT_MEASURED, NOTHING, rows, reason)}
    chosen = [_channels(case) for case in cases]
    sides = np.array(list(combinations(range(len(cases)), 2)))
    gaps = np.array([_jaccard_gap(chosen[a], chosen[b], cases[0]) for a, b in sides])
    for i, case in enumerate(cases):
        own = gaps[(sides == i).any(1)]
        rows[case.data.category] = Effect(float(own.mean()))

    def at(confidence: float) -> Estimate:
        return pair_mean(gaps, sides, confidence)

    return {_MINUS_CHANCE: Pooled(at, CATEGORIES, rows)}


def _no_overlap(cases: Sequence[Case]) -> str:
    if len(cases) < _FEWEST:
        return f"it needs {_FEWEST} categories, and there are {len(cases)}"
    if cases[0].k == cases[0].n_channels:
        return f"all {cases[0].k} channels are selected: every category shares all"
    return ""


def _channels(case: Case) -> dict[str, set[int]]:
    selections = case.select("variance")[0]
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


# --- claim 8: a few defective images among the normal ones do no harm that matters ---

_CHANGE = "change"
SHOTS, CONTAMINATED = 8, 1


def _withstands_contamination(case: Case) -> Mapping[str, Effect]:
    """Fit with defective images among the normal ones minus the clean fit of the same draw."""
    data, settings = case.pool, case.settings
    if data is None:
        return {_CHANGE: Effect.absent("no further normal images were captured to fit on")}
    clean, dirty = (Condition("variance", "both", n) for n in (0, CONTAMINATED))
    try:
        plan = make_plan(
            data.normal.sample_ids,
            data.test.sample_ids,
            data.truth.labels,
            shots=SHOTS,
            counts=(0, CONTAMINATED),
            n_repeats=settings.n_fits,
            seed=settings.seed,
            category=data.category,
        )
    except DataError as error:
        return {_CHANGE: Effect.absent(str(error))}
    kept = kept_images(data, plan)
    keep = np.isin(np.arange(len(data.test)), kept)
    evaluator = replace(
        data.evaluator((settings.metric,), settings.bootstrap),
        truth=data.truth.where(keep),
        sizes=[data.sizes[i] for i in kept],
    )
    if settings.metric not in evaluator.measured:
        return {_CHANGE: Effect.absent("the metric is not defined for these images")}
    fits = [
        DrawFits(data, draw, ["variance"], settings.seed + i) for i, draw in enumerate(plan.draws)
    ]
    found = [fit.measure([clean, dirty], kept, evaluator) for fit in fits]
    if all(
        at_best(settings.metric, m.values[settings.metric]) for one in found for m in one.values()
    ):
        return {_CHANGE: Effect.absent("all fits are at the ceiling of the metric on these images")}
    terms = [
        (1, Replicates.over_draws([one[dirty] for one in found])),
        (-1, Replicates.over_draws([one[clean] for one in found])),
    ]
    return {_CHANGE: Effect.of(terms, settings.metric, n_images=len(kept))}


WITHSTANDS_CONTAMINATION = Claim(
    8,
    "withstands_contamination",
    "One defective image among eight normal ones does no harm that matters.",
    (
        Part(
            _CHANGE,
            "contaminated fit minus clean fit",
            "the clean fit of the same draw",
            NonInferiority(SMALLEST_EFFECT),
        ),
    ),
    each(_withstands_contamination),
)


# --- claim 9: the structural score, added to another detector, improves it ---

_GAIN, _CONTROL = "minus_alone", "minus_random"
_WEIGHT = 0.5


def _plugs_into_hosts(case: Case) -> Mapping[str, Effect]:
    """Host with the structural score minus the host alone, and minus it with random neurons."""
    settings = case.settings
    if len(case.data.normal) < 2:
        return _no_host("the units of added scores need two normal images")
    host = settings.host or ("patch_nn" if case.data.text is None else "zero_shot")
    selectors = ("variance", "random")
    plan = Plan(get_host(host), selectors, case.k, settings.n_random_sets, settings.seed, _WEIGHT)
    try:
        members = run_conditions(case.data, plan, (ADD,), case.evaluator).members
    except HostError as error:
        return _no_host(str(error))
    (top,) = members[ADD, "variance"]
    metric, room = settings.metric, SMALLEST_EFFECT
    control = Effect.absent(f"all {case.k} channels are selected: there are no others")
    if case.k < case.n_channels:
        control = over(top, members[ADD, "random"], metric, headroom=room)
    return {
        _GAIN: over(top, members[ALONE, NO_SELECTOR], metric, headroom=room),
        _CONTROL: control,
    }


def _no_host(reason: str) -> Mapping[str, Effect]:
    return {_GAIN: Effect.absent(reason), _CONTROL: Effect.absent(reason)}


PLUGS_INTO_HOSTS = Claim(
    9,
    "plugs_into_hosts",
    "Added to another detector, the structural score of the selected neurons improves it.",
    (
        Part(
            _GAIN,
            "host with the structural score minus host alone",
            "the host alone",
            Superiority(SMALLEST_EFFECT),
        ),
        Part(
            _CONTROL,
            "host with the structural score minus host with that of random neurons",
            "random neurons, same size, in the same host",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    each(_plugs_into_hosts),
)
