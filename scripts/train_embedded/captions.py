"""Captions of synthetic pictures, and which caption is true of which picture.

A caption has a meaning: a category (or none, when it says "object" or "surface") and a state
(normal, any defect, one kind of defect, or nothing said). The meaning decides what matches in the
loss, so two captions that say the same thing are never pushed apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lakeviz.data.synthetic.benchmark import DEFECT_TYPES, TRAINED

ANY_CATEGORY = -1
NORMAL, ANY_DEFECT, UNSAID = -1, -2, -3

TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a dark photo of the {}.",
    "a blurry photo of the {}.",
    "a good photo of a {}.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "there is a {} in the scene.",
    "this is a {}.",
    "{}",
)
NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "intact {}",
    "clean {}",
    "undamaged {}",
    "normal {}",
    "good {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
DEFECT_STATES = (
    "damaged {}",
    "broken {}",
    "defective {}",
    "flawed {}",
    "imperfect {}",
    "abnormal {}",
    "bad {}",
    "{} with flaw",
    "{} with defect",
    "{} with damage",
    "{} with a defect",
    "{} with an anomaly",
)
KIND_STATES = {
    "scratch": ("scratched {}", "{} with a scratch"),
    "crack": ("cracked {}", "{} with a crack"),
    "hole": ("{} with a hole", "{} with a dark hole"),
    "stain": ("stained {}", "{} with a stain", "dirty {}"),
    "thread": ("{} with a thread", "{} with a fibre", "contaminated {}"),
    "dent": ("dented {}", "{} with a dent", "{} with a bump"),
    "missing": ("{} with a missing part", "incomplete {}", "chipped {}"),
    "misplaced": ("{} with a misplaced part", "{} with a wrong part"),
}
GENERIC = ("object", "surface", "texture", "material", "thing", "product", "part", "item")
UNKNOWN = "[UNK]"
_EXTRA_WORDS = (
    "image",
    "picture",
    "of",
    "with",
    "and",
    "no",
    "one",
    "small",
    "large",
    "black",
    "white",
)


@dataclass(frozen=True)
class Caption:
    """A text and what it claims."""

    text: str
    category: int
    state: int


def words(text: str) -> list[str]:
    """Split as the tokenizer does: lower case, punctuation and hyphens apart."""
    return [
        w
        for w in text.lower().replace(".", " . ").replace("-", " - ").replace(",", " , ").split()
        if w
    ]


def vocabulary() -> list[str]:
    """Return every word a training caption may hold; held-out categories are not named."""
    phrases = [*TEMPLATES, *NORMAL_STATES, *DEFECT_STATES, *GENERIC, *_EXTRA_WORDS, ","]
    phrases += [state for states in KIND_STATES.values() for state in states]
    phrases += [name.replace("_", " ") for name in TRAINED]
    return sorted({word for phrase in phrases for word in words(phrase.replace("{}", " "))})


def _name(rng: np.random.Generator, category: int) -> tuple[str, int]:
    """Name the category, or now and then only say "object", so that unseen things have a name."""
    draw = rng.random()
    if draw < 0.75:
        return TRAINED[category].replace("_", " "), category
    return (str(rng.choice(GENERIC)) if draw < 0.9 else UNKNOWN), ANY_CATEGORY


def caption(rng: np.random.Generator, category: int, state: int) -> Caption:
    """Draw a caption.

    Parameters
    ----------
    rng : numpy.random.Generator
    category : int
        Index into the trained categories.
    state : int
        :data:`NORMAL` or an index into the kinds of defect, which may be told as "some defect".
    """
    name, said = _name(rng, category)
    if state == NORMAL:
        phrase = NORMAL_STATES[rng.integers(len(NORMAL_STATES))]
        if phrase == "{}":
            state = UNSAID
    elif rng.random() < 0.5:
        phrase, state = DEFECT_STATES[rng.integers(len(DEFECT_STATES))], ANY_DEFECT
    else:
        choices = KIND_STATES[DEFECT_TYPES[state]]
        phrase = choices[rng.integers(len(choices))]
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    return Caption(template.format(phrase.format(name)), said, state)


def matches(category: np.ndarray, state: np.ndarray, captions: list[Caption]) -> np.ndarray:
    """Say which captions are true of which pictures (or patches): bool array [picture, caption]."""
    said_category = np.array([c.category for c in captions])
    said_state = np.array([c.state for c in captions])
    same_thing = (said_category == category[:, None]) | (said_category == ANY_CATEGORY)
    same_state = (said_state == state[:, None]) | (said_state == UNSAID)
    same_state |= (said_state == ANY_DEFECT) & (state[:, None] >= 0)
    return same_thing & same_state
