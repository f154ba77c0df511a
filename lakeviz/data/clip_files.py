"""Files that hold all frames of a clip: videos, and volumes of their labels or masks.

Videos are read by PyAV (an extra: ``lakeviz[video]``). The frame 12 of a file is named
``CLIP.mp4#12``. Frames that are read in order are decoded once; of a frame further on or back,
decoding begins at the key frame before it. What is held does not grow with the clip, but for eight
bytes per frame: the time of each, which tells its number.

Volumes are NumPy arrays and MATLAB files. A ``.npy`` file holds one number per frame (labels) or
``[frame, height, width]`` (masks). A ``.mat`` file holds a cell array of masks, ``[height, width,
frame]``, or one number per frame. Nothing is unpickled. The mask of one frame is named
``FILE#12`` too (:func:`lakeviz.data.files.volume_frame`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from lakeviz.data.files import printable, why_unreadable
from lakeviz.errors import ConfigError, ImageReadError, MaskError

_FAR = 64  # frames that are decoded rather than skipped by looking for a key frame
_OPEN = 2  # files held open, the latest last

_lock = Lock()
_readers: dict[tuple[Path, int], _Reader] = {}
_inherited: list[_Reader] = []  # never closed: their decoders' threads are in another process


def _begin_after_fork() -> None:
    """Open files again in a forked process: a file's position is not shared, nor is a lock."""
    global _lock
    _lock = Lock()
    _inherited.extend(_readers.values())
    _readers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)


def count_frames(path: Path) -> int:
    """Count the frames of a video file, without decoding them."""
    return len(_times(path, _changed(path)))


def read_frame(path: Path, number: int) -> Image.Image:
    """Decode one frame, counted from 0, as 8-bit RGB."""
    changed = _changed(path)
    if not 0 <= number < (n := len(_times(path, changed))):
        raise ImageReadError(f"the video {printable(path)} has {n} frames, and no frame {number}")
    key = (path, changed)
    with _lock:
        reader = _readers.pop(key, None) or _Reader(path, _times(path, changed))
        _readers[key] = reader
        for old in list(_readers)[:-_OPEN]:
            del _readers[old]
        try:
            return reader.read(number)
        except _av().FFmpegError as error:
            del _readers[key]
            raise ImageReadError(
                f"cannot decode frame {number} of the video {printable(path)}: {error}"
            ) from error


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width of the frames of a video file, from its header."""
    return _size(path, _changed(path))


@lru_cache(maxsize=256)
def _size(path: Path, changed: int) -> tuple[int, int]:
    with _opened(path) as container:
        context = container.streams.video[0].codec_context
        return context.height, context.width


class _Reader:
    """One open file, and the number of the frame that comes next."""

    def __init__(self, path: Path, times: Int[np.ndarray, " frame"]):
        self._path, self._times = path, times
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = len(times)

    def read(self, number: int) -> Image.Image:
        if self._next <= number <= self._next + _FAR and (found := self._decode(number)):
            return found
        for before in (0, _FAR, number):  # a seek may end behind the frame, as times are reordered
            self._begin_before(max(0, number - before))
            if found := self._decode(number):
                return found
        raise ImageReadError(f"cannot decode frame {number} of the video {printable(self._path)}")

    def _decode(self, number: int) -> Image.Image | None:
        """Decode up to a frame; None where it does not come."""
        for frame in self._frames:
            found = int(np.searchsorted(self._times, frame.pts))
            self._next = found + 1
            if found == number:
                return frame.to_image()
            if found > number:
                break
        self._next = len(self._times)  # begin again for the next
        return None

    def _begin_before(self, number: int) -> None:
        """Go to the key frame before a frame."""
        if self._container is None:
            self._container = _opened(self._path)
        stream = self._container.streams.video[0]
        self._container.seek(int(self._times[number]), stream=stream, backward=True)
        self._frames = self._container.decode(stream)
        self._next = 0


@lru_cache(maxsize=256)
def _times(path: Path, changed: int) -> Int[np.ndarray, " frame"]:
    """Time of each frame in the unit of the file, ascending."""
    with _opened(path) as container:
        packets = container.demux(container.streams.video[0])
        times = [p.pts if p.pts is not None else p.dts for p in packets if p.size]
    found = np.unique(np.array([t for t in times if t is not None], dtype=np.int64))
    if len(found) != len(times):
        raise ImageReadError(
            f"the video {printable(path)} does not say when each of its frames is shown; turn it "
            "into frames: ffmpeg -i CLIP.avi CLIP/%05d.png"
        )
    return found


def _opened(path: Path) -> Any:
    av = _av()
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise ImageReadError(f"cannot read the video {printable(path)}: {error}") from error
    if not container.streams.video:
        raise ImageReadError(f"{printable(path)} holds no video")
    return container


def _changed(path: Path) -> int:
    """Time of the last change of a file, by which what is known of it is kept."""
    if reason := why_unreadable(path):
        raise ImageReadError(f"cannot read {printable(path)}: it is {reason}")
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: {error.strerror or error}") from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            "video files are read by PyAV, which is not installed: pip install 'lakeviz[video]', "
            "or turn them into frames: ffmpeg -i CLIP.avi CLIP/%05d.png"
        ) from error
    return av


# --- volumes of labels or masks ---

# Masks of one clip may need hundreds of megabytes once unpacked: the last two clips are kept.
_KEPT = 2


def read_volume(
    path: Path,
) -> Bool[np.ndarray, " frame"] | Bool[np.ndarray, "frame height width"]:
    """Read labels or masks of all frames of a clip, true where they are not 0."""
    if reason := why_unreadable(path):
        raise MaskError(f"{printable(path)} is {reason}")
    try:
        status = path.stat()
        return _volume(path, status.st_size, status.st_mtime_ns)
    except MaskError:
        raise
    except Exception as error:  # SciPy's readers raise whatever a damaged file leads them to
        raise MaskError(f"cannot read {printable(path)} as labels or masks: {error}") from error


def mask_of_frame(path: Path, frame: int) -> Bool[np.ndarray, "height width"]:
    """Mask of one frame of a volume."""
    masks = read_volume(path)
    if masks.ndim != 3 or frame >= len(masks):
        raise MaskError(f"{path} has no mask of frame {frame}: its shape is {list(masks.shape)}")
    return masks[frame]


@lru_cache(maxsize=_KEPT)
def _volume(path: Path, size: int, mtime_ns: int) -> np.ndarray:
    values = _matlab(path) if path.suffix.lower() == ".mat" else np.load(path, allow_pickle=False)
    if values.dtype.kind not in "biuf":
        raise MaskError(f"{path} holds {values.dtype}, not numbers")
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim not in (1, 3) or not values.size:
        raise MaskError(
            f"{path} has the shape {list(values.shape)}; a number per frame or "
            "[frame, height, width] is needed"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise MaskError(f"{path} has NaN values")
    if values.ndim == 1 and not np.isin(values, (0, 1)).all():
        raise MaskError(f"the labels in {path} are not all 0 or 1")
    return values != 0


def _matlab(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    found = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    if len(found) != 1:
        raise MaskError(f"{path} holds {len(found)} variables ({', '.join(found)}), not one")
    values = np.asarray(next(iter(found.values())))
    if values.dtype == object:  # a cell array, one mask a cell
        return np.stack([np.asarray(mask) for mask in values.ravel()])
    return np.moveaxis(values, -1, 0) if values.ndim == 3 else values
