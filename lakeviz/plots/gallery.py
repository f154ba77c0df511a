"""Best, worst and typical images as one figure: thumbnails with heat, mask outline and score."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.plots.colours import HEAT, ColourRange
from lakeviz.plots.heatmap import overlay
from lakeviz.plots.template import new_figure, plain
from lakeviz.tables import numbers, rows
from lakeviz.wording import counted

GROUPS = {
    ("worst", 0): "Worst normal: highest scores",
    ("worst", 1): "Worst anomalous: lowest scores",
    ("typical", 0): "Typical normal: nearest the median",
    ("typical", 1): "Typical anomalous: nearest the median",
    ("best", 0): "Best normal: lowest scores",
    ("best", 1): "Best anomalous: highest scores",
}
"""The groups and, in words, their rules; the order is that in which images are chosen."""

_FEW, _FEW_COLUMNS, _MANY_COLUMNS = 36, 6, 12
_WIDTH, _NARROW, _LINE, _SHOWN = 720, 300, 17, 0.94
_BYTES_OF_ALL, _BYTES_OF_ONE, _SMALLEST = 2_600_000, 48_000, 24
_LETTER = 6.6
"""About the width of a letter, in pixels."""


@dataclass(frozen=True)
class Tile:
    """One image of a gallery.

    Attributes
    ----------
    image : PIL image
    scores : float array [row, column]
        Its patch or pixel map.
    name : str
    score : float
        Of the image.
    group : str
        Images of one group stand together.
    kind : str
        Of defect.
    wrong : str
        "missed" or "false alarm", or empty.
    mask : bool array [height, width], optional
    """

    image: Image.Image
    scores: Float[np.ndarray, "row column"]
    name: str
    score: float
    group: str = ""
    kind: str = ""
    wrong: str = ""
    mask: Bool[np.ndarray, "height width"] | None = None


def choose_images(scores: pd.DataFrame, per_group: int = 6, column: str = "score") -> pd.DataFrame:
    """Choose the worst, typical and best images of each class by their score.

    Worst are the normal images of highest and the anomalous ones of lowest score, best the other
    way round, typical those nearest the median of their class. No image is chosen twice: a group
    has at most a third of its class (but one image), and the worst are chosen first, then the
    typical. Ties go to the earlier row.

    Parameters
    ----------
    scores : DataFrame
        Columns ``label`` (0 normal, 1 anomalous) and ``column``.
    per_group : int
        Images of each group, at most.
    column : str
        Which score.

    Returns
    -------
    DataFrame
        The chosen rows with columns group (its rule in words) and position (in ``scores``) before
        their own, group after group.

    Raises
    ------
    ConfigError
        There is no image, or none is wanted.
    """
    if per_group < 1 or scores.empty:
        raise ConfigError("a gallery needs at least one image, and one image a group")
    values, labels = numbers(scores, column), scores["label"].to_numpy()
    left = np.isfinite(values)
    chosen: list[int] = []
    groups: list[str] = []
    for (what, label), name in GROUPS.items():
        own = labels == label
        if not own.any():
            continue
        middle = float(np.median(values[own & np.isfinite(values)]))
        keys = {"worst": -values, "best": values, "typical": np.abs(values - middle)}
        key = keys[what] if label == 0 or what == "typical" else -keys[what]
        free = np.flatnonzero(own & left)
        n = min(per_group, max(1, int(own.sum()) // 3))
        taken = free[np.argsort(key[free], kind="stable")][:n]
        left[taken] = False
        chosen += taken.tolist()
        groups += [name] * len(taken)
    table = rows(scores, np.array(chosen, dtype=int)).reset_index(drop=True)
    return pd.DataFrame({"group": groups, "position": chosen}).join(table)


def gallery_figure(
    tiles: Sequence[Tile],
    colours: ColourRange,
    *,
    threshold: float | None = None,
    title: str = "Best, worst and typical images",
    rule: str = "",
    columns: int | None = None,
) -> go.Figure:
    """Thumbnails in rows, group after group: photograph, heat, mask outline; the score below.

    Pictures are reduced until all of them fit into 2.6 MB, so that the page of a gallery of 200
    images stays below 10 MB, whatever they show.

    Parameters
    ----------
    tiles : sequence of Tile
        See :func:`choose_images`.
    colours : ColourRange
        One for all, see :func:`lakeviz.plots.colour_range`.
    threshold : float, optional
        At which ``Tile.wrong`` was decided, for the caption.
    title : str
    rule : str
        How the images were chosen, where the groups' names do not say it.
    columns : int, optional
        Images in a row; by default 6, or 12 of many. In a column of a paper 3 fit.

    Raises
    ------
    ConfigError
        There is no image.
    """
    if not tiles:
        raise ConfigError("a gallery needs at least one image")
    many = len(tiles) > _FEW
    groups = {
        name: [t for t in tiles if t.group == name]
        for name in dict.fromkeys(t.group for t in tiles)
    }
    widest = max(map(len, groups.values()))
    wanted = columns or (_MANY_COLUMNS if many else _FEW_COLUMNS)
    n_columns = min(wanted, widest)
    ratios = [tile.image.height / tile.image.width for tile in tiles]
    tall = float(np.clip(np.median(ratios), 0.5, 1.6))
    # The pixels of a cell in print, which texts of a fixed size must fit into.
    cell = (_NARROW if wanted <= 3 else _WIDTH) / wanted
    lines = 1 if many else 1 + any(tile.kind for tile in tiles)
    pitch, head = tall + (lines * _LINE + 8) / cell, (_LINE + 6) / cell
    places, heads, deep = _places(groups, n_columns, pitch, head)
    height = deep * cell + 40
    ordered = [tile for own in groups.values() for tile in own]
    caption = _caption(tiles, colours, threshold, rule, many=many)
    fig = new_figure(title, caption, height=height, width=cell * wanted + 160)
    limit = min(_BYTES_OF_ONE, _BYTES_OF_ALL // len(tiles))
    images, notes = [], []
    for tile, (row, column) in zip(ordered, places, strict=True):
        images.append(_picture(tile, colours, limit, column, row, tall))
        notes.append(_note(tile, colours, column, row + tall, cell, many=many))
    names = {"x": 0, "xanchor": "left", "yanchor": "bottom", "xref": "x", "yref": "y"}
    notes += [names | {"text": plain(name), "y": y} for name, y in heads.items() if name]
    fig.update_layout(images=images, annotations=notes, showlegend=False)
    fig.add_trace(_hover(ordered, places, colours, tall))
    # A row that is not full leaves room for the colour bar, which stands right of all names.
    names_end = max(map(len, groups)) * _LETTER / cell
    fig.add_trace(_bar(colours, min(1.0, max(n_columns, names_end) / wanted) + 0.01))
    fig.update_xaxes(
        range=[0, n_columns], domain=[0, n_columns / wanted], visible=False, constrain="domain"
    )
    fig.update_xaxes(constraintoward="left")
    fig.update_yaxes(
        range=[deep, 0],
        visible=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
    )
    return fig


def _places(
    groups: dict[str, list[Tile]], n_columns: int, pitch: float, head: float
) -> tuple[list[tuple[float, int]], dict[str, float], float]:
    """Top and column of each tile, the foot of each group's name, and how deep all is."""
    made, heads, top = [], {}, 0.0
    for name, own in groups.items():
        top += head if name else 0
        heads[name] = top
        made += [(top + i // n_columns * pitch, i % n_columns) for i in range(len(own))]
        top += -(-len(own) // n_columns) * pitch
    return made, heads, top


def _caption(
    tiles: Sequence[Tile], colours: ColourRange, threshold: float | None, rule: str, *, many: bool
) -> str:
    parts = [f"{counted(len(tiles), 'image')}; below each its score"]
    parts[0] += "." if many or not any(t.kind for t in tiles) else " and its kind of defect."
    if rule:
        parts.append(rule)
    if any(tile.mask is not None for tile in tiles):
        parts.append("Outlines: masks.")
    parts.append(f"One colour scale for all, {colours.rule}.")
    wrong = sum(bool(tile.wrong) for tile in tiles)
    if threshold is not None and np.isfinite(threshold):
        parts.append(
            f"At the threshold {threshold:.{colours.decimals}f}, {wrong} of these "
            + ("is wrong" if wrong == 1 else "are wrong")
            + (" (!)." if wrong else ".")
        )
    return " ".join(parts)


def _picture(
    tile: Tile, colours: ColourRange, limit: int, x: float, y: float, tall: float
) -> dict[str, Any]:
    ratio = tile.image.height / tile.image.width
    width = _SHOWN * min(1.0, tall / ratio)
    data = base64.b64encode(_encoded(tile, colours, limit)).decode("ascii")
    return {
        "source": f"data:image/jpeg;base64,{data}",
        "x": x + 0.5,
        "y": y + tall / 2,
        "sizex": width,
        "sizey": width * ratio,
        "xref": "x",
        "yref": "y",
        "xanchor": "center",
        "yanchor": "middle",
        "sizing": "stretch",
        "layer": "below",
    }


def _encoded(tile: Tile, colours: ColourRange, limit: int) -> bytes:
    """JPEG of at most ``limit`` bytes, save for one that is already as small as can be."""
    longest = 320.0
    while True:
        # Pictures are shown at about a third of 320 pixels, which the outline must survive.
        made = overlay(
            tile.image,
            tile.scores,
            colours,
            tile.mask,
            longest=round(longest),
            line_width=max(1, round(min(longest, max(tile.image.size)) / 110)),
        )
        buffer = io.BytesIO()
        # Thin coloured outlines need the full resolution of colour.
        made.save(buffer, format="JPEG", quality=82, subsampling=0)
        size = buffer.tell()
        if size <= limit or longest <= _SMALLEST:
            return buffer.getvalue()
        longest = max(_SMALLEST, 0.95 * min(longest, max(made.size)) * (limit / size) ** 0.5)


def _note(
    tile: Tile, colours: ColourRange, x: float, y: float, cell: float, *, many: bool
) -> dict[str, Any]:
    said = f"{tile.score:.{colours.decimals}f}" + (" !" if tile.wrong else "")
    if tile.kind and not many:
        most = int(cell / _LETTER)
        kind = tile.kind if len(tile.kind) <= most else tile.kind[: most - 1] + "…"
        said += f"<br>{plain(kind)}"
    place = {"x": x + 0.5, "y": y, "xref": "x", "yref": "y", "yanchor": "top"}
    return place | {"text": said, "font": {"size": 11}, "borderpad": 1}


def _hover(
    tiles: Sequence[Tile],
    places: Sequence[tuple[float, int]],
    colours: ColourRange,
    tall: float,
) -> go.Scatter:
    """Points that cannot be seen, so that pictures can be pointed at."""
    said = [
        "<br>".join(
            plain(part)
            for part in (t.name, f"score {t.score:.{colours.decimals}f}", t.kind, t.wrong)
            if part
        )
        for t in tiles
    ]
    return go.Scatter(
        x=[column + 0.5 for _, column in places],
        y=[top + tall / 2 for top, _ in places],
        mode="markers",
        marker={"size": 40, "opacity": 0},
        text=said,
        hovertemplate="%{text}<extra></extra>",
        name="images",
    )


def _bar(colours: ColourRange, right: float) -> go.Heatmap:
    """Only the colour bar: the pictures hold the heat."""
    return go.Heatmap(
        z=[[0.0]],
        x=[-1],
        y=[-1],
        zmin=0,
        zmax=1,
        colorscale=HEAT,
        hoverinfo="skip",
        colorbar=colours.bar("score") | {"len": 0.4, "x": right, "y": 1, "yanchor": "top"},
        name="scale",
    )
