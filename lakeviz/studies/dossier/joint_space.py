"""The space that words and neurons share: vectors of words, and the directions neurons write along.

What a neuron adds to the residual stream is added along one direction. With the deviation of the
final normalisation frozen, that direction goes through it and the projection as through one matrix.
This is the direct path: what later blocks make of the direction is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import HookError, TextBranchError
from lakeviz.lake.text import text_obstacle
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.decompose.linearised_forward import NORMS, frozen_norm, straight_through

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


_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
_MLP = re.compile(r"blocks\.(\d+)\.mlp\.hook_post")


def write_directions(model: VisionModel, point: str) -> Float[Tensor, "channel d_model"]:
    """Direction in the residual stream that each channel of a point writes along.

    A channel of the residual stream, or of what is added to it, writes along itself; a neuron of an
    MLP along its column of the output weights.
    """
    if point.startswith("blocks.") and point.endswith(_STREAM):
        n_channels = model.tower.points[point].sizes[-1]
        if n_channels == model.d_model:
            return torch.eye(model.d_model)
    found = _MLP.fullmatch(point)
    if found:
        parts = model.tower.adapter.blocks[int(found[1])]
        if parts.mlp_write is not None and parts.mlp_rows is parts.mlp_write:
            weight = parts.mlp_write.weight.detach().float().cpu().T
            scale = parts.scale_mlp
            return weight if scale is None else weight * scale.detach().float().cpu()
    raise HookError(
        f"channels of {point} write to the residual stream along no one direction each, so they "
        "have no label from it; take points such as blocks.N.hook_resid_post or "
        "blocks.N.mlp.hook_post"
    )


def projection(
    model: VisionModel, token: Float[Tensor, " d_model"]
) -> Float[Tensor, "joint d_model"]:
    """Final norm at the deviation of a token, then projection, as one matrix.

    The deviation is a common factor where the norm is a LayerNorm: for cosines it does not matter
    which token is taken.
    """

    def freeze(module: Any, args: Any, out: Tensor) -> Tensor:
        return straight_through(out, frozen_norm(module, args[0]))

    tower: Any = model.tower.tower
    handles = [m.register_forward_hook(freeze) for m in tower.modules() if isinstance(m, NORMS)]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            start = token.detach().clone().to(model.device, model.dtype).requires_grad_(True)
            out = model.tower.adapter.project_tokens(start[None, None])[0, 0]
            rows = [torch.autograd.grad(one, start, retain_graph=True)[0] for one in out]
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(rows).float().cpu()
