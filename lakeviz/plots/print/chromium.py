"""Draw figures as pictures with kaleido and an installed Chrome or Chromium, without a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from lakeviz.errors import OutputError

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
    """Path of the browser.

    Raises
    ------
    OutputError
        There is none; it says what to install.
    """
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
    """Draw a figure of fixed size.

    Parameters
    ----------
    fig : Figure
        With ``layout.width`` and ``layout.height``.
    suffix : str
        ``"pdf"``, ``"svg"`` or ``"png"``.
    scale : float
        CSS pixels (of a PNG: pixels) per pixel of the layout.

    Raises
    ------
    OutputError
        There is no browser, or it failed.
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
