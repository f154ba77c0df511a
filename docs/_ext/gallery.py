"""Figures made by the build: a block of code that is run, and the figure that it ends with.

``{figure-code}`` runs its content and shows the code with its last expression, a plotly figure;
``{setup-code}`` runs and shows code alone. The blocks of a page share their names. Where the
builder writes no HTML, code is shown and not run.

Figures are drawn by plotly's own script, copied from the installed package into the site; nothing
is fetched from a network, and no browser is needed to build. A figure is kept beside the site until
the code above it, or the package, changes; then the page is run again.
"""

from __future__ import annotations

import ast
import hashlib
import html
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import lakeviz
from lakeviz.plots.html import embed, theme_templates
from lakeviz.plots.print.export import suiting_width

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRATCH = "gallery-data"
NARROWEST = {"column": 700, "page": 840}
"""Pixels; on a narrower page a figure is scrolled."""
_SHOWN = "lakeviz-figure"
_log = logging.getLogger(__name__)
_worlds: dict[str, _World] = {}


@dataclass
class _World:
    """The blocks of a page: all of them, those not run yet, and what they named."""

    blocks: list[str] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """Run what waits; the value of its last line."""
        value = None
        while self.waiting:
            value = _evaluated(*self.waiting[0], self.names)
            self.waiting.pop(0)
        return value


class SetupCode(SphinxDirective):
    """Run code, as soon as something needs it, and show it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        self._wait()
        return [self._code()]

    def _code(self) -> nodes.Node:
        code = "\n".join(self.content)
        block = nodes.literal_block(code, code, language="python")
        self.set_source_info(block)
        return block

    @property
    def _where(self) -> str:
        source, line = self.get_source_info()
        return f"{source}:{line}"

    def _wait(self) -> _World:
        world = _worlds.setdefault(self.env.docname, _World())
        code = "\n".join(self.content)
        world.blocks.append(code)
        world.waiting.append((code, self._where))
        return world


class FigureCode(SetupCode):
    """Run code, and show the figure that its last line is, then the code."""

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        world = self._wait()
        if self.env.app.builder.format != "html":
            return [self._code()]
        kept = self._kept(world.blocks)
        if not kept.is_file():
            kept.write_text(self._made(world), encoding="utf-8")
        drawn = nodes.raw("", kept.read_text("utf-8"), format="html", classes=[_SHOWN])
        return [drawn, self._code()]

    def _folder(self) -> Path:
        return Path(self.env.app.outdir).parent / SCRATCH / self.env.docname

    def _kept(self, blocks: list[str]) -> Path:
        told = hashlib.sha256("\0".join([_package_hash(), *blocks]).encode())
        folder = self._folder() / "kept"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{told.hexdigest()[:16]}.html"

    def _made(self, world: _World) -> str:
        _log.info(" running %s", self._where)
        try:
            with _inside(self._folder()):
                figure = world.run()
        except Exception as error:
            where = world.waiting[0][1] if world.waiting else self._where
            raise ExtensionError(f"{where}: {type(error).__name__}: {error}") from error
        if not isinstance(figure, go.Figure):
            raise ExtensionError(f"{self._where}: ends with no figure but {type(figure)}")
        return _drawn(figure)


@cache
def _package_hash() -> str:
    """Hash of what draws: the package and this file."""
    told = hashlib.sha256(Path(__file__).read_bytes() + plotly.__version__.encode())
    for path in sorted(Path(lakeviz.__file__).parent.rglob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()


def _evaluated(code: str, name: str, world: dict[str, Any]) -> Any:
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
    width = "column" if suiting_width(figure) == "column" else "page"
    return (
        f'<figure class="{_SHOWN}"><figcaption><strong>{html.escape(made.title)}.</strong> '
        f"{html.escape(made.caption)}</figcaption>"
        f'<div class="scrolled" tabindex="0"><div role="img" '
        f'aria-label="{html.escape(made.title)}" style="height: {made.height}px; '
        f'min-width: {NARROWEST[width]}px"></div></div>'
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
