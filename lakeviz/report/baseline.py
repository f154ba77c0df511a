"""What every number of a run is of: the branch, its channels, and the size of its pixel maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lakeviz.report.page_model import Page
from lakeviz.tables import where
from lakeviz.wording import joined

if TYPE_CHECKING:
    import pandas as pd

    from lakeviz.studies.base.result import StudyResult


def layer(point: str) -> str:
    """A hook point without the words that all have."""
    return point.removesuffix(".hook_resid_post")


def branch(page: Page) -> str:
    """The score that metrics are of, unless they say another."""
    weight = page.provenance.get("text_weight")
    return f"fused score of vision and text (weight {weight:g})" if weight else "visual branch"


def channels(page: Page) -> str:
    """How many channels are read, and where."""
    table = page.evaluations[0].spectrum
    points = list(dict.fromkeys(table["point"]))
    counts = {_selected(where(table, point=point)) for point in points}
    each = "each of " if len(points) > 1 else ""
    return f"{', '.join(sorted(counts))} channels at {each}{joined([layer(p) for p in points])}"


def _selected(table: pd.DataFrame) -> str:
    n = int(np.count_nonzero(table["selected"]))
    return f"{n} of {len(table)}" if 0 < n < len(table) else f"all {len(table)}"


def map_size(page: Page) -> str:
    """Size of the pixel maps that metrics are measured on; empty where there are none."""
    return ", ".join(sorted({str(r) for r in page.table("metrics")["resolution"].dropna()}))


def of_run(page: Page) -> str:
    """The baseline of the run in one phrase."""
    size = map_size(page)
    return ", ".join([branch(page), channels(page), *([f"maps of {size} pixels"] if size else [])])


def of_study(page: Page, result: StudyResult) -> str:
    """Where a study measures another detector than the run, so that its numbers are others."""
    size = result.provenance.get("options", {}).get("map_size")
    own = f"{size[0]}x{size[1]}" if size else ""
    baseline = result.baseline()
    if not baseline and (not own or own == map_size(page)):
        return ""
    said = [*([baseline] if baseline else []), *([f"maps of {own} pixels"] if own else [])]
    return f"Measured here: {', '.join(said)}. Measured in the overview: {of_run(page)}."
