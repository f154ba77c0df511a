"""VisA as published (a split file next to the images) and as converted to folders like MVTec AD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lakeviz.data.files import is_file, list_folders, require_root
from lakeviz.data.layouts.mvtec import MVTEC, is_category, read_mvtec_like
from lakeviz.data.registry import Reading, choose, not_a_folder_of, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.text_tables import read_table
from lakeviz.data.words import is_normal_word, split_of
from lakeviz.errors import DatasetLayoutError

_COLUMNS = ("object", "split", "label", "image", "mask")
# Where the publishers' conversion script leaves its result, seen from the root.
_CONVERTED = ("", "1cls", "visa_pytorch", "visa_pytorch/1cls")


def _converted(root: Path) -> Path | None:
    folders = (root / part for part in _CONVERTED)
    found = (f for f in folders if any(is_category(c) for c in list_folders(f)))
    return next(found, root if is_category(root) else None)


def _is_visa(root: Path) -> bool:
    """Whether the split file is there, or a conversion in a folder of its name."""
    return (root / "split_csv" / "1cls.csv").is_file() or _converted(root) not in (None, root)


@register_reader(
    "visa",
    title="VisA",
    layout="split_csv/1cls.csv and CAT/Data/{Images,Masks}; or as MVTec AD with defects in bad/",
    license="CC BY 4.0",
    homepage="https://github.com/amazon-science/spot-diff",
    citation="Zou et al., SPot-the-Difference Self-Supervised Pre-training, ECCV 2022",
    detect=_is_visa,
)
def read_visa(
    root: str | Path, categories: Sequence[str] | None, *, protocol: str = "1cls"
) -> Reading:
    """Read VisA; the split file ``split_csv/PROTOCOL.csv`` is preferred where it is there.

    The kind of defect is ``"anomaly"`` (published form) or ``"bad"`` (converted form): VisA's
    splits do not distinguish kinds.

    Parameters
    ----------
    root
        The folder.
    categories
        Names of those to read, or None.
    protocol
        Name of the split file, such as 2cls_fewshot.
    """
    looked_for = f"split_csv/{protocol}.csv, or {MVTEC.looked_for}"
    path = require_root(root, looked_for)
    table = path / "split_csv" / f"{protocol}.csv"
    if table.is_file():
        rows = _rows(table)
        chosen = choose(sorted({r["object"] for r in rows}), categories, "visa")
        samples = list(_samples(path, [r for r in rows if r["object"] in chosen], table))
        return Reading(path, samples, masks_looked_for="the column mask of the split file")
    converted = _converted(path)
    if converted is None:
        raise not_a_folder_of("visa", looked_for, path)
    return read_mvtec_like(converted, categories, "visa")


def _rows(table: Path) -> list[dict[str, str]]:
    frame = read_table(table)
    missing = [c for c in _COLUMNS if c not in frame]
    if missing:
        raise DatasetLayoutError(f"{table} lacks the columns {', '.join(missing)}")
    return frame.to_dict("records")


def _samples(root: Path, rows: list[dict[str, str]], table: Path) -> Iterator[Sample]:
    for row in rows:
        image = root / row["image"]
        if not is_file(image):
            raise DatasetLayoutError(f"{image} does not exist, though {table} names it")
        mask = root / row["mask"] if row["mask"] else None
        kind = GOOD if is_normal_word(row["label"]) else row["label"]
        found = mask if mask is not None and is_file(mask) else None
        yield Sample(image, row["object"], split_of(row["split"]) or row["split"], kind, found)
