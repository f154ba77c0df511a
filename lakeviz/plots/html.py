"""Figures as HTML: pieces of a page that draws them when they come into view, or a page of one."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import plotly.graph_objects as go

from lakeviz.plots.template import PALETTE, TEMPLATES, caption_of, faded

_MARGIN, _MARGIN_TOP_LEGEND = 12, 36
_MARGIN_PARCOORDS = 44  # labels of its axes make no room for themselves
PLAYER = Path(__file__).with_name("player.js").read_text(encoding="utf-8")
"""JavaScript that plays the frames of a clip, in the report and in the explorer."""
_LIGHTER = {PALETTE[0]: "#6AA9F0"}
"""Colours that are dim on a dark page."""


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>body {{ margin: 0; background: {page}; }}</style>
</head>
<body>
{figure}
</body>
</html>
"""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure, or the reason why it cannot be drawn.

    Title and caption are plain text, which the page sets so that they wrap on narrow screens;
    ``spec`` is ``data`` and ``layout`` for plotly, empty where there is a reason.
    """

    title: str
    caption: str
    spec: dict[str, Any]
    height: int
    reason: str = ""

    @property
    def label(self) -> str:
        """What a screen reader says."""
        return f"{self.title}. {self.caption}"


def embed(fig: go.Figure) -> EmbeddedFigure:
    """Take title, caption and template off a figure, for the page to add its own."""
    title, caption = caption_of(fig)
    spec = _plain(fig)
    layout = spec["layout"]
    was = layout["margin"]["t"]
    noted = any(note.get("yanchor") == "bottom" for note in layout.get("annotations", []))
    above = noted or layout.get("legend", {}).get("orientation") == "h"
    for name in ("template", "title", "meta"):
        layout.pop(name, None)
    top = _MARGIN_TOP_LEGEND if above else _MARGIN
    height = int(layout.pop("height", 420)) - was + top
    parallel = any(trace["type"] == "parcoords" for trace in spec["data"])
    side = _MARGIN_PARCOORDS if parallel else _MARGIN
    layout["margin"] = {"t": top, "r": side, "l": side, "b": _MARGIN}
    layout |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    return EmbeddedFigure(title, caption, {"data": spec["data"], "layout": layout}, height)


def without_figure(title: str, reason: str) -> EmbeddedFigure:
    """Stand in for a figure that cannot be drawn."""
    return EmbeddedFigure(title, "", {}, 0, reason)


def theme_templates() -> dict[str, Any]:
    """Plotly templates of the page's two themes, and colours that are lighter in the dark one."""
    names = {"light": "lakeviz", "dark": "lakeviz_dark"}
    figures = {theme: go.Figure(layout={"template": TEMPLATES[n]}) for theme, n in names.items()}
    made = {theme: _plain(fig)["layout"]["template"] for theme, fig in figures.items()}
    # As figures write them: whole, and faded.
    faded_ones = {_channels(dim): _channels(light) for dim, light in _LIGHTER.items()}
    return {**made, "lighter": {**_LIGHTER, **faded_ones}}


def _channels(colour: str) -> str:
    return faded(colour, 1).rpartition(",")[0]


def page_of(fig: go.Figure, template: str = "lakeviz") -> str:
    """Make one HTML page of a figure, with plotly's script; its policy forbids any request."""
    shown = go.Figure(fig)
    shown.update_layout(template=TEMPLATES[template])
    page: Any = TEMPLATES[template].layout
    figure = shown.to_html(
        full_html=False,
        div_id="figure",  # plotly's own is random, and so would be the hash of the file
        include_plotlyjs=True,
        include_mathjax=False,
        config={"displaylogo": False, "responsive": True},
    )
    title = html.escape(caption_of(fig)[0] or "figure")
    return _PAGE.format(title=title, page=page.paper_bgcolor, figure=figure)


def _plain(fig: go.Figure) -> dict[str, Any]:
    return json.loads(cast(str, fig.to_json()))
