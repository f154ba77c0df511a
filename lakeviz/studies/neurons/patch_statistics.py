"""Patch-level measures of one neuron with intervals over images.

Patches of one image are not independent, so images are resampled, never patches: every image
carries its sums (or its counts on a grid of thresholds), and a resample is a weighted sum of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.image import auroc
from lakeviz.studies.neurons.patch_labels import PatchTruth

_GRID = 256  # thresholds at which resampled rank statistics are read; the estimate itself is exact
_NEGLIGIBLE = 1e-7  # of the largest value: what single precision cannot tell from nothing
_TESTABLE = 2

Values = Float[np.ndarray, " resample"]


@dataclass(frozen=True)
class Resampled:
    """A number and its value in each resample of the images."""

    value: float
    resampled: Values


@dataclass(frozen=True)
class PatchSample:
    """Which patches are compared, and the resamples of their images.

    Attributes
    ----------
    images : int array [image]
        Normal images and images with defect patches, in their order among the test images.
    normal : bool array [image]
    defect : bool array [image, patch]
    weights : float array [resample, image]
        How often each image was drawn.
    """

    images: Int[np.ndarray, " image"]
    normal: Bool[np.ndarray, " image"]
    defect: Bool[np.ndarray, "image patch"]
    weights: Float[np.ndarray, "resample image"]

    @classmethod
    def of(cls, truth: PatchTruth, bootstrap: Bootstrap) -> PatchSample:
        """Take the images that have patches to compare, and draw them class by class."""
        images = np.sort(np.concatenate([truth.normal_images, truth.defect_images]))
        normal = truth.labels[images] == 0
        return cls(images, normal, truth.defect[images], image_weights(~normal, bootstrap))

    def values(
        self, of_test: Float[np.ndarray, "test patch"]
    ) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, " pixel"]]:
        """Values of all normal patches and of all defect patches, flat."""
        kept = of_test[self.images]
        return kept[self.normal].ravel(), kept[self.defect]

    def effects(
        self, of_test: Float[np.ndarray, "test patch"]
    ) -> tuple[Resampled, Resampled, float]:
        """Cohen's d, the same at matched positions, and the p-value of the matched difference.

        Cohen's d (1988) is the mean over defect patches minus that over normal patches, over their
        pooled standard deviation. The matched difference compares like with like: the mean over
        images of each image's mean over its defect patches, minus the mean of the normal images
        over the same positions, each weighted by how often a defect lies there; in the same
        units. Its p-value is Welch's: one number per image, unequal variances. A rank test would
        not do: a mean of few patches and one of many differ in shape even where nothing differs.
        """
        # Centred first: sums of squares far from zero lose their digits.
        x = of_test[self.images].astype(np.float64)
        x = x - x[self.normal].mean()
        floor = _NEGLIGIBLE * max(float(np.abs(of_test).max(initial=0.0)), np.finfo(float).tiny)
        ones = np.ones((1, len(x)))
        raw, matched = (
            np.concatenate(pair)
            for pair in zip(self._effects(x, ones, floor), self._effects(x, self.weights, floor))
        )
        return (
            Resampled(raw[0], raw[1:]),
            Resampled(matched[0], matched[1:]),
            self._p_value(x, floor),
        )

    def _effects(self, x: np.ndarray, weights: np.ndarray, floor: float) -> tuple[Values, Values]:
        inside = np.where(self.defect, x, 0.0)
        w_normal, w_defect = weights[:, self.normal], weights[:, ~self.normal]
        x_normal, counts = x[self.normal], self.defect[~self.normal].sum(axis=1)
        n0, n1 = w_normal.sum(axis=1) * x.shape[1], w_defect @ counts
        sums = inside[~self.normal].sum(axis=1)
        mean0, mean1 = (w_normal @ x_normal.sum(axis=1)) / n0, (w_defect @ sums) / n1
        squares0 = w_normal @ np.square(x_normal).sum(axis=1) - n0 * mean0**2
        squares1 = w_defect @ np.square(inside[~self.normal]).sum(axis=1) - n1 * mean1**2
        spread = np.maximum(squares0, 0) + np.maximum(squares1, 0)
        pooled = np.maximum(np.sqrt(spread / np.maximum(n0 + n1 - 2, 1)), floor)
        places = self._places()
        at_position = (w_normal @ x_normal) / w_normal.sum(axis=1)[:, None]
        expected = ((w_defect @ places) * at_position).sum(axis=1)
        gap = (w_defect @ (sums / counts) - expected) / w_defect.sum(axis=1)
        return _over(mean1 - mean0, pooled, floor), _over(gap, pooled, floor)

    def _places(self) -> Float[np.ndarray, "defective patch"]:
        """Where the defect patches of each defective image lie, as weights that add up to one."""
        own = self.defect[~self.normal].astype(np.float64)
        return own / own.sum(axis=1, keepdims=True)

    def _p_value(self, x: np.ndarray, floor: float) -> float:
        """Welch's test between images; NaN where one class has a single image."""
        places = self._places()
        defective = (places * x[~self.normal]).sum(axis=1)
        normal = x[self.normal] @ places.mean(axis=0)
        if min(len(defective), len(normal)) < _TESTABLE:
            return np.nan
        gap = abs(defective.mean() - normal.mean())
        if max(np.ptp(defective), np.ptp(normal)) <= floor:  # nothing varies: no test is needed
            return 1.0 if gap <= floor else 0.0
        from scipy.stats import ttest_ind  # a second to import; reading a result needs none

        return float(np.asarray(ttest_ind(defective, normal, equal_var=False))[1])

    def matched_auroc(self, of_test: Float[np.ndarray, "test patch"]) -> Resampled:
        """Probability that a defect patch lies above a normal patch of the same position.

        Of every pair of a defective and a normal image the mean over the defect patches, ties
        half; the mean of that over all pairs, so every image counts alike, as in the matched
        difference. No pair compares two positions: where only the positions of defects are
        special, it is 0.5.
        """
        x = of_test[self.images]
        normal, places = x[self.normal], self._places()
        wins = np.empty((len(places), len(normal)))
        for own, value, place in zip(wins, x[~self.normal], places, strict=True):
            at = place > 0
            above = (value[at] > normal[:, at]) + 0.5 * (value[at] == normal[:, at])
            own[:] = above @ place[at]
        w_normal, w_defect = self.weights[:, self.normal], self.weights[:, ~self.normal]
        pairs = w_normal.sum(axis=1) * w_defect.sum(axis=1)
        resampled = ((w_defect @ wins) * w_normal).sum(axis=1) / pairs
        return Resampled(float(wins.mean()), resampled)

    def auroc(self, of_test: Float[np.ndarray, "test patch"]) -> Resampled:
        """Probability that a defect patch lies above a normal patch; ties count half."""
        normal, defect = self.values(of_test)
        labels = np.r_[np.zeros(len(normal), int), np.ones(len(defect), int)]
        exact = auroc(np.r_[normal, defect], labels)
        return Resampled(exact, self._auroc_resampled(of_test[self.images], np.unique(defect)))

    def _auroc_resampled(self, x: np.ndarray, distinct: np.ndarray) -> Values:
        """Count the patches of each image between and at thresholds; pairs within one tie."""
        if len(distinct) > _GRID:
            distinct = distinct[np.linspace(0, len(distinct) - 1, _GRID).round().astype(int)]
        cells = np.searchsorted(distinct, x) + np.searchsorted(distinct, x, side="right")
        n_cells = 2 * len(distinct) + 1
        normal = _count(cells[self.normal], np.ones_like(self.defect[self.normal]), n_cells)
        defect = _count(cells[~self.normal], self.defect[~self.normal], n_cells)
        # Counts of resamples stay far below 2^24, where single precision is exact.
        weights = self.weights.astype(np.float32)
        w0 = (weights[:, self.normal] @ normal).astype(np.float64)
        w1 = (weights[:, ~self.normal] @ defect).astype(np.float64)
        below = np.cumsum(w0, axis=1) - w0 / 2
        return (w1 * below).sum(axis=1) / (w1.sum(axis=1) * w0.sum(axis=1))


def image_weights(
    anomalous: Bool[np.ndarray, " image"], bootstrap: Bootstrap
) -> Float[np.ndarray, "resample image"]:
    """How often each image is drawn in each resample: those of ``bootstrap`` itself."""
    read: Sequence = [partial(_column, i) for i in range(len(anomalous))]
    return np.ascontiguousarray(bootstrap.draw(read, anomalous, len(anomalous)).T)


def _column(index: int, weights: np.ndarray) -> np.ndarray:
    return weights[:, index].astype(np.float64)


def _over(gap: Values, pooled: Values, floor: float) -> Values:
    """Divide, and call a gap that is mere rounding none."""
    return np.where((pooled <= floor) & (np.abs(gap) <= floor), 0.0, gap / pooled)


def _count(cells: np.ndarray, keep: np.ndarray, n_cells: int) -> Float[np.ndarray, "image cell"]:
    """Patches of each image in each cell."""
    own = np.arange(len(cells))[:, None] * n_cells + cells
    counts = np.bincount(own[keep.astype(bool)], minlength=len(cells) * n_cells)
    return counts.reshape(len(cells), n_cells).astype(np.float32)
