"""All tokens of a category at one hook point: those at hand, or captured once beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.activations import ActivationStore
from lakeviz.activations.token_subsets import CapturedTokens, capture_tokens
from lakeviz.errors import ConfigError
from lakeviz.studies.base.captured import StudyData

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


def stored_at(
    data: StudyData, model: VisionModel, point: str
) -> tuple[CapturedTokens, CapturedTokens]:
    """All tokens (class token, registers and patches) of normal and test images.

    What was not captured at ``point`` is captured now: to the folder of stores that the data were
    read from, in memory where they were not.

    Raises
    ------
    ConfigError
        If they were not captured and there are no image files.
    """
    images: tuple[Any, Any] = (data.normal_paths, data.dataset)
    found = []
    for tokens, files in zip((data.normal, data.test), images, strict=True):
        complete = tokens.n_prefix == model.n_prefix_tokens
        if complete and point in tokens.source.points:
            found.append(tokens)
        elif not files:
            raise ConfigError(
                f"{data.category}: all tokens at {point} are not at hand and there are no image "
                "files to capture them from; make the data with capture_study"
            )
        else:
            found.append(capture_tokens(model, files, [point], cache=_cache_of(tokens)))
    return found[0], found[1]


def image_names(data: StudyData) -> tuple[list[str], list[str]]:
    """Names of normal and test images that do not depend on where the files lie."""
    names = list(data.provenance.get("fit", {}).get("sample_ids", ()))
    normal = names if len(names) == len(data.normal) else data.normal.sample_ids
    return normal, data.test.sample_ids


def _cache_of(tokens: CapturedTokens) -> Path | None:
    source = tokens.source
    return source.folder.parent if isinstance(source, ActivationStore) else None
