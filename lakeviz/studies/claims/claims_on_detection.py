"""Claims 1, 2, 5, 6, 7 and 10: how well the selected neurons detect, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.lake import NeuronSelection, Selection
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category, each
from lakeviz.studies.claims.effects import Effect, Pooled, over, pool
from lakeviz.studies.claims.result import IMAGE_AUROC
from lakeviz.studies.claims.rules import SUPPORTED, NonInferiority, Superiority
from lakeviz.studies.knockout.ablation import Ablation, Condition
from lakeviz.studies.knockout.score_engine import ScoreEngine

_MINUS_RANDOM = "minus_random"

# --- claim 1: neurons of high variance do better than as many random ones ---


def _beats_random(case: Case) -> Mapping[str, Effect]:
    """Visual branch in the selected neurons minus that in random ones."""
    if case.k == case.n_channels:
        return {
            _MINUS_RANDOM: Effect.absent(f"all {case.k} channels are selected: there are no others")
        }
    random = case.measure(case.score(case.select("random")))
    return {_MINUS_RANDOM: over(case.top, random, case.settings.metric, headroom=SMALLEST_EFFECT)}


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
    settings = case.settings
    if case.k == case.n_channels:
        return {
            _MINUS_ALL: Effect.absent(f"all {case.k} channels are selected: the set is not sparse")
        }
    (everything,) = case.measure(case.score(case.select("all")))
    sizes = sizes_below(case.n_channels, case.k)
    chosen = [case.select("variance", k)[0] for k in sizes]
    measured = case.measure(case.score(chosen))
    gaps = {
        k: over(one, everything, settings.metric) for k, one in zip(sizes, measured, strict=True)
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


def _smallest(by_size: Mapping[int, Pooled], level: float) -> str:
    """Smallest size that suffices: sizes are tested in descending order until one fails.

    A fixed order of tests that ends at the first failure needs no further correction for the
    number of sizes.
    """
    held: int | None = None
    for k in sorted(by_size, reverse=True):
        if _SUFFICES.judge(by_size[k].at(level)) != SUPPORTED:
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


# --- claim 5: knocking the selected neurons out hurts more than knocking out random ones ---


def _knockout_hurts(case: Case) -> Mapping[str, Effect]:
    """Loss without the selected neurons minus loss without random ones.

    The detector reads all other channels of its hook points: a score knock-out, see
    :mod:`lakeviz.studies.knockout.score_engine`.
    """
    if case.k == case.n_channels:
        return {
            _MINUS_RANDOM: Effect.absent(
                f"all {case.k} channels are selected: nothing would be left"
            )
        }
    engine = ScoreEngine(case.data, base="all", branches=("visual",))
    chosen = [*case.select("variance"), *case.select("random")]
    knocked = engine.run([_ablations(selections) for selections in chosen])
    top, *random = (case.evaluator.measure(one.maps["visual"]) for one in knocked)
    return {_MINUS_RANDOM: over(top, random, case.settings.metric).negated()}


def _ablations(selections: Mapping[str, Selection]) -> Condition:
    return tuple(
        Ablation(p, tuple(s.channels.tolist()))
        for p, s in selections.items()
        if isinstance(s, NeuronSelection)
    )


KNOCKOUT_HURTS = Claim(
    5,
    "knockout_hurts",
    "Knocking the selected neurons out hurts more than knocking out as many random ones.",
    (
        Part(
            _MINUS_RANDOM,
            "loss without top-variance neurons minus loss without random ones",
            "random neurons, same size, knocked out of the same detector",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    each(_knockout_hurts),
)


# --- claim 6: the largest patch score of an image tells more than the mean of its patches ---

_MINUS_MEAN = "minus_mean"


def _max_beats_mean(case: Case) -> Mapping[str, Effect]:
    """Image AUROC of the maximum over patches minus that of their mean, of the same maps."""
    flat = case.top_maps.reshape(len(case.top_maps), -1)
    highest, mean = (case.evaluator.measure_scores(s) for s in (flat.max(1), flat.mean(1)))
    return {_MINUS_MEAN: over(highest, mean, IMAGE_AUROC, headroom=SMALLEST_EFFECT)}


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
    settings = case.settings
    light, heavy = (
        case.evaluator.measure(case.data.fuse(case.top_maps, weight)) for weight in (WEIGHT, HEAVY)
    )
    room, metric = SMALLEST_EFFECT, settings.metric
    return {
        _HELPS: over(light, case.top, metric, headroom=room),
        _HURTS: over(light, heavy, metric, headroom=room),
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


# --- claim 10: what a fitted detector keeps is small ---

_SAVED = "saved"


def _bytes(case: Case) -> tuple[int, int]:
    own, everything = (
        case.data.branches(case.select(selector))[0].gallery_bytes
        for selector in ("variance", "all")
    )
    return own, everything


def _measure_needs_little_memory(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Share of the gallery of all channels that the selection saves; exact."""
    sizes = {case.data.category: _bytes(case) for case in cases}
    kept = sum(own for own, _ in sizes.values()) / len(sizes) / 2**20
    note = f"a gallery of the selected neurons takes {kept:.2f} MiB per category"
    rows = {category: Effect(1 - own / of_all) for category, (own, of_all) in sizes.items()}
    return {_SAVED: pool(rows, note=lambda confidence: note)}


NEEDS_LITTLE_MEMORY = Claim(
    10,
    "needs_little_memory",
    "The gallery of the selected neurons takes less than half the bytes of that of all channels.",
    (
        Part(
            _SAVED,
            "share of the gallery's bytes that is saved",
            "the same detector with all channels",
            Superiority(0.5),
            "share of bytes",
        ),
    ),
    _measure_needs_little_memory,
)
