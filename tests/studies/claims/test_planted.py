"""Worlds in which it is known which claims hold: the verdicts come out right, at their rates."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom
from worlds import POINT, World

from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.text_maps import TextMaps
from lakeviz.studies.claims import CLAIMS, Case, ClaimSettings
from lakeviz.studies.claims.claims_on_use import with_coreset
from lakeviz.studies.claims.rules import CONTRADICTED, NOT_MEASURED, SUPPORTED, joint_verdict

QUICK = ClaimSettings(n_random_sets=20, n_fits=4, n_resamples=300, host="patch_nn")
EUCLIDEAN = VisualOptions(distance="euclidean")
WORLDS = 4
FIRST, LAST = tuple(range(16)), tuple(range(48, 64))
"""Channels of high and of low variance in a world of 64."""
MANY = {"n_normal": 250, "n_anomalous": 250}
WIDE = {"scales": tuple(float(s) for s in np.linspace(1.6, 0.8, 64)), "n_fit": 8}


def verdict(number: int, cases: list[Case], level: float = 0.95) -> str:
    claim = CLAIMS[number - 1]
    assert claim.number == number
    found = claim.measure(cases)
    return joint_verdict([p.judge(found[p.name], level) for p in claim.parts])


def rates(number: int, make, n: int = WORLDS) -> tuple[int, int]:
    """How many of ``n`` worlds support and contradict a claim."""
    said = [verdict(number, make(seed)) for seed in range(n)]
    return said.count(SUPPORTED), said.count(CONTRADICTED)


def case(seed: int, *, k: int = 16, **world) -> Case:
    settings = {**WIDE, "n_normal": 80, "n_anomalous": 80, **world}
    return Case(World(seed=seed, **settings).data(k=k), QUICK)


def on_draws(one: Case, n: int = 4) -> Case:
    """The normal images of a case as several draws."""
    each = len(one.data.normal) // n
    views = [one.data.view(images=range(i * each, (i + 1) * each)) for i in range(n)]
    return replace(one, data=views[0], further=views[1:])


def of_scores(visual: np.ndarray, labels: np.ndarray, text: np.ndarray | None = None) -> StudyData:
    """Images of one patch whose distance to the only normal token is the score that is given."""
    return StudyData.of_arrays(
        {POINT: torch.zeros(1, 1, 2)},
        {POINT: torch.from_numpy(np.c_[visual, np.zeros(len(visual))][:, None]).float()},
        labels,
        grid=(1, 1),
        options=LakeOptions(k=1, map_size=(1, 1), visual=EUCLIDEAN),
        text=None if text is None else TextMaps(text[:, None, None], text),
    )


# --- 1, 5, 9: which neurons carry the signal ---


def test_signal_in_the_top_neurons_beats_random_ones():
    supported, contradicted = rates(1, lambda s: [case(s, signal=FIRST, shift=1.0, **MANY)])
    assert supported >= 3
    assert contradicted == 0


def test_signal_in_the_lowest_neurons_does_not():
    supported, contradicted = rates(1, lambda s: [case(s, signal=LAST, shift=1.2, **MANY)])
    assert contradicted >= 3
    assert supported == 0


def test_signal_in_a_few_neurons_between_cannot_be_told():
    # Half of the channels carry it, of which the selection has as large a share as any set.
    supported, _ = rates(1, lambda s: [case(s, signal=range(0, 64, 2), shift=1.2)])
    assert supported == 0


def test_knocking_out_hurts_where_the_upper_half_of_the_selection_carries_the_signal():
    def worlds(signal):
        return lambda s: [case(s, signal=signal, shift=1.1, k=24, **MANY)]

    supported, contradicted = rates(5, worlds(range(12)), 6)
    assert supported >= 3
    assert contradicted == 0
    supported, contradicted = rates(5, worlds(range(12, 24)))
    assert contradicted >= 3
    assert supported == 0


def test_too_few_halves_are_not_measured():
    assert verdict(5, [case(0, k=12)]) == NOT_MEASURED
    found = CLAIMS[4].measure([case(0, k=12)])["minus_random"]
    assert "12 neurons have 924 halves" in found.reason


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5, 6, 9])
def test_without_any_signal_support_is_as_rare_as_stated(number):
    n = 40
    supported, _ = rates(number, lambda s: [case(s, shift=0.0)], n)
    # One side of a 95 % interval; a claim of two parts errs less.
    assert supported <= binom.ppf(0.999, n, 0.025)


@pytest.mark.slow
def test_a_host_that_sees_nothing_gains():
    class Blind:
        """Scores every patch by chance."""

        def fit(self, features, grid):
            self.generator = np.random.default_rng(0)

        def score(self, features):
            from lakeviz.studies.hosts.detectors.protocol import HostScores

            return HostScores(self.generator.standard_normal(features.shape[:2]))

        def describe(self):
            return {"name": "blind"}

    def blind(seed):
        one = case(seed, signal=FIRST, shift=1.2, n_normal=150, n_anomalous=150)
        return [replace(one, settings=replace(QUICK, host=Blind()))]

    supported, contradicted = rates(9, blind)
    assert supported >= 3
    assert contradicted == 0


def test_a_host_gains_nothing_from_neurons_that_miss_the_defect():
    supported, contradicted = rates(9, lambda s: [case(s, signal=LAST, shift=1.2, **MANY)])
    assert contradicted >= 3
    assert supported == 0


# --- 2: sparse ---


def test_few_neurons_suffice_where_they_carry_the_signal():
    supported, contradicted = rates(2, lambda s: [case(s, signal=FIRST, shift=1.0, **MANY)])
    assert supported >= 3
    assert contradicted == 0
    note = CLAIMS[1].measure([case(0, signal=FIRST, shift=1.0, **MANY)])["minus_all"].note
    assert note is not None
    assert "neurons" in note(0.95)


def test_few_neurons_do_not_suffice_where_others_carry_it():
    supported, contradicted = rates(2, lambda s: [case(s, signal=LAST, shift=1.2, **MANY)])
    assert contradicted >= 3
    assert supported == 0


# --- 3: PCA ---


def _rotated(seed: int) -> Case:
    """The same tokens in a random rotation: no channel is a principal direction."""
    data = World(
        seed=seed, mean=0.0, scales=tuple(np.geomspace(4, 0.2, 16)), n_fit=16, shift=1.5
    ).data(k=4)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(seed)))[0]
    normal, test = ({POINT: tokens.patches(POINT) @ turn} for tokens in (data.normal, data.test))
    turned = StudyData.of_arrays(
        normal, test, data.truth.labels, grid=data.grids[POINT], options=data.options
    )
    return on_draws(Case(turned, QUICK))


def _uncorrelated(seed: int) -> Case:
    scales = tuple(np.geomspace(8, 0.2, 16))
    world = {"n_fit": 40, "mean": 0.0, "scales": scales, "signal": (0, 1), "shift": 2.5}
    return on_draws(case(seed, k=4, n_normal=200, n_anomalous=200, **world))


def test_pca_is_the_same_where_channels_are_uncorrelated():
    supported, contradicted = rates(3, lambda s: [_uncorrelated(s)], 5)
    assert supported >= 3
    assert contradicted == 0


def test_nothing_is_special_to_neurons_where_the_channels_are_rotated():
    supported, _ = rates(3, lambda s: [_rotated(s)], 5)
    assert supported == 0
    for seed in range(5):
        found = CLAIMS[2].measure([_rotated(seed)])["subspace"]
        assert found.p_value(0.95) > 0.025


# --- 4: overlap ---


def _categories(seed: int, *, common: bool) -> list[Case]:
    generator = np.random.default_rng(seed)
    scales = np.linspace(2, 0.5, 40)
    made = []
    for i in range(8):
        own = scales if common else generator.permutation(scales)
        world = World(seed=100 * seed + i, scales=tuple(own), n_normal=4, n_anomalous=4)
        made.append(Case(replace(world.data(k=8), category=f"c{i}"), QUICK))
    return made


def test_common_neurons_are_found():
    supported, _ = rates(4, lambda s: _categories(s, common=True), 5)
    assert supported == 5


def test_independent_neurons_are_not():
    supported, contradicted = rates(4, lambda s: _categories(s, common=False), 20)
    assert supported <= binom.ppf(0.999, 20, 0.025)
    assert contradicted >= 10


# --- 6: pooling ---


def test_small_defects_support_the_maximum():
    large = {"grid": (12, 12), "signal": FIRST, "shift": 1.0}
    supported, contradicted = rates(6, lambda s: [case(s, **large)])
    assert supported >= 3
    assert contradicted == 0


def test_a_shift_of_the_whole_image_contradicts_it():
    def spread(seed):
        one = case(seed, shift=0.0, grid=(8, 8))
        moved = one.data.test.patches(POINT).clone()
        moved[one.data.truth.labels == 1] += 0.03 * (moved[one.data.truth.labels == 1] - 5.0)
        data = StudyData.of_arrays(
            {POINT: one.data.normal.patches(POINT)},
            {POINT: moved},
            one.data.truth.labels,
            grid=(8, 8),
            options=one.data.options,
        )
        return [Case(data, QUICK)]

    supported, contradicted = rates(6, spread)
    assert contradicted >= 3
    assert supported == 0


# --- 7: text ---


def _with_text(seed: int, noise_weight: float) -> list[Case]:
    """Text whose noise takes that of the neurons away at some weight, and adds its own beyond."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 150)
    signal = 1.5 * labels
    noise = generator.standard_normal(labels.size)
    text = signal + noise_weight * noise
    return [Case(of_scores(20 + signal + noise, labels, text), QUICK)]


def test_text_that_helps_at_first_supports():
    # (1 - w) n - w (0.7 / 0.3) n is nothing at 0.3, and as much noise again at 0.6.
    supported, contradicted = rates(7, lambda s: _with_text(s, -0.7 / 0.3))
    assert supported >= 3
    assert contradicted == 0


def test_text_that_helps_more_and_more_contradicts():
    supported, contradicted = rates(7, lambda s: _with_text(s, 0.0))
    assert contradicted >= 3
    assert supported == 0


def test_without_text_nothing_is_said():
    claim = CLAIMS[6]
    found = claim.measure([case(0)])
    assert verdict(7, [case(0)]) == NOT_MEASURED
    assert "no text branch" in found["helps"].reason


# --- 8: contamination ---


@pytest.mark.slow
def test_defects_that_are_all_different_do_no_harm():
    def varied(seed):
        """Each defective image moves a channel of its own, so that no other resembles it."""
        generator = np.random.default_rng(seed)
        n, d = 150, 150
        tokens = 0.1 * generator.standard_normal((30 + 2 * n, 4, d))
        for image in range(n):
            tokens[30 + n + image, 0, image] += 6.0
        tokens = torch.from_numpy(tokens).float()
        data = StudyData.of_arrays(
            {POINT: tokens[:30]},
            {POINT: tokens[30:]},
            np.repeat([0, 1], n),
            grid=(2, 2),
            options=LakeOptions(k=d, map_size=(2, 2), visual=EUCLIDEAN),
        )
        # A little label noise keeps it off the ceiling, where nothing could be told.
        labels = data.truth.labels.copy()
        labels[:3], labels[-3:] = 1, 0
        noisy = replace(data, truth=replace(data.truth, labels=labels))
        return [Case(noisy, QUICK, noisy)]

    supported, contradicted = rates(8, varied)
    assert supported >= 3
    assert contradicted == 0


def test_defects_that_are_all_alike_are_forgiven_once_remembered():
    def alike(seed):
        generator = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 60)
        tokens = generator.standard_normal((30 + labels.size, 1, 3))
        tokens[30:, 0, 0] += 4.0 * labels
        tokens = torch.from_numpy(tokens).float()
        data = StudyData.of_arrays(
            {POINT: tokens[:30]},
            {POINT: tokens[30:]},
            labels,
            grid=(1, 1),
            options=LakeOptions(k=3, map_size=(1, 1), visual=EUCLIDEAN),
        )
        return [Case(data, QUICK, data)]

    supported, contradicted = rates(8, alike)
    assert contradicted >= 3
    assert supported == 0


# --- 10: memory ---


def test_few_channels_beat_as_many_bytes_of_a_coreset_where_they_carry_the_signal():
    supported, contradicted = rates(10, lambda s: [case(s, signal=FIRST, shift=1.0, **MANY)])
    assert supported >= 3
    assert contradicted == 0


def test_they_do_worse_where_others_carry_it():
    supported, contradicted = rates(10, lambda s: [case(s, signal=LAST, shift=1.2, **MANY)])
    assert contradicted >= 3
    assert supported == 0


def test_both_sides_of_claim_10_take_the_same_bytes():
    one = case(0)
    view = with_coreset(one, one.data)
    (own,) = one.data.branches(one.select(one.data, "variance"))
    (coreset,) = view.branches(one.select(view, "all"))
    assert coreset.gallery_bytes == own.gallery_bytes


# --- 11, 12: training ---


def _trained(seed: int, signal, shift: float, untrained_shift: float) -> Case:
    """A world, and five of another signal that stand for untrained towers."""
    own = on_draws(case(seed, signal=signal, shift=shift, **MANY), 2)

    def towers():
        for number in range(5):
            apart = {"signal": signal, "shift": untrained_shift, **MANY}
            yield on_draws(case(1000 + 10 * seed + number, **apart), 2).draws

    return replace(own, untrained=towers)


def test_what_untrained_towers_miss_comes_from_training():
    supported, contradicted = rates(11, lambda s: [_trained(s, FIRST, 1.2, 0.0)])
    assert supported >= 3
    assert contradicted == 0


def test_what_untrained_towers_see_as_well_does_not():
    supported, _ = rates(11, lambda s: [_trained(s, FIRST, 1.0, 1.0)], 8)
    assert supported <= binom.ppf(0.999, 8, 0.025)


def test_few_neurons_hold_what_training_brings_or_not():
    supported, contradicted = rates(12, lambda s: [_trained(s, FIRST, 1.2, 0.0)], 3)
    assert supported >= 2
    assert contradicted == 0
    supported, contradicted = rates(12, lambda s: [_trained(s, LAST, 1.5, 0.0)], 3)
    assert contradicted >= 2
    assert supported == 0
    note = CLAIMS[11].measure([_trained(0, FIRST, 1.2, 0.0)])["kept"].note
    assert note is not None
    assert "the selected neurons keep 1" in note(0.95)  # more than all channels do


def test_towers_that_cannot_be_made_are_a_reason():
    from lakeviz.errors import ModelError

    def none():
        raise ModelError("this tower cannot be re-initialised")

    for number in (11, 12):
        assert verdict(number, [replace(case(0), untrained=none)]) == NOT_MEASURED
    found = CLAIMS[10].measure([replace(case(0), untrained=none)])["minus_untrained"]
    assert found.reason == "this tower cannot be re-initialised"


# --- bad input ---


def test_two_test_images_of_one_class_support_nothing():
    for number in (1, 2, 5, 6, 10):
        assert verdict(number, [case(0, signal=FIRST, shift=3.0, n_anomalous=2)]) != SUPPORTED


def test_equal_scores_support_nothing():
    labels = np.repeat([0, 1], 20)
    tokens = {POINT: torch.ones(4, 1, 64)}
    data = StudyData.of_arrays(
        tokens,
        {POINT: torch.ones(40, 1, 64)},
        labels,
        grid=(1, 1),
        options=LakeOptions(k=16, map_size=(1, 1), visual=EUCLIDEAN),
    )
    for number in (1, 5, 6):
        assert verdict(number, [Case(data, QUICK)]) != SUPPORTED


def test_the_claims_err_as_rarely_as_stated():
    """A fast version of benchmarks/claims_error.py."""
    path = Path(__file__).parents[3] / "benchmarks" / "claims_error.py"
    spec = importlib.util.spec_from_file_location("claims_error", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    for spread in (0.0, 0.5):
        found = made.run(made.Cell("null", 60, 1, spread), 15)
        assert found["worlds"] <= binom.ppf(0.999, 15, 0.05)
    # At a spread of nothing the paper's effect is seen nearly always, and the power says so.
    paper = made.run(made.Cell("paper", 60, 1, 0.0), 8)
    assert paper["worlds"] >= 6
    assert paper["stated"] > 0.7
