"""What is measured of each neuron, with resamples of the images, of which intervals are made.

Patches of one image are not independent, so images are resampled, never patches: every image
carries its sums (or its counts on a grid of thresholds), and a resample is a weighted sum of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics import Bootstrap, formulas
from lakeviz.metrics.bootstrap import Weights
from lakeviz.metrics.estimates import Estimate, quantile_interval
from lakeviz.metrics.image import auroc
from lakeviz.metrics.image_intervals import ImageCounts
from lakeviz.metrics.measurement import Measurement
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
    """Which patches are compared, and how often each image was drawn in each resample.

    ``images`` are the normal images and those with defect patches, in their order among the test
    images.
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


EFFECTS = (
    *("matched_auroc", "matched_d", "deviation_matched_d"),
    *("patch_auroc", "cohens_d", "rank_biserial", "deviation_d"),
)
"""Measures of patches: those of matched positions, then those that mix position and defect."""
P_VALUES = {"p_value": "q_value", "deviation_p_value": "deviation_q_value"}
REACH = 0.995  # quantile of the normal patches that a defective image must exceed somewhere


@dataclass(frozen=True)
class NeuronMeasures:
    """One measure of several neurons, on the same resamples for every neuron and point."""

    values: Float[np.ndarray, " neuron"]
    resampled: Float[np.ndarray, "neuron resample"]

    @classmethod
    def of(cls, members: Sequence[Resampled]) -> NeuronMeasures:
        """Stack neurons."""
        return cls(np.array([m.value for m in members]), np.stack([m.resampled for m in members]))

    def where(self, keep: np.ndarray) -> NeuronMeasures:
        """Some of the neurons."""
        return NeuronMeasures(self.values[keep], self.resampled[keep])

    def magnitude(self) -> NeuronMeasures:
        """Absolute values: size of an effect whatever its direction."""
        return NeuronMeasures(np.abs(self.values), np.abs(self.resampled))

    def estimates(self, confidence: float) -> list[Estimate]:
        """Each neuron's value with its interval over images."""
        pairs = zip(self.values, self.resampled, strict=True)
        return [Estimate(float(v), *quantile_interval(d, confidence)) for v, d in pairs]


def of_measurement(measured: Measurement) -> dict[str, Resampled]:
    """Name the metrics of a evaluator as columns: ``image_auroc``, ``pixel_auroc``."""
    return {
        f"{level}_{name}": Resampled(value, measured.resampled[level, name])
        for (level, name), value in measured.values.items()
    }


def of_patches(
    sample: PatchSample,
    activation: Float[np.ndarray, "image patch"],
    deviation: Float[np.ndarray, "image patch"],
) -> tuple[dict[str, Resampled], dict[str, float]]:
    """Effect sizes of one neuron and their p-values."""
    cohens, matched, p_value = sample.effects(activation)
    own_cohens, own_matched, own_p_value = sample.effects(deviation)
    ranked = sample.auroc(activation)
    effects = {
        "matched_auroc": sample.matched_auroc(deviation),
        "matched_d": matched,
        "deviation_matched_d": own_matched,
        "patch_auroc": sample.auroc(deviation),
        "cohens_d": cohens,
        "rank_biserial": Resampled(2 * ranked.value - 1, 2 * ranked.resampled - 1),
        "deviation_d": own_cohens,
    }
    return effects, {"p_value": p_value, "deviation_p_value": own_p_value}


def reach(
    deviation: Float[np.ndarray, "image patch"], labels: Int[np.ndarray, " image"]
) -> dict[str, float]:
    """Share of defective, and of normal, images with a patch beyond nearly all normal patches."""
    if not (labels == 0).any() or not labels.any():
        return {"reach": np.nan, "reach_normal": np.nan}
    bound = np.quantile(deviation[labels == 0], REACH)
    beyond = deviation.max(axis=1) > bound
    return {
        "reach": float(beyond[labels != 0].mean()),
        "reach_normal": float(beyond[labels == 0].mean()),
    }


def image_aurocs(
    scores: Float[np.ndarray, "channel image"],
    labels: Int[np.ndarray, " image"],
    bootstrap: Bootstrap,
) -> NeuronMeasures:
    """Image AUROC of every channel, on the resamples of the evaluator."""
    from scipy.stats import rankdata  # a second to import; reading a result needs none

    anomalous = labels.astype(bool)
    n1, n0 = int(anomalous.sum()), int((~anomalous).sum())
    ranks = rankdata(scores, axis=1)[:, anomalous].sum(axis=1)
    values = (ranks - n1 * (n1 + 1) / 2) / (n1 * n0)
    evaluators = [partial(_auroc_on, ImageCounts.of(own, anomalous)) for own in scores]
    return NeuronMeasures(values, bootstrap.draw(evaluators, anomalous, labels.size))


def _auroc_on(images: ImageCounts, weights: Weights) -> Float[np.ndarray, " resample"]:
    return formulas.auroc(images.resampled(weights))  # type: ignore[arg-type]  # made on demand


def rank_correlation(
    x: Float[np.ndarray, " channel"], measures: NeuronMeasures, bootstrap: Bootstrap
) -> Estimate | None:
    """Spearman's correlation over channels; None where one side does not vary.

    Images and channels are both resampled: channels that differ, but for other reasons than ``x``,
    are correlated with it by chance, and the interval must allow for that.
    """
    n = len(x)
    generator = np.random.default_rng([bootstrap.seed, n])
    picks = generator.multinomial(n, np.full(n, 1 / n), size=bootstrap.n_resamples)
    from scipy.stats import rankdata

    ranked = rankdata(x)[None]
    value = _correlation(ranked, rankdata(measures.values)[None], np.ones((1, n)))
    resampled = _correlation(ranked, rankdata(measures.resampled.T, axis=1), picks.astype(float))
    if not (np.isfinite(value).all() and np.isfinite(resampled).all()):
        return None
    return Estimate(float(value[0]), *quantile_interval(resampled, bootstrap.confidence))


def _correlation(
    x: Float[np.ndarray, "1 channel"],
    y: Float[np.ndarray, "resample channel"],
    weights: Float[np.ndarray, "resample channel"],
) -> Float[np.ndarray, " resample"]:
    """Weighted Pearson correlation, row by row; NaN where one side is constant."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (v - (weights * v).sum(axis=1, keepdims=True) / total for v in (x, y))
    products = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    xy, xx, yy = products
    scale = np.sqrt(xx * yy)
    return np.divide(xy, scale, out=np.full_like(xy, np.nan), where=scale > 1e-9)


def stacked(found: Sequence[Mapping[str, Resampled]]) -> dict[str, NeuronMeasures]:
    """Turn measures per neuron into neurons per measure."""
    return {name: NeuronMeasures.of([own[name] for own in found]) for name in found[0]}
