"""The rules by hand, and what no data may do to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.claims.rules import (
    CONTRADICTED,
    INCONCLUSIVE,
    NOT_MEASURED,
    SUPPORTED,
    VERDICTS,
    Equivalence,
    NonInferiority,
    Superiority,
    corrected_confidence,
    joint_verdict,
    p_against_sets,
    sets_for_ranks,
)

RULES = (Superiority(0.1), NonInferiority(0.1), Equivalence(0.1))
number = st.floats(-1, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("rule", "value", "low", "high", "verdict"),
    [
        (Superiority(0.1), 0.2, 0.05, 0.35, SUPPORTED),
        (Superiority(0.1), 0.2, -0.01, 0.41, INCONCLUSIVE),  # may be nothing
        (Superiority(0.1), 0.07, 0.02, 0.12, INCONCLUSIVE),  # there, perhaps too small
        (Superiority(0.1), 0.05, 0.02, 0.08, CONTRADICTED),  # there, surely too small
        (Superiority(0.1), -0.2, -0.3, -0.1, CONTRADICTED),
        (NonInferiority(0.1), 0.0, -0.09, 0.09, SUPPORTED),
        (NonInferiority(0.1), 0.3, 0.2, 0.4, SUPPORTED),  # better is no loss
        (NonInferiority(0.1), 0.0, -0.11, 0.11, INCONCLUSIVE),
        (NonInferiority(0.1), -0.2, -0.3, -0.11, CONTRADICTED),
        (Equivalence(0.1), 0.0, -0.09, 0.09, SUPPORTED),
        (Equivalence(0.1), 0.05, 0.02, 0.08, SUPPORTED),  # there, surely too small to matter
        (Equivalence(0.1), 0.05, -0.02, 0.12, INCONCLUSIVE),
        (Equivalence(0.1), 0.2, 0.11, 0.29, CONTRADICTED),
        (Equivalence(0.1), -0.2, -0.29, -0.11, CONTRADICTED),
    ],
)
def test_verdicts_by_hand(rule, value, low, high, verdict):
    assert rule.judge(Estimate(value, low, high)) == verdict


@pytest.mark.parametrize("rule", RULES)
def test_without_a_number_or_an_interval_nothing_is_decided(rule):
    assert rule.judge(Estimate(np.nan, np.nan, np.nan)) == NOT_MEASURED
    assert rule.judge(Estimate(0.5, np.nan, np.nan)) == NOT_MEASURED


@given(number, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_interval_never_turns_a_verdict_round(value, below, above, more):
    narrow = Estimate(value, value - below, value + above)
    wide = Estimate(value, narrow.low - more, narrow.high + more)
    for rule in RULES:
        assert rule.judge(wide) in (rule.judge(narrow), INCONCLUSIVE)


@given(number, st.floats(0, 1), st.floats(0, 1))
def test_equivalence_looks_both_ways_alike(value, below, above):
    one = Estimate(value, value - below, value + above)
    mirrored = Estimate(-value, -value - above, -value + below)
    assert Equivalence(0.1).judge(one) == Equivalence(0.1).judge(mirrored)


@given(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=4))
def test_a_claim_is_as_good_as_its_worst_part(parts):
    verdict = joint_verdict(parts)
    if CONTRADICTED in parts:
        assert verdict == CONTRADICTED
    elif NOT_MEASURED in parts:
        assert verdict == NOT_MEASURED
    else:
        assert (verdict == SUPPORTED) == (INCONCLUSIVE not in parts)


def test_correction_is_bonferroni():
    assert corrected_confidence(0.95, 1) == pytest.approx(0.95)
    assert corrected_confidence(0.95, 10) == pytest.approx(0.995)


def test_what_a_random_set_would_do_as_well_is_not_supported():
    clear = Estimate(0.2, 0.1, 0.3)
    assert Superiority(0.1).judge(clear, beyond_sets=False) == INCONCLUSIVE
    assert NonInferiority(0.1).judge(clear, beyond_sets=False) == INCONCLUSIVE
    # What is surely smaller than asked is so whatever the sets do.
    assert Superiority(0.5).judge(clear, beyond_sets=False) == CONTRADICTED


def test_ranks_reach_the_corrected_level_with_enough_sets():
    assert sets_for_ranks(0.95) == 39
    assert sets_for_ranks(corrected_confidence(0.95, 13)) == 519
    assert sets_for_ranks(corrected_confidence(0.95, 16)) == 639


def test_p_against_sets_by_hand():
    # 39 sets reach one tail of 95 %: a rank, (1 + 2) / 40.
    gaps = np.r_[-0.1, 0.0, np.full(37, 0.2)]
    assert p_against_sets(gaps, 0.95) == pytest.approx(3 / 40)
    # Three sets do not: Student's tail of one more, mean 2, sd 1, t = 2 / sqrt(4 / 3).
    expected = stats.t.sf(2 / np.sqrt(4 / 3), 2)
    assert p_against_sets(np.array([1.0, 2.0, 3.0]), 0.95) == pytest.approx(expected)
    # A set that did as well: never less than its rank.
    assert p_against_sets(np.array([0.0, 5.0, 5.1, 5.2, 5.3]), 0.95) >= 2 / 6
    # Sets without spread say nothing of the next beyond their number.
    assert p_against_sets(np.zeros(5), 0.95) == 1
    assert p_against_sets(np.ones(5), 0.95) == pytest.approx(1 / 6)


@pytest.mark.parametrize("n_sets", [40, 700])
def test_one_more_random_set_is_called_better_as_rarely_as_stated(n_sets):
    confidence = corrected_confidence(0.95, 16)
    sets = np.random.default_rng(n_sets).standard_normal((20_000, n_sets + 1))
    p = p_against_sets(sets[:, :1] - sets[:, 1:], confidence)
    level = (1 - confidence) / 2
    assert np.count_nonzero(p <= level) <= stats.binom.ppf(0.999, 20_000, level)
    # Student's tail is held up by the rank where a set did as well, so it errs more rarely.
    assert 600 <= np.count_nonzero(p <= 0.05) <= 1100
