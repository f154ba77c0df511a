"""The text side of a model: prompts to unit vectors in the joint space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.errors import TextBranchError


class TextEncoder:
    """Encodes prompts with an open_clip model's tokenizer and text tower.

    Parameters
    ----------
    model
        The open_clip model.
    make_tokenizer
        Builds its tokenizer; called at the first prompt, since some tokenizers have to be fetched.
    """

    def __init__(self, model: nn.Module, make_tokenizer: Callable[[], Any]) -> None:
        self._model: Any = model
        self._make_tokenizer = make_tokenizer

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own tokenizer: a callable from a list of texts to token ids."""
        return self._make_tokenizer()

    @torch.no_grad()
    def encode(
        self, texts: str | Sequence[str], batch_size: int = 64, normalize: bool = True
    ) -> Float[Tensor, "text joint"]:
        """Encode prompts as vectors (float32, on the model's device).

        Parameters
        ----------
        texts
            At least one prompt.
        batch_size
            Prompts per forward pass.
        normalize
            Scale to unit length.

        Raises
        ------
        TextBranchError
            If there is no prompt, or one is empty.
        """
        if isinstance(texts, str):
            texts = [texts]
        if not texts or any(not text.strip() for text in texts):
            raise TextBranchError("there is no prompt to encode, or one of them is empty")
        device = next(self._model.parameters()).device
        parts = []
        for start in range(0, len(texts), batch_size):
            try:
                tokens = self.tokenizer(list(texts[start : start + batch_size])).to(device)
                parts.append(self._model.encode_text(tokens).float())
            except (IndexError, ValueError) as error:  # settings of a folder that do not belong
                raise TextBranchError(
                    f"the tokenizer does not fit this model: {error}; check tokenizer_config.json "
                    "and tokenizer.json beside the weights"
                ) from error
        found = torch.cat(parts)
        return F.normalize(found, dim=-1) if normalize else found
