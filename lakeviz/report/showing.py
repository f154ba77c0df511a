"""The figure that stands for a result where it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.lake import Evaluation, NeuronSelection
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.plots import metrics_figure, score_figure, selection_figure
from lakeviz.plots.print.export import figure_page
from lakeviz.report.curves import f1_max_threshold
from lakeviz.report.sections.studies import study_figures
from lakeviz.runs.run_folder import RunFolder
from lakeviz.studies.base.result import StudyResult


def figure_of(result: Any) -> go.Figure:
    """Draw a result.

    Raises
    ------
    ConfigError
        Nothing is drawn of results of this class.
    LakevizError
        This one holds nothing to draw.
    """
    for kind, make in _FIGURES.items():
        if isinstance(result, kind):
            return make(result)
    raise ConfigError(f"no figure is drawn of a {type(result).__name__}")


def page_of(figure: go.Figure) -> str:
    """One HTML page with the figure and plotly's script; its policy forbids every request."""
    return figure_page(figure, "lakeviz")


def _study(result: StudyResult) -> go.Figure:
    figures = study_figures(result)
    if not figures:
        raise ConfigError(f"this result of {result.name} holds nothing to draw")
    return figures[0]


def _evaluation(evaluation: Evaluation) -> go.Figure:
    return score_figure(
        evaluation.scores,
        threshold=f1_max_threshold(evaluation.metrics),
        title=f"Image scores: {evaluation.category}",
    )


def _run(run: RunFolder) -> go.Figure:
    level = Bootstrap.from_plain(run.provenance(run.categories[0]).get("bootstrap")).confidence
    return metrics_figure(run.table("metrics"), interval_level=level)


def _selection(selection: NeuronSelection) -> go.Figure:
    return selection_figure(selection.frame(), n_channels=selection.n_channels)


_FIGURES: dict[type, Callable[[Any], go.Figure]] = {
    StudyResult: _study,
    Evaluation: _evaluation,
    RunFolder: _run,
    NeuronSelection: _selection,
}
