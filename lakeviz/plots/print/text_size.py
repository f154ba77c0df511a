"""How wide a text is in print, and where it breaks: by the advance widths of Helvetica.

The fonts that stand in for it on other systems (Arial, Nimbus Sans, Liberation Sans) have the same.
"""

from __future__ import annotations

import html
import re

_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
_EM = {chr(32 + i): int(width) / 1000 for i, width in enumerate(_WIDTHS.split())}
_OTHER = 0.6
LINE = 1.3
"""Height of a line as a part of the font's size."""

_BREAKS = re.compile(r"(?<=[\s/_,.:-])(?=[^\s\d])")


def text_width(text: object, size: float) -> float:
    """Width of a text of plotly (its widest line) at a font size, in the unit of the size."""
    lines = re.split(r"<br ?/?>", str(text))
    return size * max(map(_in_em, lines))


def text_height(text: object, size: float) -> float:
    """Height of a text of plotly at a font size."""
    return LINE * size * (len(re.findall(r"<br ?/?>", str(text))) + 1)


def wrapped(text: str, width: float, size: float) -> str:
    """Break a text into as few lines as it needs, of about equal length; a word stays whole."""
    if "<br>" in text:
        return "<br>".join(wrapped(line, width, size) for line in text.split("<br>"))
    parts = _BREAKS.split(text)
    found = _lines(parts, width, size)
    trial = width
    while trial > 1:
        trial -= size / 2
        narrower = _lines(parts, trial, size)
        if len(narrower) > len(found) or text_width("<br>".join(narrower), size) > width:
            break
        found = narrower
    return "<br>".join(found)


def _lines(parts: list[str], width: float, size: float) -> list[str]:
    lines = [""]
    for part in parts:
        if lines[-1] and text_width((lines[-1] + part).rstrip(), size) > width:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def _in_em(line: str) -> float:
    said = html.unescape(re.sub(r"<[^>]*>", "", line))
    return sum(_EM.get(letter, _OTHER) for letter in said)
