"""The words that labels are looked for among, and their vectors in the joint space."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, TextBranchError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

TEMPLATES: tuple[str, ...] = (
    "{}",
    "a photo of {}.",
    "a close-up photo of {}.",
    "a cropped photo of {}.",
    "a patch of an image that shows {}.",
)
_FEWEST = 2


def default_words() -> tuple[str, ...]:
    """The list that comes with lakeviz: textures, colours, shapes, materials, parts, flaws."""
    text = (files("lakeviz.studies.dossier") / "words.txt").read_text(encoding="utf-8")
    return _words(text)


def read_words(path: str | Path) -> tuple[str, ...]:
    """Read a list of words: one word or phrase a line; lines that begin with ``#`` are left out.

    Raises
    ------
    ConfigError
        If the file cannot be read or holds too few words.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the word list {path}: {error}") from error
    return check_words(_words(text), str(path))


def check_words(words: Sequence[str], source: str = "the word list") -> tuple[str, ...]:
    """Refuse a list that no label can be chosen from.

    Raises
    ------
    ConfigError
    """
    kept = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if len(kept) < _FEWEST:
        raise ConfigError(
            f"{source} holds {len(kept)} words, and a label is the best of several: give one word "
            "or phrase a line, at least two, or leave it out for the list that comes with lakeviz"
        )
    return kept


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Refuse templates that do not hold a word.

    Raises
    ------
    ConfigError
    """
    if not templates:
        raise ConfigError("there is no template to put words into; give at least '{}'")
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(f"the template {template!r} must hold exactly one {{}}")
    return tuple(templates)


def word_vectors(
    model: VisionModel, words: Sequence[str], templates: Sequence[str]
) -> Float[Tensor, "word joint"]:
    """Unit vector of each word: the mean of the unit vectors of its prompts, normalised.

    Raises
    ------
    TextBranchError
        If the model has no text encoder.
    """
    if model.text is None:
        raise TextBranchError(
            f"{model.name} has no text encoder, so its neurons have no labels; take a model with "
            "text (lakeviz models), or leave labels out (labels=False, --no-labels)"
        )
    # str.replace, not str.format: a word may itself hold braces.
    prompts = [template.replace("{}", word) for word in words for template in templates]
    vectors = model.text.encode(prompts).float().cpu()
    return F.normalize(vectors.reshape(len(words), len(templates), -1).mean(1), dim=-1)


def _words(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
