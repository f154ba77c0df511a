"""The text branch: probability that a patch matches the anomalous prompts, not the normal ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, ModelError, TextBranchError
from lakeviz.lake.options import DEFAULT_TEXT_WEIGHT, TextOptions

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextBranch:
    """A fitted text branch.

    Attributes
    ----------
    options : TextOptions
    class_name : str
        What the prompts call the thing.
    vectors : Tensor [2, joint]
        Unit vectors of the normal and the anomalous ensemble.
    logit_scale : float
        The model's own factor on cosine similarities.
    point : str
        Hook point whose tokens are projected.
    """

    options: TextOptions
    class_name: str
    vectors: Float[Tensor, "state joint"]
    logit_scale: float
    point: str

    def probability(self, embeddings: Float[Tensor, "*any joint"]) -> Float[Tensor, "*any"]:
        """Softmax probability of "anomalous" against "normal" at the model's logit scale.

        An offset common to both logits, such as SigLIP's bias, cancels in the softmax.
        """
        unit = F.normalize(embeddings.float(), dim=-1)
        logits = self.logit_scale * unit @ self.vectors.to(unit.device).T
        return logits.softmax(-1)[..., 1]

    def score_patches(
        self,
        model: VisionModel,
        resid: Float[Tensor, "image patch d_model"],
        images: Float[Tensor, "image 3 height width"],
    ) -> Float[Tensor, "image patch"]:
        """Probability of "anomalous" for each patch, from the tokens at :attr:`point`."""
        if self.options.attention == "value_value":
            resid = model.tower.value_value_tokens(images, self.options.value_blocks)
        return self.probability(model.project_patches(resid))


def text_obstacle(model: VisionModel) -> str | None:
    """Say why a model cannot have a text branch, or return None if it can.

    It needs a text encoder, and a tower whose patch tokens can be projected into the joint space
    (not one that pools by attention).
    """
    if model.text is None or model.logit_scale is None:
        return f"{model.name} has no text encoder"
    if model.tower.tiles != (1, 1):
        return "images are cut into tiles, which have an embedding each"
    try:
        model.project_patches(torch.zeros(1, 1, model.d_model))
    except ModelError as error:
        return f"in {model.name} {error}"
    return None


def text_weight_of(model: VisionModel, wanted: float | None) -> float:
    """Weight of the text branch on a model: 0.3 where none is wanted, 0 where it has no text.

    Raises
    ------
    TextBranchError
        If a weight above 0 is wanted, and the model cannot have a text branch.
    """
    if wanted == 0:
        return 0.0
    obstacle = text_obstacle(model)
    if obstacle is None:
        return DEFAULT_TEXT_WEIGHT if wanted is None else wanted
    if wanted is None:
        _log.info("no text branch: %s", obstacle)
        return 0.0
    raise TextBranchError(
        f"text_weight is {wanted}, but {obstacle}; use text_weight=0 or a CLIP with a plain ViT"
    )


def fit_text(model: VisionModel, class_name: str, options: TextOptions | None = None) -> TextBranch:
    """Encode the two prompt ensembles for a class.

    Each ensemble's vector is the normalised mean of the unit vectors of its prompts.

    Raises
    ------
    TextBranchError
        If the model has no text encoder, or its patch tokens cannot be projected.
    ConfigError
        If the layer, or the number of blocks with value-value attention, does not exist.
    """
    options = options or TextOptions()
    obstacle = text_obstacle(model)
    if obstacle or model.text is None or model.logit_scale is None:
        raise TextBranchError(f"{obstacle}, so there is no text branch; use text_weight=0")
    layer = model.n_blocks - 1 if options.layer is None else options.layer
    if not 0 <= layer < model.n_blocks:
        raise ConfigError(f"{model.name} has blocks 0 to {model.n_blocks - 1}, not {layer}")
    if options.attention == "value_value" and not 1 <= options.value_blocks <= model.n_blocks:
        raise ConfigError(
            f"{model.name} has {model.n_blocks} blocks, so value_blocks must be between 1 and "
            f"{model.n_blocks}, not {options.value_blocks}"
        )
    prompts = options.prompts
    ensembles = (prompts.normal(class_name), prompts.anomalous(class_name))
    means = [model.text.encode(texts).mean(0) for texts in ensembles]
    vectors = F.normalize(torch.stack(means).float(), dim=-1)
    point = f"blocks.{layer}.hook_resid_post"
    return TextBranch(options, class_name, vectors, model.logit_scale, point)
