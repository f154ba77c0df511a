"""Cohen's d against its textbook formula."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import MetricError
from lakeviz.metrics.cohens_d import cohens_d, weighted_cohens_d


def cohen(scores, labels):
    a, b = scores[labels == 1], scores[labels == 0]
    squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
    return (a.mean() - b.mean()) / np.sqrt(squares / (len(a) + len(b) - 2))


def test_it_is_cohens_d():
    generator = np.random.default_rng(0)
    labels = np.r_[np.zeros(7, int), np.ones(5, int)]
    scores = generator.standard_normal(12) + labels
    assert cohens_d(scores, labels) == pytest.approx(cohen(scores, labels), rel=1e-12)
    # Hand-worked: means 1 and 4, both classes with squares 2, pooled variance 4 / 4.
    assert cohens_d([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1]) == pytest.approx(3.0)


def test_scale_and_offset_do_not_matter():
    generator = np.random.default_rng(1)
    labels = generator.permutation([0] * 10 + [1] * 10)
    scores = generator.random(20)
    assert cohens_d(1000 + 0.01 * scores, labels) == pytest.approx(
        cohens_d(scores, labels), rel=1e-6
    )


def test_a_weighted_draw_is_the_repeated_sample():
    generator = np.random.default_rng(2)
    labels = np.array([0, 0, 0, 1, 1, 1])
    scores = generator.random(6)
    weights = np.array([[2, 0, 1, 1, 2, 0]])
    found = weighted_cohens_d(scores, labels.astype(bool), weights)
    rows = np.repeat(np.arange(6), weights[0])
    assert found[0] == pytest.approx(cohen(scores[rows], labels[rows]))


def test_equal_scores_have_no_difference_and_perfect_ones_an_infinite_one():
    assert cohens_d(np.full(4, 0.7, dtype=np.float32), [0, 0, 1, 1]) == 0.0
    assert cohens_d([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]) == np.inf


def test_one_class_is_an_error():
    with pytest.raises(MetricError, match="anomalous image is needed"):
        cohens_d([1.0, 2.0], [0, 0])
