"""``HookedTower``: TransformerLens hooks on an unmodified image tower.

The wrapper keeps one ``HookPoint`` per named tensor. The tower itself carries nothing; only during
a forward pass, and only for points that have hooks, taps are put on its modules, and taken off
again whatever happens. At rest the output is therefore bit-equal to the bare tower's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from lakeviz.errors import (
    ActivationError,
    CaptureTooLargeError,
    HookDidNotFireError,
    HookError,
    HookNotEditableError,
)
from lakeviz.models.adapter import TowerAdapter
from lakeviz.models.attention import value_value_attention
from lakeviz.models.names import NamesFilter, resolve_names
from lakeviz.models.points import Handle, Point

log = logging.getLogger(__name__)

Hook = Callable[..., Tensor | None]
FwdHooks = Sequence[tuple[NamesFilter, Hook]]


class _StopForward(Exception):  # noqa: N818 - control flow, not an error
    """Leaves the tower's forward pass once nothing deeper is wanted."""


def read_only(fn: Hook) -> Hook:
    """Mark a hook that only looks, so that it is shown the tensor itself and not a copy.

    The mark is a promise not to write into the tensor; a value the hook returns is dropped.
    """

    def look(tensor: Tensor, hook: HookPoint) -> None:
        fn(tensor, hook=hook)

    look.read_only = True  # type: ignore[attr-defined]
    return look


def _out_of_place(fn: Hook) -> Hook:
    """Give a hook its own copy, so that editing in place cannot rewrite what was cached before."""
    if getattr(fn, "read_only", False):
        return fn

    def edit(tensor: Tensor, hook: HookPoint) -> Tensor | None:
        own = tensor.clone()
        edited = fn(own, hook=hook)
        if edited is None:
            return None if torch.equal(own, tensor) else own
        return edited

    return edit


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
        super().__init__()
        from lakeviz.models.adapters import adapter_for

        self.tower = tower
        self.adapter = adapter or adapter_for(tower)
        self.points = {point.name: point for point in self.adapter.points()}
        self.cfg = SimpleNamespace(
            n_layers=len(self.adapter.blocks),
            n_heads=self.adapter.n_heads,
            d_model=self.adapter.d_model,
            d_head=self.adapter.d_head,
        )
        self.setup()

    def setup(self) -> None:
        """Build the hook points beside the tower; TransformerLens' own writes on its modules."""
        self.hook_dict = {}
        for name in self.points:
            self.hook_dict[name] = HookPoint()
            self.hook_dict[name].name = name
        self.mod_dict = dict(self.hook_dict)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.tower.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision the images are given to the tower in (that of its first weights)."""
        return next(p.dtype for p in self.tower.parameters() if p.ndim > 1)

    # --- what TransformerLens' class does on its hook points, for a table instead of a list ---

    def hook_points(self) -> pd.DataFrame:  # type: ignore[override]
        """Table of all points: name, module, shape, concrete shape, readable, editable, formula.

        ``shape`` is symbolic, ``size`` is in numbers for one image at the tower's image size.
        """
        names = {module: name or "(tower)" for name, module in self.tower.named_modules()}
        rows = [
            {
                "name": point.name,
                "module": names[point.tap.module],
                "shape": ", ".join(point.axes),
                "size": (1, *point.sizes),
                "readable": True,
                "editable": point.editable,
                "formula": point.formula,
            }
            for point in self.points.values()
        ]
        return pd.DataFrame(rows)

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
        """Names a filter asks for, in forward order; see :func:`.names.resolve_names`."""
        return resolve_names(names_filter, self.points)

    def capture_bytes(self, names: Iterable[str], n_images: int) -> int:
        """Bytes that capturing ``names`` of ``n_images`` images takes."""
        return n_images * self.dtype.itemsize * sum(self.points[n].elements for n in names)

    def add_hook(self, name: NamesFilter, hook: Hook, *args: Any, **kwargs: Any) -> None:
        """Add a lasting hook (TransformerLens' ``add_hook``) to all points a filter asks for."""
        for exact in self.resolve(name):
            super().add_hook(exact, _out_of_place(hook), *args, **kwargs)

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
        fwd = [(n, _out_of_place(fn)) for names, fn in fwd_hooks for n in self.resolve(names)]
        bwd = [(n, fn) for names, fn in bwd_hooks for n in self.resolve(names)]
        with super().hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            yield self

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NamesFilter | None = None,
        device: Any = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Any = None,
        everything: bool = False,
        stop_at: str | None = "auto",
        **model_kwargs: Any,
    ) -> tuple[Any, ActivationCache]:
        """Run the tower and return ``(output, cache)``; TransformerLens' signature plus two.

        Parameters
        ----------
        names_filter
            What to capture.
        everything
            Needed to capture all points (``names_filter=None``), which is large.
        stop_at
            ``"auto"``: stop as soon as the deepest captured point has been reached; where that
            leaves out blocks, ``output`` is None. A point's name: stop there. None: run to the end.
        device, remove_batch_dim, incl_bwd, reset_hooks_end, clear_contexts, pos_slice
            As in TransformerLens. ``incl_bwd`` runs to the end.

        Raises
        ------
        CaptureTooLargeError
            If everything was asked for implicitly.
        UnknownHookPointError, HookDidNotFireError
            If a point does not exist or its module was not called.
        """
        names = self._names_to_capture(names_filter, everything, model_args)
        if remove_batch_dim and len(model_args[0]) != 1:
            raise HookError(f"remove_batch_dim needs a batch of one, not of {len(model_args[0])}")
        cache, fwd, bwd = self.get_caching_hooks(
            names, incl_bwd, device, remove_batch_dim=remove_batch_dim, pos_slice=pos_slice
        )
        fwd = [(name, read_only(fn)) for name, fn in fwd]
        with self.hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            output = self(*model_args, stop_at=None if incl_bwd else stop_at, **model_kwargs)
            if incl_bwd:
                output.backward()
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def _names_to_capture(
        self, names_filter: NamesFilter | None, everything: bool, model_args: Sequence[Any]
    ) -> list[str]:
        if names_filter is not None:
            return self.resolve(names_filter)
        names = list(self.points)
        n = len(model_args[0])
        size = self.capture_bytes(names, n) / 2**20
        what = f"all {len(names)} hook points of {n} images take {size:,.1f} MiB"
        if not everything:
            raise CaptureTooLargeError(
                f"{what}; name the points in names_filter, or pass everything=True if you mean it"
            )
        log.warning("capturing everything: %s", what)
        return names

    # --- running ---

    def forward(self, images: Tensor, *, stop_at: str | None = None) -> Any:
        """Run the tower; with hooks on points, under taps for this one call.

        Parameters
        ----------
        images
            Preprocessed images ``[batch, 3, height, width]``; moved to the tower's device and dtype.
        stop_at
            None runs to the end. ``"auto"`` stops once every point that has hooks was reached, a
            name once that point was; the result is None where blocks were left out.

        Raises
        ------
        HookDidNotFireError
            If a point with hooks was not reached.
        """
        images = images.to(device=self.device, dtype=self.dtype)
        active = [p for p in self.points.values() if self.hook_dict[p.name].has_hooks()]
        if not active and stop_at in (None, "auto"):
            return self.tower(images)
        if stop_at in (None, "auto"):
            awaited = {point.name for point in active}
        else:
            awaited = set(self.resolve(stop_at))
            active += [self.points[n] for n in awaited if self.points[n] not in active]
        # In the last block nothing is left to save, and running on gives the output too.
        last_to_stop = -2 if stop_at is None else self.cfg.n_layers - 1
        with _Taps(self.hook_dict, active, awaited, last_to_stop) as taps:
            try:
                output = self.tower(images)
            except _StopForward:
                output = None
        taps.check_all_fired()
        return output

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
        from lakeviz.models.resume import resumed

        captured = self.resolve(names_filter) if names_filter is not None else []
        hooked = [name for names, _ in fwd_hooks for name in self.resolve(names)]
        self._check_resume(point, activation, [*captured, *hooked])
        cache, fwd, _ = self.get_caching_hooks(captured or (lambda _: False))
        fwd = [*fwd_hooks, *((name, read_only(fn)) for name, fn in fwd)]
        height, width = self.adapter.image_size
        blank = activation.new_zeros((len(activation), 3, height, width))
        with resumed(self, self.points[point], activation), self.hooks(fwd):
            output = self(blank, stop_at=stop_at)
        return output, ActivationCache(cache, self)

    def _check_resume(self, point: str, activation: Tensor, asked: Sequence[str]) -> None:
        self.resolve(point)
        if not point.endswith(("hook_resid_pre", "hook_resid_post")):
            raise HookError(
                f"the tower resumes from hook_resid_pre or hook_resid_post of a block, not {point!r}"
            )
        expected = self.points[point].sizes
        if tuple(activation.shape[1:]) != expected:
            raise ActivationError(
                f"{point} holds {expected} per image here, the activation given has "
                f"{tuple(activation.shape[1:])}"
            )
        order = {name: i for i, name in enumerate(self.points)}
        before = [name for name in asked if order[name] <= order[point]]
        if before:
            raise HookError(f"{before[0]} is not after {point}, from which the tower resumes")

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


class _Taps:
    """The taps of one forward pass: put on at entry, off at exit, counting what has fired."""

    def __init__(
        self,
        hook_points: dict[str, HookPoint],
        active: Sequence[Point],
        awaited: set[str],
        last_to_stop: int,
    ) -> None:
        self._hook_points, self._active, self._last_to_stop = hook_points, active, last_to_stop
        self._awaited, self._silent = set(awaited), {point.name for point in active}
        self._handles: list[Handle] = []

    def __enter__(self) -> _Taps:
        try:
            for point in self._active:
                self._handles.extend(point.tap.attach(partial(self._fire, point)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _fire(self, point: Point, tensor: Tensor) -> Tensor:
        shown = tensor.clone() if point.volatile else tensor
        edited = self._hook_points[point.name](shown)
        self._silent.discard(point.name)
        self._awaited.discard(point.name)
        if point.block < self._last_to_stop and not self._awaited:
            raise _StopForward
        if edited is shown:
            return tensor
        if not point.editable:
            raise HookNotEditableError(f"{point.name} can be read but not edited")
        return edited

    def check_all_fired(self) -> None:
        if self._silent:
            raise HookDidNotFireError(
                f"{', '.join(sorted(self._silent))}: requested, but not reached in this forward "
                "pass (the tower does not call that module, or the run stopped before it)"
            )
