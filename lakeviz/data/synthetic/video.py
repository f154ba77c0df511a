"""The synthetic video benchmark: two lanes that run side by side at one speed.

Every lane shows an endless strip, the same in all clips of a scene, with slats, which are sharp in
front and fade behind, and with small things that lie on it. Any offset of a strip is normal, so no
single frame shows what is wrong in time; appearance defects lie on a strip and run with it. A mask
covers the defect, or the lane whose motion is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from lakeviz.data.synthetic.benchmark import save_picture
from lakeviz.data.synthetic.defects import DEFECTS, Scene, apply_defect, to_uint8
from lakeviz.data.synthetic.fields import value_noise
from lakeviz.data.synthetic.scenes import OBJECTS
from lakeviz.data.table import GOOD
from lakeviz.errors import ConfigError
from lakeviz.settings import check_choice

TEMPORAL = ("stop", "jump", "reversal", "speed", "flicker", "order")
"""Kinds of defect that no single frame shows."""

DIRT = "dirt"
"""A blot on the lens, which stands still in all frames of its clip."""

APPEARANCE = (*DEFECTS, DIRT)
"""Kinds of defect that single frames show; all but the blot on the lens run with a lane."""

SCENES = ("belt", "web")
"""The lanes of a belt run to the right and carry things; those of a web run down and are empty."""

_SPLITS = ("train", "test")
_LANES = 2
_LAPS = 3  # length of a strip, in sides of the frame
_SPEED = 1 / 48  # sides of the frame per frame
_THINGS = ("washer", "button", "hex_nut")
_LIGHT = (0.9, 1.1)  # of a clip; a flickering lane has another light of this range in each frame
_JUMP_EVERY = 4
_JUMP = 0.4


@dataclass(frozen=True)
class VideoClip:
    """One rendered clip with its masks, and the kind of defect of each frame."""

    frames: UInt8[np.ndarray, "frame height width 3"]
    masks: Bool[np.ndarray, "frame height width"]
    kinds: tuple[str, ...]


def render_clip(
    scene: str,
    split: str,
    index: int,
    kind: str = GOOD,
    *,
    n_frames: int = 40,
    size: int = 96,
    seed: int = 0,
) -> VideoClip:
    """Render one clip; the same arguments always give the same clip.

    Parameters
    ----------
    scene
        One of :data:`SCENES`.
    split, index
        Name the clip's own random stream.
    kind
        ``"good"``, or one of :data:`TEMPORAL` (in the third quarter of the clip) or
        :data:`APPEARANCE` (a defect that enters the frame in the middle of the clip, or dirt,
        which is there from the first frame on).
    n_frames
        At least 16.
    size
        Side of the frames in pixels.
    seed
        Of the whole benchmark.

    Raises
    ------
    ConfigError
        Unknown scene, split or kind, or too few frames.
    """
    check_choice("scene", scene, SCENES)
    check_choice("split", split, _SPLITS)
    check_choice("kind of defect", kind, (GOOD, *TEMPORAL, *APPEARANCE))
    if n_frames < 16:
        raise ConfigError(f"n_frames must be at least 16, got {n_frames}")
    key = (seed, SCENES.index(scene), _SPLITS.index(split), index)
    # What goes wrong has a stream of its own: all else is as in the normal clip of this index.
    rng, own = np.random.default_rng(np.random.SeedSequence(key)).spawn(2)
    height = size // _LANES
    shared = np.random.default_rng(np.random.SeedSequence(key[:2]))
    strips = [_strip(shared, height, _LAPS * size, scene == "belt") for _ in range(_LANES)]
    light = np.full((n_frames, _LANES), rng.uniform(*_LIGHT), dtype=np.float32)
    speed = size * _SPEED * rng.uniform(0.95, 1.05)
    start = rng.uniform(0, _LAPS * size, _LANES)
    offsets = start - speed * np.arange(n_frames)[:, None]  # the window moves against the strip
    wrong, lane = int(own.integers(_LANES)), slice(0, 0)
    event = slice(n_frames // 2, 3 * n_frames // 4)
    bad = np.zeros((_LANES, height, _LAPS * size), dtype=bool)
    blot = np.zeros((size, size), dtype=bool)
    if kind in TEMPORAL:
        _disturb(own, kind, offsets[:, wrong], light[:, wrong], event, speed, size)
        lane = slice(wrong * height, (wrong + 1) * height)
    elif kind == DIRT:
        blot = _blot(own, size)
    elif kind != GOOD:
        # Its front edge is just outside of the frame when the event begins.
        _paint(own, kind, strips[wrong], bad[wrong], int(offsets[event.start, wrong]) - height)
    frames = np.empty((n_frames, size, size, 3), dtype=np.uint8)
    masks = np.zeros((n_frames, size, size), dtype=bool)
    masks[event, lane] = True
    for t in range(n_frames):
        rows = [_window(s, x, size) * lit for s, x, lit in zip(strips, offsets[t], light[t])]
        picture = np.zeros((size, size, 3), dtype=np.float32)
        picture[: _LANES * height] = np.concatenate(rows)
        picture[height - 1 : _LANES * height : height] = 0.08  # rails
        picture[blot] = (0.25, 0.12, 0.05)
        frames[t] = to_uint8(np.clip(picture + rng.normal(0, 0.008, picture.shape), 0, 1))
        shown = np.concatenate([_window(b, x, size) > 0.5 for b, x in zip(bad, offsets[t])])
        masks[t, : _LANES * height] |= shown
        masks[t] |= blot
    if scene == "web":
        frames, masks = frames.swapaxes(1, 2), masks.swapaxes(1, 2)
    kinds = tuple(kind if mask.any() else GOOD for mask in masks)
    return VideoClip(frames, masks, kinds)


def write_video_benchmark(
    root: str | Path,
    *,
    scenes: Sequence[str] = SCENES,
    kinds: Sequence[str] = (*TEMPORAL, *APPEARANCE),
    n_train: int = 4,
    n_good: int = 2,
    n_per_defect: int = 1,
    n_frames: int = 40,
    size: int = 96,
    seed: int = 0,
) -> Path:
    """Write the video benchmark as a folder of clips, so that the ordinary reader reads it.

    Parameters
    ----------
    root
        Folder to write to; a folder is made in it for each scene, with ``train/CLIP``,
        ``test/CLIP``, ``masks/CLIP.npy`` and ``labels.csv``.
    scenes, kinds
        See :func:`render_clip`.
    n_train, n_good, n_per_defect
        Normal training clips, normal test clips, and test clips per kind of defect.
    n_frames, size, seed
        See :func:`render_clip`.

    Returns
    -------
    Path
        ``root``.
    """
    root = Path(root)
    for scene in scenes:
        jobs = [("train", GOOD, i) for i in range(n_train)]
        each = [(GOOD, n_good), *((kind, n_per_defect) for kind in kinds)]
        jobs += [("test", kind, 100 * k + i) for k, (kind, n) in enumerate(each) for i in range(n)]
        labels = ["clip,frame,label"]
        for split, kind, index in jobs:
            clip = render_clip(scene, split, index, kind, n_frames=n_frames, size=size, seed=seed)
            name = f"{kind}_{index % 100:02d}"
            for t, frame in enumerate(clip.frames):
                file = root / scene / split / name / f"{t:04d}.png"
                save_picture(file, frame, compress_level=1)
            if split == "test":
                masks = root / scene / "masks"
                masks.mkdir(exist_ok=True)
                np.save(masks / f"{name}.npy", clip.masks)
                labels += [f"{name},{t},{k}" for t, k in enumerate(clip.kinds)]
        (root / scene / "labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return root


def _strip(
    rng: np.random.Generator, height: int, length: int, things: bool
) -> Float[np.ndarray, "height length 3"]:
    """Paint an endless strip: slats that fade against the motion, and things that lie on it."""
    x = np.arange(length, dtype=np.float32)
    tone = np.full(length, 0.3, dtype=np.float32)
    place = 0.0
    while place < length:
        # The strip runs to the right: a slat is sharp on its right and fades to its left.
        behind = np.mod(place - x, length)
        tone += rng.uniform(0.25, 0.4) * np.exp(-behind / (0.35 * height))
        place += height * rng.uniform(0.6, 1.0)
    grain = np.concatenate([value_noise(rng, height, 12, 12) for _ in range(length // height)], 1)
    grain = np.pad(grain, ((0, 0), (0, length - grain.shape[1])), mode="wrap")
    colour = np.array([0.95, 0.9, 0.8] if things else [0.75, 0.9, 1.0], dtype=np.float32)
    strip = (tone + 0.03 * grain)[..., None] * colour
    for place in np.arange(0, length - height, 2.5 * height) if things else ():
        picture, cover = OBJECTS[str(rng.choice(_THINGS))](rng, height)
        at = slice(int(place), int(place) + height)
        strip[:, at] += cover[..., None] * (0.8 * picture - strip[:, at])
    return strip


def _window(strip: np.ndarray, offset: float, width: int) -> np.ndarray:
    """Cut a window of an endless strip at any offset, between pixels by interpolation."""
    columns = np.arange(width) + int(np.floor(offset))
    part = np.float32(offset - np.floor(offset))
    left = strip.take(columns, axis=1, mode="wrap")
    return (1 - part) * left + part * strip.take(columns + 1, axis=1, mode="wrap")


def _disturb(
    rng: np.random.Generator,
    kind: str,
    offsets: Float[np.ndarray, " frame"],
    light: Float[np.ndarray, " frame"],
    event: slice,
    speed: float,
    size: int,
) -> None:
    """Change in place how a lane moves during the event; afterwards it runs on as before."""
    n = event.stop - event.start
    if kind == "flicker":
        light[event] = rng.permutation(np.linspace(*_LIGHT, n))
        return
    if kind == "order":
        offsets[event] = rng.permutation(offsets[event])
        return
    factor = {"stop": 0.0, "reversal": -1.0, "speed": 2.5, "jump": 1.0}[kind]
    steps = np.full(n, -factor * speed)
    if kind == "jump":
        steps[::_JUMP_EVERY] -= _JUMP * size
    path = offsets[event.start - 1] + np.cumsum(steps)
    offsets[event.stop :] += path[-1] - offsets[event.stop - 1]
    offsets[event] = path


def _blot(rng: np.random.Generator, size: int) -> Bool[np.ndarray, "height width"]:
    """Region of an uneven blot somewhere on the frame."""
    y, x = np.mgrid[:size, :size] / size
    where, radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.06, 0.1)
    distance = np.hypot(x - where[0], y - where[1])
    return distance < radius * (1 + 0.25 * value_noise(rng, size, 10, 10))


def _paint(
    rng: np.random.Generator, kind: str, strip: np.ndarray, bad: np.ndarray, column: int
) -> None:
    """Paint a defect on a strip in place, on a square around a column; mark it in ``bad``."""
    height, length = bad.shape
    columns = (column + np.arange(height)) % length
    # Defects have the size that they would have on a picture of twice the height of the lane.
    edge = height // 2
    inside = (slice(edge, edge + height),) * 2
    wide = np.pad(np.clip(strip[:, columns], 0, 1), ((edge, edge), (edge, edge), (0, 0)), "reflect")
    foreground = np.zeros(wide.shape[:2], dtype=bool)
    foreground[edge : edge + height, 2 * edge : edge + height] = True  # its front half
    backing = np.broadcast_to(1 - wide.mean(axis=(0, 1)), wide.shape).astype(np.float32)
    image, mask = apply_defect(rng, Scene(wide, foreground, backing), kind)
    painted = image[inside] / np.float32(255)
    strip[:, columns] = np.where(mask[inside][..., None], painted, strip[:, columns])
    bad[:, columns] = mask[inside]
