"""Names that figures, tables and reports show for selectors.

The registry is empty here: ``lakeviz.lake.selectors`` fills it, one entry per registered selector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SELECTOR_NAMES: dict[str, tuple[str, str]] = {}
"""Label and short label of each registered selector, in the order in which they are shown."""

RENAMED: Mapping[str, str] = {"variance_matched": "next_variance"}
"""Today's names of selectors by those of the version before, which stored results have."""


def selector_name(name: str) -> str:
    """Label of a selector, such as "variance-matched random neurons"; an unknown name stays."""
    return SELECTOR_NAMES.get(name, (name, name))[0]


def selector_short(name: str) -> str:
    """Short label of a selector, such as "variance-matched"; an unknown name stays."""
    return SELECTOR_NAMES.get(name, (name, name))[1]


def selector_order(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of registration, then unknown ones as they come."""
    present = list(dict.fromkeys(names))
    known = [name for name in SELECTOR_NAMES if name in present]
    return known + [name for name in present if name not in SELECTOR_NAMES]
