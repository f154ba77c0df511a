"""The words that labels are chosen from, and the prompts they are put into."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lakeviz.errors import ConfigError

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
    """Return the distinct words of a list.

    Raises
    ------
    ConfigError
        If these are fewer than two: no label could be chosen.
    """
    kept = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if len(kept) < _FEWEST:
        raise ConfigError(
            f"{source} holds {len(kept)} words, and a label is the best of several: give one word "
            "or phrase a line, at least two, or leave it out for the list that comes with lakeviz"
        )
    return kept


def check_templates(templates: Sequence[str]) -> None:
    """Check that every template holds a word.

    Raises
    ------
    ConfigError
        If one does not, or there is none.
    """
    if not templates:
        raise ConfigError("there is no template to put words into; give at least '{}'")
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(f"the template {template!r} must hold exactly one {{}}")


def _words(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
