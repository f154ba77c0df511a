"""A still view for pages without a kernel: the image with its map, and the neurons of its patch."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeviz.explorer.widget import ExplorerWidget

_N_NEURONS = 12
_LINE = 'fill="none" vector-effect="non-scaling-stroke"'
_OUTLINE = (
    f'<path d="{{0}}" {_LINE} stroke="#10222b" stroke-width="4"/>'
    f'<path d="{{0}}" {_LINE} stroke="#40e0ff" stroke-width="1.5"/>'
)


def still_view(widget: ExplorerWidget) -> str:
    """HTML of what the widget shows now; nothing in it reacts."""
    listing, picture, patch = widget.listing, widget.picture, widget.patch
    shown = widget.knocked or picture
    image = next(i for i in listing["images"] if i["index"] == picture["index"])
    off = widget.knocked.get("n", 0)
    digits = listing["decimals"]
    said = [
        f"{image['name']} ({listing['category']}, {image['kind']}): "
        f"image score {shown['score']:.{digits}f}."
    ]
    if off:
        said.append(
            f"{off} selected {'neuron is' if off == 1 else 'neurons are'} off; with all on it is "
            f"{widget.knocked['intact']:.{digits}f}, and with as many random ones off "
            f"{widget.knocked['control_mean']:.{digits}f} "
            f"({widget.knocked['control_low']:.{digits}f} to "
            f"{widget.knocked['control_high']:.{digits}f} in {widget.knocked['n_draws']} draws)."
        )
    said.append(f"Colours {listing['rule']}.")
    return (
        '<div style="max-width: 44rem; line-height: 1.5">'
        "<p><strong>lakeviz explorer, a still view.</strong> Run the cell in a live notebook to "
        "choose images, patches and neurons.</p>"
        f'<div style="display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start">'
        f"{_svg(picture, shown, patch)}{_tables(patch)}</div>"
        f"<p>{escape(' '.join(said))}</p></div>"
    )


def _svg(picture: dict[str, Any], shown: dict[str, Any], patch: dict[str, Any]) -> str:
    width, height = picture["width"], picture["height"]
    step = width / picture["columns"], height / picture["rows"]
    opacity = 0.6 if picture["photo"] else 1
    layers = "".join(
        f'<image href="{uri}" width="{width}" height="{height}" opacity="{alpha}" '
        'preserveAspectRatio="none"/>'
        for uri, alpha in ((picture["photo"], 1), (shown["heat"], opacity))
        if uri
    )
    if picture["outline"]:
        layers += _OUTLINE.format(picture["outline"])
    frame = (
        f'x="{patch["column"] * step[0]:.1f}" y="{patch["row"] * step[1]:.1f}" '
        f'width="{step[0]:.1f}" height="{step[1]:.1f}" {_LINE}'
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" width="320" role="img" '
        'aria-label="Test image with its score map">'
        f'{layers}<rect {frame} stroke="#10222b" stroke-width="4"/>'
        f'<rect {frame} stroke="#ffffff" stroke-width="2"/></svg>'
    )


def _tables(patch: dict[str, Any]) -> str:
    made = []
    for point in patch["points"]:
        rows = "".join(
            f"<tr><td>{channel}</td><td>{rank}</td><td>{100 * share:.1f} %</td></tr>"
            for channel, rank, share in list(
                zip(point["channel"], point["rank"], point["share"], strict=True)
            )[:_N_NEURONS]
        )
        made.append(
            f"<table><caption>{escape(point['point'])}: patch in row {patch['row']}, column "
            f"{patch['column']}, distance {point['score']:.4g}</caption><thead><tr>"
            "<th>neuron</th><th>rank</th><th>share of the distance</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
    return "".join(made)
