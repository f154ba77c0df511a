"""Results that show themselves in a notebook: a sentence, a small table, and a figure."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lakeviz.errors import LakevizError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SHOWN_ROWS = 12


class NotebookView(ABC):
    """A result that shows itself; a subclass makes its table and its figure.

    In a kernel the figure goes through plotly's own renderer, so JupyterLab, VS Code and nbconvert
    each get the form they draw. Anything else that asks for HTML gets one piece that holds all,
    plotly's script too, and requests nothing.
    """

    @abstractmethod
    def _table_html(self) -> str:
        """HTML of the sentence and the table; every text from data escaped."""

    @abstractmethod
    def _figure(self) -> go.Figure:
        """Draw the result; a ``LakevizError`` says why there is nothing to draw."""

    def _repr_html_(self) -> str:
        figure, missing = self._figure_or_reason()
        return self._table_html() + (missing if figure is None else _framed(figure))

    def _ipython_display_(self) -> None:
        from IPython.core.getipython import get_ipython
        from IPython.display import HTML, display

        shell = get_ipython()
        if shell is None or not hasattr(shell, "kernel"):
            # A terminal: plotly would open a browser window for it.
            display({"text/plain": repr(self)}, raw=True)
            return
        figure, missing = self._figure_or_reason()
        display(HTML(self._table_html() + missing))
        if figure is not None:
            display(figure)

    def _figure_or_reason(self) -> tuple[go.Figure | None, str]:
        try:
            return self._figure(), ""
        except LakevizError as error:
            return None, f"<p>No figure: {html.escape(str(error))}</p>"


def table_html(table: pd.DataFrame, where: str) -> str:
    """HTML of the head of a table; ``where`` says where the other rows are."""
    shown = table.head(SHOWN_ROWS)
    more = len(table) - len(shown)
    made = shown.to_html(index=False, float_format="%.3f", border=0, na_rep="–")
    return made + (
        f"<p>and {more:,} more rows in <code>{html.escape(where)}</code></p>" if more else ""
    )


def _framed(figure: go.Figure) -> str:
    from lakeviz.plots.html import page_of

    page = html.escape(page_of(figure))
    height = (figure.to_plotly_json()["layout"].get("height") or 450) + 20
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{page}" width="100%" height="{height:.0f}" '
        'style="border: 0" title="figure"></iframe>'
    )
