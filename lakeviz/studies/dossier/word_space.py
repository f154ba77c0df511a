"""Words that neurons are named by: prompts of a text encoder, or the classes of a class head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import TextBranchError
from lakeviz.lake.text import text_obstacle
from lakeviz.studies.base.captured import StudyData

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.dossier.result import Settings


def label_obstacle(data: StudyData, labels: bool | None) -> str:
    """Why the neurons get no labels; empty where they do."""
    if labels is False:
        return "labels were not asked for"
    found = "these data come without a model"
    if data.model is not None:
        found = (text_obstacle(data.model) and head_obstacle(data.model)) or ""
    if labels and found:
        raise TextBranchError(
            f"{data.category}: neurons cannot be labelled, because {found}; take a model with text "
            "(lakeviz models), or leave labels out (labels=False, --no-labels)"
        )
    return found


def head_obstacle(model: VisionModel) -> str:
    """Why the classes of a model name nothing, beside its lack of text; empty where they do."""
    said = text_obstacle(model) or ""
    if model.class_head is None:
        return said
    if not model.class_head.names:
        return f"{said}, and its class head has {model.class_head.source}"
    return ""


def words_of(data: StudyData, settings: Settings) -> tuple[tuple[str, ...], str]:
    """Words that labels are chosen from, and where they come from.

    Of a model with text the vocabulary of the settings; of one with a class head its classes, or
    those of them that the settings name.
    """
    own = settings.words is not None or settings.word_list is not None
    if data.model is not None and text_obstacle(data.model) and data.model.class_head is not None:
        head = data.model.class_head
        return (settings.vocabulary() if own else head.names), f"classes of {head.source}"
    return settings.vocabulary(), "own" if own else "lakeviz"


def word_vectors(
    model: VisionModel, words: Sequence[str], templates: Sequence[str]
) -> Float[Tensor, "word joint"]:
    """Unit vector of each word: the mean of the unit vectors of its prompts, or of its class."""
    if model.text is None:
        assert model.class_head is not None
        return model.class_head.vectors(words)
    # str.replace, not str.format: a word may itself hold braces.
    prompts = [template.replace("{}", word) for word in words for template in templates]
    vectors = model.text.encode(prompts).float().cpu()
    return F.normalize(vectors.reshape(len(words), len(templates), -1).mean(1), dim=-1)
