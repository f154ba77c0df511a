"""What tables and names of folders say: text as it is, and words for labels and splits.

One list of words serves every reader and column. In a CSV a category "01" or "NA" stays what it is,
and no row is mended.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lakeviz.errors import DatasetLayoutError


def read_table(
    path: Path, separator: str = ",", header: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a table of text, every cell as a string without outer blanks.

    ``separator`` is one character or ``"whitespace"``; ``header`` names the columns of a file
    without a line of them.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if separator == "whitespace":
            rows = [line.split() for line in text.splitlines()]
        else:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except UnicodeDecodeError as error:
        raise DatasetLayoutError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DatasetLayoutError(f"cannot read {path} as CSV: {error}") from error
    rows = [[cell.strip() for cell in row] for row in rows if any(row)]
    if not rows:
        raise DatasetLayoutError(f"cannot read {path} as CSV: it is empty")
    names = list(header) if header else rows.pop(0)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetLayoutError(f"{path} has two columns called {twice!r}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise DatasetLayoutError(
                f"{path}, row {number}: {len(row)} cells for {len(names)} columns "
                f"({', '.join(names)})"
            )
    return pd.DataFrame(rows, columns=names, dtype=object)


_NORMAL = """
0 0.0 false no none normal good ok okay nominal negative healthy intact regular clean pass passed
free defect_free no_defect non_defective not_defective undamaged
"""
_ANOMALOUS = """
1 1.0 true yes anomalous anomaly abnormal bad ko nok ng not_ok defective defect positive faulty
damaged broken fail failed unhealthy ungood
"""
_LABELS: dict[str, int] = {
    **dict.fromkeys(_NORMAL.split(), 0),
    **dict.fromkeys(_ANOMALOUS.split(), 1),
}
_SPLITS: dict[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def label_of(word: str) -> int | None:
    """Return 0 for a word that says normal, 1 for one that says anomalous, None for another.

    Upper and lower case, blanks, ``-`` and ``_`` make no difference.
    """
    return _LABELS.get(plain(word))


def is_normal_word(word: str) -> bool:
    """Whether a label, kind of defect or folder is named as normal images are."""
    return label_of(word) == 0


def split_of(word: str) -> str | None:
    """Return ``"train"``, ``"valid"`` or ``"test"`` for any of their names, None for another."""
    return _SPLITS.get(plain(word))


def known_labels() -> str:
    """Words that are understood, for an error message."""
    return f"{', '.join(_NORMAL.split()[:8])}, ... or {', '.join(_ANOMALOUS.split()[:8])}, ..."


def plain(word: str) -> str:
    """Return a word in lower case, with ``_`` for blanks and dashes."""
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())
