"""Streaming statistics image by image, to be merged for any set of images without their tokens.

Counts, means and centred second moments of images add up to those of any subset, resample or
few-shot draw of them (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
variance"). One pass through the tower answers every question about variances that depends on which
images are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations.batches import Images, TokenBatches
from lakeviz.activations.loading import Loading
from lakeviz.activations.statistics import ChannelStatistics
from lakeviz.errors import ActivationError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.models.hooks.hook_points import NamesFilter

PerChannel = Float[np.ndarray, "image channel"]
_ARRAYS = ("count", "mean", "m2", "minimum", "maximum")


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of the patch tokens of each image at one hook point, in double precision.

    Make one with :func:`stream_image_statistics`, or :meth:`of_tokens` from tokens that are at
    hand.

    Attributes
    ----------
    point : str
        Hook point.
    sample_ids : tuple of str
        Names of the images.
    count : int array [image]
        Tokens of each image.
    mean, m2 : float array [image, channel]
        Mean of each channel, and sum of squared deviations from it, over the tokens of an image.
    minimum, maximum : float array [image, channel]

    Raises
    ------
    ActivationError
        If the arrays do not fit together, or an image has no token.
    """

    point: str
    sample_ids: tuple[str, ...]
    count: Int[np.ndarray, " image"] = field(repr=False)
    mean: PerChannel = field(repr=False)
    m2: PerChannel = field(repr=False)
    minimum: PerChannel = field(repr=False)
    maximum: PerChannel = field(repr=False)

    def __post_init__(self) -> None:
        shapes = {a.shape for a in (self.mean, self.m2, self.minimum, self.maximum)}
        n = len(self.sample_ids)
        if len(shapes) != 1 or self.mean.ndim != 2 or len(self.mean) != n or len(self.count) != n:
            raise ActivationError(
                f"{self.point}: arrays of other sizes than {n} images, in statistics of each image"
            )
        if n and self.count.min() < 1:
            raise ActivationError(f"{self.point}: an image without tokens has no statistics")

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.mean.shape[1]

    @classmethod
    def of_tokens(
        cls,
        point: str,
        tokens: Float[Tensor, "image patch channel"],
        sample_ids: Sequence[str] | None = None,
    ) -> ImageStatistics:
        """Take the statistics of each image's tokens.

        Raises
        ------
        ActivationError
            On NaN or infinite values; names the image.
        """
        ids = sample_ids if sample_ids is not None else [f"image {i}" for i in range(len(tokens))]
        each = [ChannelStatistics(f"{point} of {i}").update(t) for i, t in zip(ids, tokens)]
        count = np.array([one.count for one in each], dtype=np.int64)
        shape = (len(each), tokens.shape[-1])
        vectors = [[getattr(one, name) for one in each] for name in _ARRAYS[1:]]
        stacked = (np.array(rows, dtype=np.float64).reshape(shape) for rows in vectors)
        return cls(point, tuple(ids), count, *stacked)

    @classmethod
    def concatenate(cls, parts: Sequence[ImageStatistics]) -> ImageStatistics:
        """Put the images of several parts one after the other.

        Raises
        ------
        ActivationError
            If there is no part, or they are of other hook points or numbers of channels.
        """
        if not parts:
            raise ActivationError("there are no statistics of images to put together")
        points = sorted({p.point for p in parts})
        if len(points) > 1 or len({p.n_channels for p in parts}) > 1:
            raise ActivationError(
                f"statistics of {', '.join(points)} with "
                f"{', '.join(str(p.n_channels) for p in parts)} channels cannot be put together"
            )
        ids = tuple(name for p in parts for name in p.sample_ids)
        joined = (np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS)
        return cls(points[0], ids, *joined)

    def take(self, images: Sequence[int]) -> ImageStatistics:
        """Keep some images, in the given order.

        Raises
        ------
        ActivationError
            If an image is out of range.
        """
        rows = self._rows(images)
        ids = tuple(self.sample_ids[i] for i in rows)
        return ImageStatistics(self.point, ids, *(getattr(self, name)[rows] for name in _ARRAYS))

    def merged(
        self,
        images: Sequence[int] | None = None,
        *,
        weights: Int[np.ndarray, " image"] | None = None,
    ) -> ChannelStatistics:
        """Statistics of the tokens of some images together, without covariance.

        Parameters
        ----------
        images : sequence of int, optional
            Which; one that is named twice counts twice. All by default.
        weights : int array [image], optional
            Instead of ``images``: how often each image counts.

        Raises
        ------
        ActivationError
            If both are given, an image is out of range, or no image is taken.
        """
        if images is not None and weights is not None:
            raise ActivationError("give images or weights, not both")
        if weights is None:
            rows = np.arange(len(self)) if images is None else self._rows(images)
            weights = np.bincount(rows, minlength=len(self))
        self._check_weights(weights[None])
        taken = weights > 0
        count = (weights * self.count)[taken, None]
        total = count.sum()
        mean = (count * self.mean[taken]).sum(0) / total
        between = (count * (self.mean[taken] - mean) ** 2).sum(0)
        within = (weights[taken, None] * self.m2[taken]).sum(0)
        return ChannelStatistics(
            self.point,
            count=int(total),
            mean=mean,
            m2=within + between,
            minimum=self.minimum[taken].min(0),
            maximum=self.maximum[taken].max(0),
        )

    def variances(
        self, weights: Int[np.ndarray, "draw image"]
    ) -> Float[np.ndarray, "draw channel"]:
        """Population variance of each channel in each of many draws of the images.

        Parameters
        ----------
        weights : int array [draw, image]
            How often each image counts in each draw.

        Raises
        ------
        ActivationError
            On another number of images, negative weights, or a draw of no image.
        """
        self._check_weights(weights)
        counts = (weights * self.count).astype(np.float64)
        total = counts.sum(1, keepdims=True)
        # Deviations from the mean of all images: near enough to each draw's own mean that
        # subtracting its square costs no digits that matter.
        deviation = self.mean - np.average(self.mean, axis=0, weights=self.count)
        offset = counts @ deviation / total
        between = counts @ deviation**2 / total - offset**2
        return weights.astype(np.float64) @ self.m2 / total + np.maximum(between, 0)

    def _rows(self, images: Sequence[int]) -> Int[np.ndarray, " image"]:
        rows = np.asarray(images, dtype=np.int64)
        wrong = rows[(rows < 0) | (rows >= len(self))]
        if wrong.size:
            raise ActivationError(
                f"{self.point}: there are images 0 to {len(self) - 1}, not {wrong[0]}"
            )
        return rows

    def _check_weights(self, weights: np.ndarray) -> None:
        if weights.ndim != 2 or weights.shape[1] != len(self):
            raise ActivationError(
                f"{self.point}: weights of shape {list(weights.shape)} for {len(self)} images"
            )
        if weights.size and weights.min() < 0:
            raise ActivationError(f"{self.point}: an image cannot count less than 0 times")
        if not (weights.sum(1) > 0).all():
            raise ActivationError(f"{self.point}: no image was taken, so there are no statistics")


def stream_image_statistics(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    loading: Loading | None = None,
    preprocessed: bool = False,
) -> dict[str, ImageStatistics]:
    """Stream the statistics of the patch tokens of each image; no token is kept.

    Memory grows by five numbers per image and channel. Unreadable images that were skipped are
    missing from ``sample_ids``, and so are frames that have no token at one of the points.

    Parameters
    ----------
    model, images, points, loading, preprocessed
        See :class:`TokenBatches`.

    Returns
    -------
    dict of hook point to ImageStatistics
    """
    batches = TokenBatches(
        model, images, points, loading=loading, label="statistics", preprocessed=preprocessed
    )
    parts: dict[str, list[ImageStatistics]] = {p: [] for p in batches.points}
    for batch in batches:
        tokens, names = batch.complete
        for point, found in parts.items():
            found.append(ImageStatistics.of_tokens(point, tokens[point], names))
    return {point: ImageStatistics.concatenate(found) for point, found in parts.items()}
