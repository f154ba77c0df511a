"""The look of every figure: templates for light, dark and printed pages, colours, dashes, markers.

The colours are those of Okabe and Ito (2008), distinguishable with every common colour blindness;
the two lightest are darkened so that each stands out from a white and from a near-black page. No
figure relies on colour alone: series also differ by dash, marker or position.
"""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#C98A00", "#3A9BD9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = (
    *("circle", "diamond", "square", "triangle-up", "x", "cross"),
    *("triangle-down", "star", "pentagon", "hourglass", "triangle-left", "bowtie"),
)
NORMAL, ANOMALOUS = PALETTE[0], PALETTE[1]
NEUTRAL = "#868E99"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_INK = {
    "lakeviz": {"text": "#1f2933", "muted": "#5b6672", "grid": "#e8ebef", "page": "#ffffff"},
    "lakeviz_dark": {"text": "#e4e7eb", "muted": "#9aa5b1", "grid": "#2b313a", "page": "#14171c"},
    "paper": {"text": "#000000", "muted": "#333333", "grid": "#e3e6ea", "page": "#ffffff"},
}
PRINT_FONT = "Helvetica, Arial, 'Nimbus Sans', 'Liberation Sans', 'DejaVu Sans', sans-serif"

PRINT_SCALE = 0.8
"""CSS pixels (1/96 inch) in print per pixel of the layout, so that a pixel prints as 0.6 pt."""


def print_size(points: float) -> float:
    """Pixels of the layout that print as a size in points."""
    return points * 96 / 72 / PRINT_SCALE


_CAPTION_WIDTH = 96
_LEGEND_HEIGHT = 28


@dataclass(frozen=True)
class _Sizes:
    """Sizes in pixels of the layout."""

    title: float = 16
    text: float = 13
    small: float = 12
    line: float = 1
    tick: float = 4
    standoff: float = 10
    margin: tuple[float, float, float, float] = (64, 24, 96, 56)
    font: str = FONT


_PRINTED = _Sizes(
    title=print_size(9),
    text=print_size(8),
    small=print_size(7),
    line=0.8,
    tick=3,
    standoff=6,
    # Axes widen these as their labels need.
    margin=(12, 14, 12, 12),
    font=PRINT_FONT,
)


def _template(ink: dict[str, str], size: _Sizes) -> go.layout.Template:
    axis = {
        "gridcolor": ink["grid"],
        "gridwidth": size.line,
        "linecolor": ink["muted"],
        "linewidth": size.line,
        "tickcolor": ink["muted"],
        "tickwidth": size.line,
        "tickfont": {"color": ink["muted"], "size": size.small},
        "title": {"font": {"color": ink["text"], "size": size.text}, "standoff": size.standoff},
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": size.tick,
        "automargin": True,
        # 0.0002 rather than 200 with a prefix; small raised exponents cannot be read in print.
        "exponentformat": "none",
    }
    small = {"size": size.small}
    layout = go.Layout(
        font={"family": size.font, "size": size.text, "color": ink["text"]},
        title={
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 20},
            "font": {"size": size.title, "color": ink["text"]},
            "subtitle": {"font": {"size": size.small, "color": ink["muted"]}},
        },
        paper_bgcolor=ink["page"],
        plot_bgcolor=ink["page"],
        colorway=list(PALETTE),
        xaxis=axis,
        yaxis=axis,
        legend={"font": small, "bgcolor": "rgba(0,0,0,0)", "title": {"font": small}},
        hoverlabel={"font": {"family": size.font, "size": 12}, "align": "left"},
        annotationdefaults={"font": {**small, "color": ink["muted"]}, "showarrow": False},
        shapedefaults={"line": {"color": ink["muted"], "width": size.line}},
        margin=dict(zip(("l", "r", "t", "b"), size.margin, strict=True)),
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": ink["muted"], "activecolor": ink["text"]},
    )
    bar = {"tickfont": {**small, "color": ink["muted"]}, "title": {"font": small}}
    bar |= {"outlinewidth": 0, "ticklen": size.tick}
    layout.coloraxis = {"colorbar": bar}
    return go.layout.Template(layout=layout, data={"heatmap": [{"colorbar": bar}]})


TEMPLATES = {
    name: _template(ink, _PRINTED if name == "paper" else _Sizes()) for name, ink in _INK.items()
}
for _name, _made in TEMPLATES.items():
    pio.templates[_name] = _made


def plain(text: object) -> str:
    """Escape a name for plotly, whose texts are read as a small part of HTML."""
    return html.escape(str(text), quote=False)


def new_figure(
    title: str,
    caption: str,
    *,
    legend_above: bool = False,
    caption_width: int = _CAPTION_WIDTH,
    height: float = 400,
    **layout: Any,
) -> go.Figure:
    """Start a figure of the ``lakeviz`` template.

    Title and caption are plain text: they are escaped, the caption is broken into lines, and
    both are kept unbroken in ``layout.meta`` for pages that set them in their own type.

    Parameters
    ----------
    title : str
    caption : str
        What is shown, over how many images, and what bands and intervals are.
    legend_above : bool
        Lay the legend (or labels) in a line between the caption and the axes.
    caption_width : int
        Characters in a line of the caption.
    height : float
        Of axes, ticks and what is below them, in pixels; the caption comes on top.
    **layout
        Further layout settings.
    """
    lines = textwrap.wrap(caption, caption_width)
    top = 52 + 17 * len(lines) + _LEGEND_HEIGHT * legend_above
    fig = go.Figure()
    fig.update_layout(
        template="lakeviz",
        title={"text": plain(title), "subtitle": {"text": "<br>".join(map(plain, lines))}},
        meta={"title": title, "caption": caption},
        margin={"t": top},
        height=height + top,
        **layout,
    )
    if legend_above:
        fig.update_layout(
            legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
        )
    return fig


def caption_of(fig: go.Figure) -> tuple[str, str]:
    """Title and caption of a figure as plain text; empty where it has none."""
    meta = fig.to_plotly_json()["layout"].get("meta") or {}
    return str(meta.get("title", "")), str(meta.get("caption", ""))


def faded(colour: str, opacity: float) -> str:
    """Return an ``rgba()`` colour: a ``#rrggbb`` one at an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
