"""Rank metrics do not move under strictly increasing transforms, nor with the order of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lakeviz.metrics import Conventions, image_metrics, pixel_metrics

# Scores on a grid inside (0, 1), so that the transforms below stay strictly increasing in
# floating point; float16 holds them exactly.
TRANSFORMS = {
    "20x logit": lambda s: 20 * np.log(s / (1 - s)),
    "+10,000": lambda s: s + 10_000,
    "exp": lambda s: np.exp(30 * s),
    "narrow range": lambda s: 0.5 + s * 1e-9,
    "negative": lambda s: -1 / s,
    "float16": lambda s: s.astype(np.float16),
    "float16 widened to float64": lambda s: s.astype(np.float16).astype(np.float64),
    "float32": lambda s: s.astype(np.float32),
    "integers": lambda s: (s * 256).astype(np.int32),
}
NAMES = ("auroc", "average_precision", "f1_max", "aupro", "aupimo")
WIDE = Conventions(aupimo_bounds=(0.05, 0.5))

grid_scores = st.integers(1, 255)
maps_and_masks = st.tuples(
    hnp.arrays(np.int64, (4, 4, 5), elements=grid_scores),
    hnp.arrays(bool, (4, 4, 5)),
)


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None, max_examples=25)
@given(maps_and_masks)
def test_pixel_metrics_do_not_move(name, pair):
    scores, masks = pair[0] / 256, pair[1]
    masks[0] = False
    before = pixel_metrics(scores, masks, WIDE)
    after = pixel_metrics(TRANSFORMS[name](scores), masks, WIDE)
    assert before.reasons == after.reasons
    np.testing.assert_array_equal(
        [getattr(before, n) for n in NAMES], [getattr(after, n) for n in NAMES]
    )
    np.testing.assert_array_equal(before.aupimo_per_image, after.aupimo_per_image)


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.int64, 12, elements=grid_scores))
def test_image_metrics_do_not_move(name, levels):
    scores, labels = levels / 256, np.arange(12) % 3 == 0
    before, after = (image_metrics(s, labels) for s in (scores, TRANSFORMS[name](scores)))
    for metric in ("auroc", "average_precision", "f1_max"):
        assert getattr(before, metric) == getattr(after, metric)


@settings(deadline=None, max_examples=25)
@given(maps_and_masks, st.permutations(range(4)))
def test_order_of_images_does_not_matter(pair, order):
    scores, masks = pair[0] / 256, pair[1]
    masks[0] = False
    before = pixel_metrics(scores, masks, WIDE)
    after = pixel_metrics(scores[order], masks[order], WIDE)
    np.testing.assert_allclose(
        [getattr(before, n) for n in NAMES], [getattr(after, n) for n in NAMES], atol=1e-14
    )
    np.testing.assert_array_equal(before.aupimo_per_image[order], after.aupimo_per_image)


def test_mirrored_images_do_not_matter(smooth_set):
    maps, masks = smooth_set(0)
    before, after = pixel_metrics(maps, masks), pixel_metrics(maps[:, ::-1], masks[:, ::-1])
    assert before.aupro == pytest.approx(after.aupro, abs=1e-14)
    assert before.auroc == after.auroc
