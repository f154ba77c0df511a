"""Test patches in which a neuron fires, by category, compared with the other neurons there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lakeviz.errors import SelectionError
from lakeviz.explorer.fitted import FIRED, Fitted
from lakeviz.explorer.views import NeuronView, Place
from lakeviz.lake.gallery import standardiser
from lakeviz.studies.dossier import DossierResult


def neuron_view(
    every: Sequence[Fitted],
    point: str,
    channel: int,
    n_examples: int,
    dossiers: DossierResult | None = None,
) -> NeuronView:
    """Describe one neuron in every category that has its hook point."""
    there = [f for f in every if point in f.data.points]
    notes = [f"{f.data.category} was captured without {point}" for f in every if f not in there]
    if not there:
        known = ", ".join(every[0].data.points)
        raise SelectionError(f"no category was captured at {point!r}; there is {known}")
    n_channels = there[0].data.n_channels(point)
    if not 0 <= channel < n_channels:
        raise SelectionError(
            f"{point} has {n_channels} channels, counted from 0; there is no channel {channel}"
        )
    return NeuronView(
        point=point,
        channel=channel,
        threshold=FIRED,
        categories=pd.DataFrame([_row(f, point, channel) for f in there]),
        examples={f.data.category: _examples(f, point, channel, n_examples) for f in there},
        notes=notes,
        dossier=_dossier([f.data.category for f in every], dossiers, point, channel),
    )


def _dossier(
    categories: Sequence[str], dossiers: DossierResult | None, point: str, channel: int
) -> dict[str, list[str]]:
    """What the dossiers say of a neuron, by category; those without one are left out."""
    if dossiers is None:
        return {}
    index = dossiers.neurons
    own = index[(index["point"] == point) & (index["channel"] == channel)]
    there = set(own["category"])
    return {c: dossiers.sentences(c, point, channel) for c in categories if c in there}


def _row(fitted: Fitted, point: str, channel: int) -> dict[str, object]:
    data = fitted.data
    statistics, labels = data.statistics[point], data.truth.labels
    selected = fitted.galleries[point].selection.channels
    place = np.flatnonzero(selected == channel)
    shares = fitted.fired(point)
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
