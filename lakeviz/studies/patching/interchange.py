"""Interchange: tokens of one side of a pair are put into the other, and the tower runs on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.activations import select_tokens
from lakeviz.activations.tokens import as_activation
from lakeviz.errors import ConfigError
from lakeviz.lake import NeuronSelection, Selection
from lakeviz.models.hooks.taps import read_only
from lakeviz.studies.patching.pairs import Pairs
from lakeviz.studies.patching.readouts import Readouts, Values
from lakeviz.studies.patching.words import CLASS, DEFECTS, DENOISING, EVERY, LOGIT, OTHERS, TEXT
from lakeviz.units.base import Units
from lakeviz.units.linear import ChannelUnits, LinearUnits

if TYPE_CHECKING:
    from lakeviz.models import HookedTower, VisionModel

_BATCH = 16

Chosen = Selection | None
"""What is exchanged of a token: some units, a subspace, or everything (None)."""


@dataclass
class Interchange:
    """Exchanges activations within pairs, and reads what becomes of the scores.

    ``units`` are what the numbers of a selection count, where they do not count neurons.
    """

    model: VisionModel
    pairs: Pairs
    readouts: Readouts
    units: Mapping[str, Units] = field(default_factory=dict)
    _held: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    # --- both sides as they are ---

    def sides(self, point: str) -> tuple[Tensor, Tensor]:
        """All tokens of the defect images and of their twins at a hook point, captured once."""
        if point not in self._held:
            self._held[point] = self._capture(0, point), self._capture(1, point)
        return self._held[point]

    def _capture(self, side: int, point: str) -> Tensor:
        """Tokens of one side, from the deepest residual stream before them that is held."""
        order = list(self.tower.points)
        before = [p for p in self._held if order.index(p) < order.index(point) and _is_stream(p)]
        start = max(before, key=order.index) if before else None
        parts, one = [], {"names_filter": [point], "stop_at": "auto"}
        with torch.no_grad():
            for rows in self.batches():
                if start is None:
                    _, cache = self.tower.run_with_cache(self._images(side)[rows], **one)
                else:
                    stream = as_activation(self.tower, start, self._held[start][side][rows])
                    _, cache = self.tower.run_from(start, stream, **one)
                parts.append(select_tokens(self.tower, point, cache[point], "all"))
        return torch.cat(parts)

    def _images(self, side: int) -> Tensor:
        return self.pairs.twins if side else self.pairs.defects

    def hold(self, point: str) -> None:
        """Capture a hook point, and free the others that it does not need."""
        self.sides(point)
        kept = (point, stream_before(point))
        self._held = {p: held for p, held in self._held.items() if p in kept}

    @cached_property
    def intact(self) -> tuple[Values, Values]:
        """Read-outs of the defect images and of their twins."""
        return self._intact(self.pairs.defects), self._intact(self.pairs.twins)

    @cached_property
    def full(self) -> Values:
        """Difference of the two sides of each pair, by read-out."""
        defect, twin = self.intact
        return {name: defect[name] - twin[name] for name in defect}

    def moved(
        self, found: Values, direction: str, rows: Sequence[int] | slice = slice(None)
    ) -> Values:
        """What was moved towards the other side, in all or some of the pairs."""
        defect, twin = self.intact
        if direction == DENOISING:
            return {name: defect[name][:, rows] - one for name, one in found.items()}
        return {name: one - twin[name][:, rows] for name, one in found.items()}

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

    @cached_property
    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Image embeddings of the defect images and of their twins."""
        found = []
        with torch.no_grad():
            for images in (self.pairs.defects, self.pairs.twins):
                parts = [_embedding(self.tower(images[rows])) for rows in self.batches()]
                found.append(torch.cat([one for one in parts if one is not None]))
        return found[0], found[1]

    # --- interventions ---

    def group(self, name: str, point: str) -> Bool[Tensor, "pair token"]:
        """Which tokens of each pair belong to a group."""
        is_defect, n_tokens = self.pairs.is_defect, self.sides(point)[0].shape[1]
        if other := self.other_tokens(point):
            raise ConfigError(other)
        prefix = n_tokens - is_defect.shape[1]
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
        units: Chosen = None,
        *,
        but: bool = False,
    ) -> Float[Tensor, "pair token channel"]:
        """Tokens of one side with those units of the other, or with all ``but`` these."""
        defect, twin = self.sides(point)
        base, source = (defect, twin) if direction == DENOISING else (twin, defect)
        made = self.mixed(source, base, units) if but else self.mixed(base, source, units)
        return base + torch.where(self.group(tokens, point)[..., None], made - base, 0.0)

    def mixed(
        self,
        tokens: Float[Tensor, "*token channel"],
        source: Float[Tensor, "*token channel"],
        units: Chosen,
    ) -> Float[Tensor, "*token channel"]:
        """Tokens with the activations that some units have in other ones."""
        if units is None:
            return source
        n = tokens.shape[-1]
        if isinstance(units, NeuronSelection):
            return self._basis(units.point, n).exchange(tokens, source, units.channels.tolist())
        rows = torch.from_numpy(np.ascontiguousarray(units.basis.T)).to(tokens.dtype)
        subspace = LinearUnits(units.point, rows, units.selector, units.selector)
        return subspace.exchange(tokens, source, range(units.k))

    def replaced(
        self,
        tokens: Float[Tensor, "*token channel"],
        units: NeuronSelection,
        values: Float[Tensor, "*token chosen"],
    ) -> Float[Tensor, "*token channel"]:
        """Tokens with other activations of some units."""
        return self._basis(units.point, tokens.shape[-1]).replace(
            tokens, units.channels.tolist(), values
        )

    def _basis(self, point: str, n: int) -> Units:
        return self.units.get(point) or ChannelUnits(point, n)

    def encoded(self, point: str) -> tuple[Tensor, Tensor]:
        """Unit activations of both sides at a hook point; neurons where it has no other units."""
        defect, twin = self.sides(point)
        units = self.units.get(point)
        return (defect, twin) if units is None else (units.encode(defect), units.encode(twin))

    def run(
        self,
        point: str,
        tokens: Float[Tensor, "pair token channel"],
        direction: str = DENOISING,
        rows: Sequence[int] | None = None,
        draws: Sequence[int] | None = None,
        *,
        defects_alone: bool = False,
    ) -> Values:
        """Put tokens in place at a hook point of one side, run on, and read.

        Read-outs before the hook point are those of the side as it was. ``rows`` are the pairs the
        tokens are of; all by default. ``draws`` as in :meth:`.Readouts.read`; ``defects_alone``
        reads nothing else, which is faster.
        """
        every = range(len(self.pairs)) if rows is None else rows
        parts = []
        with torch.inference_mode():
            for start in range(0, len(every), _BATCH):
                chosen = list(every[start : start + _BATCH])
                edited = tokens[start : start + _BATCH]
                stop = "auto" if defects_alone else self._stop
                patches, output = self.read_from(point, edited, direction, chosen, stop)
                is_defect = self.pairs.is_defect[chosen]
                if defects_alone:
                    parts.append(self.readouts.read_defects(patches, is_defect, draws))
                else:
                    parts.append(self.readouts.read(patches, output, is_defect, draws))
        return _joined(parts)

    def read_from(
        self,
        point: str,
        tokens: Float[Tensor, "image token channel"],
        direction: str,
        rows: Sequence[int] | slice,
        stop: str | None = "auto",
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Patch tokens at the points read, and the embedding, with tokens put in place.

        ``rows`` are the pairs of the tokens; the side that is changed gives all other activations.
        """
        read, side = self.readouts.points, 0 if direction == DENOISING else 1
        value = as_activation(self.tower, point, tokens.to(self.tower.dtype))
        wanted = [p for p in read if p != point]
        kept: dict[str, Tensor] = {}
        hooks = [(p, keep_in(kept)) for p in wanted]
        output, start = None, self.start(point, wanted)
        if start != point:
            hooks.insert(0, (point, lambda tensor, hook: value))
        if not wanted and stop is not None:
            pass
        elif start is None:
            images = self._images(side)[rows]
            output = self.tower.run_with_hooks(images, fwd_hooks=hooks, stop_at=stop)
        else:
            stream = value
            if start != point:
                stream = as_activation(self.tower, start, self.sides(start)[side][rows])
            output, _ = self.tower.run_from(start, stream, fwd_hooks=hooks, stop_at=stop)
        patches = {p: select_tokens(self.tower, p, kept[p]) for p in wanted}
        if point in read:
            patches[point] = tokens[:, self.tower.adapter.n_prefix_tokens :]
        return patches, _embedding(output)

    def start(self, point: str, wanted: Sequence[str]) -> str | None:
        """Residual stream from which the tower goes on, past a point, to those wanted; or None."""
        order = list(self.tower.points)
        start = point if _is_stream(point) else stream_before(point)
        if start not in order or any(order.index(p) <= order.index(start) for p in wanted):
            return None
        return start

    def reaches(self, point: str, readout: str) -> str:
        """Why an exchange at a hook point cannot change a read-out; empty where it can."""
        if readout in (TEXT, LOGIT):
            return ""
        order = list(self.tower.points)
        deepest = max(self.readouts.points, key=order.index)
        if order.index(point) <= order.index(deepest):
            return ""
        return f"{point} lies behind {deepest}, the last point that the detector reads"

    def other_tokens(self, point: str) -> str:
        """Why the patches read are not the tokens of a hook point; empty where they are."""
        n_tokens, n_patches = self.sides(point)[0].shape[1], self.pairs.is_defect.shape[1]
        if n_tokens - n_patches in (0, self.tower.adapter.n_prefix_tokens):
            return ""
        return (
            f"{point} has {n_tokens} tokens, other ones than the {n_patches} patches that the "
            "detector reads"
        )

    def has_prefix(self, point: str) -> bool:
        """Whether there is a class token (or registers) at a hook point."""
        return self.sides(point)[0].shape[1] > self.pairs.is_defect.shape[1]

    @property
    def tower(self) -> HookedTower:
        """The hooked tower."""
        return self.model.tower

    @property
    def _stop(self) -> str | None:
        return None if self.readouts.of_output else "auto"

    def batches(self) -> Iterator[slice]:
        """Slices of the pairs that pass the tower together."""
        for start in range(0, len(self.pairs), _BATCH):
            yield slice(start, min(start + _BATCH, len(self.pairs)))


def keep_in(kept: dict[str, Tensor]) -> Any:
    """Hook that keeps a tensor as it is; a cache would detach it from its gradient."""

    def hook(tensor: Tensor, hook: Any) -> None:
        kept[hook.name] = tensor

    return read_only(hook)


def stream_before(point: str) -> str:
    """Residual stream that goes into the block of a hook point."""
    return ".".join([*point.split(".")[:2], "hook_resid_pre"])


def _is_stream(point: str) -> bool:
    return point.endswith(("hook_resid_pre", "hook_resid_post"))


def _embedding(output: Tensor | tuple[Tensor, ...] | None) -> Tensor | None:
    return output[0] if isinstance(output, tuple) else output


def _joined(parts: Sequence[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
