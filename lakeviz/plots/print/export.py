"""Save a figure for a paper or a page: PDF, SVG, PNG or HTML, with a sidecar that says what it is.

Widths are those of most journals with two columns: 85 mm for one column, 178 mm for the page. In
print a pixel of the layout is 0.6 pt, so that the fonts of the template ``paper`` are 7 to 9 pt at
every width. An installed Chrome or Chromium draws the picture by kaleido, without a network.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
from PIL import Image

from lakeviz.errors import ConfigError, OutputError, nearest
from lakeviz.files import write_bytes
from lakeviz.plots.html import page_of
from lakeviz.plots.print.axis_labels import names_of
from lakeviz.plots.print.figure_metadata import (
    Tables,
    describe_figure,
    read_sidecar,
    sidecar_path,
    with_file,
)
from lakeviz.plots.print.layout import fit_to_page
from lakeviz.plots.print.panels import TooNarrowError, axes, grid
from lakeviz.plots.template import PRINT_SCALE, TEMPLATES

WIDTHS = {"column": 85.0, "page": 178.0}
"""Widths by name, in mm."""
SUFFIXES = (".pdf", ".svg", ".png", ".html")
DPI = 300
"""Of PNG files."""
_MOST_NAMES = 12

_PER_MM = 96 / 25.4 / PRINT_SCALE

Width = Literal["column", "page"] | float


def save_figure(
    fig: go.Figure,
    path: str | Path,
    width: Width = "column",
    height: float | None = None,
    *,
    template: str | None = None,
    sidecar: bool = True,
    data: Tables | None = None,
    provenance: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Save a figure; the suffix of the path says as what.

    Parameters
    ----------
    fig : Figure
        Left as it is.
    path : path
        ``.pdf`` or ``.svg`` (vectors), ``.png`` (300 dpi), or ``.html`` (interactive, one file
        that loads nothing). It appears whole or not at all.
    width : "column", "page" or number of mm
        85 mm, 178 mm or as given. An HTML page is as wide as its window.
    height : number of mm, optional
        What suits the figure by default.
    template : str, optional
        ``"paper"``, ``"lakeviz"`` or ``"lakeviz_dark"``. By default ``"paper"`` (no title and no
        caption in the picture: the sidecar has them), and ``"lakeviz"`` for HTML.
    sidecar : bool
        Write ``x.json`` next to ``x.pdf``: title, caption, data, versions, command, provenance,
        and the hash of each file.
    data : DataFrame or mapping of name to DataFrame, optional
        For the sidecar; the numbers of the traces by default.
    provenance : mapping, optional
        For the sidecar, as results carry it.
    command : str, optional
        For the sidecar.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        Unknown suffix, template or width, or a size that is not positive.
    OutputError
        The file cannot be written, a foreign file is in the place of the sidecar, or there is no
        browser to draw with (HTML needs none).

    Notes
    -----
    Starting the browser takes seconds: put several calls into ``with open_browser():``.
    """
    path = Path(path)
    suffix = _check_suffix(path)
    millimetres = _in_mm(width, "width")
    tall = None if height is None else _in_mm(height, "height")
    template = template or ("lakeviz" if suffix == ".html" else "paper")
    if template not in TEMPLATES:
        raise ConfigError(
            f"unknown template {template!r}; there are {', '.join(TEMPLATES)}"
            f"{nearest(template, TEMPLATES)}"
        )
    described = describe_figure(fig, data=data, provenance=provenance, command=command)
    if sidecar:
        read_sidecar(path)  # before the browser is started for nothing
    if suffix == ".html":
        content, facts = page_of(fig, template).encode(), {"template": template}
    else:
        require_browser()
        content, size = _drawn(fig, suffix, millimetres, tall, template)
        facts = {"template": template, "width_mm": size[0], "height_mm": size[1]}
    write_bytes(path, content)
    if sidecar:
        told = with_file(described, path, content, **facts)
        text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
        write_bytes(sidecar_path(path), text.encode())
    return path


def _check_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        said = f"the suffix {path.suffix!r} of {path.name!r}" if path.suffix else f"{path.name!r}"
        raise ConfigError(f"cannot tell a format from {said}; known are {', '.join(SUFFIXES)}")
    return suffix


def _in_mm(given: Width, what: str) -> float:
    if isinstance(given, str):
        if given not in WIDTHS:
            names = ", ".join(f"{name!r} ({mm:g} mm)" for name, mm in WIDTHS.items())
            raise ConfigError(f"{what} {given!r} is neither a number of mm nor one of {names}")
        return WIDTHS[given]
    # Below 20 mm there is no room for a label, above 2 m there is no printer.
    if not 20 <= given <= 2000:
        raise ConfigError(f"a {what} of {given} mm is outside 20 to 2000 mm")
    return float(given)


def fitted(
    fig: go.Figure, width: Width = "column", height: float | None = None, template: str = "paper"
) -> go.Figure:
    """Lay a figure out as :func:`save_figure` does, or say at which width it can be drawn."""
    mm = _in_mm(width, "width")
    tall = None if height is None else _in_mm(height, "height") * _PER_MM
    try:
        return fit_to_page(fig, mm * _PER_MM, tall, template)
    except TooNarrowError as reason:
        at = _nearest_fit(fig, mm, template)
        so = f"; it can at {at:g} mm (--width {at:g})" if at else ""
        raise ConfigError(f"this figure cannot be drawn {mm:g} mm wide: {reason}{so}") from reason


def _nearest_fit(fig: go.Figure, mm: float, template: str) -> float | None:
    """Nearest width in mm at which a figure can be drawn, wider ones first; or None."""
    nearest_first = sorted(range(20, 400, 5), key=lambda at: (at < mm, abs(at - mm)))
    return next((at for at in nearest_first if at != mm and _fits(fig, at, template)), None)


def suiting_width(fig: go.Figure) -> Width:
    """``"page"`` for three or more panels or four pictures in a row, many names, or no room.

    A figure that fits on neither has the nearest width in mm at which it can be drawn.
    """
    spec = fig.to_plotly_json()
    n_columns = max(map(len, grid(spec)), default=1)
    named = [len(names_of(spec, name, axis)) for name, axis in axes(spec["layout"], "x")]
    wide = n_columns > 2 or max(named, default=0) > _MOST_NAMES
    wide |= len({image.get("x") for image in spec["layout"].get("images", ())}) > 3
    if not wide and _fits(fig, WIDTHS["column"], "paper"):
        return "column"
    if _fits(fig, page := WIDTHS["page"], "paper"):
        return "page"
    return _nearest_fit(fig, page, "paper") or "page"


def _fits(fig: go.Figure, width: float, template: str) -> bool:
    try:
        fit_to_page(fig, width * _PER_MM, None, template)
    except TooNarrowError:
        return False
    return True


def _drawn(
    fig: go.Figure, suffix: str, width: float, height: float | None, template: str
) -> tuple[bytes, tuple[float, float]]:
    """Bytes of the picture and its size in mm."""
    laid_out = fitted(fig, width, height, template)
    layout: Any = laid_out.layout
    size = (width, round(layout.height / _PER_MM, 2))
    if suffix == ".png":
        pixels = round(width / 25.4 * DPI)
        # A little more than whole pixels, as the browser rounds down.
        drawn = picture(laid_out, "png", (pixels + 0.01) / layout.width)
        return _with_dpi(drawn), size
    drawn = picture(laid_out, suffix[1:], PRINT_SCALE)
    return (_in_millimetres(drawn, *size) if suffix == ".svg" else drawn), size


def _with_dpi(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").save(buffer, format="PNG", dpi=(DPI, DPI), optimize=True)
    return buffer.getvalue()


def _in_millimetres(content: bytes, width: float, height: float) -> bytes:
    """Give the root of an SVG its size in mm, which every program reads alike."""
    text = content.decode("utf-8")
    start, rest = text[: text.index(">")], text[text.index(">") :]
    start = re.sub(r' width="[^"]*"', f' width="{width:g}mm"', start, count=1)
    start = re.sub(r' height="[^"]*"', f' height="{height:g}mm"', start, count=1)
    return (start + rest).encode("utf-8")


# Kaleido prints with a margin of a tenth of an inch, which cuts off the right and lower edge.
_PRINTED_PAGE = "<style>@page { margin: 0 } img { display: block }</style>"

_WHAT_TO_DO = (
    "install Chromium (on Debian and Ubuntu: apt-get install chromium) or Chrome, or run "
    "plotly_get_chrome, which downloads one; BROWSER_PATH names one that is elsewhere. A figure "
    "saved as .html needs no browser to be written"
)


def find_browser() -> str | None:
    """Path of the Chrome or Chromium that draws, or None.

    ``BROWSER_PATH`` names one; else the one that ``plotly_get_chrome`` downloaded, else the first
    on the search path or in the usual places.
    """
    # Choreographer is what kaleido itself finds and drives the browser with.
    from choreographer.browsers import Chromium

    found = os.environ.get("BROWSER_PATH") or Chromium.find_browser(skip_local=False)
    return found if found and Path(found).is_file() and os.access(found, os.X_OK) else None


def require_browser() -> str:
    """Path of the browser; where there is none, an OutputError says what to install."""
    found = find_browser()
    if found is None:
        named = os.environ.get("BROWSER_PATH")
        where = f"BROWSER_PATH names {named!r}, which is no program" if named else "none was found"
        raise OutputError(f"drawing a picture needs Chrome or Chromium, and {where}: {_WHAT_TO_DO}")
    return found


@contextmanager
def open_browser() -> Iterator[None]:
    """Keep one browser open for all figures saved inside: starting one takes seconds.

    Raises
    ------
    OutputError
        There is no browser.
    """
    import kaleido

    options = _options(require_browser())
    kaleido.start_sync_server(silence_warnings=True, **options)
    try:
        yield
    finally:
        kaleido.stop_sync_server(silence_warnings=True)


def picture(fig: go.Figure, suffix: str, scale: float) -> bytes:
    """Draw a figure of fixed size as ``"pdf"``, ``"svg"`` or ``"png"``.

    ``scale`` is in CSS pixels (of a PNG: pixels) per pixel of the layout.
    """
    browser = require_browser()
    import kaleido

    layout: Any = fig.layout
    size = {"width": layout.width, "height": layout.height, "scale": scale}
    try:
        with warnings.catch_warnings():
            # With a browser already open (open_browser) its own settings hold.
            warnings.filterwarnings("ignore", message="The kopts argument is ignored")
            drawn = kaleido.calc_fig_sync(
                fig.to_dict(), opts={"format": suffix, **size}, kopts=_options(browser)
            )
    except Exception as error:
        # Kaleido, choreographer and the browser each have errors of their own.
        raise OutputError(f"{browser} could not draw the figure: {error}") from error
    return drawn


def _options(browser: str) -> dict[str, Any]:
    import kaleido

    # Plotly's own script is read from its package; MathJax would come from a web server.
    page = kaleido.PageGenerator(mathjax=False)
    page.header += _PRINTED_PAGE
    return {"path": browser, "page_generator": page}
