"""Faults of a printed figure, by the geometry that the browser gives its texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lakeviz.plots.print.export import Width, fitted
from lakeviz.plots.template import PRINT_SCALE

_PAGE = """<!doctype html><meta charset="utf-8"><style>body{margin:0}</style>
<div id="figure"></div><script>%s</script>"""

_DRAW = """
window.drawn = false;
Plotly.newPlot("figure", {...JSON.parse(arguments[0]), config: {staticPlot: true}})
  .then(() => document.fonts.ready).then(() => { window.drawn = true; })
"""

_READ = r"""
const gd = document.getElementById("figure"), page = gd.getBoundingClientRect();
const box = r => [r.left - page.left, r.top - page.top, r.right - page.left, r.bottom - page.top];
const kinds = {
  ".legend": "legend", ".xtick": "tick", ".ytick": "tick", ".annotation": "note",
  ".g-xtitle": "axis title", ".g-ytitle": "axis title", ".colorbar": "colour bar",
};
for (const name of gd.querySelectorAll("g")) {
  if (/^(x|y)\d*tick$/.test(name.getAttribute("class") || "")) name.classList.add("xtick");
  if (/^g-(x|y)\d*title$/.test(name.getAttribute("class") || "")) name.classList.add("g-xtitle");
  if (/^cb/.test(name.getAttribute("class") || "")) name.classList.add("colorbar");
}
const notes = gd._fullLayout.annotations || [];
const texts = [];
for (const text of gd.querySelectorAll("text")) {
  const said = text.textContent.trim();
  let hidden = !said;
  for (let e = text; e && e !== gd; e = e.parentElement) {
    const style = getComputedStyle(e);
    hidden ||= style.display === "none" || style.visibility === "hidden" || +style.opacity === 0;
  }
  if (hidden) continue;
  const found = Object.keys(kinds).find(k => text.closest(k));
  let kind = found ? kinds[found] : "mark";
  if (kind === "note") {
    const note = notes[+text.closest(".annotation").getAttribute("data-index")];
    const on = r => /^[xy]\d*$/.test(r);
    if (on(note.xref) || on(note.yref)) kind = "note of data";
  }
  const m = text.getScreenCTM();
  const sizes = [text, ...text.querySelectorAll("tspan")].filter(t => t.textContent.trim())
    .map(t => parseFloat(getComputedStyle(t).fontSize));
  texts.push({
    said, kind, box: box(text.getBoundingClientRect()),
    angle: Math.round(Math.atan2(m.b, m.a) * 180 / Math.PI), size: Math.min(...sizes),
  });
}
const plots = Object.values(gd._fullLayout._plots || {}).map(p => [
  p.xaxis._offset, p.yaxis._offset,
  p.xaxis._offset + p.xaxis._length, p.yaxis._offset + p.yaxis._length,
]);
const legend = gd._fullLayout.legend || {};
const looks = [...gd.querySelectorAll(".legend .traces")].map(t => t.textContent.trim());
const axes = Object.entries(gd._fullLayout).filter(([k, v]) => /^[xy]axis\d*$/.test(k))
  .map(([k, v]) => [k, v.range, v.title.text || "", v.type]);
return {
  texts, plots, width: gd._fullLayout.width, height: gd._fullLayout.height, entries: looks, axes,
  cut: (legend._effHeight || 0) + 1 < (legend._height || 0),
};
"""

_OFF_DATA = ("legend", "tick", "axis title", "note", "colour bar")
_SMALLEST_POINTS = 6.95
_MOST_ENTRIES = 8


def page(folder: Path) -> Path:
    """Write the page that figures are drawn on."""
    path = folder / "page.html"
    path.write_text(_PAGE % get_plotlyjs(), encoding="utf-8")
    return path


def read(browser: Any, figure: go.Figure, width: Width, template: str = "paper") -> dict[str, Any]:
    """Draw a figure as it is printed, on the page that is open; return what the browser says."""
    browser.run(_DRAW, fitted(figure, width, template=template).to_json())
    browser.wait("window.drawn")
    return browser.run(_READ)


def faults(drawn: dict[str, Any]) -> list[str]:
    """Faults of a figure as :func:`read` gives it, each in words."""
    texts, found = drawn["texts"], []
    for i, one in enumerate(texts):
        found += [
            f"{one['said']!r} and {other['said']!r} overlap"
            for other in texts[i + 1 :]
            if _overlap(one["box"], other["box"], 1, 2.5)
        ]
        left, top, right, bottom = one["box"]
        if min(left, top) < -0.5 or right > drawn["width"] + 0.5 or bottom > drawn["height"] + 0.5:
            found.append(f"{one['said']!r} is beyond the page")
        if one["kind"] in _OFF_DATA and any(_overlap(one["box"], p, 2, 3) for p in drawn["plots"]):
            found.append(f"{one['kind']} {one['said']!r} lies on a plot")
        # Labels that plotly turns by itself, for want of room, are turned to the right.
        if one["angle"] not in ((0, -90) if one["kind"] == "tick" else (0, 90, -90)):
            found.append(f"{one['said']!r} is turned by {one['angle']} degrees")
        if one["size"] * PRINT_SCALE * 0.75 < _SMALLEST_POINTS:
            found.append(f"{one['said']!r} is small: {one['size'] * PRINT_SCALE * 0.75:.1f} pt")
    if len(drawn["entries"]) > _MOST_ENTRIES:
        found.append(f"the legend has {len(drawn['entries'])} entries")
    if drawn["cut"]:
        found.append("the legend is cut")
    return found


def _overlap(a: list[float], b: list[float], across: float, down: float) -> bool:
    """Whether boxes (left, top, right, bottom) share more than so many pixels both ways."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide > across and high > down
