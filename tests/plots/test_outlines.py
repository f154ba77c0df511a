"""Outlines enclose exactly the pixels of the mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lakeviz.errors import ConfigError
from lakeviz.plots import mask_outlines
from lakeviz.plots.outlines import shrink_mask


def signed_area(corners: np.ndarray) -> float:
    """Shoelace formula: positive for a polygon walked clockwise with y pointing down."""
    x, y = corners.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def test_one_pixel_is_its_square():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1, 2] = True
    (outline,) = mask_outlines(mask)
    assert {tuple(c) for c in outline} == {(2, 1), (3, 1), (3, 2), (2, 2)}


def test_straight_sides_have_no_corners_between():
    mask = np.zeros((5, 9), dtype=bool)
    mask[1:4, 2:8] = True
    (outline,) = mask_outlines(mask)
    assert len(outline) == 4


def test_pixels_touching_at_a_corner_are_apart():
    assert len(mask_outlines(np.eye(2, dtype=bool))) == 2
    assert len(mask_outlines(np.eye(2, dtype=bool)[::-1])) == 2


def test_hole_is_walked_the_other_way():
    mask = np.ones((3, 3), dtype=bool)
    mask[1, 1] = False
    assert sorted(signed_area(o) for o in mask_outlines(mask)) == [-1, 9]


def test_empty_mask_has_none():
    assert mask_outlines(np.zeros((4, 4), dtype=bool)) == []


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_enclosed_area_is_the_number_of_pixels(mask):
    outlines = mask_outlines(mask)
    assert sum(signed_area(o) for o in outlines) == mask.sum()
    for outline in outlines:  # every corner turns, and every side is straight
        steps = np.roll(outline, -1, axis=0) - outline
        assert ((steps == 0).sum(axis=1) == 1).all()
        assert ((steps == 0) != (np.roll(steps, 1, axis=0) == 0)).all()


def test_mask_of_three_dimensions_is_refused():
    with pytest.raises(ConfigError, match="2 dimensions"):
        mask_outlines(np.zeros((2, 2, 2), dtype=bool))


def test_one_pixel_survives_shrinking():
    mask = np.zeros((4000, 3000), dtype=bool)
    mask[1234, 567] = True
    small = shrink_mask(mask, (40, 30))
    assert small.shape == (40, 30)
    assert np.argwhere(small).tolist() == [[12, 5]]
