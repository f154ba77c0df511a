"""Detection and localisation of every category, with means per group, and of the branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake.drawing import heat_colours
from lakeviz.metrics.registry import metric_label, metric_title
from lakeviz.plots import metrics_figure
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.plots.html import EmbeddedFigure, embed, without_figure
from lakeviz.report.numbers import Footnotes, Number, mean_metric, metric, of_run
from lakeviz.report.page_model import Group, Page, Section
from lakeviz.report.pictures import Picture, picture, typical
from lakeviz.studies.base.findings import HEADLINE_METRICS
from lakeviz.tables import n_draws

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

_BRANCHES = {
    "lake": "LAKE",
    "visual": "visual only",
    "text": "text only, patches",
    "text_image": "text only, image",
}
_SEVERAL, _FIRST_SCREEN, _MANY = 2, 4, 12
_THUMBNAIL = 128  # pixels


@dataclass(frozen=True)
class Row:
    """One category, or the mean of a group."""

    name: str
    anchor: str
    n_images: str
    cells: list[Number]


@dataclass(frozen=True)
class Body:
    """Rows of one group and their mean."""

    name: str
    rows: list[Row]
    mean: Row | None


def overview(page: Page) -> list[Section]:
    """Make the overview: metrics of the fused score, the figure, and the parts apart."""
    notes = Footnotes()
    metrics, cards = page.metrics, len(page.evaluations) > _FIRST_SCREEN
    columns = [(level, name, "lake") for level, name in metrics]
    bodies = [_body(page, group, columns, notes) for group in page.groups]
    context = {
        "bodies": bodies,
        "heads": [(level, metric_label(name)) for level, name in metrics],
        "notes": notes,
        "figure": _figure(page),
        "n_draws": n_draws(page.table("metrics")),
        "baseline": of_run(page),
        "groups_note": page.manifest.get("groups_note"),
        "cards": [_card(page, e) for e in page.ordered] if cards else [],
        "many": len(page.evaluations) > _MANY,
        **_parts(page),
    }
    return [Section("overview", "Overview", "overview.html", context)]


@dataclass(frozen=True)
class Card:
    """A category in small: one picture with its heat, and the headline metrics."""

    name: str
    anchor: str
    picture: Picture
    numbers: list[tuple[str, str]]


def _card(page: Page, evaluation: Evaluation) -> Card:
    threshold = f1_max_threshold(evaluation.metrics)
    index = (typical(evaluation, 1) or [0])[0]
    shown = picture(evaluation, index, heat_colours(evaluation), threshold, longest=_THUMBNAIL)
    found = [
        (metric_title(*one), metric(evaluation.metrics, *one, Footnotes()).text)
        for one in HEADLINE_METRICS
    ]
    return Card(evaluation.category, page.anchor(evaluation), shown, found)


def _figure(page: Page) -> EmbeddedFigure | None:
    """Draw the categories side by side, where there are several."""
    if len(page.evaluations) < _SEVERAL:
        return None
    try:
        return embed(metrics_figure(page.table("metrics"), confidence=page.confidence))
    except ConfigError as error:
        return without_figure("Metrics by category", str(error))


def _parts(page: Page) -> dict[str, object]:
    """Fused score and its branches, or a sentence where there is only one."""
    measured = set(page.table("metrics")["branch"])
    if not measured & {"text", "text_image"}:
        return {"part_bodies": None}
    notes = Footnotes()
    columns = [("image", "auroc", p) for p in _BRANCHES if p in measured]
    columns += [("pixel", "auroc", p) for p in _BRANCHES if p in measured and p != "text_image"]
    return {
        "part_bodies": [_body(page, group, columns, notes) for group in page.groups],
        "part_heads": [(level, _BRANCHES[part]) for level, _, part in columns],
        "part_notes": notes,
        "text_weight": page.provenance.get("text_weight"),
    }


def _body(page: Page, group: Group, columns: list[tuple[str, str, str]], notes: Footnotes) -> Body:
    rows = [
        Row(
            e.category,
            page.anchor(e),
            f"{len(e.scores):,}",
            [metric(e.metrics, level, name, notes, part) for level, name, part in columns],
        )
        for e in group.evaluations
    ]
    if len(rows) < _SEVERAL:
        return Body(group.name, rows, None)
    table = pd.concat([e.metrics for e in group.evaluations])
    means = [
        mean_metric(table, level, name, notes, page.confidence, part)
        for level, name, part in columns
    ]
    images = sum(len(e.scores) for e in group.evaluations)
    return Body(group.name, rows, Row(f"mean of {len(rows)}", "", f"{images:,}", means))
