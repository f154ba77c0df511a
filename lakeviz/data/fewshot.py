"""Few-shot draws: the normal images that a detector is fitted on, seeded and kept as a text file.

A manifest is UTF-8 text with one image a line, relative to the root of the data set with ``/`` (or
absolute). Empty lines and lines that begin with ``#`` are comments; ``# key: value`` lines of the
head record the data set, category, seed and size of the pool that was drawn from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lakeviz.data.files import is_file
from lakeviz.data.table import (
    DepthFile,
    ImageTable,
    depths_of,
    frames_of,
    sample_id,
    shuffled_within,
)
from lakeviz.errors import FewShotError, OutputError
from lakeviz.files import write_text

DEFAULT_DRAWS = 5
"""Draws of the normal images in a run, where the images allow as many."""

_TITLE = "# lakeviz few-shot manifest: normal images, one a line, relative to the root"
_HEADER = re.compile(r"#\s*(\w+):\s*(.*)")


@dataclass(frozen=True)
class FewShotDraw:
    """The normal images of one category that a detector is fitted on.

    Attributes
    ----------
    dataset, category
        Names of the data set and of the category.
    seed
        Seed of the draw; None if the images were listed by hand.
    pool_size
        Number of normal training images, or clips, that were drawn from; None if listed by hand.
    sample_ids
        The images, in the order of the draw.
    paths
        Their absolute paths, in the same order.
    frames
        Clip and number of each, where they are frames of clips; see :attr:`Dataset.frames`.
    depths
        Their depth maps, where there are any.
    """

    dataset: str
    category: str
    seed: int | None
    pool_size: int | None
    sample_ids: tuple[str, ...]
    paths: tuple[Path, ...]
    frames: tuple[tuple[str, int], ...] = ()
    depths: tuple[DepthFile, ...] = ()

    @property
    def shots(self) -> int:
        """Number of images."""
        return len(self.sample_ids)

    def __len__(self) -> int:
        return self.shots

    def shuffled_frames(self, seed: int = 0) -> FewShotDraw:
        """Put the frames of each clip in random order, as :meth:`Dataset.shuffled_frames` does.

        Raises
        ------
        FewShotError
            The images are not frames of clips.
        """
        if not self.frames:
            raise FewShotError(f"the images drawn of {self.category} are not frames of clips")
        order = shuffled_within([clip for clip, _ in self.frames], seed)
        moved = {
            name: tuple(values[row] for row in order) if (values := getattr(self, name)) else ()
            for name in ("sample_ids", "paths", "depths")
        }
        return replace(self, **moved)

    def to_manifest(self, path: str | Path) -> Path:
        """Write the images as a text file that :meth:`from_manifest` reads back.

        Raises
        ------
        OutputError
            The file cannot be written; nothing half-written stays behind.
        """
        path = Path(path)
        header = {
            "dataset": self.dataset,
            "category": self.category,
            "seed": self.seed,
            "shots": self.shots,
            "pool_size": self.pool_size,
        }
        lines = [_TITLE, *(f"# {k}: {v}" for k, v in header.items() if v is not None)]
        lines += [_escape(name) for name in self.sample_ids]
        write_text(path, "\n".join(lines) + "\n")
        return path

    @classmethod
    def from_manifest(cls, path: str | Path, dataset: ImageTable) -> FewShotDraw:
        """Read a list of images, checked against the data set they are for.

        Images that the data set knows must be normal, of one category, and not in its test split.
        Other files may be listed too (absolute, or relative to the root), if they exist.

        Raises
        ------
        FewShotError
            The list is empty or unreadable, or an image is missing, repeated, anomalous, a test
            image or of another category; the message names the line.
        """
        path = Path(path)
        header, entries = _parse(_read(path))
        paths, categories = _listed(dataset, entries, str(path))
        if not paths:
            raise FewShotError(f"{path} lists no image")
        category = _one_category(path, categories, header, dataset)
        seed, pool_size = (_integer(header, key, path) for key in ("seed", "pool_size"))
        return _drawn(dataset, category, seed, pool_size, paths)

    @classmethod
    def from_listed(cls, images: Sequence[str | Path], dataset: ImageTable) -> FewShotDraw:
        """Take images named by hand, checked as :meth:`from_manifest` checks them.

        Parameters
        ----------
        images
            Sample ids or absolute paths.
        dataset
            A data set of one category.

        Raises
        ------
        FewShotError
            As :meth:`from_manifest`.
        """
        entries = list(enumerate(map(str, images), start=1))
        paths, categories = _listed(dataset, entries, "the list of images")
        if not paths:
            raise FewShotError("no normal image was listed")
        category = _one_category("the list", categories, {}, dataset)
        return _drawn(dataset, category, None, None, paths)


def _listed(
    dataset: ImageTable, entries: Sequence[tuple[int, str]], source: str
) -> tuple[dict[str, Path], dict[str, str]]:
    """Paths by sample id, and where each category was first met."""
    known = {row["sample_id"]: row for row in dataset.frame.to_dict("records")}
    paths: dict[str, Path] = {}
    categories: dict[str, str] = {}
    for number, entry in entries:
        place = f"{source}, line {number}"
        file = dataset.root / entry  # an absolute entry replaces the root
        name = sample_id(Path(os.path.normpath(file)), dataset.root)
        if name in paths:
            raise FewShotError(f"{place}: {entry} is listed twice")
        row = known.get(name)
        if row is not None:
            _check_row(row, place)
            categories.setdefault(row["category"], place)
        elif not is_file(file):
            raise FewShotError(f"{place}: {file} does not exist")
        paths[name] = Path(row["path"]) if row is not None else file
    return paths, categories


def n_draws_possible(dataset: ImageTable, shots: int | str | None) -> int:
    """Number of draws of ``shots`` normal images that share no image; 1 for the whole pool."""
    if shots in (None, "all"):
        return 1
    return max(1, len(_pool(dataset)) // max(1, int(shots)))


def _pool(dataset: ImageTable) -> list[pd.DataFrame]:
    """Normal images of the training split, or whole clips of them, sorted by name."""
    train = dataset.frame.loc[dataset.frame["split"] == "train"]
    if "clip" not in train:
        normal = train.loc[train["label"] == 0].sort_values("sample_id")
        return [normal.iloc[i : i + 1] for i in range(len(normal))]
    clips = train.sort_values(["clip", "frame"]).groupby("clip")
    return [frames for _, frames in clips if frames["label"].max() == 0]


def draw(
    dataset: ImageTable, shots: int | str | None, seed: int = 0, number: int = 0
) -> FewShotDraw:
    """Draw ``shots`` normal images of the training split of a data set of one category.

    The pool is sorted by sample id and permuted by ``numpy.random.default_rng(seed)``; the draw is
    the first ``shots`` of it. So for one seed the draw of 1 is the start of the draw of 4, and
    neither other categories nor the order of the file system matter. Further draws of the same seed
    (``number`` 1, 2, ...) take the images that follow, so that no two draws share one.

    Where the images are frames of clips, whole clips are drawn, each with its frames in order.

    Parameters
    ----------
    dataset
        Images of a single category.
    shots
        Number of images, or of clips where there are any; ``"all"`` or None takes the whole pool,
        in the same permuted order.
    seed
        Seed of the permutation, a non-negative integer.
    number
        Which draw of this seed, from 0.

    Raises
    ------
    FewShotError
        More than one category, no normal training image, or fewer than asked.
    """
    if len(dataset.categories) != 1:
        raise FewShotError(
            f"a few-shot draw is of one category; {dataset.name} has {len(dataset.categories)}: "
            "choose one with .category(name)"
        )
    category = dataset.categories[0]
    pool = _pool(dataset)
    what = "clip" if "clip" in dataset.frame else "image"
    if len(pool) == 0:
        raise FewShotError(f"{dataset.name}/{category} has no normal {what} in its train split")
    count = len(pool) if shots in (None, "all") else shots
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise FewShotError(f"shots must be a positive integer or 'all', got {shots!r}")
    if count > len(pool):
        raise FewShotError(
            f"{count} shots asked of {dataset.name}/{category}, which has {len(pool)} normal "
            f"training {what}{'s' * (len(pool) != 1)}; ask for fewer or for 'all'"
        )
    possible = len(pool) // count
    if not 0 <= number < possible:
        raise FewShotError(
            f"more draws of {count} {what}s were asked of {dataset.name}/{category} than the "
            f"{possible} that share no {what}, with {len(pool)} normal training {what}s; ask for "
            f"{possible} at most"
        )
    order = np.random.default_rng(seed).permutation(len(pool))
    chosen = pd.concat([pool[i] for i in order[number * count : (number + 1) * count]])
    paths = dict(zip(chosen["sample_id"], map(Path, chosen["path"])))
    return _drawn(dataset, category, seed, len(pool), paths)


def _drawn(
    dataset: ImageTable,
    category: str,
    seed: int | None,
    pool_size: int | None,
    paths: Mapping[str, Path],
) -> FewShotDraw:
    """The draw of images, with frames and depth maps where the table has them of all."""
    rows = dataset.frame.set_index("sample_id")
    listed = list(paths) if set(paths) <= set(rows.index) else []
    rows = rows.reindex(index=pd.Index(listed, dtype=object))
    return FewShotDraw(
        dataset.name,
        category,
        seed,
        pool_size,
        tuple(paths),
        tuple(paths.values()),
        tuple(frames_of(rows)),
        tuple(depths_of(rows)),
    )


def _escape(name: str) -> str:
    if name != name.strip() or "\n" in name or "\r" in name:
        raise OutputError(
            f"{name!r} cannot stand in a manifest: its name has outer spaces or breaks"
        )
    return f"./{name}" if name.startswith("#") else name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FewShotError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FewShotError(f"{path} is not a text file in UTF-8") from error


def _parse(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    header: dict[str, str] = {}
    entries: list[tuple[int, str]] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if line.startswith("#"):
            if match := _HEADER.fullmatch(line):
                header[match[1]] = match[2]
        elif line:
            entries.append((number, line))
    return header, entries


def _check_row(row: Mapping, place: str) -> None:
    if row["label"] != 0:
        raise FewShotError(f"{place}: {row['sample_id']} is anomalous ({row['defect_type']})")
    if row["split"] == "test":
        raise FewShotError(
            f"{place}: {row['sample_id']} is a test image, which fitting must not see"
        )


def _one_category(
    path: str | Path, categories: Mapping[str, str], header: Mapping[str, str], dataset: ImageTable
) -> str:
    if len(categories) > 1:
        (first, _), (second, place) = list(categories.items())[:2]
        raise FewShotError(f"{place}: an image of {second} among images of {first}")
    if categories:
        return next(iter(categories))
    if len(dataset.categories) == 1:
        return dataset.categories[0]
    if header.get("category") in dataset.categories:
        return header["category"]
    raise FewShotError(
        f"{path} lists no image of {dataset.name}: say whose they are with a line "
        "'# category: NAME'"
    )


def _integer(header: Mapping[str, str], key: str, path: str | Path) -> int | None:
    if key not in header:
        return None
    try:
        return int(header[key])
    except ValueError:
        raise FewShotError(f"{path}: {key} must be an integer, got {header[key]!r}") from None
