"""Changes of patch tokens against earlier frames of a clip, and their spread over the last ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.data.streams import base_point, frames_before, stream_of
from lakeviz.errors import DataError

_STILL = 1e-3  # of a token's size: changes below that are all alike, so that none has no logarithm


class Changes:
    """Tokens of frames against those of some frames before, batch by batch.

    Keeps the tokens of the last few frames of one clip, so that memory does not grow with the
    clip. The first frames of a clip have too few frames before them, and so have no token on such
    a stream: it is zero, and said to be missing. Where there may be ``gaps``, it begins again after
    a frame that is missing, instead of refusing it.
    """

    def __init__(self, points: Sequence[str], gaps: bool = False):
        self.points = tuple(points)
        self.gaps = gaps
        self.reach = reach_of(points)
        self._last: tuple[str, int] | None = None
        self._kept: list[dict[str, Tensor]] = []  # tokens of the last frames, the newest last

    def update(
        self,
        tokens: Mapping[str, Float[Tensor, "image token channel"]],
        frames: Sequence[tuple[str, int]],
    ) -> tuple[dict[str, Float[Tensor, "image token channel"]], dict[str, Bool[Tensor, " image"]]]:
        """Tokens of consecutive frames (clip, number) on each stream, and which are missing.

        A frame that is missing, repeated or out of order is a DataError.
        """
        found: dict[str, list[Tensor]] = {p: [] for p in self.points}
        missing: dict[str, list[bool]] = {p: [] for p in self.points}
        for row, (clip, number) in enumerate(frames):
            if self._last is None or self._last[0] != clip or self._is_gap(clip, number):
                self._kept = []
            self._last = (clip, number)
            own = {p: tokens[p][row] for p in {base_point(p) for p in self.points}}
            before = len(self._kept)
            self._kept.append(own)
            for p in self.points:
                n = frames_before(stream_of(p))
                missing[p].append(before < n)
                found[p].append(
                    self._token(p, n) if before >= n else torch.zeros_like(own[base_point(p)])
                )
            self._kept = self._kept[-self.reach :] if self.reach else []
        return (
            {p: torch.stack(parts) for p, parts in found.items()},
            {p: torch.tensor(which) for p, which in missing.items()},
        )

    def _token(self, point: str, n: int) -> Float[Tensor, "token channel"]:
        """Token of the newest frame on a stream that looks ``n`` frames before it."""
        base = base_point(point)
        if stream_of(point).startswith("change"):
            return self._kept[-1][base] - self._kept[-1 - n][base]
        window = torch.stack([own[base].float() for own in self._kept[-1 - n :]])
        found = window.std(0, correction=0)
        if stream_of(point).startswith("log"):
            found = torch.log(found + _STILL * window.square().mean((0, 2), keepdim=True)[0].sqrt())
        return found.to(self._kept[-1][base].dtype)

    def _is_gap(self, clip: str, number: int) -> bool:
        assert self._last is not None
        expected = self._last[1] + 1
        if number == expected:
            return False
        if not self.gaps:
            raise DataError(
                f"frame {number} of {clip} comes after frame {expected - 1}: changes need all "
                "frames in their order"
            )
        return True


def reach_of(points: Sequence[str]) -> int:
    """How many frames before a frame some hook points look."""
    return max((frames_before(stream_of(p)) for p in points), default=0)


def have_tokens(
    points: Sequence[str], frames: Sequence[tuple[str, int]], n_images: int
) -> Bool[np.ndarray, " image"]:
    """Which images have a token at all of the hook points: enough frames lie before them."""
    reach = reach_of(points)
    if not reach:
        return np.ones(n_images, dtype=bool)
    before = [0]
    for (clip, number), (next_clip, next_number) in pairwise(frames):
        before.append(before[-1] + 1 if (clip, number + 1) == (next_clip, next_number) else 0)
    return np.array(before) >= reach
