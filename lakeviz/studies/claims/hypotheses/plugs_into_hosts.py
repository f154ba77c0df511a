"""Claim 9: the structural score, added to another detector, improves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.errors import HostError
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Superiority
from lakeviz.studies.hosts.conditions import Plan, run_conditions
from lakeviz.studies.hosts.detectors.registry import get_host
from lakeviz.studies.hosts.result import ADD, ALONE, NO_SELECTOR

_GAIN, _CONTROL = "minus_alone", "minus_random"
_WEIGHT = 0.5


def _measure(case: Case) -> Mapping[str, Effect]:
    settings = case.settings
    if len(case.data.normal) < 2:
        return _absent("the units of added scores need two normal images")
    host = settings.host or ("patch_nn" if case.data.text is None else "zero_shot")
    selectors = ("variance", "random")
    plan = Plan(get_host(host), selectors, case.k, settings.n_draws, settings.seed, _WEIGHT)
    try:
        members = run_conditions(case.data, plan, (ADD,), case.evaluator).members
    except HostError as error:
        return _absent(str(error))
    (top,) = members[ADD, "variance"]
    metric, bootstrap, room = settings.metric, settings.bootstrap, SMALLEST_EFFECT
    control = Effect.absent(f"all {case.k} channels are selected: there are no others")
    if case.k < case.n_channels:
        control = over(top, members[ADD, "random"], metric, bootstrap, headroom=room)
    return {
        _GAIN: over(top, members[ALONE, NO_SELECTOR], metric, bootstrap, headroom=room),
        _CONTROL: control,
    }


def _absent(reason: str) -> Mapping[str, Effect]:
    return {_GAIN: Effect.absent(reason), _CONTROL: Effect.absent(reason)}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Host with the structural score minus the host alone, and minus it with random neurons."""
    return by_category(cases, _measure)


CLAIM = Claim(
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
    measure,
)
