"""Correlated neurons: chosen on the normal images, measured on the test images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student_t
from torch import Tensor

from lakeviz.activations import ChannelStatistics
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.studies.neurons.tested_neurons import Choice
from lakeviz.tables import equals, numbers

_GROUPS = 20  # of images, of which each is left out once
_FEWEST = 3
CONSTANT = "one of the two does not vary over the test images"
ONE_RANDOM = "there is no other random neuron to compare with"
FEW_IMAGES = "there are too few test images for an interval"


@dataclass
class Products:
    """Sums and products of tested neurons with all channels of their point, by groups of images.

    Image ``i`` is of group ``i % n_groups``, in whatever order the images come. ``centre`` is near
    the mean, so that products keep their digits.
    """

    tested: Int[np.ndarray, " neuron"]
    centre: Float[Tensor, " channel"]
    n_groups: int = _GROUPS
    count: np.ndarray = field(init=False)
    total: np.ndarray = field(init=False)
    square: np.ndarray = field(init=False)
    product: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n, c = self.n_groups, len(self.centre)
        self.count, self.total, self.square = np.zeros(n), np.zeros((n, c)), np.zeros((n, c))
        self.product = np.zeros((n, len(self.tested), c))

    def update(
        self, tokens: Float[Tensor, "image patch channel"], images: Int[np.ndarray, " image"]
    ) -> None:
        """Take the tokens of some images in."""
        index = torch.from_numpy(self.tested)
        for group in np.unique(images % self.n_groups):
            own = torch.from_numpy(np.flatnonzero(images % self.n_groups == group))
            x = tokens.index_select(0, own).flatten(0, 1).double() - self.centre
            self.count[group] += len(x)
            self.total[group] += x.sum(0).numpy()
            self.square[group] += x.square().sum(0).numpy()
            self.product[group] += (x.index_select(1, index).T @ x).numpy()

    def correlation(self, neuron: int, partner: int) -> Float[np.ndarray, " one_and_groups"]:
        """Pearson's correlation with a channel: of all images, then without each group."""
        own = self.tested[neuron]
        totals = (self.total[:, own], self.total[:, partner])
        squares = (self.square[:, own], self.square[:, partner])
        sums = np.stack([self.count, *totals, *squares, self.product[:, neuron, partner]])
        filled = sums[:, self.count > 0]
        whole = filled.sum(1, keepdims=True)
        n, x, y, xx, yy, xy = np.concatenate([whole, whole - filled], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread_x, spread_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
            found = (xy / n - x / n * (y / n)) / np.sqrt(spread_x * spread_y)
            flat = (spread_x <= 1e-12 * xx / n) | (spread_y <= 1e-12 * yy / n)
        return np.where(flat, np.nan, np.clip(found, -1, 1))

    def estimate(self, neuron: int, partner: int, confidence: float) -> tuple[Estimate, str]:
        """Correlation with the jackknife's interval over groups of images, on Fisher's scale."""
        found = self.correlation(neuron, partner)
        if not np.isfinite(found).all():
            return NOT_MEASURED, CONSTANT
        n = len(found) - 1
        if n < _FEWEST:
            return Estimate(float(found[0]), np.nan, np.nan), FEW_IMAGES
        z = np.arctanh(np.clip(found, -1 + 1e-12, 1 - 1e-12))
        pseudo = n * z[0] - (n - 1) * z[1:]
        half = student_t.ppf((1 + confidence) / 2, n - 1) * pseudo.std(ddof=1) / np.sqrt(n)
        low, high = np.tanh([z[0] - half, z[0] + half])
        value = float(found[0])
        return Estimate(value, min(float(low), value), max(float(high), value)), ""


def correlated_table(
    choice: Choice,
    statistics: ChannelStatistics,
    products: Products,
    n_partners: int,
    confidence: float,
) -> pd.DataFrame:
    """The partners of largest |correlation| on the normal images, measured on the test images.

    Chosen on the images they are measured on, the largest of many would be too large. The control
    is |r| of the (other) random neurons with their partner of the same place.
    """
    fitted = _fitted(statistics, choice.tested)
    n_partners = min(n_partners, fitted.shape[1] - 1)
    partners = np.argsort(-np.abs(np.nan_to_num(fitted)), axis=1, kind="stable")
    found: list[dict[str, Any]] = []
    for number, row in choice.rows():
        others = partners[number][partners[number] != row["channel"]][:n_partners]
        for place, partner in enumerate(others.tolist(), start=1):
            own, reason = products.estimate(number, partner, confidence)
            found.append(
                {
                    **row,
                    "place": place,
                    "partner": partner,
                    "fitted": float(fitted[number, partner]),
                    **own.columns(),
                    "partner_selected": bool(np.isin(partner, choice.selected)),
                    "reason": reason,
                }
            )
    table = pd.DataFrame(found)
    size, place, channel = (np.abs(numbers(table, c)) for c in ("value", "place", "channel"))
    random = equals(table, group="random") & np.isfinite(size)
    controls = [
        control_columns(size[random & (place == row["place"]) & (channel != row["channel"])])
        for row in found
    ]
    return pd.concat([table, pd.DataFrame(controls)], axis=1)


def control_columns(values: Float[np.ndarray, " neuron"]) -> dict[str, Any]:
    """Mean and range of a number of the random neurons of a point, and how many these are."""
    ends = (values.mean(), values.min(), values.max()) if len(values) else (np.nan,) * 3
    names = ("control_mean", "control_min", "control_max")
    return {**dict(zip(names, map(float, ends))), "n_random": len(values)}


def _fitted(
    statistics: ChannelStatistics, tested: Int[np.ndarray, " neuron"]
) -> Float[np.ndarray, "neuron channel"]:
    """Correlation over the normal patch tokens; NaN with a channel that does not vary."""
    covariance = np.asarray(statistics.covariance, dtype=np.float64)
    spread = np.sqrt(np.diag(covariance))
    scale = spread[tested][:, None] * spread
    found = np.full(scale.shape, np.nan)
    return np.divide(covariance[tested], scale, out=found, where=scale > 0).clip(-1, 1)
