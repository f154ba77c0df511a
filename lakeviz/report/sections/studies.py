"""One section per study that was run: its summary, table, figures, and what made it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from lakeviz.errors import LakevizError
from lakeviz.plots.html import EmbeddedFigure, embed, without_figure
from lakeviz.report.numbers import of_study
from lakeviz.report.page_model import Page, Section
from lakeviz.wording import minus

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.studies.base.result import StudyResult


def studies(page: Page) -> list[Section]:
    """Make the section of every study of the run."""
    return [
        Section(anchor(r), r.title, r.template, {**own, **_context(page, r)}, "Studies")
        for r, own in zip(page.studies, page.study_pages, strict=True)
    ]


def anchor(result: StudyResult) -> str:
    """Id of a study's section."""
    return f"study-{result.name}"


def study_figures(result: StudyResult) -> list[go.Figure]:
    """Return ``result.figures()``, which is how this is called now."""
    warnings.warn("study_figures(r) is r.figures() now", DeprecationWarning, stacklevel=2)
    return result.figures()


def _context(page: Page, result: StudyResult) -> dict[str, Any]:
    headline = result.headline().fillna("–")
    return {
        "opening": minus(result.opening()),
        "baseline": of_study(page, result),
        "summary": minus(result.summary()),
        "notes": result.notes,
        "columns": [str(column) for column in headline.columns],
        "rows": [[minus(_text(value)) for value in row] for row in headline.to_numpy().tolist()],
        "figures": _embedded(result),
        "tables": [(name, len(table)) for name, table in result.tables.items()],
        "settings": _settings(result),
    }


def _embedded(result: StudyResult) -> list[EmbeddedFigure]:
    try:
        return [embed(fig) for fig in result.figures()]
    except LakevizError as error:
        return [without_figure(result.title, str(error))]


def _settings(result: StudyResult) -> list[tuple[str, str]]:
    given = result.provenance.get("settings", {})
    return [(name, _text(value)) for name, value in given.items()]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return "—"
    return json.dumps(value, ensure_ascii=False)
