"""Worlds in which it is known which claims hold: the verdicts come out right, at their rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom
from worlds import POINT, World

from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.text_maps import TextMaps
from lakeviz.studies.claims import CLAIMS, Case, ClaimSettings
from lakeviz.studies.claims.rules import CONTRADICTED, SUPPORTED, joint_verdict

QUICK = ClaimSettings(n_random_sets=5, n_fits=4, n_resamples=400, host="patch_nn")
EUCLIDEAN = VisualOptions(distance="euclidean")
WORLDS = 10
FIRST, LAST = tuple(range(32)), tuple(range(32, 64))
"""Channels of high and of low variance in a world of 64."""
WIDE = {"scales": tuple(float(s) for s in np.linspace(1.6, 0.8, 64)), "n_fit": 8}


def verdict(number: int, cases: list[Case], level: float = 0.95) -> str:
    claim = CLAIMS[number - 1]
    assert claim.number == number
    found = claim.measure(cases)
    return joint_verdict([p.rule.judge(found[p.name].at(level)) for p in claim.parts])


def rates(number: int, make, n: int = WORLDS) -> tuple[int, int]:
    """How many of ``n`` worlds support and contradict a claim."""
    said = [verdict(number, make(seed)) for seed in range(n)]
    return said.count(SUPPORTED), said.count(CONTRADICTED)


def case(seed: int, *, k: int = 32, **world) -> Case:
    settings = {**WIDE, "n_normal": 80, "n_anomalous": 80, **world}
    return Case(World(seed=seed, **settings).data(k=k), QUICK)


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


@pytest.mark.parametrize("number", [1, 5])
def test_signal_in_the_top_neurons_supports(number):
    supported, contradicted = rates(number, lambda s: [case(s, signal=FIRST, shift=1.2)])
    assert supported >= 8
    assert contradicted == 0


@pytest.mark.parametrize("number", [1, 5])
def test_signal_in_the_lowest_neurons_contradicts(number):
    supported, contradicted = rates(number, lambda s: [case(s, signal=LAST, shift=1.2)])
    assert contradicted >= 8
    assert supported == 0


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
    assert supported >= 8
    assert contradicted == 0


def test_a_host_gains_nothing_from_neurons_that_miss_the_defect():
    supported, contradicted = rates(9, lambda s: [case(s, signal=LAST, shift=1.0)])
    assert contradicted >= 8
    assert supported == 0


# --- 2: sparse ---


def test_few_neurons_suffice_where_they_carry_the_signal():
    supported, contradicted = rates(
        2, lambda s: [case(s, signal=FIRST, shift=1.2, n_normal=200, n_anomalous=200)]
    )
    assert supported >= 8
    assert contradicted == 0
    note = CLAIMS[1].measure([case(0, signal=FIRST, shift=1.2)])["minus_all"].note
    assert note is not None
    assert "has 32 neurons" in note(0.95)


def test_few_neurons_do_not_suffice_where_others_carry_it():
    supported, contradicted = rates(2, lambda s: [case(s, signal=LAST, shift=1.2)])
    assert contradicted >= 8
    assert supported == 0


# --- 3: PCA ---


def _rotated(seed: int) -> Case:
    """The same tokens in a random rotation: no channel is a principal direction."""
    data = World(seed=seed, mean=0.0, scales=tuple(np.geomspace(4, 0.2, 16)), n_fit=8).data(k=4)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(seed)))[0]
    normal, test = ({POINT: tokens.patches(POINT) @ turn} for tokens in (data.normal, data.test))
    turned = StudyData.of_arrays(
        normal, test, data.truth.labels, grid=data.grids[POINT], options=data.options
    )
    return Case(turned, QUICK)


def _uncorrelated(seed: int) -> Case:
    scales = tuple(np.geomspace(8, 0.2, 16))
    world = {"n_fit": 40, "mean": 0.0, "scales": scales, "signal": (0, 1), "shift": 2.5}
    return case(seed, k=4, **world)


def test_pca_is_the_same_where_channels_are_uncorrelated():
    supported, contradicted = rates(3, lambda s: [_uncorrelated(s)], 5)
    assert supported >= 4
    assert contradicted == 0


def test_pca_differs_where_the_channels_are_rotated():
    supported, contradicted = rates(3, lambda s: [_rotated(s)], 5)
    assert contradicted == 5
    assert supported == 0


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
    assert supported >= 8
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
    assert contradicted >= 8
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
    assert supported >= 8
    assert contradicted == 0


def test_text_that_helps_more_and_more_contradicts():
    supported, contradicted = rates(7, lambda s: _with_text(s, 0.0))
    assert contradicted >= 8
    assert supported == 0


def test_without_text_nothing_is_said():
    claim = CLAIMS[6]
    found = claim.measure([case(0)])
    assert verdict(7, [case(0)]) == "inconclusive"
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
    assert supported >= 8
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
    assert contradicted >= 8
    assert supported == 0


# --- 10: memory ---


def test_memory_is_counted_exactly():
    found = CLAIMS[9].measure([case(0, k=16)])["saved"]
    assert found.at(0.95).value == pytest.approx(1 - 16 / 64)
    assert verdict(10, [case(0, k=16)]) == SUPPORTED
    assert verdict(10, [case(0, k=40)]) == CONTRADICTED
