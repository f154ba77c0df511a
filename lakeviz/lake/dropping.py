"""Normal images of a fit, and the channels and tokens that are left out of what it stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from lakeviz.activations import Images
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.streams import frames_before, stream_of
from lakeviz.errors import DataError, SelectionError
from lakeviz.lake.options import DropChannels

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from lakeviz.activations.statistics import ChannelStatistics
    from lakeviz.lake.options import LakeOptions


def normal_images(images: Images | FewShotDraw) -> tuple[Images, str | None]:
    """Images to fit on, and their category where it is known."""
    if isinstance(images, FewShotDraw):
        return images, images.category.replace("_", " ")
    if not isinstance(images, Dataset):
        return images, None
    anomalous = int(images.labels.sum())
    if anomalous:
        raise DataError(
            f"{anomalous} of the {len(images)} images of {images.name} to fit on are anomalous; "
            "pass dataset.normal() or a few-shot draw (or bare paths, to contaminate on purpose)"
        )
    one = images.categories[0] if len(images.categories) == 1 else None
    return images, one and one.replace("_", " ")


WARN_SHARE = 0.5
"""Share of the variance above which one channel decides what is selected and compared."""


def massive_channels(statistics: ChannelStatistics, share: float = WARN_SHARE) -> tuple[int, ...]:
    """Channels that hold more than a share of the variance, the first one first.

    The first channel is taken out as long as it holds more than ``share`` of the variance of those
    that are left; the last channel is always left.
    """
    order = np.argsort(-statistics.variance, kind="stable")
    variance = statistics.variance[order]
    left = np.cumsum(variance[::-1])[::-1]
    found = 0
    while found < len(order) - 1 and variance[found] > share * left[found]:
        found += 1
    return tuple(int(channel) for channel in order[:found])


def channels_to_drop(statistics: ChannelStatistics, wanted: DropChannels) -> tuple[int, ...]:
    """Channels of one hook point that an option names.

    Raises
    ------
    SelectionError
        If a channel does not exist, or none would be left.
    """
    if wanted is None:
        return ()
    if not isinstance(wanted, tuple):
        return massive_channels(statistics, WARN_SHARE if isinstance(wanted, str) else wanted)
    n = statistics.n_channels
    for channel in wanted:
        if not 0 <= channel < n:
            raise SelectionError(
                f"{statistics.point} has channels 0 to {n - 1}, so {channel} cannot be dropped"
            )
    if len(set(wanted)) == n:
        raise SelectionError(
            f"{statistics.point}: all {n} channels are dropped; leave at least one"
        )
    return tuple(dict.fromkeys(wanted))


def drop_channels(statistics: Mapping[str, ChannelStatistics], options: LakeOptions) -> None:
    """Mark the channels that no selection may take, at every hook point.

    Raises
    ------
    SelectionError
        As :func:`channels_to_drop`.
    """
    for one in statistics.values():
        one.dropped = channels_to_drop(one, options.drop_channels)


def require_tokens(statistics: Mapping[str, ChannelStatistics]) -> None:
    """Refuse normal images of which none has a token at a hook point.

    Raises
    ------
    DataError
        Names the hook point.
    """
    for point, one in statistics.items():
        if not one.count:
            n = frames_before(stream_of(point))
            raise DataError(
                f"{point} has no normal token: no normal frame has {n} frames of its clip before "
                "it; take longer clips, or a stream of fewer frames"
            )


def gallery_tokens(
    batches: Iterable[Mapping[str, Float[Tensor, "image token channel"]]], options: LakeOptions
) -> Iterable[Mapping[str, Float[Tensor, "image token channel"]]]:
    """Normal tokens that galleries are made of: all, or those without massive activations."""
    if not options.drops_from_gallery:
        return batches
    from lakeviz.activations.massive import without_massive_tokens

    return without_massive_tokens(batches)
