"""Files and protocol of a run's folder, what its ``manifest.json`` says, and its controls."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

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


class Fit(TypedDict):
    """Normal images; ``draws`` and ``contents`` came later than ``sample_ids``."""

    sample_ids: list[str]
    draws: NotRequired[list[list[str]]]
    contents: NotRequired[dict[str, str]]
    n_images: NotRequired[int]


class Test(TypedDict):
    """Test images."""

    fingerprint: str
    contents: NotRequired[dict[str, str]]
    skipped: NotRequired[list[Any]]


class Entry(TypedDict):
    """A category that was evaluated."""

    folder: str
    few_shot: Fit
    test: Test
    skipped: NotRequired[list[tuple[str, str]]]


class Model(TypedDict):
    """The model, as it describes itself."""

    weights_hash: str
    name: NotRequired[str]


class Said(TypedDict):
    """What the report says instead of the settings."""

    groups: NotRequired[dict[str, list[str]] | None]
    groups_note: NotRequired[str | None]
    dataset: NotRequired[str | None]
    command: NotRequired[str | None]


class Manifest(TypedDict):
    """The whole of it; ``spec`` is a :class:`~lakeviz.runs.spec.RunSpec`."""

    protocol: str
    digest: NotRequired[str]
    spec: dict[str, Any]
    model: Model
    versions: NotRequired[dict[str, str]]
    categories: NotRequired[dict[str, Entry]]
    k: NotRequired[int | None]
    weights_file: NotRequired[str | None]
    environment: NotRequired[dict[str, Any]]
    seeds: NotRequired[dict[str, int | None]]
    report: NotRequired[Said]
