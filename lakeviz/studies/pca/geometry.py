"""How diagonal a covariance is, compared with what sampling noise leaves off the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import subspace_angles
from torch import Tensor

from lakeviz.activations import ChannelStatistics
from lakeviz.lake import NeuronSelection, Selection, SubspaceSelection
from lakeviz.metrics.estimates import quantile_interval
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

    Largest and mean principal angle in degrees, 0 for the same span; and the normalised projection
    kernel, the mean squared cosine of the angles, 1 for the same span and 0 for orthogonal ones.
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


Matrix = Float[np.ndarray, "channel channel"]

NO_VARIANCE = "no channel varies"


def off_diagonal_share(matrix: Matrix) -> float:
    """Sum of squared off-diagonal entries over that of all: 0 for a diagonal matrix."""
    total = np.square(matrix).sum()
    # Left out, not subtracted: a diagonal matrix then gives 0 exactly.
    off = np.square(matrix - np.diag(np.diag(matrix))).sum()
    return float(off / total) if total > 0 else np.nan


def correlation(covariance: Matrix) -> Matrix:
    """Correlation matrix of the channels that vary."""
    variance = np.diag(covariance)
    varying = np.flatnonzero(variance > 0)
    scale = np.sqrt(variance[varying])
    return covariance[np.ix_(varying, varying)] / np.outer(scale, scale)


def participation_ratio(values: Float[np.ndarray, " value"]) -> float:
    """``(sum v)^2 / sum v^2``: how many of the values carry the sum; 1 to their number.

    Of the eigenvalues of a covariance it is the effective dimension (Gao et al. 2017), of its
    diagonal the number of channels that carry the variance.
    """
    squares = np.square(values).sum()
    return float(np.square(values.sum()) / squares) if squares > 0 else np.nan


def measures(covariance: Matrix) -> dict[str, float]:
    """All measures of one covariance, by name."""
    # trace(C^2) is the sum of squared eigenvalues: no decomposition is needed.
    squared = np.square(covariance).sum()
    effective = float(np.trace(covariance) ** 2 / squared) if squared > 0 else np.nan
    return {
        "off_diagonal_covariance": off_diagonal_share(covariance),
        "off_diagonal_correlation": off_diagonal_share(correlation(covariance)),
        "participation_eigenvalues": effective,
        "participation_diagonal": participation_ratio(np.diag(covariance)),
    }


def permuted_covariance(
    tokens: Float[np.ndarray, "token channel"], generator: np.random.Generator
) -> Matrix:
    """Covariance after each channel's tokens were put in a random order of their own.

    The channels keep their values and lose all dependence: what is left off the diagonal is what
    so many independent tokens leave there by chance.
    """
    shuffled = torch.from_numpy(generator.permuted(tokens, axis=0))
    return ChannelStatistics("permuted", with_covariance=True).update(shuffled).covariance


def diagonality_rows(
    statistics: ChannelStatistics,
    tokens: Float[Tensor, "image patch channel"],
    *,
    n_permutations: int,
    generator: np.random.Generator,
    confidence: float,
) -> list[dict[str, Any]]:
    """Rows of the table of one hook point: each measure and its control by permutation."""
    flat = tokens.reshape(-1, tokens.shape[-1]).numpy()
    drawn = [measures(permuted_covariance(flat, generator)) for _ in range(n_permutations)]
    rows = []
    for measure, value in measures(statistics.covariance).items():
        null = np.array([one[measure] for one in drawn])
        low, high = quantile_interval(null, confidence)
        rows.append(
            {
                "point": statistics.point,
                "measure": measure,
                "value": value,
                "control_mean": float(null.mean()),
                "control_quantile_low": low,
                "control_quantile_high": high,
                "n_permutations": n_permutations,
                "n_channels": statistics.n_channels,
                "n_constant": int(np.count_nonzero(statistics.variance <= 0)),
                "n_tokens": statistics.count,
                "reason": "" if np.isfinite(value) else NO_VARIANCE,
            }
        )
    return rows
