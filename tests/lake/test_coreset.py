"""The greedy coreset: it covers, within twice the best, and always the same way."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from lakeviz.errors import ActivationError, ConfigError
from lakeviz.lake import greedy_coreset


def radius(tokens: torch.Tensor, chosen: list[int]) -> float:
    """Largest distance of a token to the chosen ones."""
    wide = tokens.double().numpy()
    return float(cdist(wide, wide[chosen]).min(axis=1).max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.0, 100.0]))
def test_covers_within_twice_the_best(seed: int, size: int, offset: float) -> None:
    """Gonzalez' bound, the best found by trying every subset."""
    tokens = torch.randn(11, 3, generator=torch.Generator().manual_seed(seed)) + offset
    best = min(radius(tokens, list(c)) for c in combinations(range(11), size))
    assert radius(tokens, greedy_coreset(tokens, size, seed=seed).tolist()) <= 2 * best + 1e-3


def test_each_step_takes_the_farthest() -> None:
    tokens = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    taken = greedy_coreset(tokens, 12, seed=3).tolist()
    pairs = cdist(tokens.double(), tokens.double())
    for step in range(1, 12):
        nearest = pairs[:, taken[:step]].min(axis=1)
        assert nearest[taken[step]] == pytest.approx(nearest.max(), rel=1e-5)


def test_finds_well_separated_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    tokens = torch.cat([c + torch.rand(20, 2) for c in centres])
    assert sorted(i // 20 for i in greedy_coreset(tokens, 4, seed=1).tolist()) == [0, 1, 2, 3]


def test_is_determined_by_its_seed() -> None:
    tokens = torch.randn(100, 5, generator=torch.Generator().manual_seed(1))
    draws = [greedy_coreset(tokens, 10, seed=s).tolist() for s in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert any(d != draws[0] for d in draws[2:])


def test_never_takes_a_token_twice() -> None:
    duplicates = torch.ones(10, 3)
    assert sorted(greedy_coreset(duplicates, 10).tolist()) == [*range(10)]
    tokens = torch.randn(40, 2).round()
    assert len(np.unique(greedy_coreset(tokens, 40))) == 40


@pytest.mark.parametrize("size", [0, 6])
def test_size_out_of_range(size: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and 5"):
        greedy_coreset(torch.randn(5, 2), size)


def test_non_finite_tokens_are_refused() -> None:
    with pytest.raises(ActivationError, match="coreset"):
        greedy_coreset(torch.tensor([[1.0], [float("nan")]]), 1)
