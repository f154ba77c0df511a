"""Clips: folders of numbered frames or video files, and which of their frames are anomalous.

The frames of a folder are in the order of the last number of their names; frames are counted from
0.
Labels are one number per frame, masks one picture per frame: in order, whatever their own numbers
begin with. A frame without a label of its own is anomalous where its mask is not empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from lakeviz.data.clip_files import count_frames, read_volume
from lakeviz.data.files import (
    VIDEO_SUFFIXES,
    VOLUME_SUFFIXES,
    list_files,
    list_folders,
    list_images,
)
from lakeviz.data.images import mask_is_empty
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.text_tables import label_of, read_table
from lakeviz.errors import DatasetLayoutError, MaskError
from lakeviz.wording import some

ANOMALY = "anomaly"
"""Kind of defect of an anomalous frame of which no more is known."""

_AFFIX = re.compile(r"[ _-]?(?:gt|masks?|labels?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Clip:
    """Frames of one clip in order."""

    folder: Path  # or the video file
    split: str
    frames: tuple[Path, ...]
    numbers: tuple[int, ...]  # in the name of each; from 0 in a video file

    @property
    def name(self) -> str:
        """Name of its folder, or of its file without the suffix."""
        return clip_name(self.folder)

    def samples(
        self,
        category: str,
        kinds: Sequence[str] | None = None,
        masks: Sequence[Path | None] | None = None,
    ) -> list[Sample]:
        """Rows of the table; every frame is normal unless ``kinds`` says otherwise."""
        kinds = kinds or [GOOD] * len(self.frames)
        masks = masks or [None] * len(self.frames)
        return [
            Sample(path, category, self.split, kind, mask, clip=self.name, frame=frame)
            for frame, (path, kind, mask) in enumerate(zip(self.frames, kinds, masks, strict=True))
        ]


@dataclass(frozen=True)
class FrameTruth:
    """Which frames of a clip are anomalous: kinds of defect, and masks where there are.

    ``contradicted`` counts the frames that are labelled normal and have a mask that is not empty.
    """

    kinds: list[str]
    masks: list[Path | None]
    contradicted: int = 0


def read_clip(folder: Path, split: str) -> Clip:
    """Read the frames of a folder or a video file."""
    if is_video(folder):
        numbers = list(range(count_frames(folder)))
        frames = [folder.with_name(f"{folder.name}#{number}") for number in numbers]
    else:
        frames, numbers = numbered(list_images(folder))
    if not frames:
        raise DatasetLayoutError(f"the clip {folder} holds no frame")
    return Clip(folder, split, tuple(frames), tuple(numbers))


def numbered(files: Sequence[Path]) -> tuple[list[Path], list[int]]:
    """Order files by the last number of their names, which must have one step throughout."""
    found: dict[int, Path] = {}
    for path in files:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise DatasetLayoutError(f"{path} has no number in its name, which orders frames")
        number = int(digits[-1])
        if number in found:
            raise DatasetLayoutError(
                f"{found[number]} and {path} both have the number {number}; frames are ordered by "
                "the last number of their names"
            )
        found[number] = path
    numbers = sorted(found)
    steps = np.diff(np.asarray(numbers, dtype=object))
    step = min(steps, default=1)
    for before, after in pairwise(numbers):
        if after - before != step:
            raise DatasetLayoutError(
                f"frames are missing between {found[before]} and {found[after].name}; restore "
                "them, or make two clips of two folders"
            )
    return [found[n] for n in numbers], numbers


def clip_folders(parent: Path | None) -> list[Path]:
    """Sub-folders that hold frames, and video files."""
    if parent is None:
        return []
    frames = [f for f in list_folders(parent) if list_images(f)]
    found = sorted([*frames, *list_files(parent, VIDEO_SUFFIXES)])
    names: dict[str, Path] = {}
    for one in found:
        if (other := names.setdefault(clip_name(one), one)) != one:
            raise DatasetLayoutError(f"{other} and {one} are two clips of one name; rename one")
    return found


def is_video(clip: Path) -> bool:
    """Whether a clip is a video file rather than a folder of frames."""
    return clip.suffix.lower() in VIDEO_SUFFIXES and not clip.is_dir()


def clip_name(clip: Path) -> str:
    """Name of a clip: that of its folder, or of its file without the suffix."""
    return clip.stem if is_video(clip) else clip.name


def truth_files(folders: Iterable[Path | None]) -> dict[str, list[Path]]:
    """Files of labels or masks by clip: volumes, and folders of masks, one for each clip."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if folder is not None:
            for entry in [*list_files(folder, VOLUME_SUFFIXES), *list_folders(folder)]:
                found.setdefault(clip_key(entry), []).append(entry)
    return found


def clip_key(entry: Path) -> str:
    """Name under which a clip and its truth are the same: ``Test001_gt``, ``1_label.mat``, 01."""
    stem = entry.stem if entry.suffix.lower() in VOLUME_SUFFIXES else clip_name(entry)
    bare = _AFFIX.sub("", stem) or stem
    return str(int(bare)) if bare.isdecimal() else bare.casefold()


def read_truth(
    clip: Clip, files: Sequence[Path], kinds: Sequence[str] | None = None
) -> FrameTruth | None:
    """Read labels and masks of a clip; None where nothing says which frames are anomalous.

    ``files`` are volumes of labels or masks, and folders of masks. ``kinds`` are the kinds of
    defect where they are known from elsewhere.
    """
    n = len(clip.frames)
    labels: Bool[np.ndarray, " frame"] | None = None
    shown: Bool[np.ndarray, " frame"] | None = None
    masks: list[Path | None] = [None] * n
    for file in files:
        if file.is_dir():
            pictures, _ = numbered(list_images(file))
            _require_length(clip, len(pictures), "masks", file)
            shown = np.array([not mask_is_empty(p) for p in pictures], dtype=bool)
            masks = list(pictures)
            continue
        volume = read_volume(file)
        _require_length(clip, len(volume), "labels" if volume.ndim == 1 else "masks", file)
        if volume.ndim == 1:
            labels = volume
        else:
            shown = np.asarray(volume.any(axis=(1, 2)))
            masks = [file.with_name(f"{file.name}#{i}") for i in range(n)]
    if kinds is None:
        anomalous = shown if labels is None else labels
        if anomalous is None:
            return None
        kinds = [ANOMALY if one else GOOD for one in anomalous]
    normal = np.array([kind == GOOD for kind in kinds])
    return FrameTruth(list(kinds), masks, 0 if shown is None else int((normal & shown).sum()))


class LabelTable:
    """Labels of frames in a table with the columns clip, frame and label.

    ``frame`` is the number in the name of the file; a label that is no word for normal or
    anomalous is the kind of defect.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        table = read_table(path)
        if missing := [c for c in ("clip", "frame", "label") if c not in table]:
            raise DatasetLayoutError(f"{path} lacks the columns {', '.join(missing)}")
        wrong = table.loc[~table["frame"].str.fullmatch(r"\d{1,18}"), "frame"]
        if len(wrong):
            raise DatasetLayoutError(f"{path} has the frame {wrong.iloc[0]!r}, no number")
        table["frame"] = table["frame"].astype(np.int64)
        twice = table[table.duplicated(["clip", "frame"])]
        if len(twice):
            clip, frame = twice.iloc[0][["clip", "frame"]]
            raise DatasetLayoutError(f"{path} labels frame {frame} of {clip} twice")
        self._kinds: dict[str, dict[int, str]] = {
            str(clip): dict(zip(rows["frame"].tolist(), map(_kind, rows["label"])))
            for clip, rows in table.groupby("clip")
        }

    def kinds(self, clip: Clip) -> list[str] | None:
        """Kinds of defect of the frames of a clip; None where the table does not have it."""
        if clip.name not in self._kinds:
            return None
        found = self._kinds[clip.name]
        own, listed = set(clip.numbers), set(found)
        if own != listed:
            first = min(own ^ listed)
            raise MaskError(
                f"{self.path} has {len(listed)} labels for the {len(own)} frames of {clip.name}: "
                f"frame {first} has {'no label' if first in own else 'a label and no file'}"
            )
        return [found[number] for number in clip.numbers]

    def require_clips(self, clips: Iterable[str]) -> None:
        """Refuse labels of clips that are not there."""
        known = set(clips)
        if left := [clip for clip in self._kinds if clip not in known]:
            raise DatasetLayoutError(f"{self.path} labels clips that are not there: {some(left)}")


def _kind(word: str) -> str:
    label = label_of(word)
    return word if label is None else (GOOD, ANOMALY)[label]


def _require_length(clip: Clip, n: int, what: str, file: Path) -> None:
    if n != len(clip.frames):
        raise MaskError(
            f"{file} has {n} {what} and the clip {clip.folder} has {len(clip.frames)} frames; "
            "there must be one for each frame"
        )


def short_clips(clips: Iterable[Clip]) -> list[str]:
    """Say which clips have a single frame."""
    single = [clip.name for clip in clips if len(clip.frames) == 1]
    if not single:
        return []
    return [f"{len(single)} clips have a single frame, in which nothing changes: {some(single)}"]


def unused_truths(truths: Mapping[str, Sequence[Path]], clips: Iterable[Clip]) -> list[str]:
    """Say which labels or masks belong to no clip."""
    known = {clip_key(clip.folder) for clip in clips}
    left = [file for key, files in truths.items() if key not in known for file in files]
    if not left:
        return []
    return [f"{len(left)} labels or masks belong to no test clip: {some([p.name for p in left])}"]
