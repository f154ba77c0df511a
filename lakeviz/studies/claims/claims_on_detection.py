"""Claims 1, 2, 6, 7, 11 and 12: how well the selected neurons detect, and what training brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import better
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category, each
from lakeviz.studies.claims.effects import Effect, Pooled, over, pool
from lakeviz.studies.claims.result import IMAGE_AUROC
from lakeviz.studies.claims.rules import SUPPORTED, NonInferiority, Superiority

_MINUS_RANDOM = "minus_random"

# --- claim 1: neurons of high variance do better than as many random ones ---


def _beats_random(case: Case) -> Mapping[str, Effect]:
    """Visual branch in the selected neurons minus that in random ones."""
    if reason := case.all_selected("there are no others") or case.crowded:
        return {_MINUS_RANDOM: Effect.absent(reason)}
    d = SMALLEST_EFFECT
    return {
        _MINUS_RANDOM: over(
            case.top, case.random, case.settings.metric, d, headroom=d, against_sets=True
        )
    }


BEATS_RANDOM = Claim(
    1,
    "beats_random",
    "Neurons of the highest variance detect better than as many random ones.",
    (
        Part(
            _MINUS_RANDOM,
            "top-variance minus random neurons",
            "random neurons, same size",
            Superiority(SMALLEST_EFFECT),
            against_sets=True,
            paper={("image", "auroc"): (0.947, 0.816), ("pixel", "aupro"): (0.889, 0.458)},
        ),
    ),
    each(_beats_random),
)


# --- claim 2: a sparse set of neurons does no worse than all channels ---

_MINUS_ALL = "minus_all"
_SUFFICES = NonInferiority(SMALLEST_EFFECT)


def sizes_below(n_channels: int, k: int) -> list[int]:
    """Sizes tried, descending: powers of two below all channels, and the detector's own."""
    powers = {2**i for i in range(n_channels.bit_length()) if 2**i < n_channels}
    return sorted(powers | ({k} - {n_channels}), reverse=True)


def _sparse_suffices(case: Case) -> Mapping[str, Effect]:
    if reason := case.all_selected("the set is not sparse"):
        return {_MINUS_ALL: Effect.absent(reason)}
    gaps = {
        k: over(
            case.top if k == case.k else case.measured("variance", k),
            case.everything,
            case.settings.metric,
            SMALLEST_EFFECT,
        )
        for k in sizes_below(case.n_channels, case.k)
    }
    return {_MINUS_ALL: gaps[case.k]} | {str(k): gap for k, gap in gaps.items()}


def _measure_sparse_suffices(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Visual branch in the selected neurons minus that in all channels, at every size."""
    found = by_category(cases, _sparse_suffices)
    by_size = {int(name): found.pop(name) for name in list(found) if name != _MINUS_ALL}
    return {
        _MINUS_ALL: pool(
            found[_MINUS_ALL].rows, note=lambda confidence: _smallest(by_size, confidence)
        )
    }


def _smallest(by_size: Mapping[int, Pooled], confidence: float) -> str:
    """Smallest size that suffices: sizes are tested in descending order until one fails.

    A fixed order of tests that ends at the first failure needs no further correction for the
    number of sizes.
    """
    held: int | None = None
    for k in sorted(by_size, reverse=True):
        if _SUFFICES.judge(by_size[k].at(confidence)) != SUPPORTED:
            break
        held = k
    if held is None:
        return "no size below all channels is shown to suffice"
    return f"the smallest set shown to suffice, going down from all channels, has {held} neurons"


SPARSE_SUFFICES = Claim(
    2,
    "sparse_suffices",
    "The few selected neurons detect as well as all channels.",
    (Part(_MINUS_ALL, "top-variance neurons minus all channels", "all channels", _SUFFICES),),
    _measure_sparse_suffices,
)


# --- claim 6: the largest patch score of an image tells more than the mean of its patches ---

_MINUS_MEAN = "minus_mean"


def _max_beats_mean(case: Case) -> Mapping[str, Effect]:
    """Image AUROC of the maximum over patches minus that of their mean, of the same maps."""
    flat = [maps.reshape(len(maps), -1) for maps in case.top_maps]
    measure, d = case.evaluator.measure_scores, SMALLEST_EFFECT
    highest = Replicates.over_draws([measure(one.max(1)) for one in flat])
    mean = Replicates.over_draws([measure(one.mean(1)) for one in flat])
    return {_MINUS_MEAN: over(highest, mean, IMAGE_AUROC, d, headroom=d)}


MAX_BEATS_MEAN = Claim(
    6,
    "max_beats_mean",
    "Pooling patch scores by their maximum detects better than by their mean.",
    (
        Part(
            _MINUS_MEAN,
            "maximum over patches minus mean over patches",
            "the same maps, pooled by the mean",
            Superiority(SMALLEST_EFFECT),
            "image auroc",
        ),
    ),
    each(_max_beats_mean),
)


# --- claim 7: the prompts help at a small weight and hurt at a large one ---

_HELPS, _HURTS = "helps", "hurts"
WEIGHT, HEAVY = 0.3, 0.5


def _text_helps(case: Case) -> Mapping[str, Effect]:
    """Fused score at the small weight minus the visual branch, and minus that at the large one."""
    if case.data.text is None:
        absent = Effect.absent("this model has no text branch, or it was switched off")
        return {_HELPS: absent, _HURTS: absent}
    data, metric, d = case.data, case.settings.metric, SMALLEST_EFFECT
    light, heavy = (
        case.measure([data.fuse(maps, weight) for maps in case.top_maps])
        for weight in (WEIGHT, HEAVY)
    )
    return {
        _HELPS: over(light, case.top, metric, d, headroom=d),
        _HURTS: over(light, heavy, metric, d, headroom=d),
    }


TEXT_HELPS = Claim(
    7,
    "text_helps",
    "Text helps at a weight of 0.3, and less of it is better than a weight of 0.5.",
    (
        Part(
            _HELPS,
            "text weight 0.3 minus no text",
            "the visual branch alone",
            Superiority(SMALLEST_EFFECT),
        ),
        Part(
            _HURTS,
            "text weight 0.3 minus text weight 0.5",
            "the same branches, text weight 0.5",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    each(_text_helps),
)


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
    if case.crowded:
        return {_KEPT: kept, _MORE: Effect.absent(case.crowded)}
    more = Effect.of(
        [(1, case.top), (-1, case.random), (-MARGIN, case.everything), (MARGIN, case.floor)], metric
    )
    gaps = case.top.values(metric).mean() - case.random.values(metric).mean(axis=0)
    return {_KEPT: kept, _MORE: replace(more, gaps=better(metric, gaps))}


def _no_share(case: Case) -> str:
    """Why there is no share to speak of; empty where there is."""
    if reason := case.all_selected("all is kept"):
        return reason
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
