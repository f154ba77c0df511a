"""The text branch: how much more a patch resembles the anomalous prompts than the normal ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, TextBranchError
from lakeviz.lake.prompts import PromptEnsemble

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

ATTENTIONS: tuple[str, ...] = ("plain", "value_value")


@dataclass(frozen=True)
class TextOptions:
    """What the text branch reads and asks.

    Parameters
    ----------
    prompts : PromptEnsemble
    layer : int, optional
        Block whose residual stream is projected into the joint space; the last by default.
    attention : str
        ``"plain"`` projects the tokens as they are; ``"value_value"`` those of a parallel path with
        value-value attention in the last ``value_blocks`` blocks (arXiv 2304.05653).
    value_blocks : int
        Blocks of the parallel path.
    """

    prompts: PromptEnsemble = field(default_factory=PromptEnsemble)
    layer: int | None = None
    attention: str = "plain"
    value_blocks: int = 6

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ConfigError(
                f"text attention must be one of {', '.join(ATTENTIONS)}, not {self.attention!r}"
            )


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


def fit_text(model: VisionModel, class_name: str, options: TextOptions | None = None) -> TextBranch:
    """Encode the two prompt ensembles for a class.

    Each ensemble's vector is the normalised mean of the unit vectors of its prompts.

    Raises
    ------
    TextBranchError
        If the model has no text encoder.
    ConfigError
        If the layer does not exist.
    """
    options = options or TextOptions()
    if model.text is None or model.logit_scale is None:
        raise TextBranchError(
            f"{model.name} has no text encoder, so it has no text branch; use text_weight=0"
        )
    layer = model.n_blocks - 1 if options.layer is None else options.layer
    if not 0 <= layer < model.n_blocks:
        raise ConfigError(f"{model.name} has blocks 0 to {model.n_blocks - 1}, not {layer}")
    prompts = options.prompts
    ensembles = (prompts.normal(class_name), prompts.anomalous(class_name))
    means = [model.text.encode(texts).mean(0) for texts in ensembles]
    vectors = F.normalize(torch.stack(means).float(), dim=-1)
    point = f"blocks.{layer}.hook_resid_post"
    return TextBranch(options, class_name, vectors, model.logit_scale, point)
