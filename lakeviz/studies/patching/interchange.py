"""Interchange: tokens of one side of a pair are put into the other, and the tower runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.activations import select_tokens
from lakeviz.activations.tokens import as_activation, neurons_of
from lakeviz.errors import ConfigError
from lakeviz.lake import NeuronSelection, Selection
from lakeviz.lake.selection import SubspaceSelection
from lakeviz.models.hooks.taps import read_only
from lakeviz.studies.patching.pairs import Pairs
from lakeviz.studies.patching.readouts import Readouts, Values
from lakeviz.studies.patching.words import CLASS, DEFECTS, DENOISING, EVERY, OTHERS, TEXT

if TYPE_CHECKING:
    from lakeviz.models import HookedTower, VisionModel

_BATCH = 16

Units = Selection | None
"""What is exchanged of a token: channels, a subspace, or everything (None)."""


@dataclass
class Interchange:
    """Exchanges activations within pairs, and reads what becomes of the scores.

    Parameters
    ----------
    model : VisionModel
    pairs : Pairs
    readouts : Readouts
    """

    model: VisionModel
    pairs: Pairs
    readouts: Readouts
    _held: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    # --- both sides as they are ---

    def sides(self, point: str) -> tuple[Tensor, Tensor]:
        """All tokens of the defect images and of their twins at a hook point, captured once."""
        if point not in self._held:
            self._held[point] = tuple(  # type: ignore[assignment]
                torch.cat(
                    [
                        select_tokens(self.tower, point, cache[point], "all")
                        for cache in self._caches(images, [point])
                    ]
                )
                for images in (self.pairs.defects, self.pairs.twins)
            )
        return self._held[point]

    def forget(self, point: str) -> None:
        """Free the tokens of a hook point."""
        self._held.pop(point, None)

    @cached_property
    def intact(self) -> tuple[Values, Values]:
        """Read-outs of the defect images and of their twins."""
        return self._intact(self.pairs.defects), self._intact(self.pairs.twins)

    def _intact(self, images: Tensor) -> Values:
        read, parts = self.readouts, []
        with torch.inference_mode():
            for rows in self.batches():
                output, cache = self.tower.run_with_cache(
                    images[rows], names_filter=list(read.points), stop_at=self._stop
                )
                patches = {p: select_tokens(self.tower, p, cache[p]) for p in read.points}
                parts.append(read.read(patches, _embedding(output), self.pairs.is_defect[rows]))
        return _joined(parts)

    # --- interventions ---

    def group(self, name: str, point: str) -> Bool[Tensor, "pair token"]:
        """Which tokens of each pair belong to a group.

        Raises
        ------
        ConfigError
            If there is no class token, or the point has other tokens.
        """
        is_defect, n_tokens = self.pairs.is_defect, self.sides(point)[0].shape[1]
        prefix = n_tokens - is_defect.shape[1]
        if prefix not in (0, self.tower.adapter.n_prefix_tokens):
            raise ConfigError(
                f"{point} has {n_tokens} tokens, other ones than the {is_defect.shape[1]} patches "
                "that the detector reads"
            )
        if name == CLASS and prefix == 0:
            raise ConfigError(f"there is no class token at {point}")
        chosen = torch.zeros(len(self.pairs), n_tokens, dtype=torch.bool)
        if name in (CLASS, EVERY):
            chosen[:, :prefix] = True
        if name in (DEFECTS, EVERY):
            chosen[:, prefix:] |= is_defect
        if name in (OTHERS, EVERY):
            chosen[:, prefix:] |= ~is_defect
        return chosen

    def exchanged(
        self,
        point: str,
        direction: str,
        tokens: str = EVERY,
        units: Units = None,
        *,
        but: bool = False,
    ) -> Float[Tensor, "pair token channel"]:
        """Tokens of one side with those units of the other, or with all ``but`` these."""
        defect, twin = self.sides(point)
        base, source = (defect, twin) if direction == DENOISING else (twin, defect)
        part = of_units(source - base, units)
        if but:
            part = source - base - part
        return base + torch.where(self.group(tokens, point)[..., None], part, 0.0)

    def run(
        self,
        point: str,
        tokens: Float[Tensor, "pair token channel"],
        direction: str = DENOISING,
        rows: Sequence[int] | None = None,
    ) -> Values:
        """Put tokens in place at a hook point of one side, run on, and read.

        Read-outs before the hook point are those of the side as it was. ``rows`` are the pairs the
        tokens are of; all by default.
        """
        every = range(len(self.pairs)) if rows is None else rows
        side = self.pairs.defects if direction == DENOISING else self.pairs.twins
        parts = []
        with torch.inference_mode():
            for start in range(0, len(every), _BATCH):
                chosen = list(every[start : start + _BATCH])
                edited = tokens[start : start + _BATCH]
                patches, output = self.read_from(point, edited, side[chosen])
                parts.append(self.readouts.read(patches, output, self.pairs.is_defect[chosen]))
        return _joined(parts)

    def read_from(
        self, point: str, tokens: Float[Tensor, "image token channel"], images: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Patch tokens at the points read, and the embedding, with tokens put in place."""
        read = self.readouts.points
        value = as_activation(self.tower, point, tokens.to(self.tower.dtype))
        wanted = [p for p in read if p != point]
        kept: dict[str, Tensor] = {}
        watch = [(p, keep_in(kept)) for p in wanted]
        output = None
        if self._resumes(point, wanted):
            if wanted or self._stop is None:
                output, _ = self.tower.run_from(point, value, fwd_hooks=watch, stop_at=self._stop)
        else:
            edit = (point, lambda tensor, hook: value)
            output = self.tower.run_with_hooks(images, fwd_hooks=[edit, *watch], stop_at=self._stop)
        patches = {p: select_tokens(self.tower, p, kept[p]) for p in wanted}
        if point in read:
            patches[point] = tokens[:, self.tower.adapter.n_prefix_tokens :]
        return patches, _embedding(output)

    def _resumes(self, point: str, wanted: Sequence[str]) -> bool:
        """Whether the tower can go on from the point without running what lies before it."""
        order = list(self.tower.points)
        residual = point.endswith(("hook_resid_pre", "hook_resid_post"))
        return residual and all(order.index(p) > order.index(point) for p in wanted)

    def reaches(self, point: str, readout: str) -> str:
        """Why an exchange at a hook point cannot change a read-out; empty where it can."""
        if readout == TEXT:
            return ""
        order = list(self.tower.points)
        deepest = max(self.readouts.points, key=order.index)
        if order.index(point) <= order.index(deepest):
            return ""
        return f"{point} lies behind {deepest}, the last point that the detector reads"

    def has_prefix(self, point: str) -> bool:
        """Whether there is a class token (or registers) at a hook point."""
        return self.sides(point)[0].shape[1] > self.pairs.is_defect.shape[1]

    def n_units(self, point: str, units: Units) -> int:
        """Number of channels or dimensions that are exchanged."""
        return neurons_of(self.tower, point) if units is None else units.k

    @property
    def tower(self) -> HookedTower:
        """The hooked tower."""
        return self.model.tower

    @property
    def _stop(self) -> str | None:
        return "auto" if self.readouts.text is None else None

    def _caches(self, images: Tensor, points: Sequence[str]) -> Iterator[Any]:
        with torch.inference_mode():
            for rows in self.batches():
                yield self.tower.run_with_cache(images[rows], names_filter=list(points))[1]

    def batches(self) -> Iterator[slice]:
        """Slices of the pairs that pass the tower together."""
        for start in range(0, len(self.pairs), _BATCH):
            yield slice(start, min(start + _BATCH, len(self.pairs)))


def keep_in(kept: dict[str, Tensor]) -> Any:
    """Hook that keeps a tensor as it is; a cache would detach it from its gradient."""

    def hook(tensor: Tensor, hook: Any) -> None:
        kept[hook.name] = tensor

    return read_only(hook)


def of_units(
    tokens: Float[Tensor, "*token channel"], units: Units
) -> Float[Tensor, "*token channel"]:
    """Part of tokens that lies in some units: in channels, or projected on a subspace."""
    if units is None:
        return tokens
    if isinstance(units, NeuronSelection):
        kept = torch.zeros_like(tokens)
        index = torch.as_tensor(units.channels.copy())
        kept[..., index] = tokens[..., index]
        return kept
    assert isinstance(units, SubspaceSelection)
    basis = torch.from_numpy(units.basis).to(tokens.dtype)
    return tokens @ basis @ basis.T


def _embedding(output: Tensor | tuple[Tensor, ...] | None) -> Tensor | None:
    return output[0] if isinstance(output, tuple) else output


def _joined(parts: Sequence[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
