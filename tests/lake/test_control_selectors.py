"""Control selectors against closed forms and worlds in which the truth is planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import SelectionError
from lakeviz.lake import (
    NeuronSelection,
    SubspaceSelection,
    exchange,
    expand_selectors,
    get_selector,
    select,
)
from lakeviz.lake.fitted import _selection, _selection_arrays
from lakeviz.selector_names import selector_name, selector_order

POINT = "blocks.0.hook_resid_post"


def with_variances(variances: list[float]) -> ChannelStatistics:
    """Statistics of tokens at +-sqrt(variance) in one channel each: a diagonal covariance."""
    n = len(variances)
    deviation = torch.diag(torch.tensor(variances, dtype=torch.float64).sqrt() * n**0.5)
    return ChannelStatistics(POINT, with_covariance=True).update(
        torch.cat((deviation, -deviation)) + 7.0
    )


def neurons(*given, **options) -> NeuronSelection:
    found = select(*given, **options)
    assert isinstance(found, NeuronSelection)
    return found


# --- one channel exchanged ---


def test_without_first_is_the_next_k():
    found = neurons(with_variances([3, 9, 1, 5, 4]), 2, "variance_without_first")
    assert found.channels.tolist() == [3, 4]
    assert found.scores.tolist() == pytest.approx([5, 4])
    assert (found.provenance["left_out"], found.provenance["in_its_place"]) == (1, 4)


def test_any_channel_of_the_top_is_exchanged_for_the_next():
    statistics = with_variances([3, 9, 1, 5, 4])
    found = exchange(statistics, 3, 3)
    assert found.channels.tolist() == [1, 4, 0]
    assert found.selector == "variance_without_3"
    with pytest.raises(SelectionError, match="channel 0 is not among the top 3"):
        exchange(statistics, 3, 0)
    with pytest.raises(SelectionError, match="k \\+ 1 are needed"):
        exchange(statistics, 5, 1)


# --- rotated streams ---


def test_a_rotation_keeps_the_whole_variance_and_ranks_it():
    statistics = with_variances([16, 9, 4, 2, 1])
    found = select(statistics, 5, "rotated", seed=3)
    assert isinstance(found, SubspaceSelection)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(5), atol=1e-12)
    assert found.scores.sum() == pytest.approx(32)
    assert (np.diff(found.scores) <= 0).all()
    variance = np.diag([16.0, 9, 4, 2, 1])
    along = np.diag(found.basis.T @ variance @ found.basis)
    np.testing.assert_allclose(found.scores, along, rtol=1e-10)


def test_rotated_keeps_the_best_of_all_rotated_channels():
    statistics = with_variances([16, 9, 4, 2, 1])
    whole = select(statistics, 5, "rotated", seed=3)
    part = select(statistics, 2, "rotated", seed=3)
    np.testing.assert_array_equal(part.scores, whole.scores[:2])


def test_an_isotropic_stream_looks_the_same_rotated():
    found = select(with_variances([3.0] * 12), 4, "rotated")
    np.testing.assert_allclose(found.scores, 3.0, rtol=1e-10)


def test_rotations_are_uniform():
    # Of a single channel with variance, a rotated channel holds a squared coordinate of a uniform
    # unit vector: Beta(1/2, (d-1)/2) with mean 1/d and variance 2 (d-1) / (d^2 (d+2)).
    d = 6
    statistics = with_variances([1.0] + [1e-12] * (d - 1))
    held = np.array([select(statistics, d, "rotated", seed=s).scores for s in range(400)])
    assert held.mean() == pytest.approx(1 / d, rel=1e-6)
    expected = 2 * (d - 1) / (d**2 * (d + 2))
    assert held.var() == pytest.approx(expected, rel=0.1)


# --- rescaled channels ---


def test_rescaled_channels_have_the_deviations_of_the_top():
    generator = np.random.default_rng(0)
    tokens = torch.from_numpy(generator.normal(2, np.linspace(0.5, 5, 10), (400, 10))).float()
    statistics = ChannelStatistics(POINT).update(tokens)
    found = neurons(statistics, 4, "rescaled_random", seed=1)
    assert found.channels.tolist() == neurons(statistics, 4, "random", seed=1).channels.tolist()
    top = np.sort(statistics.variance)[::-1][:4]
    np.testing.assert_allclose(found.project(tokens).numpy().var(axis=0), top, rtol=1e-5)
    np.testing.assert_allclose(found.scores, top, rtol=1e-12)


def test_constant_channels_are_not_rescaled():
    statistics = with_variances([4, 1, 0, 0])
    found = neurons(statistics, 2, "rescaled_random")
    assert sorted(found.channels.tolist()) == [0, 1]
    with pytest.raises(SelectionError, match="only 2 channels vary"):
        select(statistics, 3, "rescaled_random")


def test_a_scale_is_stored_with_a_detector():
    found = neurons(with_variances([9, 4, 1]), 2, "rescaled_random", seed=1)
    back = _selection(POINT, *_selection_arrays(found))
    assert isinstance(back, NeuronSelection)
    np.testing.assert_array_equal(back.scale, found.scale)
    plain = neurons(with_variances([9, 4, 1]), 2)
    assert _selection(POINT, *_selection_arrays(plain)).scale is None


# --- deciles ---


def test_deciles_cut_the_ranks_into_ten():
    statistics = with_variances([float(v) for v in range(1, 41)])
    for number in (1, 4, 10):
        found = neurons(statistics, 4, f"decile_{number}")
        assert sorted(found.channels.tolist()) == list(range(4 * number - 4, 4 * number))
    drawn = {tuple(sorted(neurons(statistics, 2, "decile_10", seed=s).channels)) for s in range(60)}
    assert drawn == {(a, b) for a in range(36, 40) for b in range(a + 1, 40)}


def test_a_small_decile_is_taken_whole_and_says_so():
    statistics = with_variances([float(v) for v in range(1, 21)])
    found = neurons(statistics, 4, "decile_1")
    assert sorted(found.channels.tolist()) == [0, 1]
    assert (found.provenance["n_in_decile"], found.provenance["k_wanted"]) == (2, 4)
    with pytest.raises(SelectionError, match="holds 2 of 20 channels, fewer than half of k = 5"):
        select(statistics, 5, "decile_1")
    with pytest.raises(SelectionError, match="9 channels, too few for 10 deciles"):
        select(with_variances([1.0] * 9), 1, "decile_1")


def test_deciles_are_one_name_of_ten_selectors():
    found = expand_selectors(["deciles", "random", "decile_3"])
    assert found == [*(f"decile_{n}" for n in range(1, 11)), "random"]
    assert selector_order(reversed(found))[-10:] == found[:10]
    with pytest.raises(SelectionError, match="stands for several selectors"):
        get_selector("deciles")
    with pytest.raises(SelectionError, match="nearest: decile"):
        expand_selectors(["decil_1"])


# --- names of the version before ---


def test_the_old_name_of_next_variance_warns():
    statistics = with_variances([5, 4, 3, 2, 1])
    with pytest.warns(DeprecationWarning, match="variance_matched is called next_variance now"):
        found = neurons(statistics, 2, "variance_matched", seed=3)
    assert (
        found.channels.tolist() == neurons(statistics, 2, "next_variance", seed=3).channels.tolist()
    )
    assert found.selector == "next_variance"
    assert selector_name("variance_matched") == "neurons next in variance"
    with pytest.warns(DeprecationWarning):
        assert expand_selectors(["variance_matched"]) == ["next_variance"]


def test_next_variance_of_twenty_are_the_ranks_21_to_44():
    statistics = with_variances(list(2.0 ** -np.arange(192.0)))
    ranks = {
        int(c) for s in range(50) for c in neurons(statistics, 20, "next_variance", seed=s).channels
    }
    assert (min(ranks), max(ranks)) == (20, 43)  # from 0
