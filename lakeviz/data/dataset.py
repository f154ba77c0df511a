"""The data set: one table of images with a root, a licence and a fingerprint.

What its images were when a result was made is told by their contents (:func:`contents`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy.typing import ArrayLike

from lakeviz.data.fewshot import DEFAULT_DRAWS, FewShotDraw, draw, n_draws_possible
from lakeviz.data.files import file_sha256, video_frame
from lakeviz.data.images import load_image, load_mask
from lakeviz.data.table import (
    CLIP_COLUMNS,
    DEPTH_COLUMN,
    SPLITS,
    DepthFile,
    depths_of,
    frames_of,
    shuffled_within,
)
from lakeviz.errors import DataError, ImageReadError, MaskError, nearest
from lakeviz.settings import check_choice
from lakeviz.wording import some

_SHOWN = 5
_GONE = "gone"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels, masks and splits; every filter returns another ``Dataset``.

    Attributes
    ----------
    name
        Name of the reader, such as ``"mvtec"``.
    root
        Absolute folder that the sample ids are relative to.
    frame
        One row per image, sorted by sample id; see :mod:`lakeviz.data.table` for the columns.
        To be read, not changed.
    license, citation
        Terms of use and paper of the data, in a line each.
    notes
        What a reader of results should know, such as defective images with empty masks.
    """

    name: str
    root: Path
    frame: pd.DataFrame
    license: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        anomalous = int(self.labels.sum())
        return (
            f"Dataset({self.name!r}, {len(self.categories)} categories, "
            f"{len(self) - anomalous} normal, {anomalous} anomalous, root={str(self.root)!r})"
        )

    def __getitem__(self, which: Any) -> Any:
        """Return a category by name, one image by position, or several by slice or mask.

        Returns
        -------
        Dataset or dict
            Of one image the row of the table, with the decoded picture as ``"image"``.

        Raises
        ------
        DataError
            No such category.
        IndexError
            No such image.
        """
        if isinstance(which, str):
            return self.category(which)
        if isinstance(which, slice):
            return replace(self, frame=self.frame[which].reset_index(drop=True))
        if isinstance(which, int | np.integer):
            if not -len(self) <= which < len(self):
                raise IndexError(f"{self.name} has images 0 to {len(self) - 1}, not {which}")
            row = self.frame.iloc[int(which)].to_dict()
            return {"image": load_image(row["path"]), **row}
        return self.where(which)

    @property
    def categories(self) -> list[str]:
        """Names of the categories, sorted."""
        return sorted(self.frame["category"].unique())

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images: paths relative to the root, in the order of the table."""
        return self.frame["sample_id"].tolist()

    @property
    def paths(self) -> list[Path]:
        """Absolute paths of the images, in the order of the table."""
        return [Path(p) for p in self.frame["path"]]

    @property
    def frames(self) -> list[tuple[str, int]]:
        """Clip and number of each frame, in the order of the table; empty where there are none."""
        return frames_of(self.frame)

    @property
    def depths(self) -> list[DepthFile]:
        """Depth maps, in the order of the table; empty where there are none."""
        return depths_of(self.frame)

    @property
    def labels(self) -> Int[np.ndarray, " image"]:
        """0 for normal and 1 for anomalous images, in the order of the table."""
        return self.frame["label"].to_numpy(dtype=np.int64)

    @property
    def has_masks(self) -> bool:
        """Whether there are anomalous images and each of them has a mask."""
        masks = self.anomalous().frame["mask_path"]
        return len(masks) > 0 and bool(masks.notna().all())

    def where(self, keep: ArrayLike) -> Dataset:
        """Return the images where ``keep`` (one value per row) is true."""
        rows = np.asarray(keep, dtype=bool)
        return replace(self, frame=self.frame[rows].reset_index(drop=True))

    def category(self, name: str) -> Dataset:
        """Return the images of one category.

        Raises
        ------
        DataError
            No such category; the message gives the nearest names.
        """
        if name not in self.categories:
            raise DataError(unknown_category(name, self.categories, self.name))
        return self.where(self.frame["category"] == name)

    def split(self, name: str) -> Dataset:
        """Return the images of one split; empty where the data set has no such split.

        Raises
        ------
        DataError
            ``name`` is not one of train, valid and test.
        """
        check_choice("split", name, SPLITS, DataError)
        return self.where(self.frame["split"] == name)

    def shuffled_frames(self, seed: int = 0) -> Dataset:
        """Frames of each clip in random order: the control of whatever looks at time.

        Clips and numbers of frames stay; images, masks and labels change places within a clip.

        Raises
        ------
        DataError
            The images are not frames of clips.
        """
        if "clip" not in self.frame:
            raise DataError(f"the images of {self.name} are not frames of clips")
        keys = self.frame[["category", "split", "clip"]].itertuples(index=False, name=None)
        moved = self.frame.iloc[shuffled_within(list(keys), seed)].reset_index(drop=True)
        return replace(self, frame=moved.assign(frame=self.frame["frame"]))

    def evaluated(self) -> Dataset:
        """Return the images that detectors are measured on: the test split, or all without one."""
        return self.split("test") if "test" in set(self.frame["split"]) else self

    def normal(self) -> Dataset:
        """Return the normal images."""
        return self.where(self.labels == 0)

    def anomalous(self) -> Dataset:
        """Return the anomalous images."""
        return self.where(self.labels == 1)

    def mask(self, position: int, image_size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
        """Mask of the image in row ``position``: all false for a normal image.

        Parameters
        ----------
        position
            Row of the table, from 0.
        image_size
            Height and width of the image as :func:`lakeviz.data.load_image` gives it, in pixels.

        Raises
        ------
        MaskError
            The image is anomalous and has no mask, or the mask is unreadable or of another size.
        """
        row = self.frame.iloc[position]
        if row["label"] == 0:
            return np.zeros(image_size, dtype=bool)
        if row["mask_path"] is None:
            raise MaskError(f"{row['path']} is anomalous and has no mask")
        return load_mask(row["mask_path"], image_size, image_path=row["path"])

    def few_shot(self, shots: int | str | None, seed: int = 0, number: int = 0) -> FewShotDraw:
        """Draw normal images of the training split; see :func:`lakeviz.data.fewshot.draw`."""
        return draw(self, shots, seed, number)

    def few_shot_draws(
        self, shots: int | str | None, seed: int = 0, draws: int | None = None
    ) -> list[FewShotDraw]:
        """Draw normal images several times; no two draws share an image.

        Parameters
        ----------
        shots, seed
            As for :meth:`few_shot`, which is the first of them.
        draws
            How many; by default 5, or as many as the normal images allow.

        Raises
        ------
        FewShotError
            The normal images do not allow as many.
        """
        n = min(DEFAULT_DRAWS, n_draws_possible(self, shots)) if draws is None else draws
        return [draw(self, shots, seed, number) for number in range(n)]

    def summary(self) -> pd.DataFrame:
        """Number of normal and anomalous images by category and split."""
        counts = pd.crosstab([self.frame["category"], self.frame["split"]], self.frame["label"])
        counts = counts.reindex(columns=[0, 1], fill_value=0)
        counts.columns = pd.Index(["normal", "anomalous"])
        return counts.reset_index()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted rows: names, labels, splits, and content of images and masks.

        Independent of where the root lies and of the order of the files; reads every file once.

        Raises
        ------
        ImageReadError
            A file of the table cannot be read.
        """
        digest = hashlib.sha256()
        for row in self.frame.sort_values("sample_id").to_dict("records"):
            image = Path(row["path"])
            file = (video_frame(image) or (image, 0))[0]
            content = file_sha256(image)
            mask = file_sha256(row["mask_path"]) if row["mask_path"] else None
            keys = ("sample_id", "label", "defect_type", "category", "split")
            record = [*(row[k] for k in keys), file.stat().st_size, content, mask]
            record += [row[k] for k in CLIP_COLUMNS if k in row]
            if DEPTH_COLUMN in row:
                record.append(file_sha256(row[DEPTH_COLUMN]))
            digest.update(json.dumps(record).encode() + b"\n")
        return digest.hexdigest()


def unknown_category(name: str, known: Sequence[str], dataset: str) -> str:
    """Message for a category that is not there."""
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"{dataset} has no category {name!r}{nearest(name, known)}; it has {listed or 'none'}"


def contents(dataset: Dataset) -> dict[str, str]:
    """Content of every image of a data set: SHA-256 of the image and of its mask, by sample id.

    A file that cannot be opened counts as gone.
    """
    found = {}
    for row in dataset.frame.to_dict("records"):
        mask = _content(row["mask_path"]) if row["mask_path"] else "-"
        found[row["sample_id"]] = f"{_content(row['path'])} {mask} {row['defect_type']}"
        if DEPTH_COLUMN in row:
            found[row["sample_id"]] += f" {_content(row[DEPTH_COLUMN])}"
    return found


def _content(path: str | Path) -> str:
    try:
        return file_sha256(path)
    except ImageReadError:
        return _GONE


def contents_of(sample_ids: Sequence[str], paths: Sequence[Path]) -> dict[str, str]:
    """Content of single files: their SHA-256, by sample id, or that it is gone."""
    return {name: _content(path) for name, path in zip(sample_ids, paths, strict=True)}


def changes(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name what is not as it was, as "a.png (changed)", "(gone)" or "(new)"."""
    changed = [
        f"{name} ({'gone' if now.get(name, _GONE).startswith(_GONE) else 'changed'})"
        for name, content in was.items()
        if now.get(name) != content
    ]
    return changed + [f"{name} (new)" for name in now if name not in was]


def require_unchanged(was: Mapping[str, str], now: Mapping[str, str], what: str) -> None:
    """Refuse images that have changed since a result was made.

    Raises
    ------
    DataError
        Names them, and says what to do.
    """
    found = changes(was, now)
    if found:
        raise DataError(
            f"{len(found)} of the {what} are not those of the run: {some(found, _SHOWN)}"
            "; put them back as they were, or run again into another folder"
        )
