"""Comparisons with controls agree with the paired difference and cover both kinds of variation."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import MetricError
from lakeviz.metrics import (
    Bootstrap,
    aupro,
    auroc,
    compare_images,
    compare_pixels,
    image_intervals,
    paired_difference,
    paired_pixel_difference,
)

FEW = Bootstrap(n_resamples=300, seed=3)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    scores = labels + rng.normal(size=40)
    others = [0.3 * labels + rng.normal(size=40) for _ in range(3)]
    return labels, scores, others


@pytest.fixture
def pixels():
    rng = np.random.default_rng(1)
    masks = np.zeros((8, 12, 12), dtype=bool)
    masks[4:, 3:6, 3:7] = True
    maps = masks + rng.normal(size=masks.shape)
    others = [0.3 * masks + rng.normal(size=masks.shape) for _ in range(2)]
    return masks, maps, others


def test_one_member_is_the_paired_difference(images):
    labels, scores, others = images
    (found,) = compare_images(scores, {"other": others[:1]}, labels, ("auroc",), FEW)
    pair = paired_difference("auroc", scores, others[0], labels, FEW)
    assert found.value.value == auroc(scores, labels)
    assert found.control_values == (auroc(others[0], labels),)
    assert found.difference == pair.difference


def test_one_member_is_the_paired_pixel_difference(pixels):
    masks, maps, others = pixels
    (found,) = compare_pixels(maps, {"other": others[:1]}, masks, ("aupro",), FEW)
    pair = paired_pixel_difference("aupro", maps, others[0], masks, FEW)
    assert found.value.value == aupro(maps, masks)
    assert found.difference == pair.difference


def test_the_columns_of_a_table(images):
    """``low`` and ``high`` belong to the value; a range is called min and max."""
    labels, scores, others = images
    (found,) = compare_images(scores, {"other": others}, labels, ("auroc",), FEW)
    own = image_intervals(scores, labels, ("auroc",), FEW)["auroc"]
    each = [auroc(o, labels) for o in others]
    assert found.columns() == {
        "control": "other",
        "level": "image",
        "metric": "auroc",
        "value": own.value,
        "low": own.low,
        "high": own.high,
        "control_mean": np.mean(each),
        "control_min": min(each),
        "control_max": max(each),
        "n_members": 3,
        "difference": own.value - np.mean(each),
        "difference_low": found.difference.low,
        "difference_high": found.difference.high,
        "estimand": "minus one more random set",
        "difference_to_mean_low": found.to_mean.low,
        "difference_to_mean_high": found.to_mean.high,
        "p_value": found.p_value,
        "n_draws": 1,
        **found.difference.share_columns(),
    }


def test_several_members_are_averaged(images):
    labels, scores, others = images
    found = compare_images(scores, {"a": others, "b": others[1:2]}, labels, ("auroc",), FEW)
    assert [c.control for c in found] == ["a", "b"]
    each = [auroc(o, labels) for o in others]
    assert found[0].control_values == tuple(each)
    assert found[0].control_mean == pytest.approx(np.mean(each), abs=1e-15)
    assert found[0].difference.value == pytest.approx(auroc(scores, labels) - np.mean(each))
    assert found[1].control_values == (each[1],)


def test_the_interval_holds_the_variation_between_members():
    """Members that disagree widen the interval, though the images are the same for all."""
    labels = np.repeat([0, 1], 200)
    rng = np.random.default_rng(0)
    scores = labels * 2.0 + rng.normal(size=400)
    same = [scores] * 8
    mixed = [scores, rng.normal(size=400)] * 4
    bootstrap = Bootstrap(n_resamples=2000, seed=0)
    narrow, wide = compare_images(
        scores, {"same": same, "mixed": mixed}, labels, ("auroc",), bootstrap
    )
    assert narrow.difference.value == 0
    assert wide.difference.high > 0.5 > 10 * narrow.difference.high > 0
    assert wide.to_mean.high < wide.difference.high


def test_no_difference_is_found_where_there_is_none():
    """Two equally good scores: the 95 % interval misses zero in about 5 % of worlds."""
    missed, worlds = 0, 200
    labels = np.repeat([0, 1], 30)
    for world in range(worlds):
        rng = np.random.default_rng(world)
        scores, other = (labels + rng.normal(size=60) for _ in range(2))
        bootstrap = Bootstrap(n_resamples=300, seed=world)
        (found,) = compare_images(scores, {"other": [other]}, labels, ("auroc",), bootstrap)
        missed += not found.difference.low <= 0 <= found.difference.high
    # Binomial(200, 0.05) exceeds 20 with probability 0.001; a percentile interval of a small
    # sample may miss a little more often than it says.
    assert missed <= 20


def test_one_class_is_an_error(images):
    _, scores, others = images
    with pytest.raises(MetricError):
        compare_images(scores, {"other": others}, np.zeros(40), ("auroc",), FEW)
