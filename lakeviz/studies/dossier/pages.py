"""What the report shows of dossiers: an index of all neurons, and a folded page of each selected.

The pages are those of highest rank of every category and hook point, as many as fit in 8 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.plots.heatmap import data_uri
from lakeviz.plots.html import embed
from lakeviz.plots.names import short_point
from lakeviz.studies.dossier.figures import neuron_dossier_figure, quantile_name
from lakeviz.studies.dossier.sentences import neuron_sentences
from lakeviz.studies.neurons.example_patches import decode
from lakeviz.tables import Row, records, rows
from lakeviz.wording import minus

_BYTES = 8 * 2**20  # of all pages together
_ROWS = 1200  # of the index
_COLUMNS = {
    "variance_rank": ("rank", ".0f"),
    "cliffs_delta": ("Cliff's δ", "+.2f"),
    "q_value": ("q, matched", ".3f"),
    "share_anomalous": ("share, defect", ".2%"),
    "share_excess": ("share, excess", ".2%"),
    "change_image_auroc": ("image AUROC", "+.4f"),
    "change_pixel_aupro": ("AUPRO", "+.4f"),
    "partner": ("partner", ".0f"),
    "partner_correlation": ("r", "+.2f"),
    "patches_word": ("word, patches", ""),
    "patches_q_value": ("q, patches", ".3f"),
    "direction_word": ("word, direction", ""),
    "direction_q_value": ("q, direction", ".3f"),
}
"""Columns of the index: heading, and format of a number."""

_STRIPS = {
    "top": ("Highest activation", "highest first, whatever the label"),
    "spread": ("Over the range", "at quantiles of the activation over all patches"),
}


def page_context(result: Any) -> dict[str, Any]:
    """What the template reads in addition to what every study has."""
    order = _evenly(result.neurons)
    selected = [row for row in order if row["group"] == "selected"]
    pages, size = {}, 0
    for number, row in enumerate(selected, start=1):
        page = _page(result, row, f"dossier-{number}")
        size += len(json.dumps(page, default=asdict, ensure_ascii=False))
        if size > _BYTES:
            break
        pages[_key(row)] = page
    columns = {c: _COLUMNS[c] for c in _COLUMNS if c in result.neurons}
    several = ["category"] if len(result.categories) > 1 else []
    return {
        "pages_title": "Dossiers",
        "pages": list(pages.values()),
        "page_note": _page_note(len(pages), len(selected)),
        "index_columns": ["neuron", *several, "group", *(title for title, _ in columns.values())],
        "index_rows": [
            {
                "anchor": pages.get(_key(row), {}).get("anchor", ""),
                "cells": [
                    {"text": _name(row), "value": f"{row['point']} {row['channel']:06d}"},
                    *({"text": row[c], "value": row[c]} for c in (*several, "group")),
                    *(_cell(row[column], form) for column, (_, form) in columns.items()),
                ],
            }
            for row in order[:_ROWS]
        ],
        "index_note": _index_note(len(order)),
    }


def _evenly(neurons: pd.DataFrame) -> list[Row]:
    """Neurons with the first of every category, point and group first: what is cut is even."""
    place = neurons.groupby(["category", "point", "group"], sort=False).cumcount().to_numpy()
    return records(rows(neurons, np.argsort(place, kind="stable")))


def _key(row: Row) -> tuple[str, str, int]:
    return row["category"], row["point"], row["channel"]


def _page_note(n_pages: int, n: int) -> str:
    if n_pages == n:
        return "Every selected neuron; random ones are in the index."
    shown = f"{n_pages} of {n} selected neurons, those of highest rank: more would make this page"
    return f"{shown} heavy. lakeviz.studies.dossier.neuron_figure draws the others."


def _index_note(n: int) -> str:
    shown = f"{n:,} neurons, selected and random"
    if n > _ROWS:
        shown = f"{_ROWS:,} of {shown}; the others are in neurons.parquet"
    return (
        f"{shown}. Rank: by variance. Cliff's δ: activation on defect against normal patches. "
        "Share: of the distance of a patch; excess: defect minus normal. AUROC, AUPRO: change "
        "without the neuron (score). Words: best of the list, with q against its control."
    )


def _name(row: Row) -> str:
    return f"{short_point(row['point'])} · {row['channel']}"


def _cell(value: Any, form: str) -> dict[str, str]:
    """A cell of the index: what is read, and what is sorted by."""
    if value is None or value != value or value == "":
        return {"text": "–", "value": ""}
    if isinstance(value, str):
        return {"text": value, "value": value}
    return {"text": f"{value:{form}}".replace("-", "−"), "value": f"{value:.6g}"}


def _page(result: Any, row: Row, anchor: str) -> dict[str, Any]:
    """The folded page of one neuron."""
    tables = result.of(*_key(row))
    figure = neuron_dossier_figure(tables, pictures=False, confidence=result.confidence)
    return {
        "anchor": anchor,
        "neuron": _key(row),
        "title": f"{row['category']}, {short_point(row['point'])}, channel {row['channel']}",
        "figure": embed(figure),
        "sentences": [minus(said) for said in neuron_sentences(tables, result.confidence)],
        "strips": list(_strips(tables["patches"])),
    }


def _strips(patches: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of pictures, where there are any."""
    for kind, (title, rule) in _STRIPS.items():
        own = records(patches, kind=kind)
        if any(row["crop"] is not None for row in own):
            yield {"title": title, "rule": rule, "crops": [_crop(row) for row in own]}


def _crop(row: Row) -> dict[str, str]:
    text = f"{row['value']:.3g}".replace("-", "−")
    if row["kind"] == "spread":
        text = f"{quantile_name(row['quantile'])}: {text}"
    source = "" if row["crop"] is None else data_uri(decode(row["crop"]), optimize=True)
    return {"source": source, "text": text, "label": row["label"], "name": row["sample_id"]}
