"""Claims 1, 2, 6 and 7: how well the selected neurons detect, read in which way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.metrics.contrasts import Replicates
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category, each
from lakeviz.studies.claims.effects import Effect, Pooled, over, pool
from lakeviz.studies.claims.result import IMAGE_AUROC
from lakeviz.studies.claims.rules import SUPPORTED, NonInferiority, Superiority

_MINUS_RANDOM = "minus_random"

# --- claim 1: neurons of high variance do better than as many random ones ---


def _beats_random(case: Case) -> Mapping[str, Effect]:
    """Visual branch in the selected neurons minus that in random ones."""
    if case.k == case.n_channels:
        return {
            _MINUS_RANDOM: Effect.absent(f"all {case.k} channels are selected: there are no others")
        }
    if 2 * case.k > case.n_channels:
        return {_MINUS_RANDOM: Effect.absent(too_few_channels(case))}
    d = SMALLEST_EFFECT
    return {
        _MINUS_RANDOM: over(
            case.top, case.random, case.settings.metric, d, headroom=d, against_sets=True
        )
    }


def too_few_channels(case: Case) -> str:
    """Why random sets are no control: they share most of their members with the selection."""
    return (
        f"{case.k} of {case.n_channels} channels are selected: random sets of that size share "
        "more than half of their members with the selection"
    )


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
    if case.k == case.n_channels:
        return {
            _MINUS_ALL: Effect.absent(f"all {case.k} channels are selected: the set is not sparse")
        }
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
