"""One section per study that was run: its summary, table, figures, and what made it.

How a study is shown lives in the file of its name: ``figures(result)`` and ``headline(result)``.
A study that shows more has a ``TEMPLATE`` of its own there, and ``context(result)`` for it.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from lakeviz.errors import ConfigError, LakevizError
from lakeviz.plots.html import EmbeddedFigure, embed, without_figure
from lakeviz.report.page_model import Page, Section
from lakeviz.studies import study_names

if TYPE_CHECKING:
    from types import ModuleType

    from lakeviz.studies.base.result import StudyResult


def studies(page: Page) -> list[Section]:
    """Make the section of every study of the run."""
    return [
        Section(anchor(result), result.title, _template(result), _context(result), "Studies")
        for result in page.studies
    ]


def anchor(result: StudyResult) -> str:
    """Id of a study's section."""
    return f"study-{result.name}"


def study_figures(result: StudyResult) -> list[go.Figure]:
    """Every figure of a study, as its section shows them.

    Raises
    ------
    LakevizError
        If one cannot be drawn from this result, or it is of a study this version does not draw.
    """
    if result.name in study_names():
        return result.figures()
    return _shown(result).figures(result)


def _shown(result: StudyResult) -> ModuleType:
    room = {"score": "score_maps"}.get(result.name, result.name)
    home = f"lakeviz.studies.{room}.section"
    if find_spec(home) is None:
        raise ConfigError(f"how a study {result.name!r} is drawn is not known")
    return import_module(home)


def _template(result: StudyResult) -> str:
    if result.name in study_names():
        return result.template
    return getattr(_shown(result), "TEMPLATE", "study.html")


def _context(result: StudyResult) -> dict[str, Any]:
    if result.name in study_names():
        headline, more = result.headline().fillna("–"), result.page_context()
    else:
        shown = _shown(result)
        headline = shown.headline(result)
        more = shown.context(result) if hasattr(shown, "TEMPLATE") else {}
    return {
        **more,
        "summary": result.summary(),
        "notes": result.notes,
        "columns": [str(column) for column in headline.columns],
        "rows": [[_text(value) for value in row] for row in headline.to_numpy().tolist()],
        "figures": _embedded(result),
        "tables": [(name, len(table)) for name, table in result.tables.items()],
        "settings": _settings(result),
    }


def _embedded(result: StudyResult) -> list[EmbeddedFigure]:
    try:
        return [embed(fig) for fig in study_figures(result)]
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
