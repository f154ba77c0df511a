"""Streams: further sources of patch tokens beside the picture, on the same grid of patches.

A hook point of a stream is named with a suffix. At ``blocks.5.hook_resid_post@change_4`` lies the
token minus the token of the same place 4 frames before; at ``blocks.5.hook_resid_post@normals``
the token of a rendering of the depth map. All that is told apart by hook point, such as selections,
galleries and tables, is told apart by stream without knowing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lakeviz.errors import ConfigError, DataError, nearest

IMAGE = "image"
RENDERINGS: tuple[str, ...] = ("depth", "normals", "curvature")
_CHANGE = re.compile(r"change_([1-9][0-9]{0,3})")


def check_stream(stream: str) -> None:
    """Refuse a stream that does not exist.

    Raises
    ------
    ConfigError
        Names those there are.
    """
    known = (IMAGE, "change_1", *RENDERINGS)
    if stream not in known and not _CHANGE.fullmatch(stream):
        raise ConfigError(
            f"there is no stream {stream!r}{nearest(stream, known)}; there are image, change_N "
            f"(against N frames before), {', '.join(RENDERINGS)}"
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
    found = _CHANGE.fullmatch(stream)
    return int(found[1]) if found else 0


def require_data(streams: Iterable[str], *, frames: bool, depths: bool) -> None:
    """Refuse streams that images without frames or without depth maps have no data for.

    Raises
    ------
    DataError
        Says what the stream needs.
    """
    for stream in streams:
        if stream in RENDERINGS and not depths:
            raise DataError(
                f"the stream {stream} needs depth maps, and these images have none; read a data "
                "set that has them (lakeviz datasets)"
            )
        if frames_before(stream) and not frames:
            raise DataError(
                f"the stream {stream} needs frames of clips, and these images are none; read a "
                "data set of clips (lakeviz datasets)"
            )
