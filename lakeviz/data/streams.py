"""Streams: further sources of patch tokens than the picture, on the same grid of patches.

A hook point of a stream is named with a suffix, such as ``blocks.5.hook_resid_post@change_4``:

* ``change_4``: the token minus the token of the same place 4 frames before.
* ``deviation_8``: the standard deviation of the token over the last 8 frames, channel by channel;
  ``log_deviation_8`` is its logarithm, in which too little change is as far from the normal as too
  much.
* ``depth``, ``normals``, ``curvature``: the token of a rendering of the depth map;
  ``normals_effect`` is that token minus the one of the same place where the depth is constant.

Whatever is kept by hook point, such as selections, galleries and tables, is kept by stream too,
without knowing of streams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lakeviz.errors import ConfigError, DataError, nearest

IMAGE = "image"
RENDERINGS: tuple[str, ...] = ("depth", "normals", "curvature")
EFFECTS: tuple[str, ...] = tuple(f"{how}_effect" for how in RENDERINGS)
_OVER_TIME = re.compile(r"change_([1-9][0-9]{0,3})|(?:log_)?deviation_([2-9]|[1-9][0-9]{1,3})")


def check_stream(stream: str) -> None:
    """Refuse a stream that does not exist."""
    known = (IMAGE, "change_1", "deviation_8", "log_deviation_8", *RENDERINGS, *EFFECTS)
    if stream not in known and not _OVER_TIME.fullmatch(stream):
        raise ConfigError(
            f"there is no stream {stream!r}{nearest(stream, known)}; there are image, change_N "
            "(against N frames before), deviation_N and log_deviation_N (over the last N frames, "
            f"2 or more), {', '.join((*RENDERINGS, *EFFECTS))}"
        )


def stream_of(point: str) -> str:
    """Stream of a hook point; ``"image"`` where its name has no suffix."""
    return point.partition("@")[2] or IMAGE


def base_point(point: str) -> str:
    """Hook point of the tower, without the suffix of a stream."""
    return point.partition("@")[0]


def on_stream(point: str, stream: str) -> str:
    """Name of a hook point on a stream."""
    return point if stream == IMAGE else f"{point}@{stream}"


def frames_before(stream: str) -> int:
    """How many frames before a stream looks; 0 for one that looks at no other frame."""
    found = _OVER_TIME.fullmatch(stream)
    if found is None:
        return 0
    return int(found[1]) if found[1] else int(found[2]) - 1


def rendering_of(stream: str) -> str | None:
    """Rendering of the depth map that a stream looks at; None for one that looks at none."""
    how = stream.removesuffix("_effect")
    return how if how in RENDERINGS else None


def require_data(streams: Iterable[str], *, frames: bool, depths: bool) -> None:
    """Refuse streams that images without frames or without depth maps have no data for."""
    for stream in streams:
        if rendering_of(stream) and not depths:
            raise DataError(
                f"the stream {stream} needs depth maps, and these images have none; read a data "
                "set that has them (lakeviz datasets)"
            )
        if frames_before(stream) and not frames:
            raise DataError(
                f"the stream {stream} needs frames of clips, and these images are none; read a "
                "data set of clips (lakeviz datasets)"
            )
