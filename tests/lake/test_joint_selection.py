"""Joint selection against ranks worked by hand, block-diagonal PCA, and the law of random sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import SelectionError
from lakeviz.lake import Lake, NeuronSelection, SubspaceSelection, select
from lakeviz.lake.joint_selection import check_points_k, exchange_point, select_points
from lakeviz.models import load_model


def with_variances(point: str, variances: list[float], copies: int = 1) -> ChannelStatistics:
    """Statistics of tokens at +-sqrt(variance) in one channel each: a diagonal covariance."""
    n = len(variances)
    deviation = torch.diag(torch.tensor(variances, dtype=torch.float64).sqrt() * n**0.5)
    tokens = torch.cat((deviation, -deviation)).repeat(copies, 1) + 3.0
    statistics = ChannelStatistics(point, with_covariance=True, with_tokens=True)
    return statistics.update(tokens)


# Hook points of other widths and numbers of tokens, as in staged towers.
TWO = {"a": with_variances("a", [1, 9, 4]), "b": with_variances("b", [25, 16, 2, 0], copies=2)}


def chosen(found) -> dict[str, list[int]]:
    return {p: s.channels.tolist() for p, s in found.items()}


def test_the_highest_variances_of_all_points_together() -> None:
    found = select_points(TWO, 4, scope="joint")
    assert chosen(found) == {"a": [1, 2], "b": [0, 1]}
    assert found["b"].scores.tolist() == pytest.approx([25, 16])
    assert (found["a"].n_channels, found["b"].n_channels) == (3, 4)
    assert chosen(select_points(TWO, 3, "bottom_variance", scope="joint")) == {
        "a": [0],
        "b": [3, 2],
    }
    every = select_points(TWO, 1, "all", scope="joint")
    assert chosen(every) == {"a": [0, 1, 2], "b": [0, 1, 2, 3]}


def test_per_layer_is_each_point_on_its_own() -> None:
    found = select_points(TWO, 2, "random", seed=5)
    assert chosen(found) == {
        p: select(s, 2, "random", seed=5).channels.tolist() for p, s in TWO.items()
    }


def test_a_point_without_a_channel_is_absent_and_named_when_asked_for() -> None:
    found = select_points(TWO, 2, scope="joint")
    assert chosen(found) == {"b": [0, 1]}
    with pytest.raises(SelectionError, match=r"a has none of the 2 channels .* jointly"):
        found["a"]


def test_random_sets_are_drawn_from_all_pairs() -> None:
    counts = np.zeros(7)
    for seed in range(2000):
        found = chosen(select_points(TWO, 3, "random", seed=seed, scope="joint"))
        drawn = [*found.get("a", []), *(3 + c for c in found.get("b", []))]
        assert len(drawn) == 3
        counts[drawn] += 1
    # Each of 7 pairs with probability 3/7; the standard deviation of a count is 22.
    assert np.abs(counts - 2000 * 3 / 7).max() < 100


def test_pca_takes_the_leading_directions_of_the_blocks() -> None:
    generator = np.random.default_rng(0)
    statistics, covariances = {}, []
    for point, width in (("a", 4), ("b", 6)):
        tokens = generator.standard_normal((300, width)) @ generator.standard_normal((width, width))
        one = ChannelStatistics(point, with_covariance=True).update(torch.from_numpy(tokens))
        statistics[point] = one
        covariances.append(one.covariance)
    found = select_points(statistics, 5, "pca", scope="joint")
    block = np.zeros((10, 10))
    block[:4, :4], block[4:, 4:] = covariances
    values, vectors = np.linalg.eigh(block)
    leading = vectors[:, ::-1][:, :5]
    own = np.zeros((10, 10))
    for place, (point, width) in zip((0, 4), (("a", 4), ("b", 6))):
        selection = found[point]
        assert isinstance(selection, SubspaceSelection)
        rows = slice(place, place + width)
        own[rows, rows] = selection.basis @ selection.basis.T
        kept = selection.scores.sum() / np.trace(block[rows, rows])
        assert selection.provenance["retained_variance"] == pytest.approx(kept)
    np.testing.assert_allclose(own, leading @ leading.T, atol=1e-9)
    scores = np.concatenate([s.scores for s in found.values()])
    assert sorted(scores)[::-1] == pytest.approx(values[::-1][:5])


def test_what_cannot_be_selected_jointly_says_why() -> None:
    with pytest.raises(SelectionError, match=r"random_rotation cannot .* mix the channels of a, b"):
        select_points(TWO, 2, "random_rotation", scope="joint")
    with pytest.raises(
        SelectionError, match=r"mad cannot .* other numbers of tokens \(a 6, b 16\)"
    ):
        select_points(TWO, 2, "mad", scope="joint")
    for k in (0, 8):
        with pytest.raises(SelectionError, match="a \\+ b has 7 channels, so k must be between"):
            select_points(TWO, k, scope="joint")
    with pytest.raises(SelectionError, match="a has 3 channels"):
        check_points_k("variance", 4, {"a": 3, "b": 4}, "layer")


def test_exchanges_by_hand() -> None:
    joint, taken = exchange_point(TWO, 3, ("b", 0), "joint")
    assert (chosen(joint), taken) == ({"a": [1, 2], "b": [1]}, ("a", 2))
    joint, taken = exchange_point(TWO, 3, ("a", 1), "joint")
    assert (chosen(joint), taken) == ({"a": [2], "b": [0, 1]}, ("a", 2))
    joint, taken = exchange_point(TWO, 4, ("a", 1), "joint")
    assert (chosen(joint), taken) == ({"a": [2], "b": [0, 1, 2]}, ("b", 2))
    layer, taken = exchange_point(TWO, 1, ("b", 0))
    assert (chosen(layer), taken) == ({"a": [1], "b": [1]}, ("b", 1))
    with pytest.raises(SelectionError, match="is not among the top 3"):
        exchange_point(TWO, 3, ("b", 3), "joint")
    with pytest.raises(SelectionError, match=r"k \+ 1 are needed"):
        exchange_point(TWO, 3, ("a", 0))


def test_scales_and_dropped_channels_keep_their_place() -> None:
    found = select_points(TWO, 5, "rescaled_random", seed=1, scope="joint")
    variances: list[float] = []
    for point, selection in found.items():
        variances += (TWO[point].variance[selection.channels] * selection.scale**2).tolist()
    assert sorted(variances, reverse=True) == pytest.approx([25, 16, 9, 4, 2])
    without = {"a": TWO["a"], "b": replace(TWO["b"], dropped=(0,))}
    assert chosen(select_points(without, 3, scope="joint")) == {"a": [1, 2], "b": [1]}
    assert chosen(select_points(without, 1, "all", scope="joint")) == {
        "a": [0, 1, 2],
        "b": [1, 2, 3],
    }
    directions = select_points(without, 6, "pca", scope="joint")
    assert np.abs(directions["b"].basis[0]).max() == 0


def test_order_statistics_of_equal_numbers_of_tokens_are_ranked_together() -> None:
    generator = np.random.default_rng(1)
    statistics = {}
    for point, scales in (("a", [1.0, 5.0, 2.0]), ("b", [4.0, 0.5, 3.0])):
        tokens = torch.from_numpy(generator.standard_normal((500, 3)) * scales)
        statistics[point] = ChannelStatistics(point, with_tokens=True).update(tokens)
    found = select_points(statistics, 3, "mad", scope="joint")
    assert chosen(found) == {"a": [1], "b": [0, 2]}


def test_a_detector_leaves_a_layer_without_channels_out(tmp_path) -> None:
    model = load_model("tiny")
    images = torch.rand(6, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    layers = (0, 5)
    joint = Lake(model, k=3, layers=layers, text_weight=0, selection_scope="joint").fit(images[:3])
    both = {(p, c): v for p, s in joint.statistics.items() for c, v in enumerate(s.variance)}
    top = sorted(both, key=both.__getitem__)[-3:]
    found = {(p, int(c)) for p, s in joint.visual.selections.items() for c in s.channels}
    assert found == set(top)
    left = {p for p, _ in top}
    assert len(left) == 1, "the deepest block has the largest activations of this model"
    alone = Lake(model, k=3, layers=(5,), text_weight=0).fit(images[:3])
    assert left == set(alone.points)
    np.testing.assert_array_equal(joint.score(images[3:]).patch, alone.score(images[3:]).patch)
    joint.save(tmp_path)
    back = Lake.load(tmp_path, model)
    assert back.options.selection_scope == "joint"
    np.testing.assert_array_equal(back.score(images[3:]).patch, joint.score(images[3:]).patch)
    assert all(isinstance(s, NeuronSelection) for s in back.visual.selections.values())
