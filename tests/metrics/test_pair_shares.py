"""Shares over pairs: hand-worked, and coverage in simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lakeviz.metrics.pair_shares import share_difference, share_estimate


def test_hand_worked() -> None:
    moved, full = np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 4.0]])
    found = share_estimate(moved, full)
    assert found.value == pytest.approx(0.6)
    residuals = (moved[0] - 0.6 * full[0]) / full.mean()
    reach = stats.t.ppf(0.975, 2) * residuals.std(ddof=1) / 3**0.5
    assert (found.low, found.high) == pytest.approx((0.6 - reach, 0.6 + reach))


def test_what_cannot_be_measured() -> None:
    assert np.isnan(share_estimate(np.ones((1, 4)), np.array([[1.0, -1, 1, -1]])).value)
    two = share_estimate(np.ones((1, 2)), np.full((1, 2), 2.0))
    assert (two.value, np.isnan(two.low)) == (0.5, True)
    whole = share_estimate(np.ones((1, 5)), np.ones((1, 5)))
    assert whole.low < 1 < whole.high


def test_rank_among_random_members() -> None:
    full = np.ones((1, 6))
    moved = np.full((1, 6), 0.9)
    members = np.linspace(0.1, 0.5, 9)[None, :, None] * np.ones((1, 9, 6))
    found, p_value = share_difference(moved, members, full)
    assert found.value == pytest.approx(0.9 - 0.3)
    assert p_value == pytest.approx(0.1)
    assert np.isnan(share_difference(moved, members[:, :1], full)[1])


@pytest.mark.parametrize("n_pairs", [6, 20])
def test_coverage_of_a_share_and_of_one_more_random_set(n_pairs: int) -> None:
    random = np.random.default_rng(0)
    covered, null = [], []
    for _ in range(1000):
        full = random.gamma(4, 0.25, (1, n_pairs))
        truth = 0.4 + 0.1 * random.standard_normal(9)
        own = truth[None, :, None] * full[:, None] + 0.1 * random.standard_normal((1, 9, n_pairs))
        one = share_estimate(own[:, 0], full)
        covered.append(one.low <= truth[0] <= one.high)
        gap, _ = share_difference(own[:, 0], own[:, 1:], full)
        null.append(gap.low <= 0 <= gap.high)
    assert np.mean(covered) > 0.93
    assert np.mean(null) > 0.93
