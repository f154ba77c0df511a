"""Words for normal and anomalous, and for the splits: one list for every reader and column."""

from __future__ import annotations

import re

_NORMAL = """
0 0.0 false no none normal good ok okay nominal negative healthy intact regular clean pass passed
free defect_free no_defect non_defective not_defective undamaged
"""
_ANOMALOUS = """
1 1.0 true yes anomalous anomaly abnormal bad ko nok ng not_ok defective defect positive faulty
damaged broken fail failed unhealthy ungood
"""
_LABELS: dict[str, int] = {
    **dict.fromkeys(_NORMAL.split(), 0),
    **dict.fromkeys(_ANOMALOUS.split(), 1),
}
_SPLITS: dict[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def label_of(word: str) -> int | None:
    """Return 0 for a word that says normal, 1 for one that says anomalous, None for another.

    Upper and lower case, blanks, ``-`` and ``_`` make no difference.
    """
    return _LABELS.get(plain(word))


def is_normal_word(word: str) -> bool:
    """Whether a label, kind of defect or folder is named as normal images are."""
    return label_of(word) == 0


def split_of(word: str) -> str | None:
    """Return ``"train"``, ``"valid"`` or ``"test"`` for any of their names, None for another."""
    return _SPLITS.get(plain(word))


def known_labels() -> str:
    """Words that are understood, for an error message."""
    return f"{', '.join(_NORMAL.split()[:8])}, ... or {', '.join(_ANOMALOUS.split()[:8])}, ..."


def plain(word: str) -> str:
    """Return a word in lower case, with ``_`` for blanks and dashes."""
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())
