"""Simulated worlds of known truth for ``coverage.py``: scores of images, and maps with masks.

Every world holds two detectors, a and b, that see the same images: a share of the variance of the
noise is common to both. A *family* says how scores are distributed:

* ``normal``: two normal distributions of equal spread;
* ``wide``: defects vary three times as much as normal images;
* ``hidden``: a share of the defects, 1 - AUROC, is scored like a normal image;
* ``maps``: pixel maps. Every image has a level, a coarse pattern and a defect strength of its own,
  and defects differ in size, so pixels of one image are far from independent.

True values are those of a population with the class ratio of the cell: by integration for image
scores, from a set of 6,000 images or more for maps.

FPR95 stands for a metric that a user registers (docs/metrics.md): all that is known of it is that
it lies between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm

from lakeviz.metrics import Conventions, MetricDefinition, pixel_metrics, register_metric

SIDE = 16
WIDE_SD = 3.0
IMAGE = ("auroc", "average_precision", "f1_max", "cohens_d", "fpr95")
PIXEL = ("auroc", "average_precision", "f1_max", "aupro", "aupimo")
CONVENTIONS = Conventions(interval_grid=256, aupimo_bounds=(1e-3, 0.1))


def fpr95(counts, conventions):
    """False-positive rate at the highest threshold that 95 % of the positives reach."""
    total = np.asarray(counts.n_positive)[..., None]
    first = (counts.tp >= 0.95 * total - 1e-9).argmax(axis=-1)[..., None]
    return np.take_along_axis(counts.fp, first, axis=-1)[..., 0] / counts.n_negative


register_metric(MetricDefinition("fpr95", "FPR95", image=fpr95, higher_is_better=False, best=0.0))


@dataclass(frozen=True)
class Family:
    """How image scores are distributed at a true AUROC.

    Attributes
    ----------
    hidden
        Share of the anomalous images that are scored like normal ones.
    shift, sd
        Of the other anomalous images; normal ones have 0 and 1.
    """

    hidden: float
    shift: float
    sd: float

    @classmethod
    def of(cls, name: str, auroc: float) -> Family:
        """Find the shift that has this AUROC."""
        hidden = 1 - auroc if name == "hidden" else 0.0
        sd = WIDE_SD if name == "wide" else 1.0
        seen = (auroc - hidden / 2) / (1 - hidden)
        return cls(hidden, float(norm.ppf(seen) * np.hypot(1, sd)), sd)

    def scores(self, noise: np.ndarray, luck: np.ndarray) -> np.ndarray:
        """Scores of anomalous images from standard normal noise and uniform luck."""
        return np.where(luck < self.hidden, noise, self.shift + self.sd * noise)

    def truth(self, n_anomalous: int, n_normal: int) -> dict[str, float]:
        """Population values at this class ratio."""
        t = np.linspace(-12, 12 + self.shift + 8 * self.sd, 200_001)[::-1]
        fpr = norm.sf(t)
        tpr = self.hidden * fpr + (1 - self.hidden) * norm.sf((t - self.shift) / self.sd)
        share = n_anomalous / (n_anomalous + n_normal)
        reached = share * tpr + (1 - share) * fpr
        precision = np.divide(share * tpr, reached, out=np.ones_like(t), where=reached > 1e-300)
        mean = (1 - self.hidden) * self.shift
        square = self.hidden + (1 - self.hidden) * (self.shift**2 + self.sd**2)
        pooled = share * (square - mean**2) + (1 - share)
        return {
            "auroc": float(np.trapezoid(tpr, fpr)),
            "average_precision": float(np.trapezoid(precision, tpr)),
            "f1_max": float(np.max(2 * share * tpr / (share + reached))),
            "cohens_d": mean / float(np.sqrt(pooled)),
            "fpr95": float(fpr[np.searchsorted(tpr, 0.95)]),
        }


def image_worlds(
    family: str,
    aurocs: tuple[float, float],
    shared: float,
    n_anomalous: int,
    n_normal: int,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield scores of detector a and b, and labels; the first ``n_anomalous`` are anomalous."""
    rng = np.random.default_rng(seed)
    laws = [Family.of(family, auroc) for auroc in aurocs]
    labels = np.arange(n_anomalous + n_normal) < n_anomalous
    while True:
        common, luck = rng.standard_normal(labels.size), rng.random(n_anomalous)
        both = []
        for law in laws:
            own = rng.standard_normal(labels.size)
            noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
            noise[labels] = law.scores(noise[labels], luck)
            both.append(noise)
        yield both[0], both[1], labels


def image_truth(
    family: str, aurocs: tuple[float, float], n_anomalous: int, n_normal: int
) -> list[dict[str, float]]:
    """Population values of both detectors."""
    return [Family.of(family, auroc).truth(n_anomalous, n_normal) for auroc in aurocs]


def _masks(rng: np.random.Generator, n_anomalous: int, n_normal: int) -> np.ndarray:
    """One or two rectangles of 1 to 6 pixels a side on each anomalous image."""
    masks = np.zeros((n_anomalous + n_normal, SIDE, SIDE), dtype=bool)
    for mask in masks[:n_anomalous]:
        for _ in range(rng.integers(1, 3)):
            height, width = rng.integers(1, 7, 2)
            y, x = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
            mask[y : y + height, x : x + width] = True
    return masks


def _noise(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise of maps (level of the image, coarse pattern, pixels) and of defect strengths."""
    coarse = rng.standard_normal((n, 4, 4)).repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    level = rng.standard_normal((n, 1, 1))
    pixels = rng.standard_normal((n, SIDE, SIDE))
    return 0.5 * level + 0.5 * coarse + pixels, rng.standard_normal((n, 1, 1))


def _maps(noise: np.ndarray, hardness: np.ndarray, masks: np.ndarray, strength: float):
    return noise + strength * np.exp(0.5 * hardness) * masks


def pixel_worlds(
    aurocs: tuple[float, float], shared: float, n_anomalous: int, n_normal: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield maps of detector a and b, and masks."""
    rng = np.random.default_rng(seed)
    strengths = [strength_of(auroc) for auroc in aurocs]
    while True:
        masks = _masks(rng, n_anomalous, n_normal)
        both_see = _noise(rng, len(masks))
        both = []
        for strength in strengths:
            own = _noise(rng, len(masks))
            noise, hardness = (
                np.sqrt(shared) * both_see[part] + np.sqrt(1 - shared) * own[part]
                for part in (0, 1)
            )
            both.append(_maps(noise, hardness, masks, strength))
        yield both[0], both[1], masks


@cache
def _population(n_anomalous: int, n_normal: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(99)
    masks = _masks(rng, n_anomalous, n_normal)
    return *_noise(rng, len(masks)), masks


@cache
def strength_of(auroc: float) -> float:
    """Mean strength of defects that gives this pixel AUROC at equal numbers of both classes."""
    population = _population(1000, 1000)

    def gap(strength: float) -> float:
        maps, masks = _maps(*population[:2], population[2], strength), population[2]
        return pixel_metrics(maps, masks, metrics=("auroc",)).auroc - auroc

    low, high = 0.0, 20.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) < 0 else (low, middle)
    return low


@cache
def _pixel_truth(auroc: float, n_anomalous: int, n_normal: int) -> dict[str, float]:
    # So many that their own error is small against that of the cell.
    factor = max(6000 / (n_anomalous + n_normal), 50)
    population = _population(round(factor * n_anomalous), round(factor * n_normal))
    maps = _maps(*population[:2], population[2], strength_of(auroc))
    found = pixel_metrics(maps, population[2], conventions=CONVENTIONS, metrics=PIXEL)
    return {name: getattr(found, name) for name in PIXEL}


def pixel_truth(
    aurocs: tuple[float, float], n_anomalous: int, n_normal: int
) -> list[dict[str, float]]:
    """Population values of both detectors."""
    return [_pixel_truth(auroc, n_anomalous, n_normal) for auroc in aurocs]
