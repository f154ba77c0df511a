"""The table that every reader fills: a row per image, the same columns for every data set.

======================  ==========================================================================
``path``                absolute path of the image
``label``               0 normal, 1 anomalous
``defect_type``         kind of defect; ``"good"`` exactly where the label is 0
``mask_path``           absolute path of the mask (or folder of masks of this image), or None
``category``            kind of object or texture
``split``               ``"train"``, ``"valid"`` or ``"test"``
``sample_id``           path relative to the root with ``/``, the name of the image everywhere
======================  ==========================================================================

Where images are frames of clips, or have a depth map, there are further columns:

======================  ==========================================================================
``clip``, ``frame``     name of the clip within its category and split, and number of the frame
``depth_path``          absolute path of the depth map or point cloud
``depth_normals``       paths of the normal training depth maps of its category that say in which
                        units it is drawn; at most 10, evenly spaced
======================  ==========================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from jaxtyping import Int

from lakeviz.data.masks import require_own_masks
from lakeviz.errors import DatasetLayoutError, MaskError
from lakeviz.settings import check_choice
from lakeviz.wording import some

GOOD = "good"
SPLITS = ("train", "valid", "test")
COLUMNS = ("path", "label", "defect_type", "mask_path", "category", "split", "sample_id")
CLIP_COLUMNS, DEPTH_COLUMN, DEPTH_NORMALS = ("clip", "frame"), "depth_path", "depth_normals"
_MOST_NORMALS = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One image as a reader found it; normal exactly if ``defect_type`` is ``"good"``.

    A frame of a clip names the clip and its number there; a depth map belongs to the same scene.
    """

    path: Path
    category: str
    split: str
    defect_type: str = GOOD
    mask: Path | None = None
    clip: str | None = None
    frame: int | None = None
    depth: Path | None = None


@dataclass(frozen=True)
class DepthFile:
    """A depth map (or point cloud), and the normal ones that say in which units it is drawn."""

    path: Path
    normal: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that its renderings depend on."""
        return (self.path, *self.normal)


class ImageTable(Protocol):
    """What a few-shot draw needs of a data set."""

    @property
    def name(self) -> str:
        """Name of its reader."""
        ...

    @property
    def root(self) -> Path:
        """Folder that sample ids are relative to."""
        ...

    @property
    def frame(self) -> pd.DataFrame:
        """The table, one row per image."""
        ...

    @property
    def categories(self) -> list[str]:
        """Names of its categories, sorted."""
        ...


def frames_of(frame: pd.DataFrame) -> list[tuple[str, int]]:
    """Clip and number of each frame of a table; empty where there are none.

    The clip is named with its split, since both splits may call their clips alike.
    """
    if "clip" not in frame:
        return []
    rows = frame[["split", *CLIP_COLUMNS]].itertuples(index=False)
    return [(f"{split}/{clip}", int(number)) for split, clip, number in rows]


def shuffled_within(clips: Sequence[Hashable], seed: int) -> Int[np.ndarray, " image"]:
    """Positions of images in random order within each clip."""
    rows: dict[Hashable, list[int]] = {}
    for row, clip in enumerate(clips):
        rows.setdefault(clip, []).append(row)
    generator, order = np.random.default_rng(seed), np.arange(len(clips))
    for own in rows.values():
        order[own] = generator.permutation(own)
    return order


def depths_of(frame: pd.DataFrame) -> list[DepthFile]:
    """Depth maps of a table; empty where there are none."""
    if DEPTH_COLUMN not in frame:
        return []
    rows = zip(frame[DEPTH_COLUMN], frame[DEPTH_NORMALS], strict=True)
    return [DepthFile(Path(path), tuple(map(Path, normal))) for path, normal in rows]


def sample_id(path: Path, root: Path) -> str:
    """Path of an image relative to ``root``, with ``/``; absolute if it lies elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def build_frame(samples: Iterable[Sample], root: Path) -> pd.DataFrame:
    """Turn samples into the table, sorted by sample id; frames by their number within a clip."""
    samples = list(samples)
    rows = [
        {
            "path": str(s.path),
            "label": int(s.defect_type != GOOD),
            "defect_type": s.defect_type,
            "mask_path": str(s.mask) if s.mask and s.defect_type != GOOD else None,
            "category": s.category,
            "split": s.split,
            "sample_id": sample_id(s.path, root),
        }
        for s in samples
    ]
    if not rows:
        raise DatasetLayoutError(f"no image found under {root}")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    # Object, because pandas 3 would turn None into NaN in a column of strings.
    frame["mask_path"] = pd.Series([r["mask_path"] for r in rows], dtype=object)
    order = ["sample_id"]
    if _all_or_none([s.clip for s in samples], frame, "clip"):
        frame["clip"] = [s.clip for s in samples]
        frame["frame"] = [s.frame for s in samples]
        order = ["category", "split", "clip", "frame"]
    if _all_or_none([s.depth for s in samples], frame, "depth map"):
        frame[DEPTH_COLUMN] = [str(s.depth) for s in samples]
        normals = {c: _depth_normals(f) for c, f in frame.groupby("category")}
        frame[DEPTH_NORMALS] = [normals[s.category] for s in samples]
    _check_frame(frame)
    return frame.sort_values(order, ignore_index=True)


def _depth_normals(frame: pd.DataFrame) -> tuple[str, ...]:
    """Depth maps of some normal training images of a category, evenly spaced."""
    normal = (frame["split"] == "train") & (frame["label"] == 0)
    paths = sorted(frame.loc[normal, DEPTH_COLUMN])
    return tuple(paths[:: max(1, -(-len(paths) // _MOST_NORMALS))])


def _all_or_none(values: Sequence[object], frame: pd.DataFrame, what: str) -> bool:
    """Whether all images have something; that only some have it is an error."""
    lacking = [i for i, value in enumerate(values) if value is None]
    if lacking and len(lacking) < len(values):
        raise DatasetLayoutError(
            f"{len(lacking)} of {len(values)} images have no {what}, such as "
            f"{frame['sample_id'].iloc[lacking[0]]}"
        )
    return not lacking


def _check_frame(frame: pd.DataFrame) -> None:
    repeated = frame.loc[frame["sample_id"].duplicated(), "sample_id"]
    if len(repeated):
        raise DatasetLayoutError(f"{repeated.iloc[0]} is listed more than once")
    for split, rows in frame.groupby("split"):
        first = rows["sample_id"].iloc[0]
        check_choice(f"the split of {first}", split, SPLITS, DatasetLayoutError)


def check_masks(
    samples: Sequence[Sample],
    on_missing_mask: str,
    looked_for: str,
    unused: Mapping[str, Sequence[Path]],
) -> list[str]:
    """Apply the rules for defective images and their masks, and say what is odd in each category.

    A category without any mask is a set labelled at image level and passes. Where there are masks,
    a defective image without one is an error, unless ``on_missing_mask`` is ``"none"``.
    """
    check_choice("on_missing_mask", on_missing_mask, ("error", "none"))
    defective = sorted(
        (s for s in samples if s.defect_type != GOOD), key=lambda s: (s.category, s.path)
    )
    require_own_masks((s.path, s.mask) for s in defective if s.mask)
    notes = []
    for category, members in groupby(defective, key=lambda s: s.category):
        group = list(members)
        missing = [s for s in group if s.mask is None]
        left = list(unused.get(category, ()))
        if left and not missing:
            notes.append(f"{category}: {len(left)} masks belong to no image: {some(left)}")
        if not missing or (len(missing) == len(group) and not left):
            continue
        message = (
            f"{len(missing)} of {len(group)} defective images of {category} have no mask "
            f"(looked for {looked_for}): {some([s.path for s in missing])}"
        )
        if left:
            message += f"; {len(left)} masks belong to no image: {some(left)}"
        if on_missing_mask == "error":
            raise MaskError(
                f"{message}; on_missing_mask='none' (--reader on_missing_mask=none) reads them "
                "without"
            )
        logger.warning("%s", message)
        notes.append(message)
    return notes


def missing_normals(samples: Iterable[Sample]) -> list[str]:
    """Say which categories have a test split without a normal image."""
    test = [s for s in samples if s.split == "test"]
    normal = {s.category for s in test if s.defect_type == GOOD}
    return [
        f"{category}: the test split has no normal image, so that nothing can be measured at the "
        "image level; folders and labels of normal images are called "
        "good, normal, ok, 0, ..."
        for category in sorted({s.category for s in test} - normal)
    ]
