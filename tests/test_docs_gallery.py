"""The site's figures: none of their text is cut or covered, and none is made twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from browser import start

pytest.importorskip("myst_parser")
pytest.importorskip("furo")

pytestmark = [pytest.mark.docs, pytest.mark.browser]

DOCS = Path(__file__).parent.parent / "docs"
PAGE = """# Figures

```{{setup-code}}
from pathlib import Path
from lakeviz.plots.template import new_figure
Path("ran").write_text(Path("ran").read_text() + "x" if Path("ran").exists() else "x")
```

```{{figure-code}}
fig = new_figure("Title", "A caption.", legend_above=True)
for name in ("a long name in the legend", "another long name", "a third name", "{last}"):
    fig.add_scatter(x=[1, 2], y=[1, 2], name=name)
fig.update_xaxes(title="neurons knocked out per hook point")
```
"""
TROUBLE = """
const figure = document.querySelector("figure.lakeviz-figure");
const plot = figure.querySelector("[role=img]").getBoundingClientRect();
const bar = figure.querySelector(".modebar").getBoundingClientRect();
const strip = figure.querySelector(".scrolled").getBoundingClientRect();
const trouble = bar.top < strip.top - 1 ? ["toolbar cut"] : [];
for (const text of figure.querySelectorAll("svg text")) {
  const r = text.getBoundingClientRect();
  if (!r.width) continue;
  if (r.left < plot.left - 1 || r.right > plot.right + 1 || r.bottom > plot.bottom + 1)
    trouble.push("cut: " + text.textContent);
  if (r.right > bar.left && r.left < bar.right && r.top < bar.bottom && r.bottom > bar.top)
    trouble.push("covered: " + text.textContent);
}
return trouble;
"""


def build(folder: Path, last: str) -> Path:
    from sphinx.application import Sphinx

    (folder / "index.md").write_text(PAGE.format(last=last))
    settings = {
        "extensions": ["myst_parser", "gallery"],
        "html_theme": "furo",
        "html_static_path": [str(DOCS / "_static")],
        "html_css_files": ["gallery.css"],
    }
    sys.path.insert(0, str(DOCS / "_ext"))
    import gallery

    settings["html_static_path"].append(str(gallery.PLOTLY))
    out = folder / "build/html"
    app = Sphinx(
        folder, None, out, folder / "build/doctrees", "html", settings, None, None, freshenv=True
    )
    app.build()
    assert app.statuscode == 0
    return out / "index.html"


def test_figures_are_whole_and_kept(tmp_path):
    page = build(tmp_path, "one")
    ran = tmp_path / "build/gallery-data/index/ran"
    assert ran.read_text() == "x"
    build(tmp_path, "one")
    assert ran.read_text() == "x"
    build(tmp_path, "two")
    assert ran.read_text() == "xx"
    with start(tmp_path / "profile") as browser:
        for width in (1280, 390):
            browser.open(page, width=width)
            browser.wait("document.querySelector('figure.lakeviz-figure .modebar')")
            assert browser.run(TROUBLE) == []
