"""Single knock-outs by update are those of a new search without the channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeviz.errors import ActivationError, ConfigError
from lakeviz.lake import Gallery
from lakeviz.studies.knockout import leave_one_out, leave_one_out_bounds
from lakeviz.studies.knockout.leave_one_out import SingleKnockouts

DISTANCES = ("cosine", "euclidean")


def naive(gallery: Gallery, queries: torch.Tensor) -> torch.Tensor:
    """A new gallery for each channel."""
    columns = []
    for channel in range(gallery.k):
        keep = [c for c in range(gallery.k) if c != channel]
        without = Gallery(gallery.tokens[:, keep], distance=gallery.distance)
        columns.append(without.score(queries[:, keep]))
    return torch.stack(columns, dim=1)


def assert_same(gallery: Gallery, queries: torch.Tensor) -> SingleKnockouts:
    singles = SingleKnockouts(gallery)
    found, expected = singles.score(queries), naive(gallery, queries)
    if gallery.distance == "cosine":
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    else:
        # Squares, as a distance of nearly 0 is the root of a difference that rounding decides.
        size = float(queries.abs().max() + gallery.tokens.abs().max())
        torch.testing.assert_close(found**2, expected**2, atol=2e-6 * size**2, rtol=2e-5)
    return singles


def tokens(n: int, k: int, seed: int, spread: float = 1.0, mean: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + spread * torch.randn(n, k, generator=generator)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("n_tokens", [2, 100, 129, 500, 2000])
def test_equal_to_the_naive_way(distance, n_tokens):
    gallery = Gallery(tokens(n_tokens, 24, 0), distance=distance)
    singles = assert_same(gallery, tokens(150, 24, 1))
    assert singles.settled.total() == 150 * 24


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_tier_is_used_and_agrees(distance, monkeypatch):
    monkeypatch.setattr(leave_one_out, "_CANDIDATES", 8)
    monkeypatch.setattr(leave_one_out, "_STEP", 4)
    monkeypatch.setattr(leave_one_out, "_EXTREMES", 4)
    monkeypatch.setattr(leave_one_out, "_IDLE", 1.0)
    monkeypatch.setattr(leave_one_out, "_PAIR_ELEMENTS", 5000)
    gallery = Gallery(tokens(400, 40, 2), distance=distance)
    singles = assert_same(gallery, tokens(120, 40, 3))
    settled = singles.settled
    assert min(settled["candidates"], settled["extremes"], settled["whole"]) > 0
    assert 0 < singles.pruned < 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(2, 6),
    n=st.integers(1, 200),
    distance=st.sampled_from(DISTANCES),
    rounded=st.booleans(),
    zeros=st.booleans(),
    strong=st.sampled_from([0.0, 3.0, 100.0]),
)
def test_ties_duplicates_zeros_and_dominating_channels(
    seed, k, n, distance, rounded, zeros, strong
):
    normal, queries = tokens(n, k, seed, mean=0.3), tokens(20, k, seed + 1, mean=0.3)
    if rounded:  # many equal tokens and equal distances
        normal, queries = normal.round(), queries.round()
    queries[:3] = normal[torch.arange(3) % n]
    if zeros:
        normal[0], queries[-1], queries[-2, 1:] = 0, 0, 0
    normal[:, 0] += strong
    queries[::2, 0] += strong
    assert_same(Gallery(normal, distance=distance), queries)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_channel_of_nothing_changes_nothing(distance):
    normal, queries = tokens(300, 12, 4), tokens(60, 12, 5)
    normal[:, 7], queries[:, 7] = 0, 0
    gallery = Gallery(normal, distance=distance)
    found = SingleKnockouts(gallery, [7]).score(queries)[:, 0]
    torch.testing.assert_close(found, gallery.score(queries), atol=1e-7, rtol=1e-6)


def test_two_channels_leave_one():
    gallery = Gallery(torch.tensor([[1.0, 2.0], [3.0, -1.0]]), distance="euclidean")
    found = SingleKnockouts(gallery).score(torch.tensor([[2.5, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.5]]))
    cosine = SingleKnockouts(Gallery(torch.tensor([[1.0, 2.0]]))).score(torch.tensor([[2.5, -4.0]]))
    torch.testing.assert_close(cosine, torch.tensor([[2.0, 0.0]]))


def test_chosen_channels_and_leading_axes():
    gallery = Gallery(tokens(200, 10, 6))
    queries = tokens(12, 10, 7).reshape(3, 4, 10)
    found = SingleKnockouts(gallery, [8, 2]).score(queries)
    assert found.shape == (3, 4, 2)
    torch.testing.assert_close(
        found.reshape(12, 2), naive(gallery, queries.reshape(12, 10))[:, [8, 2]], atol=1e-6, rtol=0
    )


def test_a_dominating_channel_is_searched_anew():
    normal = tokens(200, 10, 8, spread=0.1)
    normal[:, 3] = 50
    singles = SingleKnockouts(Gallery(normal))
    queries = tokens(30, 10, 9)
    queries[:, 3] = 40
    torch.testing.assert_close(
        singles.score(queries)[:, 3], naive(singles.gallery, queries)[:, 3], atol=0, rtol=0
    )
    assert singles.settled["search"] >= 30


@pytest.mark.parametrize("n", [1, 5, 16])
def test_closest_are_the_largest(n):
    products = np.random.default_rng(0).standard_normal((20, 1000)).astype(np.float32)
    for values in (products, products.round(), np.zeros_like(products)):
        found = leave_one_out_bounds.closest(values, n)
        expected = -np.sort(-values, axis=1)[:, :n]
        np.testing.assert_array_equal(found.closeness, expected)
        np.testing.assert_array_equal(
            np.take_along_axis(values, found.tokens, axis=1), found.closeness
        )
        assert all(len(set(row)) == n for row in found.tokens.tolist())


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), distance=st.sampled_from(DISTANCES), scale=st.floats(0.1, 3))
def test_the_bound_bounds(seed, distance, scale):
    normal, queries = tokens(80, 5, seed, scale, 0.0), tokens(10, 5, seed + 1, scale, 0.0)
    gallery = Gallery(normal, distance=distance)
    rule = leave_one_out_bounds.Closeness.of(gallery, range(5), 3)
    own = gallery.prepare(queries).numpy()
    products = own @ gallery.prepared.numpy().T
    if gallery.offset is not None:
        products += gallery.offset.numpy()
    row, column = np.indices(own.shape).reshape(2, -1)
    updated = rule.of_all(own[row, column], products, (row, column))
    # The updated closeness of a token is at most the bound at its own intact closeness.
    inside = np.ones(updated.shape, dtype=bool)
    limit = rule.bound(products[row], own[row, column][:, None], rule.ends[:, column, None])
    assert (updated <= limit + 1e-4 * np.abs(limit) + 1e-5)[inside].all()
    for pair, channel in enumerate(column):
        inside[pair, rule.extremes[channel]] = False
    limit = rule.bound(products[row], own[row, column][:, None], rule.inner_ends[:, column, None])
    assert (updated <= limit + 1e-4 * np.abs(limit) + 1e-5)[inside].all()


def test_refusals():
    with pytest.raises(ConfigError, match="one neighbour, not 2"):
        SingleKnockouts(Gallery(tokens(5, 3, 0), neighbours=2))
    with pytest.raises(ConfigError, match="none left"):
        SingleKnockouts(Gallery(tokens(5, 1, 0)))
    with pytest.raises(ConfigError, match="0 to 2"):
        SingleKnockouts(Gallery(tokens(5, 3, 0)), [3])
    with pytest.raises(ActivationError, match="queries"):
        SingleKnockouts(Gallery(tokens(5, 3, 0))).score(torch.full((1, 3), torch.nan))
