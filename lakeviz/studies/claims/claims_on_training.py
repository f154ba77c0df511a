"""Claims 11 and 12: what training brings, and whether few neurons hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import better
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category, each
from lakeviz.studies.claims.claims_on_detection import too_few_channels
from lakeviz.studies.claims.effects import Effect, Pooled, over, pool
from lakeviz.studies.claims.rules import NonInferiority, Superiority

# --- claim 11: what the selected neurons detect comes from pre-training ---

_MINUS_UNTRAINED = "minus_untrained"


def _comes_from_training(case: Case) -> Mapping[str, Effect]:
    """Trained tower minus untrained towers of the same architecture, same k and reading."""
    if isinstance(case.floor, str):
        return {_MINUS_UNTRAINED: Effect.absent(case.floor)}
    d = SMALLEST_EFFECT
    found = over(case.top, case.floor, case.settings.metric, d, headroom=d, against_sets=True)
    return {_MINUS_UNTRAINED: found}


COMES_FROM_TRAINING = Claim(
    11,
    "comes_from_training",
    "What the selected neurons detect is intrinsic to pre-training: untrained towers do worse.",
    (
        Part(
            _MINUS_UNTRAINED,
            "trained tower minus untrained towers",
            "untrained towers of the same architecture, same k and reading",
            Superiority(SMALLEST_EFFECT),
            against_sets=True,
        ),
    ),
    each(_comes_from_training),
)


# --- claim 12: few neurons hold what training brings ---

_KEPT, _MORE = "kept", "more_than_random"
SHARE = 0.9
"""Of what all channels have above the untrained floor: what the selection must keep."""
MARGIN = 0.1
"""Of the same: by how much it must keep more than random sets."""


def _concentrated(case: Case) -> Mapping[str, Effect]:
    """Top-k minus nine tenths of the way from the floor to all channels; and minus random-k.

    The share kept is ``(top - floor) / (all - floor)``. Ratios of noisy differences have no good
    intervals, so "the share is at least 0.9" is tested as ``top - 0.9 all - 0.1 floor >= 0``.
    """
    reason = _no_share(case)
    if reason:
        return {_KEPT: Effect.absent(reason), _MORE: Effect.absent(reason)}
    metric = case.settings.metric
    assert isinstance(case.floor, Replicates)
    kept = Effect.of([(1, case.top), (-SHARE, case.everything), (SHARE - 1, case.floor)], metric)
    if 2 * case.k > case.n_channels:
        return {_KEPT: kept, _MORE: Effect.absent(too_few_channels(case))}
    more = Effect.of(
        [(1, case.top), (-1, case.random), (-MARGIN, case.everything), (MARGIN, case.floor)], metric
    )
    gaps = case.top.values(metric).mean() - case.random.values(metric).mean(axis=0)
    return {_KEPT: kept, _MORE: replace(more, gaps=better(metric, gaps))}


def _no_share(case: Case) -> str:
    """Why there is no share to speak of; empty where there is."""
    if case.k == case.n_channels:
        return f"all {case.k} channels are selected: all is kept"
    if isinstance(case.floor, str):
        return case.floor
    metric = case.settings.metric
    brought = over(case.everything, case.floor, metric, SMALLEST_EFFECT)
    if brought.reason:
        return brought.reason
    if not brought.at(case.settings.confidence).low > 0:
        return (
            f"training brings all channels {brought.value:+.3f} above the untrained floor, not "
            "clear of zero: there is nothing to share"
        )
    return ""


def _measure_concentrated(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    found = by_category(cases, _concentrated)
    measured = [c for c in cases if c.data.category in found[_KEPT].measured]
    if not measured:
        return found
    metric = cases[0].settings.metric
    top = _share(measured, metric, "top")
    said = f"of what training brings to all channels, the selected neurons keep {100 * top:.0f} %"
    if found[_MORE].measured:
        said += f" and random ones {100 * _share(measured, metric, 'random'):.0f} %"
    return {**found, _KEPT: pool(found[_KEPT].rows, note=lambda confidence: said)}


def _share(cases: Sequence[Case], metric: Metric, what: str) -> float:
    """Share of the mean gain over the categories that a condition keeps."""

    def mean(name: str) -> float:
        return sum(float(getattr(c, name).values(metric).mean()) for c in cases)

    return (mean(what) - mean("floor")) / (mean("everything") - mean("floor"))


CONCENTRATED = Claim(
    12,
    "concentrated",
    "Few neurons hold what training brings: nine tenths of it, and more than random ones do.",
    (
        Part(
            _KEPT,
            "top-variance neurons minus 0.9 of the way from the untrained floor to all channels",
            "all channels, and untrained towers",
            NonInferiority(0.0),
        ),
        Part(
            _MORE,
            "top-variance minus random neurons, minus 0.1 of the way from floor to all channels",
            "random neurons, same size",
            NonInferiority(0.0),
            against_sets=True,
        ),
    ),
    _measure_concentrated,
)
