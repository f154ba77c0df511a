"""Test patches in which a neuron fires, by category, compared with the other neurons there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lakeviz.errors import SelectionError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.views import NeuronView, Place
from lakeviz.lake.gallery import standardiser
from lakeviz.studies.dossier import DossierResult

FIRED = 3.0
"""Standard deviations of the normal tokens from which on a patch counts as fired."""


class FiringTable:
    """Share of test patches that fired, of all channels of a category's points, made when asked."""

    def __init__(self, fitted: Fitted):
        self.fitted = fitted
        self._shares: dict[str, np.ndarray] = {}

    def shares(self, point: str) -> np.ndarray:
        """Share of the patches of normal (row 0) and anomalous (1) images that fired, by channel.

        NaN in the row of a label that no test image has.
        """
        if point not in self._shares:
            data = self.fitted.data
            mean, deviation = standardiser(data.statistics[point])
            labels = data.truth.labels
            fired, n = np.zeros((2, len(mean))), np.zeros((2, 1))
            for rows, tokens in data.batches():
                far = (tokens[point].cpu() - mean).abs() > FIRED * deviation
                for label in (0, 1):
                    mine = far[labels[rows] == label]
                    fired[label] += mine.sum((0, 1)).numpy()
                    n[label] += mine.shape[0] * mine.shape[1]
            self._shares[point] = np.where(n > 0, fired / np.maximum(n, 1), np.nan)
        return self._shares[point]


def neuron_view(
    tables: Sequence[FiringTable], point: str, channel: int, n_examples: int
) -> NeuronView:
    """Describe one neuron in every category that has its hook point."""
    there = [t for t in tables if point in t.fitted.data.points]
    notes = [
        f"{t.fitted.data.category} was captured without {point}" for t in tables if t not in there
    ]
    if not there:
        known = ", ".join(tables[0].fitted.data.points)
        raise SelectionError(f"no category was captured at {point!r}; there is {known}")
    n_channels = there[0].fitted.data.n_channels(point)
    if not 0 <= channel < n_channels:
        raise SelectionError(
            f"{point} has {n_channels} channels, counted from 0; there is no channel {channel}"
        )
    return NeuronView(
        point=point,
        channel=channel,
        threshold=FIRED,
        categories=pd.DataFrame([_row(t, point, channel) for t in there]),
        examples={
            t.fitted.data.category: _examples(t.fitted, point, channel, n_examples) for t in there
        },
        notes=notes,
    )


def dossier_of(
    dossiers: DossierResult | None, categories: Sequence[str], point: str, channel: int
) -> dict[str, list[str]]:
    """What the dossiers say of a neuron, by category; those without one are left out."""
    if dossiers is None:
        return {}
    index = dossiers.neurons
    own = index[(index["point"] == point) & (index["channel"] == channel)]
    there = set(own["category"])
    return {c: dossiers.sentences(c, point, channel) for c in categories if c in there}


def _row(table: FiringTable, point: str, channel: int) -> dict[str, object]:
    data = table.fitted.data
    statistics, labels = data.statistics[point], data.truth.labels
    selected = table.fitted.galleries[point].selection.channels
    place = np.flatnonzero(selected == channel)
    shares = table.shares(point)
    rows, columns = data.grids[point]
    return {
        "category": data.category,
        "selected": bool(len(place)),
        "rank": int(place[0]) + 1 if len(place) else 0,
        "k": len(selected),
        "mean": float(statistics.mean[channel]),
        "deviation": float(np.sqrt(statistics.variance[channel])),
        "fired_normal": float(shares[0, channel]),
        "fired_anomalous": float(shares[1, channel]),
        "all_normal": float(shares[0].mean()),
        "all_anomalous": float(shares[1].mean()),
        "n_normal": int((labels == 0).sum()),
        "n_anomalous": int((labels == 1).sum()),
        "n_patches": rows * columns,
    }


def _examples(fitted: Fitted, point: str, channel: int, n: int) -> list[tuple[Place, float, float]]:
    data = fitted.data
    values = np.concatenate(
        [tokens[point][:, :, channel].cpu().numpy() for _, tokens in data.batches()]
    )
    mean, deviation = (float(s[channel]) for s in standardiser(data.statistics[point]))
    z = (values - mean) / deviation
    farthest = np.abs(z).argmax(axis=1)
    images = np.arange(len(z))
    order = np.argsort(-np.abs(z[images, farthest]), kind="stable")[:n]
    return [
        (
            fitted.place(point, "test", int(i), int(farthest[i])),
            float(values[i, farthest[i]]),
            float(z[i, farthest[i]]),
        )
        for i in order
    ]
