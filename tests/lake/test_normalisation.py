"""Normalisations against torch and scikit-learn, and the stage they are applied at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler, normalize

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError
from lakeviz.lake import BranchSpec, Normalisation, VisualOptions, fit_branches, normalise
from lakeviz.lake.gallery import standardiser

POINT = "p"


def draw(n: int = 200, channels: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator)
    return torch.randn(n, channels, generator=generator) @ mixing + torch.arange(channels)


def statistics(tokens: torch.Tensor) -> ChannelStatistics:
    return ChannelStatistics(POINT, with_covariance=True).update(tokens)


def test_none_changes_nothing() -> None:
    tokens = draw()
    assert normalise(tokens, "none") is tokens


def test_layernorm_gives_each_token_zero_mean_and_unit_variance() -> None:
    tokens = draw()
    wide = tokens.double().numpy()
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    np.testing.assert_allclose(normalise(tokens, "layernorm"), expected, rtol=1e-4, atol=1e-5)


def test_l2_equals_scikit_learn() -> None:
    tokens = draw()
    np.testing.assert_allclose(
        normalise(tokens, "l2"), normalize(tokens.double().numpy()), rtol=1e-5, atol=1e-7
    )
    assert normalise(torch.zeros(1, 3), "l2").tolist() == [[0.0, 0.0, 0.0]]


def test_zscore_equals_scikit_learn() -> None:
    normal, test = draw(), draw(50, seed=1)
    scaler = StandardScaler().fit(normal.double().numpy())
    found = normalise(test, "zscore", standardiser(statistics(normal)))
    np.testing.assert_allclose(found, scaler.transform(test.double().numpy()), rtol=1e-4, atol=1e-5)


def test_zscore_of_a_constant_channel_only_shifts() -> None:
    tokens = torch.full((5, 1), 0.3)
    found = normalise(torch.tensor([[1.3]]), "zscore", standardiser(statistics(tokens)))
    assert found.item() == pytest.approx(1.0)


def restricted(selector: str, kind: str, stage: str, tokens: torch.Tensor) -> torch.Tensor:
    """Gallery tokens of a branch, in its own frame."""
    options = VisualOptions(normalisation=Normalisation(kind, stage))
    (branch,) = fit_branches(
        [{POINT: tokens[None]}], {POINT: statistics(tokens)}, [BranchSpec(selector, 3)], options
    )
    return branch.points[POINT].gallery.tokens


@pytest.mark.parametrize("selector", ["variance", "random"])
def test_zscore_of_neurons_is_the_same_before_and_after(selector: str) -> None:
    before, after = (restricted(selector, "zscore", s, draw()) for s in ("before", "after"))
    torch.testing.assert_close(before, after)
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(after.var(0, correction=0), 1, rtol=1e-4)


@pytest.mark.parametrize("selector", ["pca", "random_rotation"])
def test_zscore_of_a_subspace_after_whitens_its_axes(selector: str) -> None:
    before, after = (restricted(selector, "zscore", s, draw()) for s in ("before", "after"))
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(after.var(0, correction=0), 1, rtol=1e-3)
    assert not torch.allclose(before, after, atol=0.1)


def test_pca_after_zscore_has_uncorrelated_axes() -> None:
    after = restricted("pca", "zscore", "after", draw())
    np.testing.assert_allclose(np.corrcoef(after.numpy().T), np.eye(3), atol=1e-4)


@pytest.mark.parametrize("kind", ["layernorm", "l2"])
def test_stage_says_over_which_channels(kind: str) -> None:
    tokens = draw()
    selection = torch.from_numpy(np.argsort(-statistics(tokens).variance, kind="stable")[:3].copy())
    before, after = (restricted("variance", kind, s, tokens) for s in ("before", "after"))
    torch.testing.assert_close(before, normalise(tokens, kind)[:, selection])
    torch.testing.assert_close(after, normalise(tokens[:, selection], kind))
    assert not torch.allclose(before, after)


def test_unknown_kinds_and_stages() -> None:
    with pytest.raises(ConfigError, match="none, layernorm, l2 or zscore"):
        Normalisation("batchnorm")
    with pytest.raises(ConfigError, match="before or after"):
        Normalisation("l2", "during")
    with pytest.raises(ConfigError, match="batchnorm"):
        normalise(draw(), "batchnorm")
    with pytest.raises(ConfigError, match="zscore needs"):
        normalise(draw(), "zscore")
