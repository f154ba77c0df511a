"""Figures made by the build: a block of code that is run, and the figure that it ends with.

``{figure-code}`` runs its content and shows the code with its last expression, a plotly figure;
``{setup-code}`` runs and shows code alone. The blocks of a page share their names. Where the
builder writes no HTML, code is shown and not run.

Figures are drawn by plotly's own script, copied from the installed package into the site; nothing
is fetched from a network, and no browser is needed to build.
"""

from __future__ import annotations

import ast
import html
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from lakeviz.plots.html import embed, theme_templates

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRATCH = "gallery-data"
_SHOWN = "lakeviz-figure"
_worlds: dict[str, dict[str, Any]] = {}


class SetupCode(SphinxDirective):
    """Run code, and show it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        self._value()
        return [self._code()]

    def _code(self) -> nodes.Node:
        code = "\n".join(self.content)
        block = nodes.literal_block(code, code, language="python")
        self.set_source_info(block)
        return block

    def _value(self) -> Any:
        if self.env.app.builder.format != "html":
            return None
        world = _worlds.setdefault(self.env.docname, {})
        folder = Path(self.env.app.outdir).parent / SCRATCH / self.env.docname
        source, line = self.get_source_info()
        try:
            with _inside(folder):
                return _evaluated("\n".join(self.content), world, f"{source}:{line}")
        except Exception as error:
            raise ExtensionError(f"{source}:{line}: {type(error).__name__}: {error}") from error


class FigureCode(SetupCode):
    """Run code, and show the figure that its last line is, then the code."""

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        figure = self._value()
        if figure is None:
            return [self._code()]
        if not isinstance(figure, go.Figure):
            source, line = self.get_source_info()
            raise ExtensionError(f"{source}:{line}: ends with no figure but {type(figure)}")
        drawn = nodes.raw("", _drawn(figure), format="html", classes=[_SHOWN])
        return [drawn, self._code()]


def _evaluated(code: str, world: dict[str, Any], name: str) -> Any:
    """Run a block; the value of its last line, where that is an expression."""
    body = ast.parse(code, name).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), name, "exec"), world)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), world)


def _drawn(figure: go.Figure) -> str:
    made = embed(figure)
    spec = json.dumps(made.spec, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<figure class="{_SHOWN}"><figcaption><strong>{html.escape(made.title)}.</strong> '
        f"{html.escape(made.caption)}</figcaption>"
        f'<div role="img" aria-label="{html.escape(made.title)}" '
        f'style="height: {made.height}px"></div>'
        f'<script type="application/json">{spec}</script></figure>'
    )


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _forget(app: Sphinx, docname: str, _source: list[str]) -> None:
    """Give a page that is read again a world of its own."""
    _worlds.pop(docname, None)


def _scripts(
    app: Sphinx, _page: str, _template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load plotly on the pages that have a figure, and on no other."""
    if doctree is None or not any(_SHOWN in n["classes"] for n in doctree.findall(nodes.raw)):
        return
    templates = json.dumps(theme_templates(), separators=(",", ":"))
    app.add_js_file(None, body=f"var lakevizTemplates = {templates};")
    app.add_js_file(PLOTLY.name)
    app.add_js_file("gallery.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("setup-code", SetupCode)
    app.add_directive("figure-code", FigureCode)
    app.connect("source-read", _forget)
    app.connect("html-page-context", _scripts)
    # Pages share the working folder of the process while they are read.
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
