"""One section per category: heat maps, curves, spectrum, neurons, notes; and one on its depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lakeviz.data import load_image
from lakeviz.data.streams import rendering_of
from lakeviz.errors import LakevizError
from lakeviz.lake.clip_rows import ALL, CLIP_METRICS, SMOOTHED
from lakeviz.lake.drawing import heat_colours
from lakeviz.lake.figures import conventions_of, image_runs, pixel_curves, pixel_run
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import estimate
from lakeviz.metrics.registry import metric_title
from lakeviz.plots import (
    ColourRange,
    colour_range,
    pr_figure,
    pro_figure,
    roc_figure,
    score_figure,
    spectrum_figure,
    timeline_figure,
)
from lakeviz.plots.colours import TICKS
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.plots.heatmap import data_uri, fit_within
from lakeviz.plots.html import EmbeddedFigure, embed, without_figure
from lakeviz.report.numbers import Footnotes, metric, of_run
from lakeviz.report.page_model import Page, Section
from lakeviz.report.pictures import colour_bar, film, frame, heat_uri, outline_path, strips, typical
from lakeviz.report.sections import controls as control_section
from lakeviz.tables import n_draws, numbers, records, where

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

_OPEN = 6
"""Categories whose pictures and figures are shown unfolded."""
_LONGEST_TILE, _DEPTH_ROWS = 240, 4


def categories(page: Page) -> list[Section]:
    """Make the section of every category, group after group."""
    made, common = [], common_notes(page)
    for group in page.groups:
        heading = f"Categories: {group.name}" if group.name else "Categories"
        for evaluation in group.evaluations:
            context = _context(page, evaluation, common)
            anchor = page.anchor(evaluation)
            made.append(Section(anchor, evaluation.category, "category.html", context, heading))
    return made


def _context(page: Page, evaluation: Evaluation, common: list[str]) -> dict[str, Any]:
    notes = Footnotes()
    threshold = f1_max_threshold(evaluation.metrics)
    colours = heat_colours(evaluation)
    labels = evaluation.dataset.labels
    shown, digits = strips(evaluation, colours, threshold), colours.decimals
    return {
        "n_fit": evaluation.provenance.get("fit", {}).get("n_images"),
        "n_draws": n_draws(evaluation.metrics),
        "baseline": of_run(page),
        "open": len(page.evaluations) <= _OPEN,
        "headline": [
            (metric_title(level, name), metric(evaluation.metrics, level, name, notes))
            for level, name in page.metrics
        ],
        "footnotes": notes,
        "n_normal": int((labels == 0).sum()),
        "n_anomalous": int((labels == 1).sum()),
        "strips": shown,
        "film": film(evaluation, colours, threshold),
        "clips": _clips(evaluation),
        "streams": _streams(evaluation),
        "frame": frame([picture for strip in shown for picture in strip.pictures]),
        "threshold": f"{threshold:.{digits}f}" if math.isfinite(threshold) else None,
        "colours": colours,
        "ticks": [(100 * t, said) for t, said in zip(TICKS, colours.labels())],
        "gradient": colour_bar(),
        "figures": list(_figures(page, evaluation, threshold)),
        "neurons": _neurons(page, evaluation),
        "notes": [note for note in notes_of(evaluation) if note not in common],
    }


def _figures(page: Page, evaluation: Evaluation, threshold: float) -> Iterable[EmbeddedFigure]:
    scores, metrics, provenance = evaluation.scores, evaluation.metrics, evaluation.provenance
    yield _drawn("Image scores", score_figure, scores, threshold=threshold)
    if "clip" in scores:
        yield _drawn("Scores over time", timeline_figure, scores, threshold=threshold)
    n_fit = provenance.get("fit", {}).get("n_images")
    yield _drawn("Variance spectrum", spectrum_figure, evaluation.spectrum, n_images=n_fit)
    bootstrap = Bootstrap.from_plain(provenance.get("bootstrap"))
    pr = "Precision and recall of"
    for title, name, draw in (
        ("ROC of images", "auroc", roc_figure),
        (f"{pr} images", "average_precision", pr_figure),
    ):
        runs = image_runs(scores, metrics, name)
        yield _drawn(title, partial(draw, title=title), runs, bootstrap=bootstrap)
    try:
        curves = pixel_curves(evaluation)
    except LakevizError as error:
        yield without_figure("ROC, precision, recall and region overlap of pixels", str(error))
    else:
        pro = partial(pro_figure, conventions=conventions_of(provenance))
        for title, name, draw in (
            ("ROC of pixels", "auroc", roc_figure),
            (f"{pr} pixels", "average_precision", pr_figure),
            ("Per-region overlap", "aupro", pro),
        ):
            run = {"LAKE": pixel_run(curves, metrics, name)}
            yield _drawn(title, partial(draw, title=title), run, bootstrap=bootstrap)
    if len(page.evaluations) > 1:
        yield from control_section.figures(evaluation.controls, page.confidence)


def _clips(evaluation: Evaluation) -> list[dict[str, str]]:
    """What was measured of all clips together, in words."""
    table = evaluation.clips
    shown = records(table, clip=ALL) if len(table) else []
    rows = [row for row in shown if row["branch"] in ("lake", SMOOTHED)]
    return [
        {
            "title": CLIP_METRICS[row["metric"]]
            + (", smoothed over time" if row["branch"] == SMOOTHED else ""),
            "text": estimate(row).text(1 if row["metric"] == "delay" else 3, style="html"),
            "remark": str(row["reason"] or row["note"] or ""),
        }
        for row in rows
    ]


def _streams(evaluation: Evaluation) -> tuple[list[str], list[dict[str, Any]]] | None:
    """Image AUROC of every stream alone and of all fused, by kind of defect, in words."""
    if evaluation.streams.empty:
        return None
    table = where(evaluation.streams, level="image", metric="auroc")
    names = list(dict.fromkeys(table["stream"]))
    return names, [
        {
            "kind": kind,
            "texts": [
                estimate(row).text(style="html") for row in records(where(table, defect_type=kind))
            ],
        }
        for kind in dict.fromkeys(table["defect_type"])
    ]


def _drawn(title: str, draw: Any, shown: Any, **how: Any) -> EmbeddedFigure:
    """Draw a figure; where it is undefined, say why."""
    try:
        return embed(draw(shown, **how))
    except LakevizError as error:
        return without_figure(title, str(error))


def _neurons(page: Page, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Chosen channels per hook point, by rank, with the ids of their dossiers."""
    table = evaluation.neurons
    made = []
    for point in dict.fromkeys(table["point"]):
        of_point = where(table, point=point).sort_values("rank")
        scores = numbers(of_point, "score")
        made.append(
            {
                "point": point,
                "channels": [
                    (c, page.dossiers.get((evaluation.category, point, c), ""))
                    for c in of_point["channel"].tolist()
                ],
                "highest": f"{np.max(scores):.4g}",
                "lowest": f"{np.min(scores):.4g}",
                "selector": of_point["selector"].iloc[0],
            }
        )
    return made


def common_notes(page: Page) -> list[str]:
    """Notes that all of several categories have; they are said once, at the end."""
    first, *others = map(notes_of, page.ordered)
    return [note for note in first if all(note in own for own in others)] if others else []


def notes_of(evaluation: Evaluation) -> list[str]:
    """What a reader of the numbers should know: skipped images, missing masks, reasons."""
    notes = [f"skipped: {path}: {reason}" for path, reason in evaluation.maps.skipped]
    notes += [str(note) for note in evaluation.provenance.get("notes", [])]
    notes += evaluation.notes
    anomalous = evaluation.dataset.anomalous().frame
    missing = int(np.count_nonzero(anomalous["mask_path"].isna()))
    if missing:
        notes.append(f"{missing} of {len(anomalous)} anomalous images have no mask")
    return notes


# --- pictures beside renderings of their depth, each under the heat map of its own stream ---


def depth(page: Page) -> list[Section]:
    """Make the section of every category that was scored on a rendering of depth."""
    return [
        Section(
            f"{page.anchor(evaluation)}-depth",
            f"Streams: {evaluation.category}",
            "depth.html",
            _depth_context(evaluation),
            "Picture and depth",
        )
        for evaluation in page.ordered
        if evaluation.dataset.depths and any(map(rendering_of, evaluation.maps.streams))
    ]


def _depth_context(evaluation: Evaluation) -> dict[str, Any]:
    streams = evaluation.maps.streams
    labels = evaluation.dataset.labels
    colours = {name: colour_range(maps, labels) for name, maps in streams.items()}
    ends = {name: own.labels() for name, own in colours.items()}
    rows = [_depth_row(evaluation, i, streams, colours) for i in typical(evaluation, _DEPTH_ROWS)]
    return {
        "rows": rows,
        "gradient": colour_bar(),
        "colours": [(name, said[0], said[-1]) for name, said in ends.items()],
        "rule": next(iter(colours.values())).rule.partition(";")[0],
        "frame": frame([tile for row in rows for tile in row["tiles"]]),
    }


class _Tile:
    """A picture or rendering, and what lies over it; see ``macros.layers``."""

    def __init__(self, name: str, base: Image.Image, heat: str = "", outline: str = "") -> None:
        self.name, self.heat, self.outline = name, heat, outline
        self.photo = data_uri(base, quality=80, optimize=True)
        self.width, self.height = base.size


def _depth_row(
    evaluation: Evaluation,
    index: int,
    streams: dict[str, np.ndarray],
    colours: dict[str, ColourRange],
) -> dict[str, Any]:
    row = evaluation.dataset.frame.iloc[index]
    tiles, problem = [], ""
    try:
        photo = fit_within(load_image(row["path"]), _LONGEST_TILE)
        outline, problem = outline_path(evaluation, index, (photo.height, photo.width))
        tiles.append(_Tile("picture", photo, "", outline))
        for name, maps in streams.items():
            how = rendering_of(name)
            base = photo if how is None else _rendering(evaluation, index, how, photo.size)
            pixels = replace(evaluation.maps, patch=maps).pixel_map(index)
            heat = heat_uri(pixels, colours[name], photo)
            tiles.append(_Tile(name, base, heat, outline))
    except LakevizError as error:
        problem = str(error)
    named = {"name": row["sample_id"], "defect": row["defect_type"]}
    return named | {"tiles": tiles, "problem": problem}


def _rendering(evaluation: Evaluation, index: int, how: str, size: tuple[int, int]) -> Image.Image:
    from lakeviz.data.depth import render, units_of

    found = evaluation.dataset.depths[index]
    return render(found.path, how, units_of(found.normal)).resize(size)
