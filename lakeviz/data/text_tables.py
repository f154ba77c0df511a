"""Tables of text (CSV) as they are: a category "01" or "NA" stays what it is, no row is mended."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lakeviz.errors import DatasetLayoutError


def read_table(
    path: Path, separator: str = ",", header: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a table of text, every cell as a string without outer blanks.

    Parameters
    ----------
    path
    separator
        One character, or ``"whitespace"``.
    header
        Names of the columns, where the file has no line of them.
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
