"""Path patching: units change what some heads and MLPs read, and nothing else.

Three passes (Goldowsky-Dill et al., "Localizing model behavior with path patching", 2023). The side
that is changed runs as it is. Then units take the other side's values while what every attention
and MLP behind them writes is held as it was, so that the change reaches each receiver along the
residual stream alone; what a receiver writes is kept. Last, the side runs with that written by the
receivers, and its units as they were, to the read-outs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import select_tokens
from lakeviz.activations.tokens import as_activation
from lakeviz.errors import ConfigError
from lakeviz.progress import step
from lakeviz.studies.patching.effects import HEADS_END, compared_share
from lakeviz.studies.patching.interchange import Chosen, Interchange, keep_in
from lakeviz.studies.patching.readouts import Values
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import Moved, UnitSets, by_member
from lakeviz.studies.patching.words import CONTROL, DEFECT, DENOISING, EMBEDDING, EXCHANGES

Rows = Iterator[dict[str, Any]]
TOGETHER = "all of them"


@dataclass(frozen=True)
class Receiver:
    """A head (``"7.2"``, head 2 of block 7) or an MLP (``"7.mlp"``) that a path leads through.

    Its output is read and written at ``point``.
    """

    name: str
    point: str
    head: int | None = None

    @classmethod
    def named(cls, name: str, interchange: Interchange) -> Receiver:
        """Find a receiver by its name."""
        tower = interchange.tower
        block, _, part = name.partition(".")
        own = f"blocks.{block}.hook_mlp_out" if part == "mlp" else f"blocks.{block}{HEADS_END}"
        if own not in tower.points:
            raise ConfigError(
                f"there is no receiver {name!r}; name 7.2 for head 2 of block 7, 7.mlp for its MLP"
            )
        if part == "mlp":
            return cls(name, own)
        n_heads = tower.points[own].sizes[-2]
        if not (part.isdecimal() and int(part) < n_heads):
            raise ConfigError(f"block {block} has heads 0 to {n_heads - 1}, and no {part!r}")
        return cls(name, own, int(part))

    def put(self, written: Tensor) -> Any:
        """Hook that puts what this receiver writes in place of what stands there."""

        def hook(tensor: Tensor, hook: Any) -> Tensor:
            if self.head is None:
                return written
            made = tensor.clone()
            made[:, :, self.head] = written[:, :, self.head]
            return made

        return hook


@dataclass
class Paths:
    """Direct paths from units at a hook point through receivers."""

    sets: UnitSets
    receivers: Sequence[Receiver]

    def __post_init__(self) -> None:
        self.interchange, self.point = self.sets.interchange, self.sets.point
        self.tower, self.order = self.interchange.tower, list(self.interchange.tower.points)
        start = self.interchange.start(self.point, [])
        if start is None:
            raise ConfigError(f"paths start at a hook point of a block, and not at {self.point}")
        self.start, place = start, self.order.index(self.point)
        for one in self.receivers:
            if self.order.index(one.point) <= place:
                raise ConfigError(f"receiver {one.name} does not lie behind {self.point}")
        ends = ("hook_attn_out", "hook_mlp_out")
        wanted = [f"blocks.{b}.{e}" for b in range(self.interchange.model.n_blocks) for e in ends]
        missing = [p for p in wanted if p not in self.order]
        if missing:
            raise ConfigError(f"paths need what each block writes, and there is no {missing[0]}")
        self.frozen = [p for p in self.order[place + 1 :] if p.endswith(ends)]
        self.groups = {one.name: [one] for one in self.receivers}
        if len(self.groups) > 1:
            self.groups[TOGETHER] = list(self.receivers)

    def moved(self, chosen: Sequence[Sequence[Chosen]], direction: str) -> dict[str, Moved]:
        """What sets of units of each draw move through each receiver alone, and through all."""
        parts: dict[str, list[Moved]] = {name: [] for name in self.groups}
        with torch.no_grad():
            for rows in self.interchange.batches():
                stream, held = self._base(direction, rows)
                found: dict[str, list[list[Values]]] = {n: [[] for _ in chosen] for n in parts}
                for draw, own in enumerate(chosen):
                    for one in own:
                        step(of=EXCHANGES)
                        tokens = self.sets.exchange(direction, one)[rows]
                        written = self._written(tokens, stream, held)
                        for name, group in self.groups.items():
                            read = self._read(group, written, stream, direction, rows)
                            found[name][draw].append(read)
                for name, own in found.items():
                    parts[name].append(by_member(own))
        return {
            name: {r: np.concatenate([one[r] for one in own], axis=-1) for r in own[0]}
            for name, own in parts.items()
        }

    def full(self) -> Values:
        """Difference of the two sides, by read-out; of the embedding it is 1 in every pair."""
        found = dict(self.interchange.full)
        return found | {EMBEDDING: np.ones_like(found[DEFECT])}

    def reaches(self, receiver: str, readout: str) -> str:
        """Why a receiver cannot change a read-out; empty where it can."""
        if readout == EMBEDDING:
            return ""
        said = [self.interchange.reaches(one.point, readout) for one in self.groups[receiver]]
        return "" if "" in said else said[0]

    def _base(self, direction: str, rows: slice) -> tuple[Tensor, dict[str, Tensor]]:
        """The stream to go on from, and what attentions and MLPs write, of the side as it is."""
        own = self.interchange.sides(self.start)[_side(direction)][rows]
        stream = as_activation(self.tower, self.start, own)
        _, cache = self.tower.run_from(self.start, stream, names_filter=self.frozen, stop_at="auto")
        return stream, {p: cache[p] for p in self.frozen}

    def _written(
        self,
        tokens: Float[Tensor, "pair token channel"],
        stream: Tensor,
        held: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """What each receiver writes when the units alone are changed before it."""
        value = as_activation(self.tower, self.point, tokens.to(self.tower.dtype))
        written: dict[str, Tensor] = {}

        def freeze(tensor: Tensor, hook: Any) -> Tensor:
            written[hook.name] = tensor
            return held[hook.name]

        hooks: list[Any] = [(p, freeze) for p in self.frozen]
        hooks += [(one.point, keep_in(written)) for one in self.receivers if one.head is not None]
        if self.start == self.point:
            stream = value
        else:
            hooks.insert(0, (self.point, lambda tensor, hook: value))
        self.tower.run_from(self.start, stream, fwd_hooks=hooks, stop_at="auto")
        return written

    def _read(
        self,
        group: Sequence[Receiver],
        written: Mapping[str, Tensor],
        stream: Tensor,
        direction: str,
        rows: slice,
    ) -> Values:
        """Run the side as it is, but for what some receivers write; what has moved by that."""
        read, side = self.interchange.readouts, _side(direction)
        behind = self.order.index(self.start)
        later = [p for p in read.points if self.order.index(p) > behind]
        kept: dict[str, Tensor] = {}
        hooks: list[Any] = [(one.point, one.put(written[one.point])) for one in group]
        hooks += [(p, keep_in(kept)) for p in later]
        output, _ = self.tower.run_from(self.start, stream, fwd_hooks=hooks)
        prefix = self.tower.adapter.n_prefix_tokens
        patches = {
            p: select_tokens(self.tower, p, kept[p])
            if p in kept
            else self.interchange.sides(p)[side][rows][:, prefix:]
            for p in read.points
        }
        embedding = output[0] if isinstance(output, tuple) else output
        found = read.read(patches, embedding, self.interchange.pairs.is_defect[rows])
        defect, twin = (one[rows].double() for one in self.interchange.embeddings)
        apart = defect - twin
        way = ((embedding - twin) * apart).sum(-1) / apart.square().sum(-1)
        way = 1 - way if direction == DENOISING else way
        embedded = np.repeat(way.cpu().numpy()[None], len(read.branches), axis=0)
        return self.interchange.moved(found, direction, rows) | {EMBEDDING: embedded}


def path_rows(sets: UnitSets, settings: Settings, confidence: float) -> Rows:
    """Share that the units in question and random ones move through each receiver."""
    receivers = [Receiver.named(name, sets.interchange) for name in settings.receivers]
    paths = Paths(sets, receivers)
    full, names = paths.full(), (settings.selector, CONTROL)
    for direction in settings.directions:
        moved = {units: paths.moved(sets.members(units), direction) for units in names}
        for receiver, units, readout in product(paths.groups, names, full):
            members, own = (moved[name][receiver][readout] for name in (units, settings.selector))
            of, reason = own if units == CONTROL else None, paths.reaches(receiver, readout)
            yield {
                "direction": direction,
                "point": sets.point,
                "receiver": receiver,
                "tokens": settings.tokens,
                "units": units,
                "readout": readout,
                **compared_share(members, of, full[readout], confidence, reason),
            }


def _side(direction: str) -> int:
    return 0 if direction == DENOISING else 1
