"""How near the span of the highest-variance channels is to that of the principal directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import subspace_angles

from lakeviz.lake import NeuronSelection, Selection, SubspaceSelection
from lakeviz.studies.overlap.measures import projection_kernel


def retained_variance(
    selection: Selection, covariance: Float[np.ndarray, "channel channel"]
) -> float:
    """Share of the total variance that a selection keeps: trace(B' C B) / trace(C).

    1 where there is no variance to keep.
    """
    total = np.trace(covariance)
    if total <= 0:
        return 1.0
    if isinstance(selection, NeuronSelection):
        kept = np.diag(covariance)[selection.channels].sum()
    else:
        kept = np.einsum("ck,cd,dk->", selection.basis, covariance, selection.basis, optimize=True)
    return float(kept / total)


@dataclass(frozen=True)
class Nearness:
    """How a set of channels lies to a subspace of the same dimension.

    Attributes
    ----------
    largest, mean : float
        Largest and mean principal angle, in degrees; 0 for one and the same span.
    kernel : float
        Normalised projection kernel, the mean squared cosine of the principal angles: 1 for the
        same span, 0 for orthogonal ones.
    """

    largest: float
    mean: float
    kernel: float


def nearness(channels: NeuronSelection, subspace: SubspaceSelection) -> Nearness:
    """Principal angles (Bjorck and Golub 1973, by scipy) and projection kernel (TransformerLens).

    Sines of small angles and cosines of large ones, so that both ends are exact to rounding.
    """
    unit = np.eye(channels.n_channels)[:, channels.channels]
    angles = np.degrees(subspace_angles(unit, subspace.basis))
    return Nearness(
        float(angles.max()), float(angles.mean()), projection_kernel(channels, subspace)
    )


def nearness_of_many(
    sets: Sequence[NeuronSelection], subspace: SubspaceSelection
) -> list[Nearness]:
    """The same of many sets, by the singular values of the basis' rows: quicker, for controls.

    Angles below some 1e-6 degrees are lost to rounding.
    """
    found = []
    for channels in sets:
        rows = subspace.basis[channels.channels]
        cosines = np.clip(np.linalg.svd(rows, compute_uv=False), 0, 1)
        angles = np.degrees(np.arccos(cosines))
        kernel = float(np.square(rows).sum() / channels.k)
        found.append(Nearness(float(angles.max()), float(angles.mean()), kernel))
    return found
