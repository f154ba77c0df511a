"""``HookedTower``: TransformerLens hooks on an unmodified image tower.

The wrapper keeps one ``HookPoint`` per named tensor. The tower itself is not changed; only during
a forward pass, and only for points that have hooks, taps are put on its modules, and taken off
again also after an error. Without hooks the output is therefore bit-equal to the bare tower's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from lakeviz.errors import CaptureTooLargeError, HookError
from lakeviz.models.hooks.attention import value_value_attention
from lakeviz.models.hooks.hook_points import (
    NamesFilter,
    points_table,
    refuse_arguments,
    resolve_names,
)
from lakeviz.models.hooks.taps import Hook, Taps, out_of_place, read_only, resumed
from lakeviz.models.hooks.threads import OwnHooks, WeightGate
from lakeviz.models.towers import adapter_for
from lakeviz.models.towers.base import TowerAdapter
from lakeviz.wording import counted

log = logging.getLogger(__name__)

FwdHooks = Sequence[tuple[NamesFilter, Hook]]


class HookedTower(HookedRootModule):
    """An image tower with named, readable and editable hook points.

    Parameters
    ----------
    tower
        An open_clip or timm tower; it is registered as a sub-module and never modified.
    adapter
        Its adapter, if one was built before (default: chosen by the tower's class).

    Attributes
    ----------
    adapter
        The tower's modules under common names.
    points
        All points by name, in the order a forward pass reaches them.
    cfg
        ``n_layers``, ``n_heads``, ``d_model``, ``d_head`` as TransformerLens' caches expect them.
    """

    def __init__(self, tower: nn.Module, adapter: TowerAdapter | None = None) -> None:
        adapter = adapter or adapter_for(tower)
        points = {point.name: point for point in adapter.points()}
        self._own = OwnHooks(points)
        self._gate = WeightGate()
        super().__init__()
        self.tower, self.adapter, self.points = tower, adapter, points
        self.tiles: tuple[int, int] = (1, 1)  # rows and columns of parts of an image
        self.cfg = SimpleNamespace(
            n_layers=len(self.adapter.blocks),
            n_heads=self.adapter.n_heads,
            d_model=self.adapter.d_model,
            d_head=self.adapter.d_head,
        )

    def setup(self) -> None:
        """Build the hook points outside the tower; TransformerLens' own writes on its modules."""
        self._own = OwnHooks(self.points)

    @property
    def hook_dict(self) -> dict[str, HookPoint]:  # type: ignore[override]
        """Hook points of this thread by name; they lie outside the tower."""
        return self._own.points

    @property
    def mod_dict(self) -> dict[str, HookPoint]:  # type: ignore[override]
        """The same."""
        return self._own.points

    @property
    def context_level(self) -> int:  # type: ignore[override]
        """How many ``with tower.hooks(...)`` are open in this thread."""
        return self._own.level

    @context_level.setter
    def context_level(self, level: int) -> None:
        self._own.level = level

    def changing_weights(self) -> AbstractContextManager[None]:
        """For a while, keep passes of other threads away from weights that are changed.

        Raises
        ------
        HookError
            If another thread does so already.
        """
        return self._gate.changing()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.tower.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision the images are given to the tower in: that of its patch embedding.

        With half precision open_clip keeps norms and position embeddings in fp32, so the first
        parameter may differ; the first one with the most axes is the convolution over pixels.
        """
        return max(self.tower.parameters(), key=lambda p: p.ndim).dtype

    # --- what TransformerLens' class does on its hook points, for a table instead of a list ---

    def hook_points(self) -> pd.DataFrame:  # type: ignore[override]
        """Table of all points: name, module, shape, concrete shape, readable, editable, formula.

        ``shape`` is symbolic, ``size`` is in numbers for one image at the tower's image size.
        """
        return points_table(self.points.values(), self.tower)

    def remove_all_hook_fns(self, *args: Any, **kwargs: Any) -> None:
        """Remove hooks from every hook point; see TransformerLens."""
        for point in self.hook_dict.values():
            point.remove_hooks(*args, **kwargs)

    def clear_contexts(self) -> None:
        """Clear the scratch dictionary of every hook point."""
        for point in self.hook_dict.values():
            point.clear_context()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the tower's own state, under its own keys."""
        return self.tower.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load into the tower, under its own keys."""
        return self.tower.load_state_dict(*args, **kwargs)

    # --- the strict layer ---

    def resolve(self, names_filter: NamesFilter) -> list[str]:
        """Names a filter asks for, in forward order; see :func:`.hook_points.resolve_names`."""
        return resolve_names(names_filter, self.points)

    def capture_bytes(self, names: Iterable[str], n_images: int) -> int:
        """Bytes that capturing ``names`` of ``n_images`` images takes."""
        return n_images * self.dtype.itemsize * sum(self.points[n].elements for n in names)

    def add_hook(self, name: NamesFilter, hook: Hook, *args: Any, **kwargs: Any) -> None:
        """Add a lasting hook (TransformerLens' ``add_hook``) to all points a filter asks for."""
        for exact in self.resolve(name):
            super().add_hook(exact, out_of_place(hook), *args, **kwargs)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: FwdHooks = (),
        bwd_hooks: FwdHooks = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator[HookedTower]:
        """Add hooks for a ``with`` block; names may be globs, collections or predicates.

        A forward hook is ``fn(tensor, hook)``; what it returns replaces the tensor. It works on its
        own copy, so editing in place is safe (a hook marked :func:`read_only` sees the tensor).

        Raises
        ------
        UnknownHookPointError
            Before anything is added, if a name does not exist.
        """
        fwd: list[Any] = [
            (name, out_of_place(fn)) for names, fn in fwd_hooks for name in self.resolve(names)
        ]
        bwd: list[Any] = [(name, fn) for names, fn in bwd_hooks for name in self.resolve(names)]
        with super().hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            yield self

    def run_with_hooks(  # type: ignore[override]
        self,
        images: Tensor,
        *,
        fwd_hooks: FwdHooks = (),
        bwd_hooks: FwdHooks = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        stop_at: str | None = None,
        **others: Any,
    ) -> Any:
        """Run the tower with hooks and return its output; TransformerLens' signature.

        ``stop_at`` is that of :meth:`forward`; by default the tower runs to its end.
        """
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(images, stop_at=stop_at, **others)

    def run_with_cache(  # type: ignore[override]
        self,
        images: Tensor,
        *,
        names_filter: NamesFilter | None = None,
        device: Any = None,
        remove_batch_dim: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Any = None,
        everything: bool = False,
        stop_at: str | None = "auto",
        **others: Any,
    ) -> tuple[Any, ActivationCache]:
        """Run the tower and return ``(output, cache)``: TransformerLens' signature, and two more.

        Parameters
        ----------
        images
            Preprocessed images ``[batch, 3, height, width]``.
        names_filter
            What to capture.
        everything
            Needed to capture all points (``names_filter=None``), which is large.
        stop_at
            ``"auto"``: stop as soon as the deepest captured point has been reached; where that
            leaves out blocks, ``output`` is None. A point's name: stop there. None: run to the end.
        device, remove_batch_dim, reset_hooks_end, clear_contexts, pos_slice
            As in TransformerLens.

        Raises
        ------
        CaptureTooLargeError
            If everything was asked for implicitly.
        UnknownHookPointError, HookDidNotFireError
            If a point does not exist or its module was not called.
        HookError
            For ``remove_batch_dim`` with more than one image, and for arguments of TransformerLens
            that an image tower cannot serve; the message says what to use instead.
        """
        refuse_arguments(others)
        if remove_batch_dim and len(images) != 1:
            raise HookError(f"remove_batch_dim needs a batch of one, not of {len(images)}")
        names = self._names_to_capture(names_filter, everything, len(images))
        cache, caching, _ = self.get_caching_hooks(
            names, device=device, remove_batch_dim=remove_batch_dim, pos_slice=pos_slice
        )
        fwd = [(name, read_only(fn)) for name, fn in caching]
        with self.hooks(fwd, (), reset_hooks_end, clear_contexts):
            output = self(images, stop_at=stop_at)
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def _names_to_capture(
        self, names_filter: NamesFilter | None, everything: bool, n_images: int
    ) -> list[str]:
        if names_filter is not None:
            return self.resolve(names_filter)
        names = list(self.points)
        size = self.capture_bytes(names, n_images) / 2**20
        what = f"all {len(names)} hook points of {counted(n_images, 'image')} take {size:,.1f} MiB"
        if not everything:
            raise CaptureTooLargeError(
                f"{what}; name the points in names_filter, or pass everything=True if you mean it"
            )
        log.warning("capturing everything: %s", what)
        return names

    # --- running ---

    def forward(self, images: Tensor, *, stop_at: str | None = None, **others: Any) -> Any:
        """Run the tower; with hooks on points, under taps for this one call.

        Parameters
        ----------
        images
            Preprocessed images ``[batch, 3, height, width]``; moved to the tower's device, dtype.
        stop_at
            None runs to the end. ``"auto"`` stops once every point that has hooks was reached, a
            name once that point was; the result is None where blocks were left out.

        Raises
        ------
        HookDidNotFireError
            If a point with hooks was not reached.
        HookError
            For arguments of TransformerLens that an image tower cannot serve.
        """
        refuse_arguments(others)
        images = images.to(device=self.device, dtype=self.dtype)
        active = [p for p in self.points.values() if self.hook_dict[p.name].has_hooks()]
        awaited = {point.name for point in active}
        if stop_at not in (None, "auto"):
            awaited = set(self.resolve(stop_at))
            active += [self.points[n] for n in awaited if self.points[n] not in active]
        # In the last block nothing is left to save, and running on gives the output too.
        last_to_stop = -2 if stop_at is None else self.cfg.n_layers - 1
        taps = Taps(self.hook_dict, active, awaited, last_to_stop)
        with self._gate.passing(), taps:
            return self.tower(images)
        return None  # stopped

    def run_from(
        self,
        point: str,
        activation: Float[Tensor, "batch ..."],
        *,
        names_filter: NamesFilter | None = None,
        fwd_hooks: FwdHooks = (),
        stop_at: str | None = None,
    ) -> tuple[Any, ActivationCache]:
        """Resume the tower from a stored residual stream; only the blocks after it run.

        The tower's own forward pass is used: blocks before ``point`` hand on ``activation`` instead
        of computing, on a blank image, so pooling, projection and rotary embeddings are its own.

        Parameters
        ----------
        point
            A ``hook_resid_pre`` or ``hook_resid_post`` point.
        activation
            Its value, as captured (and perhaps edited).
        names_filter
            Later points to capture.
        fwd_hooks
            Hooks on later points.
        stop_at
            As in :meth:`forward`.

        Returns
        -------
        output, cache
            The tower's output from there (None if stopped before) and the captured points.

        Raises
        ------
        HookError
            If ``point`` is no residual point, or something before it is asked for.
        """
        captured = self.resolve(names_filter) if names_filter is not None else []
        hooked = [name for names, _ in fwd_hooks for name in self.resolve(names)]
        self.resolve(point)
        cache, fwd, _ = self.get_caching_hooks(captured or (lambda _: False))
        fwd = [*fwd_hooks, *((name, read_only(fn)) for name, fn in fwd)]
        height, width = self.adapter.image_size
        # One image is enough: the first block hands on the activation, and its batch with it.
        blank = activation.new_zeros((1, 3, height, width))
        blocks = [parts.block for parts in self.adapter.blocks]
        activation = activation.to(device=self.device, dtype=self.dtype)
        later = [*captured, *hooked]
        with resumed(blocks, self.points, point, activation, later), self.hooks(fwd):
            output = self(blank, stop_at=stop_at)
        return output, ActivationCache(cache, self)

    def value_value_tokens(
        self, images: Float[Tensor, "batch 3 height width"], last_n_blocks: int
    ) -> Float[Tensor, "batch patch d_model"]:
        """Patch tokens of a parallel path with value-value attention in the last blocks.

        The path starts as the residual stream before the last ``last_n_blocks`` blocks; each of
        them adds ``softmax(v v^T / sqrt(d_head)) v``, projected, with ``v`` from the original
        stream; the MLPs are skipped. The original stream is untouched (arXiv 2304.05653).

        Raises
        ------
        HookError
            If the tower's attention is of a form that does not show its values, or
            ``last_n_blocks`` is not between 1 and the number of blocks.
        """
        blocks = self.adapter.blocks
        if not 1 <= last_n_blocks <= len(blocks):
            raise HookError(f"last_n_blocks must be 1 to {len(blocks)}, not {last_n_blocks}")
        first = len(blocks) - last_n_blocks
        if any(parts.attn is None or parts.ln1 is None for parts in blocks[first:]):
            raise HookError(
                f"value-value attention needs plain pre-norm self-attention blocks; this "
                f"{self.adapter.architecture} tower has others"
            )
        inputs = [f"blocks.{i}.ln1.hook_normalized" for i in range(first, len(blocks))]
        start = f"blocks.{first}.hook_resid_pre"
        _, cache = self.run_with_cache(images, names_filter=[start, *inputs])
        path = cache[start]
        for name, parts in zip(inputs, blocks[first:]):
            assert parts.attn is not None
            update = value_value_attention(parts.attn, cache[name])
            path = path + (update if parts.scale_attn is None else update * parts.scale_attn)
        return path[:, self.adapter.n_prefix_tokens :]
