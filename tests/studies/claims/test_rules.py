"""The rules by hand, and what no data may do to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.claims.rules import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    VERDICTS,
    Equivalence,
    NonInferiority,
    Superiority,
    corrected_confidence,
    joint_verdict,
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
    assert rule.judge(Estimate(np.nan, np.nan, np.nan)) == INCONCLUSIVE
    assert rule.judge(Estimate(0.5, np.nan, np.nan)) == INCONCLUSIVE


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
    else:
        assert (verdict == SUPPORTED) == (INCONCLUSIVE not in parts)


def test_correction_is_bonferroni():
    assert corrected_confidence(0.95, 1) == pytest.approx(0.95)
    assert corrected_confidence(0.95, 10) == pytest.approx(0.995)
