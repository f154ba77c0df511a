"""Changes of patch tokens against earlier frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.data.streams import base_point, frames_before, stream_of
from lakeviz.errors import DataError


class Changes:
    """Differences of the tokens of frames to those of some frames before, batch by batch.

    Keeps the tokens of the last few frames of one clip, so that memory does not grow with the
    clip. The first frames of a clip have no frame before: their differences are zero, and so they
    never deviate.

    Parameters
    ----------
    points : sequence of str
        Hook points with their streams, such as ``"blocks.5.hook_resid_post@change_4"``.
    gaps : bool
        Begin again after a frame that is missing, instead of refusing it.
    """

    def __init__(self, points: Sequence[str], gaps: bool = False):
        self.points = tuple(points)
        self.gaps = gaps
        self.reach = max((frames_before(stream_of(p)) for p in points), default=0)
        self._last: tuple[str, int] | None = None
        self._kept: list[dict[str, Tensor]] = []  # tokens of the last frames, the newest last

    def update(
        self,
        tokens: Mapping[str, Float[Tensor, "image token channel"]],
        frames: Sequence[tuple[str, int]],
    ) -> dict[str, Float[Tensor, "image token channel"]]:
        """Differences of consecutive frames.

        Parameters
        ----------
        tokens : mapping of hook point of the tower to Tensor [image, token, channel]
        frames : sequence of (clip, number)
            Which frames they are.

        Raises
        ------
        DataError
            If a frame is missing, repeated or out of order.
        """
        found: dict[str, list[Tensor]] = {p: [] for p in self.points}
        for row, (clip, number) in enumerate(frames):
            if self._last is None or self._last[0] != clip or self._is_gap(clip, number):
                self._kept = []
            self._last = (clip, number)
            own = {p: tokens[p][row] for p in {base_point(p) for p in self.points}}
            for p in self.points:
                value, n = own[base_point(p)], frames_before(stream_of(p))
                before = self._kept[-n][base_point(p)] if n <= len(self._kept) else value
                found[p].append(value - before)
            self._kept = [*self._kept, own][-self.reach :]
        return {p: torch.stack(parts) for p, parts in found.items()}

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
