"""Claim 2: a sparse set of neurons does no worse than all channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over, pool
from lakeviz.studies.claims.rules import SUPPORTED, NonInferiority

_PART = "minus_all"
_RULE = NonInferiority(SMALLEST_EFFECT)


def sizes_below(n_channels: int, k: int) -> list[int]:
    """Sizes tried, falling: powers of two below the number of channels, and the detector's own."""
    powers = {2**i for i in range(n_channels.bit_length()) if 2**i < n_channels}
    return sorted(powers | ({k} - {n_channels}), reverse=True)


def _measure(case: Case) -> Mapping[str, Effect]:
    settings = case.settings
    if case.k == case.n_channels:
        return {_PART: Effect.absent(f"all {case.k} channels are selected: the set is not sparse")}
    (everything,) = case.measure(case.score(case.select("all")))
    sizes = sizes_below(case.n_channels, case.k)
    chosen = [case.select("variance", k)[0] for k in sizes]
    measured = case.measure(case.score(chosen))
    gaps = {
        k: over(one, [everything], settings.metric, settings.bootstrap)
        for k, one in zip(sizes, measured, strict=True)
    }
    return {_PART: gaps[case.k]} | {str(k): gap for k, gap in gaps.items()}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Visual branch in the selected neurons minus that in all channels, at every size."""
    found = by_category(cases, _measure)
    by_size = {int(name): found.pop(name) for name in list(found) if name != _PART}
    return {_PART: pool(found[_PART].rows, note=lambda level: _smallest(by_size, level))}


def _smallest(by_size: Mapping[int, Pooled], level: float) -> str:
    """Smallest size that suffices: sizes are tested in falling order until one fails.

    A fixed order of tests that ends at the first failure needs no further correction for the
    number of sizes.
    """
    held: int | None = None
    for k in sorted(by_size, reverse=True):
        if _RULE.judge(by_size[k].at(level)) != SUPPORTED:
            break
        held = k
    if held is None:
        return "no size below all channels is shown to suffice"
    return f"the smallest set shown to suffice, going down from all channels, has {held} neurons"


CLAIM = Claim(
    2,
    "sparse_suffices",
    "The few selected neurons detect as well as all channels.",
    (Part(_PART, "top-variance neurons minus all channels", "all channels", _RULE),),
    measure,
)
