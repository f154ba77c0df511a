"""Ground truth at map size, and the reasons why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.lake.ground_truth import Truth

MASKS = [np.zeros((2, 2), bool), np.array([[True, False], [False, False]])]


def test_masks_or_a_reason():
    assert Truth.of_masks(np.array([0, 1]), MASKS).reason == ""
    assert "no masks" in Truth.of_masks(np.array([0, 1]), None).reason
    assert "every mask is empty" in Truth.of_masks(np.array([0, 1]), MASKS[:1] * 2).reason


def test_some_of_the_images():
    truth = Truth.of_masks(np.array([0, 1, 1]), [*MASKS, MASKS[1]])
    part = truth.where(np.array([True, False, True]))
    np.testing.assert_array_equal(part.labels, [0, 1])
    assert [m.sum() for m in part.masks] == [0, 1]
    assert "empty" in truth.where(np.array([True, False, False])).reason
    assert Truth.of_masks(np.array([0, 1]), None).where(np.array([True, True])).reason


def test_memory_is_that_of_single_precision_maps():
    truth = Truth.of_masks(np.array([1]), [np.ones((1024, 512), bool)])
    assert truth.megabytes == pytest.approx(2.0)
    assert truth.fits_in_memory
