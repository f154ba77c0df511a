"""The gallery against brute force in double precision (scipy's cdist)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from lakeviz.errors import ActivationError, ConfigError, NotFittedError
from lakeviz.lake import Gallery

DISTANCES = ["cosine", "euclidean"]


def draw(n: int, k: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator) + offset


def brute(queries: torch.Tensor, tokens: torch.Tensor, distance: str) -> np.ndarray:
    return np.sort(cdist(queries.double().numpy(), tokens.double().numpy(), distance), axis=1)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("neighbours", [1, 2, 7])
def test_equals_brute_force(distance: str, neighbours: int) -> None:
    tokens, queries = draw(90, 11, 0), draw(40, 11, 1)
    gallery = Gallery(tokens, distance=distance, neighbours=neighbours)
    found = gallery.search(queries)
    expected = brute(queries, tokens, distance)[:, :neighbours]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5)
    pairs = cdist(queries.double(), tokens.double(), distance)
    np.testing.assert_allclose(np.take_along_axis(pairs, found.indices.numpy(), 1), expected)
    np.testing.assert_allclose(gallery.score(queries), expected.mean(1), rtol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_blocks_do_not_matter(distance: str, neighbours: int, rows: int) -> None:
    tokens, queries = draw(50, 6, 2), draw(33, 6, 3)
    whole = Gallery(tokens, distance=distance, neighbours=neighbours).search(queries)
    memory = rows * 4 * 50 / 2**20
    part = Gallery(tokens, distance=distance, neighbours=neighbours, memory_mb=memory)
    assert torch.equal(part.search(queries).indices, whole.indices)
    assert torch.equal(part.search(queries).distances, whole.distances)


def test_block_smaller_than_a_row_of_distances() -> None:
    tokens, queries = draw(50, 6, 2), draw(9, 6, 3)
    tiny = Gallery(tokens, memory_mb=1e-9).score(queries)
    assert torch.equal(tiny, Gallery(tokens).score(queries))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-25, 25))
def test_cosine_does_not_see_scale(seed: int, exponent: float) -> None:
    """Also where squares of the values under- or overflow in single precision."""
    tokens, queries = draw(30, 5, seed), draw(10, 5, seed + 1)
    plain = Gallery(tokens).search(queries)
    scale = 10.0**exponent
    for a, b in ((tokens * scale, queries), (tokens, queries * scale)):
        scaled = Gallery(a).search(b)
        torch.testing.assert_close(scaled.distances, plain.distances, rtol=1e-4, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_euclidean_does_not_see_shifts_and_rotations(seed: int) -> None:
    tokens, queries = draw(30, 5, seed), draw(10, 5, seed + 1)
    plain = Gallery(tokens, distance="euclidean").score(queries)
    rotation = torch.linalg.qr(draw(5, 5, seed + 2))[0]
    moved = Gallery(tokens @ rotation + 3.0, distance="euclidean").score(queries @ rotation + 3.0)
    torch.testing.assert_close(moved, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_query_in_the_gallery_is_at_distance_zero(distance: str) -> None:
    tokens = draw(80, 9, 5, offset=4.0)
    found = Gallery(tokens, distance=distance).search(tokens)
    assert (found.distances == 0).all()
    assert found.indices[:, 0].tolist() == [*range(80)]


def test_small_cosine_distances_keep_their_digits() -> None:
    """1 - cosine in float32 would be rounding noise at an angle of 1e-4."""
    angles = torch.tensor([1e-4, 3e-4, 1e-3], dtype=torch.float64)
    queries = torch.stack((angles.cos(), angles.sin()), dim=1).float()
    distances = Gallery(torch.tensor([[1.0, 0.0]])).score(queries)
    np.testing.assert_allclose(distances, angles.square() / 2, rtol=1e-3)


def test_far_from_the_origin() -> None:
    """|q|^2 + |g|^2 - 2 q.g alone would lose every digit here."""
    tokens, queries = draw(60, 8, 6, offset=1000.0), draw(30, 8, 7, offset=1000.0)
    found = Gallery(tokens, distance="euclidean", neighbours=3).search(queries)
    expected = brute(queries, tokens, "euclidean")[:, :3]
    np.testing.assert_allclose(found.distances, expected, rtol=2e-4)


def test_zero_vectors_are_at_cosine_distance_one_from_all() -> None:
    tokens = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    queries = torch.tensor([[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [0.0, 5.0]])
    found = Gallery(tokens, neighbours=2).search(queries)
    np.testing.assert_allclose(found.distances, [[1, 1], [0, 1], [1, 2], [1, 1]], atol=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_single_token(distance: str) -> None:
    token, queries = draw(1, 4, 8), draw(5, 4, 9)
    expected = brute(queries, token, distance)[:, 0]
    np.testing.assert_allclose(
        Gallery(token, distance=distance).score(queries), expected, rtol=1e-5
    )


def test_neighbours_come_nearest_first() -> None:
    found = Gallery(draw(200, 3, 10), neighbours=20).search(draw(50, 3, 11))
    assert (found.distances.diff(dim=1) >= 0).all()
    assert all(len(set(row)) == 20 for row in found.indices.tolist())


def test_score_keeps_leading_axes_and_takes_half_precision() -> None:
    gallery = Gallery(draw(20, 4, 12))
    queries = draw(6, 4, 13).half()
    scores = gallery.score(queries.reshape(2, 3, 4))
    assert scores.shape == (2, 3)
    torch.testing.assert_close(scores.ravel(), gallery.score(queries.float()))


def test_no_query() -> None:
    assert Gallery(draw(5, 4, 0)).search(torch.zeros(0, 4)).distances.shape == (0, 1)


def test_search_leaves_no_trace_of_gradients() -> None:
    queries = draw(5, 4, 0).requires_grad_()
    assert not Gallery(draw(5, 4, 1).requires_grad_()).score(queries).requires_grad


def test_to_keeps_settings() -> None:
    gallery = Gallery(draw(9, 4, 0), distance="euclidean", neighbours=3, memory_mb=5).to("cpu")
    assert (gallery.distance, gallery.neighbours, gallery.memory_mb) == ("euclidean", 3, 5)
    assert (len(gallery), gallery.k) == (9, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("distance", DISTANCES)
def test_cuda_equals_cpu(distance: str) -> None:
    tokens, queries = draw(300, 20, 0), draw(100, 20, 1)
    gallery = Gallery(tokens, distance=distance, neighbours=2)
    expected, found = gallery.score(queries), gallery.to("cuda").score(queries.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"distance": "manhattan"}, "cosine or euclidean"),
        ({"neighbours": 0}, "at least 1"),
        ({"neighbours": 6}, "has 5 tokens"),
        ({"memory_mb": 0}, "memory_mb"),
    ],
)
def test_options_out_of_range(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Gallery(draw(5, 4, 0), **options)


def test_unusable_tokens_and_queries() -> None:
    with pytest.raises(NotFittedError, match="empty"):
        Gallery(torch.zeros(0, 4))
    bad = draw(5, 4, 0)
    bad[3, 2] = float("nan")
    with pytest.raises(ActivationError, match=r"gallery: 1 .*channel 2"):
        Gallery(bad)
    for distance in DISTANCES:
        gallery = Gallery(draw(5, 4, 1), distance=distance)
        for value in (float("nan"), float("inf")):
            bad[3, 2] = value
            with pytest.raises(ActivationError, match=r"1 of 5 queries.*first is query 3"):
                gallery.search(bad)
    with pytest.raises(ConfigError, match="between 1 and 5"):
        gallery.search(draw(2, 4, 0), neighbours=6)
    with pytest.raises(ConfigError, match="3 channels, the gallery 4"):
        gallery.search(draw(2, 3, 0))
