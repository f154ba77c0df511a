"""Any CSV file or DataFrame with one image a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lakeviz.data.dataset import Dataset
from lakeviz.data.files import train_part
from lakeviz.data.registry import Reading, assemble, choose, register_reader
from lakeviz.data.table import GOOD, SPLITS, Sample, sample_id
from lakeviz.errors import DatasetLayoutError

_DEFECT = "anomaly"
_LABELS = {
    **dict.fromkeys(("0", "0.0", "false", "normal", "good", "ok"), 0),
    **dict.fromkeys(("1", "1.0", "true", "anomalous", "anomaly", "abnormal", "bad", "ko"), 1),
}
_SPLITS = {**{s: s for s in SPLITS}, "validation": "valid", "val": "valid"}


@register_reader(
    "csv",
    title="Any CSV file",
    layout="columns path and label (or defect_type); optional mask, category, split",
    license="your own",
    detect=lambda path: path.is_file() and path.suffix.lower() == ".csv",
)
def read_csv(
    root: str | Path,
    categories: Sequence[str] | None,
    *,
    images_root: str | Path | None = None,
    split_seed: int = 0,
    train_fraction: float = 0.5,
) -> Reading:
    """Read a CSV file, whose paths are relative to its folder or to ``images_root``.

    ``label`` is 0 or 1 (or normal/anomalous, good/bad, ok/ko); ``defect_type`` is ``"good"`` for
    normal images; without a column ``split`` the normal images of each category are split by
    ``split_seed``.

    Raises
    ------
    DatasetLayoutError
        The file or a column is missing, a value is not understood, or an image does not exist;
        the message names the row.
    DataError
        A wanted category is not there.
    """
    path = Path(root).expanduser().absolute()
    if not path.is_file():
        raise DatasetLayoutError(f"{path} is not a file; looked there for a CSV table of images")
    try:
        # As text throughout, so that a category "01" or "NA" stays what it is.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DatasetLayoutError(f"cannot read {path} as CSV: {error}") from error
    base = Path(images_root).expanduser().absolute() if images_root else path.parent
    return _reading(frame, base, str(path), path.stem, categories, split_seed, train_fraction)


def from_dataframe(
    frame: pd.DataFrame,
    root: str | Path = ".",
    *,
    name: str = "dataframe",
    split_seed: int = 0,
    train_fraction: float = 0.5,
    on_missing_mask: str = "error",
    license: str = "",
    citation: str = "",
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

    Raises
    ------
    DatasetLayoutError, MaskError, ConfigError
        As :func:`lakeviz.data.read_dataset`.
    """
    base = Path(root).expanduser().absolute()
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    reading = _reading(text, base, name, name, None, split_seed, train_fraction)
    return assemble(name, reading, on_missing_mask, license, citation)


def _reading(
    frame: pd.DataFrame,
    base: Path,
    source: str,
    default_category: str,
    categories: Sequence[str] | None,
    split_seed: int,
    train_fraction: float,
) -> Reading:
    frame = frame.rename(columns={"mask_path": "mask"})
    if "path" not in frame or not {"label", "defect_type"} & set(frame.columns):
        raise DatasetLayoutError(
            f"{source} must have the columns path and label (or defect_type); "
            f"it has {', '.join(map(str, frame.columns)) or 'none'}"
        )
    if "category" not in frame:
        frame = frame.assign(category=default_category)
    chosen = choose(sorted(frame["category"].unique()), categories, source)
    samples = [s for s in _samples(frame, base, source) if s.category in chosen]
    if "split" not in frame:
        samples = list(_split(samples, base, split_seed, train_fraction))
    return Reading(base, samples, masks_looked_for="the column mask")


def _samples(frame: pd.DataFrame, base: Path, source: str) -> Iterator[Sample]:
    for number, row in enumerate(frame.to_dict("records"), start=1):
        place = f"{source}, row {number}"
        image = base / row["path"]
        if not image.is_file():
            raise DatasetLayoutError(f"{place}: {image} does not exist")
        mask = base / row["mask"] if row.get("mask") else None
        if mask is not None and not mask.exists():
            raise DatasetLayoutError(f"{place}: the mask {mask} does not exist")
        split = row.get("split", "test")
        if split not in _SPLITS:
            raise DatasetLayoutError(f"{place}: split {split!r} is not one of {', '.join(SPLITS)}")
        yield Sample(image, row["category"], _SPLITS[split], _defect_type(row, place), mask)


def _defect_type(row: dict, place: str) -> str:
    kind = row.get("defect_type", "")
    if "label" not in row:
        if not kind:
            raise DatasetLayoutError(f"{place}: defect_type is empty")
        return kind
    label = _LABELS.get(row["label"].strip().lower())
    if label is None:
        raise DatasetLayoutError(f"{place}: label {row['label']!r} is neither 0 nor 1")
    if kind and (kind != GOOD) != bool(label):
        raise DatasetLayoutError(f"{place}: label {label} contradicts the defect type {kind!r}")
    return (kind or _DEFECT) if label else GOOD


def _split(samples: Sequence[Sample], base: Path, seed: int, fraction: float) -> Iterator[Sample]:
    train: set[str] = set()
    for category in sorted({s.category for s in samples}):
        normal = (s for s in samples if s.category == category and s.defect_type == GOOD)
        train |= train_part((sample_id(s.path, base) for s in normal), seed, fraction)
    for s in samples:
        yield replace(s, split="train" if sample_id(s.path, base) in train else "test")
