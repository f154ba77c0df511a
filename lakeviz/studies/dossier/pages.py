"""How the study ``dossier`` is shown in a report: an index, and a folded page per neuron."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from lakeviz.metrics.estimates import Estimate
from lakeviz.plots.html import EmbeddedFigure, embed
from lakeviz.plots.names import measure_title, short_point
from lakeviz.studies.dossier import DossierResult
from lakeviz.studies.dossier.figures import Shown, neuron_dossier_figure
from lakeviz.studies.neurons.figures import neuron_differences_figure
from lakeviz.studies.neurons.group_comparison import mean_of_categories
from lakeviz.studies.neurons.group_figures import neuron_groups_figure
from lakeviz.tables import numbers, records, rows, where

TEMPLATE = "dossier.html"
MEASURES = ("abs_cliffs_delta", "share_anomalous", "loss_image_auroc", "loss_pixel_aupro")
_BYTES = 8 * 2**20  # of all pages together
_ROWS = 1200  # of the index
_COLUMNS = {
    "variance_rank": "rank",
    "cliffs_delta": "Cliff's δ",
    "q_value": "q, matched",
    "share_anomalous": "share, defect",
    "share_excess": "share, excess",
    "change_image_auroc": "image AUROC",
    "change_pixel_aupro": "AUPRO",
    "partner": "partner",
    "partner_correlation": "r",
    "patches_word": "word, patches",
    "patches_q_value": "q, patches",
    "direction_word": "word, direction",
    "direction_q_value": "q, direction",
}
_SPREAD_NAMES = {0.0: "lowest", 0.5: "median"}


@dataclass(frozen=True)
class Cell:
    """A cell of the index: what is read, and what is sorted by."""

    text: str
    value: str


@dataclass(frozen=True)
class Crop:
    """A picture of a patch."""

    source: str
    text: str
    label: str
    name: str


@dataclass(frozen=True)
class Page:
    """The folded dossier of one neuron."""

    anchor: str
    title: str
    figure: EmbeddedFigure
    sentences: list[str]
    strips: list[dict[str, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes it takes in the page, nearly."""
        crops = sum(len(crop.source) for strip in self.strips for crop in strip["crops"])
        text = asdict(self.figure) | {"sentences": self.sentences}
        return crops + len(json.dumps(text, ensure_ascii=False))


# --- what every study has ---


def figures(result: DossierResult) -> list[go.Figure]:
    """Selected beside random neurons; of one category also the first neuron's dossier."""
    categories = list(dict.fromkeys(result.neurons["category"]))
    groups = result.groups
    measured = [m for m in MEASURES if np.isfinite(_gaps(groups, m)).any()]
    if len(categories) > 1:
        return [
            neuron_differences_figure(groups, measure=measure, interval_level=result.confidence)
            for measure in measured
        ]
    if not measured:
        return []
    neurons = result.neurons.assign(
        **{
            f"loss_{name.removeprefix('change_')}": -numbers(result.neurons, name)
            for name in result.neurons
            if name.startswith("change_") and not name.endswith(("_low", "_high"))
        }
    )
    title = "Dossiers: selected neurons beside random ones"
    return [
        neuron_groups_figure(
            neurons, groups, measures=measured, title=title, interval_level=result.confidence
        )
    ]


def _gaps(groups: pd.DataFrame, measure: str) -> np.ndarray:
    return numbers(where(groups, measure=measure), "difference")


def headline(result: DossierResult) -> pd.DataFrame:
    """Selected beside random neurons, measure by measure; of several categories their means."""
    table, several = result.overall(), len(set(result.groups["category"])) > 1
    made = []
    for measure in dict.fromkeys(table["measure"]):
        own = where(table, measure=measure)
        of_points = len(own) > 1 and not several
        for one in [own.iloc[[i]] for i in range(len(own))] if of_points else [own]:
            made.append(_headline_row(result, one, measure, several=several, named=of_points))
    return pd.DataFrame(made)


def _headline_row(
    result: DossierResult, own: pd.DataFrame, measure: str, *, several: bool, named: bool
) -> dict[str, str]:
    gaps = numbers(own, "difference")
    if several:
        gap = mean_of_categories(gaps, result.bootstrap)
    else:
        columns = ("difference", "difference_low", "difference_high")
        gap = Estimate(*(float(numbers(own, c)[0]) for c in columns))
    name = _named(measure)
    return {
        "mean over neurons": f"{name}, {short_point(own['point'].iloc[0])}" if named else name,
        "selected": _mean(numbers(own, "value")),
        "random": _mean(numbers(own, "control_mean")),
        "selected − random": _signed(gap),
        "verdict": _verdict(gap),
    }


def _named(measure: str) -> str:
    labelled = {
        "labelled_by_patches": "share labelled by their patches (q < 0.05)",
        "labelled_by_direction": "share labelled by their direction (q < 0.05)",
    }
    return labelled.get(measure) or measure_title(measure)


def _mean(values: np.ndarray) -> str:
    there = values[np.isfinite(values)]
    return f"{there.mean():.4f}".replace("-", "−") if there.size else "–"


def _signed(gap: Estimate) -> str:
    if not np.isfinite(gap.value):
        return "–"
    said = f"{gap.value:+.4f}"
    if np.isfinite(gap.low):
        said += f" [{gap.low:+.4f}, {gap.high:+.4f}]"
    return said.replace("-", "−")


def _verdict(gap: Estimate) -> str:
    if not np.isfinite(gap.low):
        return "no interval"
    return {"higher": "selected higher", "lower": "random higher"}.get(gap.verdict, "undecided")


# --- the index and the pages ---


def context(result: DossierResult) -> dict[str, Any]:
    """What the template of dossiers reads beside what every study has."""
    order = _order(result.neurons)
    pages, anchors = [], {}
    size = 0
    chosen = [row for row in order if row["group"] == "selected"]
    for number, row in enumerate(chosen, start=1):
        page = _page(result, row, f"dossier-{number}")
        if size + page.size > _BYTES:
            break
        size += page.size
        pages.append(page)
        anchors[row["category"], row["point"], row["channel"]] = page.anchor
    columns = [c for c in _COLUMNS if c in result.neurons]
    shown = order[:_ROWS]
    several = len(set(result.neurons["category"])) > 1
    heads = ["neuron", *(["category"] if several else []), "group"]
    return {
        "pages": pages,
        "page_note": _left_out(len(pages), len(chosen)),
        "index_columns": [*heads, *(_COLUMNS[c] for c in columns)],
        "index_rows": [
            {
                "anchor": anchors.get((row["category"], row["point"], row["channel"]), ""),
                "cells": list(_cells(row, columns, several=several)),
            }
            for row in shown
        ],
        "index_note": _index_note(len(shown), len(order)),
    }


def _order(neurons: pd.DataFrame) -> list[dict[Any, Any]]:
    """Neurons with the first of every category, point and group first: what is cut is even."""
    groups = ["category", "point", "group"]
    place = neurons.groupby(groups, sort=False).cumcount().to_numpy()
    return records(rows(neurons, np.argsort(place, kind="stable")))


def _left_out(n_pages: int, n_selected: int) -> str:
    if n_pages == n_selected:
        return "Every selected neuron; random ones are in the index."
    return (
        f"{n_pages} of {n_selected} selected neurons, those of highest rank of every category and "
        "hook point: more would make this page heavy. The others are in the tables, and "
        "lakeviz.studies.dossier.pages.neuron_figure draws them."
    )


def _index_note(n_shown: int, n_all: int) -> str:
    said = (
        f"{n_shown:,} of {n_all:,} neurons, selected and random; the others are in neurons.parquet."
        if n_shown < n_all
        else f"{n_all:,} neurons, selected and random."
    )
    return (
        f"{said} Rank: by variance. Cliff's δ: activation on defect against normal patches. Shares "
        "in the distance of a patch, in per cent; excess: defect minus normal. AUROC, AUPRO: "
        "change without the neuron (score). Words: best of the list, with q against its control."
    )


def _cells(row: dict[Any, Any], columns: list[str], *, several: bool) -> Iterator[Cell]:
    name = f"{short_point(row['point'])} · {row['channel']}"
    yield Cell(name, f"{row['point']} {row['channel']:06d}")
    if several:
        yield Cell(str(row["category"]), str(row["category"]))
    yield Cell(str(row["group"]), str(row["group"]))
    for column in columns:
        yield _cell(column, row[column])


def _cell(column: str, value: Any) -> Cell:
    if value is None or value != value or value == "":
        return Cell("–", "")
    if isinstance(value, str):
        return Cell(value, value)
    number = float(value)
    if column in ("variance_rank", "partner"):
        return Cell(f"{int(number)}", f"{int(number)}")
    if column.startswith("share"):
        text = f"{100 * number:.2f}"
    elif column.startswith("change"):
        text = f"{number:+.4f}"
    elif column.endswith("q_value"):
        text = f"{number:.3f}"
    else:
        text = f"{number:+.2f}"
    return Cell(text.replace("-", "−"), f"{number:.6g}")


def _page(result: DossierResult, row: dict[Any, Any], anchor: str) -> Page:
    key = str(row["category"]), str(row["point"]), int(row["channel"])
    tables = result.of(*key)
    figure = embed(_rounded(neuron_dossier_figure(tables, interval_level=result.confidence)))
    return Page(
        anchor,
        f"{key[0]}, {short_point(key[1])}, channel {key[2]}",
        figure,
        result.sentences(*key),
        _strips(tables["patches"]),
    )


def _rounded(figure: go.Figure) -> go.Figure:
    """Round what a page cannot show, to keep it light."""
    traces: Any = figure.data
    for trace in traces:
        for axis in ("x", "y"):
            values = trace[axis]
            if values is not None and len(values) > 10:
                trace[axis] = [float(f"{v:.4g}") for v in np.asarray(values, dtype=float)]
    return figure


def _strips(patches: pd.DataFrame) -> list[dict[str, Any]]:
    titles = {
        "top": ("Highest activation", "highest first, whatever the label"),
        "spread": ("Over the range", "at quantiles of the activation over all patches"),
    }
    made = []
    for kind, (title, rule) in titles.items():
        own = where(patches, kind=kind)
        if not any(isinstance(crop, bytes) for crop in own["crop"]):
            continue
        crops = [
            Crop(
                _jpeg(one["crop"]) if isinstance(one["crop"], bytes) else "",
                f"{one['value']:.3g}".replace("-", "−")
                if kind == "top"
                else f"{_quantile(one['quantile'])}: {one['value']:.3g}".replace("-", "−"),
                str(one["label"]),
                str(one["sample_id"]),
            )
            for one in records(own)
        ]
        made.append({"title": title, "rule": rule, "crops": crops})
    return made


def _quantile(q: float) -> str:
    return _SPREAD_NAMES.get(q, f"{100 * q:g} %")


def _jpeg(crop: bytes) -> str:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(crop)).convert("RGB").save(buffer, "JPEG", quality=85, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


# --- one neuron with its pictures ---


def neuron_figure(result: DossierResult, category: str, point: str, channel: int) -> go.Figure:
    """The dossier of one neuron as a figure, with the pictures that the result holds.

    Raises
    ------
    SelectionError
        If there is no dossier of it.
    """
    tables = result.of(category, point, channel)
    parts: dict[str, pd.DataFrame] = {}
    for kind in ("top", "spread"):
        own = where(tables["patches"], kind=kind)
        there = np.array([isinstance(crop, bytes) for crop in own["crop"]], dtype=bool)
        parts[kind] = rows(own, there)
    shown = None
    if len(parts["top"]):
        spread = parts["spread"]
        shown = Shown(
            _decoded(parts["top"]),
            [str(label) for label in parts["top"]["label"]],
            _decoded(spread),
            [str(label) for label in spread["label"]],
            [_quantile(float(q)) for q in spread["quantile"]],
        )
    return neuron_dossier_figure(tables, shown, interval_level=result.confidence)


def _decoded(patches: pd.DataFrame) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(cast(bytes, crop))).convert("RGB"))
        for crop in patches["crop"]
    ]
