"""Plotly figures as the page carries them: data as JSON, drawn when they come into view."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import plotly.graph_objects as go

from lakeviz.plots import TEMPLATES, caption_of

_MARGIN_TOP, _MARGIN_TOP_LEGEND = 12, 36


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure, or the reason why it cannot be drawn.

    Attributes
    ----------
    title, caption : str
        Plain text; the page sets them, so that they wrap on narrow screens.
    spec : dict
        ``data`` and ``layout`` for plotly; empty where there is a reason.
    height : int
        In pixels.
    reason : str
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
    above = layout.get("legend", {}).get("orientation") == "h" or _annotated_above(layout)
    for name in ("template", "title", "meta"):
        layout.pop(name, None)
    top = _MARGIN_TOP_LEGEND if above else _MARGIN_TOP
    height = int(layout.pop("height", 420)) - was + top
    layout["margin"] = {"t": top, "r": 12, "l": 12, "b": 12}
    layout |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    return EmbeddedFigure(title, caption, {"data": spec["data"], "layout": layout}, height)


def without_figure(title: str, reason: str) -> EmbeddedFigure:
    """Stand in for a figure that cannot be drawn."""
    return EmbeddedFigure(title, "", {}, 0, reason)


def theme_templates() -> dict[str, Any]:
    """Plotly templates of the page's two themes."""
    names = {"light": "lakeviz", "dark": "lakeviz_dark"}
    figures = {theme: go.Figure(layout={"template": TEMPLATES[n]}) for theme, n in names.items()}
    return {theme: _plain(fig)["layout"]["template"] for theme, fig in figures.items()}


def _plain(fig: go.Figure) -> dict[str, Any]:
    return json.loads(cast(str, fig.to_json()))


def _annotated_above(layout: dict[str, Any]) -> bool:
    return any(note.get("yanchor") == "bottom" for note in layout.get("annotations", []))
