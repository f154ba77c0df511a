"""VisA as published (a split file next to the images) and as converted to folders like MVTec AD."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from lakeviz.data.files import describe, require_root
from lakeviz.data.layouts.mvtec import MVTEC, is_category, read_mvtec_like
from lakeviz.data.registry import Reading, choose, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.errors import DatasetLayoutError

_COLUMNS = {"object", "split", "label", "image", "mask"}
# Where the publishers' conversion script leaves its result, seen from the root.
_CONVERTED = (".", "1cls", "visa_pytorch", "visa_pytorch/1cls")


def _converted(root: Path) -> Path | None:
    for part in _CONVERTED:
        folder = root / part
        if folder.is_dir() and any(is_category(f, MVTEC) for f in folder.iterdir() if f.is_dir()):
            return folder
    return root if is_category(root, MVTEC) else None


@register_reader(
    "visa",
    title="VisA",
    layout="split_csv/1cls.csv and CAT/Data/{Images,Masks}; or as MVTec AD with defects in bad/",
    license="CC BY 4.0",
    homepage="https://github.com/amazon-science/spot-diff",
    citation="Zou et al., SPot-the-Difference Self-Supervised Pre-training, ECCV 2022",
    detect=lambda root: (root / "split_csv" / "1cls.csv").is_file(),
)
def read_visa(
    root: str | Path, categories: Sequence[str] | None, *, protocol: str = "1cls"
) -> Reading:
    """Read VisA; the split file ``split_csv/PROTOCOL.csv`` is preferred where it is there.

    The kind of defect is ``"anomaly"`` (published form) or ``"bad"`` (converted form): VisA's
    splits do not distinguish kinds.

    Raises
    ------
    DatasetLayoutError
        Neither form is there, the split file lacks columns, or it names absent files.
    DataError
        A wanted category is not there.
    """
    looked_for = f"split_csv/{protocol}.csv, or {MVTEC.looked_for}"
    path = require_root(root, looked_for)
    table = path / "split_csv" / f"{protocol}.csv"
    if table.is_file():
        rows = _read_rows(table)
        chosen = choose(sorted({r["object"] for r in rows}), categories, "visa")
        samples = list(_samples(path, [r for r in rows if r["object"] in chosen], table))
        return Reading(path, samples, masks_looked_for="the column mask of the split file")
    converted = _converted(path)
    if converted is None:
        raise DatasetLayoutError(f"not a folder of visa: looked for {looked_for}; {describe(path)}")
    return read_mvtec_like(converted, categories, "visa")


def _read_rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = _COLUMNS - set(reader.fieldnames or ())
        if missing:
            raise DatasetLayoutError(f"{table} lacks the columns {', '.join(sorted(missing))}")
        return list(reader)


def _samples(root: Path, rows: list[dict[str, str]], table: Path) -> Iterator[Sample]:
    for row in rows:
        image = root / row["image"]
        if not image.is_file():
            raise DatasetLayoutError(f"{image} does not exist, though {table} names it")
        mask = root / row["mask"] if row["mask"] else None
        kind = GOOD if row["label"] == "normal" else row["label"]
        found = mask if mask is not None and mask.is_file() else None
        yield Sample(image, row["object"], row["split"], kind, found)
