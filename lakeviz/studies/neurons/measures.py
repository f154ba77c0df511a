"""What is measured of each neuron, and its resamples, of which intervals and means are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from lakeviz.metrics import Bootstrap, formulas
from lakeviz.metrics.bootstrap import Weights
from lakeviz.metrics.estimates import Estimate, quantile_interval
from lakeviz.metrics.image_intervals import ImageCounts
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.neurons.patch_statistics import PatchSample, Resampled

EFFECTS = (
    *("matched_auroc", "matched_d", "deviation_matched_d"),
    *("patch_auroc", "cohens_d", "rank_biserial", "deviation_d"),
)
"""Measures of patches: those of matched positions, then those that mix position and defect."""
P_VALUES = {"p_value": "q_value", "deviation_p_value": "deviation_q_value"}
REACH = 0.995  # quantile of the normal patches that a defective image must exceed somewhere


@dataclass(frozen=True)
class NeuronMeasures:
    """One measure of several neurons.

    Attributes
    ----------
    values : float array [neuron]
    resampled : float array [neuron, resample]
        On the same resamples for every neuron and point.
    """

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

    Images and channels are both resampled: channels that differ, but for other reasons
    than ``x``, are correlated with it by chance, and the interval must allow for that.
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
