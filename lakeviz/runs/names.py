"""Files of a run's folder, its protocol, and the names of its controls."""

from __future__ import annotations

PROTOCOL = "lakeviz-run/3"
PROTOCOLS = ("lakeviz-run/1", "lakeviz-run/2", PROTOCOL)
"""Protocols of runs that can be read."""
MANIFEST, STUDY = "manifest.json", "study.json"
CATEGORIES, STUDIES = "categories", "studies"
JOURNALS = "unfinished"
"""Folder of what a run or a study has made so far; gone when it is finished."""
OTHER_CATEGORY, UNTRAINED = "other_category", "untrained"
"""Controls that are no selectors: neurons selected on another category, and untrained towers."""
DEFAULT_CONTROLS = (
    "all",
    "random",
    "next_variance",
    "bottom_variance",
    "variance_without_first",
    "pca",
)
"""What a detector is compared with; all channels first: it is what a user would do otherwise."""
