"""How numbers of things and lists of names are written."""

from __future__ import annotations

import re
from collections.abc import Sequence


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return "1 image", "2 images", "1,200 images"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def percent(confidence: float) -> str:
    """Write a share as "95 %"."""
    return f"{100 * confidence:g} %"


def some(names: Sequence[object], shown: int = 3) -> str:
    """List the first of several names, and say how many there are besides."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(map(str, names[:shown]))}{more}"


def joined(names: Sequence[str], last: str = "and") -> str:
    """Write "a", "a and b", "a, b and c"."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def minus(text: str) -> str:
    """Write the hyphens before numbers as minus signs, as axes and tables of a page have them.

    >>> minus("next-in-variance -0.008 [-0.084, +0.068]")
    'next-in-variance −0.008 [−0.084, +0.068]'
    """
    return re.sub(r"(?<![^\s\[(])-(?=[\d.])", "−", text)
