"""Any CSV file or DataFrame with one image a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.data.dataset import Dataset
from lakeviz.data.files import is_utf8, printable, train_part, why_unreadable
from lakeviz.data.registry import Reading, as_names, assemble, choose, register_reader
from lakeviz.data.table import GOOD, SPLITS, Sample, sample_id
from lakeviz.data.text_tables import known_labels, label_of, plain, read_table, split_of
from lakeviz.errors import ConfigError, DatasetLayoutError
from lakeviz.settings import check_choice

_DEFECT = "anomaly"
_COLUMNS = ("path", "label", "defect_type", "mask", "category", "split")


@dataclass(frozen=True)
class TableRules:
    """How a table is understood.

    Parameters
    ----------
    path_column
        Column of the images.
    label_column
        Column of the labels.
    defect_type_column
        Column of the kinds of defect.
    mask_column
        Column of the masks, as paths.
    category_column
        Column of the categories.
    split_column
        Column of the splits.
    normal
        Further words of labels and kinds of defect that say normal.
    anomalous
        Further words that say anomalous.
    label_threshold
        Labels are numbers, and anomalous from this one on (0.5 for probabilities).
    split_seed
        Seed of the split, where there is no column of splits.
    train_fraction
        Share of the normal images of each category that trains, where there is no such column.
    """

    path_column: str = "path"
    label_column: str = "label"
    defect_type_column: str = "defect_type"
    mask_column: str = "mask"
    category_column: str = "category"
    split_column: str = "split"
    normal: str | Iterable[str] = ()
    anomalous: str | Iterable[str] = ()
    label_threshold: float | None = None
    split_seed: int = 0
    train_fraction: float = 0.5

    def __post_init__(self) -> None:
        if self.label_threshold is not None and not math.isfinite(self.label_threshold):
            raise ConfigError(f"label_threshold must be finite, got {self.label_threshold}")

    def renamed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that are used, under their usual names."""
        wanted = {name: getattr(self, f"{name}_column") for name in _COLUMNS}
        for name, column in wanted.items():
            if column != name and column not in frame:
                raise ConfigError(
                    f"{name}_column: no column {column!r}; there are "
                    f"{', '.join(map(str, frame.columns)) or 'none'}"
                )
        if wanted["mask"] == "mask" and "mask" not in frame:
            wanted["mask"] = "mask_path"
        return pd.DataFrame({n: frame[c] for n, c in wanted.items() if c in frame})

    def word(self, value: str) -> int | None:
        """Label that a word says: one of those given, or of those that all readers know."""
        for label, words in enumerate((self.normal, self.anomalous)):
            if plain(value) in map(plain, as_names(words)):
                return label
        return label_of(value)

    def label(self, value: str) -> int | None:
        """Label of a value, by the threshold (ValueError where it is no number) or as a word."""
        if self.label_threshold is None:
            return self.word(value)
        number = float(value)
        if not math.isfinite(number):
            raise ValueError("not finite")
        return int(number >= self.label_threshold)


@register_reader(
    "csv",
    title="Any CSV file",
    layout="columns path and label (or defect_type); optional mask, category, split",
    license="your own",
    rules=TableRules,
    detect=lambda path: path.is_file() and path.suffix.lower() == ".csv",
)
def read_csv(
    root: str | Path,
    categories: Sequence[str] | None,
    *,
    images_root: str | Path | None = None,
    separator: str = ",",
    header: str | Iterable[str] = (),
    **rules: Any,
) -> Reading:
    """Read a CSV file, whose paths are relative to its folder or to ``images_root``.

    ``label`` is 0 or 1 or a word for normal or anomalous; ``defect_type`` is a word for normal
    (``"good"``), or the kind of defect.

    Parameters
    ----------
    images_root
        Folder that the paths are relative to; that of the file by default.
    separator
        Between the cells: one character, or "whitespace".
    header
        Names of the columns, where the file has no line of them.
    **rules
        See :class:`TableRules`.
    """
    path = Path(root).expanduser().absolute()
    if not path.is_file():
        raise DatasetLayoutError(f"{path} is not a file; looked there for a CSV table of images")
    frame = read_table(path, separator, as_names(header))
    base = Path(images_root).expanduser().absolute() if images_root else path.parent
    return _reading(frame, base, str(path), path.stem, categories, TableRules(**rules))


def from_dataframe(
    frame: pd.DataFrame,
    root: str | Path = ".",
    *,
    name: str = "dataframe",
    on_missing_mask: str = "error",
    license: str = "",
    citation: str = "",
    **options: Any,
) -> Dataset:
    """Make a data set of a DataFrame with the columns that :func:`read_csv` understands.

    Parameters
    ----------
    frame
        One row per image.
    root
        Folder that the paths are relative to.
    name
        Name of the data set, and of the category where there is no such column.
    **options
        See :class:`TableRules`.

    Raises
    ------
    DatasetLayoutError, MaskError, ConfigError
        As :func:`lakeviz.data.read_dataset`.
    """
    base = Path(root).expanduser().absolute()
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    try:
        rules = TableRules(**options)
    except TypeError as error:
        raise ConfigError(f"{error}; there are {', '.join(TableRules.__annotations__)}") from error
    reading = _reading(text, base, name, name, None, rules)
    return assemble(name, reading, on_missing_mask, license, citation)


def _reading(
    frame: pd.DataFrame,
    base: Path,
    source: str,
    default_category: str,
    categories: Sequence[str] | None,
    rules: TableRules,
) -> Reading:
    columns = ", ".join(map(str, frame.columns)) or "none"
    frame = rules.renamed(frame)
    if "path" not in frame or not {"label", "defect_type"} & set(frame.columns):
        raise DatasetLayoutError(
            f"{source} must have the columns path and label (or defect_type); it has {columns}; "
            "path_column, label_column, ... name others"
        )
    if "category" not in frame:
        frame = frame.assign(category=default_category)
    chosen = choose(sorted(frame["category"].unique()), categories, source)
    samples = [s for s in _samples(frame, base, source, rules) if s.category in chosen]
    if "split" not in frame:
        samples = list(_split(samples, base, rules))
    return Reading(base, samples, masks_looked_for="the column mask")


def _samples(frame: pd.DataFrame, base: Path, source: str, rules: TableRules) -> Iterator[Sample]:
    for number, row in enumerate(frame.to_dict("records"), start=1):
        place = f"{source}, row {number}"
        image = _file(base / row["path"], place, "")
        mask = _file(base / row["mask"], place, "the mask ") if row.get("mask") else None
        given = row.get("split", "test")
        split = split_of(given) or given
        check_choice(f"{place}: the split", split, SPLITS, DatasetLayoutError)
        yield Sample(image, row["category"], split, _defect_type(row, place, rules), mask)


def _file(path: Path, place: str, what: str) -> Path:
    if "\0" in str(path) or not is_utf8(str(path)):
        raise DatasetLayoutError(f"{place}: {what}{printable(path)!r} is no path")
    if reason := why_unreadable(path):
        raise DatasetLayoutError(f"{place}: {what}{path} is {reason}")
    if not path.exists() or (path.is_dir() and not what):
        raise DatasetLayoutError(f"{place}: {what}{path} does not exist")
    return path


def _defect_type(row: dict, place: str, rules: TableRules) -> str:
    kind = row.get("defect_type", "")
    kind = GOOD if kind and rules.word(kind) == 0 else kind
    if "label" not in row:
        if not kind:
            raise DatasetLayoutError(f"{place}: defect_type is empty")
        return kind
    try:
        label = rules.label(row["label"])
    except ValueError as error:
        raise DatasetLayoutError(f"{place}: label {row['label']!r} is not a number") from error
    if label is None:
        raise DatasetLayoutError(
            f"{place}: label {row['label']!r} is none of {known_labels()}; the options normal and "
            "anomalous take other words, label_threshold numbers"
        )
    if kind and (kind != GOOD) != bool(label):
        raise DatasetLayoutError(f"{place}: label {label} contradicts the defect type {kind!r}")
    return (kind or _DEFECT) if label else GOOD


def _split(samples: Sequence[Sample], base: Path, rules: TableRules) -> Iterator[Sample]:
    train: set[str] = set()
    for category in sorted({s.category for s in samples}):
        normal = (s for s in samples if s.category == category and s.defect_type == GOOD)
        ids = (sample_id(s.path, base) for s in normal)
        train |= train_part(ids, rules.split_seed, rules.train_fraction)
    for s in samples:
        yield replace(s, split="train" if sample_id(s.path, base) in train else "test")
