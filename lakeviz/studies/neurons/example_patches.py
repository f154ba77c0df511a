"""What a neuron does, to be looked at: its histograms and the patches that drive it most."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.studies.neurons.patch_labels import PatchTruth

_BINS = 40
_TAIL = 0.001  # of the pooled patches beyond either end; they are counted in the outermost bins


def histogram_table(
    activation: Float[np.ndarray, "image patch"], truth: PatchTruth
) -> pd.DataFrame:
    """Densities of the activation over normal test patches and over defect patches.

    Both classes have the same bins. Where there are no masks, the second class is all patches of
    anomalous images. The outermost bins also count what lies beyond them.
    """
    normal = activation[truth.labels == 0].ravel()
    if truth.reason:
        name, other = "anomalous image", activation[truth.labels != 0].ravel()
    else:
        name, other = "defect", activation[truth.defect]
    classes = {n: v for n, v in {"normal": normal, name: other}.items() if v.size}
    edges = _edges(list(classes.values()))
    tables = []
    for label, values in classes.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        tables.append(
            pd.DataFrame(
                {
                    "label": label,
                    "bin": np.arange(_BINS),
                    "bin_low": edges[:-1],
                    "bin_high": edges[1:],
                    "count": counts,
                    "density": counts / (counts.sum() * np.diff(edges)),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _edges(classes: list[np.ndarray]) -> Float[np.ndarray, " edge"]:
    """Bins over the range of both classes, so that the rarer one is not cut off."""
    ends = np.array([np.quantile(values, [_TAIL, 1 - _TAIL]) for values in classes], dtype=float)
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if high - low <= 1e-7 * max(abs(low), abs(high), 1e-30):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def driving_patches(
    activation: Float[np.ndarray, "image patch"],
    deviation: Float[np.ndarray, "image patch"],
    truth: PatchTruth,
    sample_ids: list[str],
    columns: int,
    n_top: int,
) -> pd.DataFrame:
    """The test patches of largest deviation, whatever their label, largest first."""
    flat = deviation.ravel()
    order = np.argsort(-flat, kind="stable")[:n_top]
    image, patch = np.divmod(order, deviation.shape[1])
    return pd.DataFrame(
        {
            "place": np.arange(1, len(order) + 1),
            "sample_id": [sample_ids[i] for i in image],
            "image": image,
            "row": patch // columns,
            "column": patch % columns,
            "value": activation.ravel()[order].astype(float),
            "deviation": flat[order].astype(float),
            "label": truth.names().ravel()[order],
            "coverage": np.nan if truth.reason else truth.coverage.ravel()[order],
        }
    )
