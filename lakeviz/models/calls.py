"""``ModelCalls``: what users of TransformerLens and open_clip call on a model, on ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.data.inputs import ImageItems, as_images
from lakeviz.errors import CaptureTooLargeError, ConfigError, TextBranchError, no_attribute
from lakeviz.wording import counted

if TYPE_CHECKING:
    import pandas as pd
    from transformer_lens import ActivationCache
    from transformer_lens.hook_points import HookPoint

    from lakeviz.models.hooks.hook_points import NamesFilter
    from lakeviz.models.hooks.hooked_tower import FwdHooks, HookedTower
    from lakeviz.models.preprocess import Preprocess
    from lakeviz.models.text import TextEncoder

_MOST_BYTES = 2**30

_ELSEWHERE: Mapping[str, str] = {
    "forward": "call the model itself, or model.tower(images)",
    "blocks": "the library's own modules are in model.module, hook points in model.hook_points()",
    "visual": "the library's own model is model.module, its hooked image tower model.tower",
    "transform": "it is model.preprocess",
    "transforms": "it is model.preprocess",
    "tokenizer": "it is model.text.tokenizer; model.encode_text takes texts",
    "to_tokens": "an image model has none; model.encode_text takes texts",
    "state_dict": "the weights are model.module.state_dict()",
    "parameters": "the weights are model.module.parameters()",
    "named_modules": "the library's own modules are model.module.named_modules()",
    "n_layers": "it is model.n_blocks, or model.cfg.n_layers",
    "from_pretrained": "a model is loaded by load_model(NAME, WEIGHTS)",
    "run_with_saes": "latents take the place of neurons by lakeviz.units",
    **dict.fromkeys(
        ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U"),
        "the weights are the library's own, in model.module",
    ),
    "cuda": "use model.to('cuda')",
    "cpu": "use model.to('cpu')",
    "half": "use load_model(..., precision='fp16')",
    "fit": "a detector fits: Lake(model).fit(images)",
    "predict": "a detector scores: Lake(model).fit(images).score(images)",
    "attribute": "lakeviz.studies.decompose splits a score; gradients go through model.tower",
}
"""Where something is that users of other tools look for on a model."""


class ModelCalls:
    """Calls on a model that go to its hooked tower or text encoder.

    Float tensors are the tower's input, as for TransformerLens and open_clip; anything else that
    :func:`~lakeviz.data.inputs.as_images` takes (paths, pictures, arrays, integer tensors) is
    preprocessed first.
    """

    tower: HookedTower
    preprocess: Preprocess
    text: TextEncoder | None
    module: Any
    name: str

    if not TYPE_CHECKING:  # else type checkers take any name

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, _ELSEWHERE)

    def inputs(self, images: Any) -> Float[Tensor, "image 3 height width"]:
        """Make what the tower takes of images.

        Raises
        ------
        DataError, ImageReadError
            If something is no image or cannot be read.
        """
        if isinstance(images, Tensor) and images.is_floating_point():
            return images
        found = as_images(images)
        assert isinstance(found, ImageItems)
        return torch.stack([self.preprocess(found.load(i)) for i in range(len(found))])

    def __call__(self, images: Any, **how: Any) -> Any:
        """Return the image embeddings, as the bare tower does; gradients are kept."""
        return self.tower(self.inputs(images), **how)

    @torch.no_grad()
    def encode_image(self, images: Any, normalize: bool = False) -> Float[Tensor, "image joint"]:
        """Image embeddings, as the bare model gives them.

        Parameters
        ----------
        images
            See :meth:`inputs`.
        normalize
            Scale to unit length, ready for cosine similarity with text.
        """
        output = self(images)
        embedding = output[0] if isinstance(output, tuple) else output
        return F.normalize(embedding, dim=-1) if normalize else embedding

    def encode_text(
        self, texts: str | Sequence[str], normalize: bool = False
    ) -> Float[Tensor, "text joint"]:
        """Text embeddings, as the bare model gives them.

        Parameters
        ----------
        texts
            One or several prompts.
        normalize
            Scale to unit length.

        Raises
        ------
        TextBranchError
            If the model has no text encoder, or a prompt is empty.
        """
        if self.text is None:
            raise TextBranchError(f"{self.name} is a vision-only model and encodes no text")
        return self.text.encode(texts, normalize=normalize)

    def run_with_cache(
        self,
        images: Any,
        *,
        names_filter: NamesFilter | None = None,
        stop_at: str | None = None,
        **how: Any,
    ) -> tuple[Any, ActivationCache]:
        """Run the model and return ``(output, cache)``, with TransformerLens' defaults.

        Everything is captured where no name is given, up to 1 GiB, and the tower runs to its end;
        ``stop_at="auto"`` ends it after the deepest point captured. The other parameters, such as
        ``remove_batch_dim``, are those of :meth:`.HookedTower.run_with_cache`.

        Raises
        ------
        CaptureTooLargeError
            If everything takes more than 1 GiB.
        UnknownHookPointError
            If a point does not exist.
        """
        found = self.inputs(images)
        if names_filter is None:
            size = self.tower.capture_bytes(self.tower.points, len(found))
            if size > _MOST_BYTES:
                raise CaptureTooLargeError(
                    f"all hook points of {counted(len(found), 'image')} take {size / 2**30:.1f} "
                    "GiB; name some in names_filter, such as 'blocks.*.hook_resid_post', or give "
                    "fewer images"
                )
            names_filter = list(self.tower.points)
        return self.tower.run_with_cache(found, names_filter=names_filter, stop_at=stop_at, **how)

    def run_with_hooks(self, images: Any, **hooks: Any) -> Any:
        """Run the model with hooks and return its output; see :meth:`.HookedTower.run_with_hooks`.

        ``fwd_hooks=[(name, function)]``, where ``function(tensor, hook)`` may return an edited
        tensor.
        """
        return self.tower.run_with_hooks(self.inputs(images), **hooks)

    def hooks(
        self, fwd_hooks: FwdHooks = (), bwd_hooks: FwdHooks = (), **how: Any
    ) -> AbstractContextManager[HookedTower]:
        """Add hooks for a ``with`` block; see :meth:`.HookedTower.hooks`."""
        return self.tower.hooks(fwd_hooks, bwd_hooks, **how)

    def add_hook(self, name: NamesFilter, hook: Any, *args: Any, **how: Any) -> None:
        """Add a lasting hook to all points a filter asks for; :meth:`reset_hooks` takes it off."""
        self.tower.add_hook(name, hook, *args, **how)

    def reset_hooks(self, *args: Any, **how: Any) -> None:
        """Take all hooks off; see TransformerLens."""
        self.tower.reset_hooks(*args, **how)

    def hook_points(self) -> pd.DataFrame:
        """Table of all hook points: name, module, shape, size, editable, formula."""
        return self.tower.hook_points()

    @property
    def hook_dict(self) -> dict[str, HookPoint]:
        """Hook points by name."""
        return self.tower.hook_dict

    @property
    def cfg(self) -> Any:
        """``n_layers``, ``n_heads``, ``d_model`` and ``d_head``."""
        return self.tower.cfg

    def to(self, device: str | torch.device) -> Self:
        """Move the weights to a device, in place, and return the model.

        Raises
        ------
        ConfigError
            If it is no device of this machine, or a data type, which is chosen on loading.
        """
        try:
            target = torch.device(device)
            self.module.to(target)
            self.tower.to(target)
        except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
            raise ConfigError(
                f"the model cannot be moved to {device!r} ({str(error).splitlines()[0]}); the "
                "precision is chosen by load_model(..., precision=)"
            ) from error
        return self

    def eval(self) -> Self:
        """Return the model, which is always in evaluation mode."""
        return self
