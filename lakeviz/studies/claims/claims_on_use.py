"""Claims 8, 9 and 10: contaminated normal images, other detectors, and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lakeviz.errors import ConfigError, DataError, HostError
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, each
from lakeviz.studies.claims.effects import Effect, at_ceiling, over
from lakeviz.studies.claims.rules import NonInferiority, Superiority
from lakeviz.studies.contamination.fitting import Condition, DrawFits, kept_images, make_plan
from lakeviz.studies.hosts.conditions import Plan, run_conditions
from lakeviz.studies.hosts.detectors.registry import get_host
from lakeviz.studies.hosts.result import ADD, ALONE, NO_SELECTOR

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
    evaluator = data.evaluator((settings.metric,), settings.bootstrap).some(keep)
    if settings.metric not in evaluator.measured:
        return {_CHANGE: Effect.absent("the metric is not defined for these images")}
    fits = [
        DrawFits(data, draw, ["variance"], settings.seed + i) for i, draw in enumerate(plan.draws)
    ]
    found = [fit.measure([clean, dirty], kept, evaluator) for fit in fits]
    own, control = (Replicates.over_draws([one[c] for one in found]) for c in (dirty, clean))
    reason = at_ceiling([own, control], settings.metric, SMALLEST_EFFECT)
    if reason:
        return {_CHANGE: Effect.absent(reason)}
    return {_CHANGE: Effect.of([(1, own), (-1, control)], settings.metric, n_images=len(kept))}


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
    selectors = ("variance",) if case.crowded else ("variance", "random")
    plan = Plan(get_host(host), selectors, case.k, settings.n_random_sets, settings.seed, _WEIGHT)
    try:
        found = [run_conditions(d, plan, (ADD,), case.evaluator).members for d in case.draws]
    except HostError as error:
        return _no_host(str(error))
    top = Replicates.over_draws([one[ADD, "variance"] for one in found])
    alone = Replicates.over_draws([one[ALONE, NO_SELECTOR] for one in found])
    metric, d = settings.metric, SMALLEST_EFFECT
    control = Effect.absent(case.crowded)
    if not case.crowded:
        random = Replicates.over_draws([one[ADD, "random"] for one in found])
        control = over(top, random, metric, d, headroom=d, against_sets=True)
    return {_GAIN: over(top, alone, metric, d, headroom=d), _CONTROL: control}


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
            against_sets=True,
        ),
    ),
    each(_plugs_into_hosts),
)


# --- claim 10: at equal memory, few channels of all tokens do no worse than a coreset ---

_MINUS_CORESET = "minus_coreset"


def _needs_little_memory(case: Case) -> Mapping[str, Effect]:
    """Selected neurons of all normal tokens minus all channels of as many bytes of a coreset."""
    if reason := case.all_selected("no memory is saved"):
        return {_MINUS_CORESET: Effect.absent(reason)}
    try:
        thinned = [_thinned(case, data) for data in case.draws]
    except ConfigError as error:
        return {_MINUS_CORESET: Effect.absent(str(error))}
    control = Replicates.over_draws(thinned)
    return {_MINUS_CORESET: over(case.top, control, case.settings.metric, SMALLEST_EFFECT)}


def _thinned(case: Case, data: StudyData) -> Measurement:
    """All channels, of a coreset that takes the bytes of the selection's gallery."""
    view = with_coreset(case, data)
    (maps,) = view.visual_maps(view.branches(case.select(view, "all")))
    return case.evaluator.measure(maps)


def with_coreset(case: Case, data: StudyData) -> StudyData:
    """A draw whose gallery of all channels takes the bytes of that of the selection."""
    visual = data.options.visual
    share = visual.coreset * case.k / case.n_channels
    return data.view(options=replace(data.options, visual=replace(visual, coreset=share)))


NEEDS_LITTLE_MEMORY = Claim(
    10,
    "needs_little_memory",
    "At equal memory, the selected neurons detect no worse than a coreset of all channels.",
    (
        Part(
            _MINUS_CORESET,
            "top-variance neurons minus all channels of a coreset of as many bytes",
            "greedy coreset of all channels, same bytes",
            NonInferiority(SMALLEST_EFFECT),
        ),
    ),
    each(_needs_little_memory),
)
