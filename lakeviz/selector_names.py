"""Names that figures, tables and reports show for selectors.

The registry is empty here: ``lakeviz.lake.selectors`` fills it, one entry per registered selector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SELECTOR_NAMES: dict[str, tuple[str, str]] = {}
"""Label and short label of each registered selector, in the order in which they are shown."""
SHUFFLED = "shuffled_frames"
"""Control of whatever looks at time: the frames of each clip in random order."""
OTHER_NAMES: Mapping[str, tuple[str, str]] = {
    "other_category": ("neurons selected on another category", "other category"),
    "untrained": ("the same reading of an untrained tower", "untrained"),
    SHUFFLED: ("the same with the frames of each clip in random order", "shuffled frames"),
}
"""Label and short label of controls that are no selectors."""
NAMED = "neurons:"
"""Begins the name of a selector that holds the neurons themselves."""
RENAMED: Mapping[str, str] = {"variance_matched": "next_variance"}
"""Today's names of selectors by those of the version before, which stored results have."""


def selector_name(name: str) -> str:
    """Label of a selector, such as "lowest-variance neurons"; an unknown name stays."""
    return _names(name)[0]


def selector_short(name: str) -> str:
    """Short label of a selector, such as "lowest variance"; an unknown name stays."""
    return _names(name)[1]


def _names(name: str) -> tuple[str, str]:
    name = RENAMED.get(name, name)
    if name.startswith(NAMED):
        return _names_of_neurons(name)
    return SELECTOR_NAMES.get(name) or OTHER_NAMES.get(name, (name, name))


def _names_of_neurons(name: str) -> tuple[str, str]:
    """Say up to four neurons, and the number of more."""
    listed = [part.rpartition("=")[2] for part in name.removeprefix(NAMED).split(";")]
    numbers = ",".join(listed).split(",")
    if len(numbers) > 4:
        return f"the {len(numbers)} neurons named", f"{len(numbers)} named"
    said = ", ".join(numbers)
    return f"neuron{'s' * (len(numbers) > 1)} {said}", said


def todays_selectors(table: pd.DataFrame) -> pd.DataFrame:
    """Table with today's names in its columns ``selector`` and ``control``, where it has them."""
    for column in ("selector", "control"):
        if column in table and set(table[column]) & RENAMED.keys():
            table = table.assign(**{column: table[column].replace(dict(RENAMED))})
    return table


def selector_order(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of registration, then unknown ones as they come."""
    present = list(dict.fromkeys(names))
    known = [name for name in SELECTOR_NAMES if name in present]
    return known + [name for name in present if name not in SELECTOR_NAMES]
