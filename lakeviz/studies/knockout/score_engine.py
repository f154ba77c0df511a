"""Score knock-outs: neurons are dropped from gallery and query alone, the network is untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import NeuronSelection
from lakeviz.lake.gallery import normalise
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import VisualBranch
from lakeviz.studies.knockout.ablation import Condition, Engine, Knocked
from lakeviz.studies.knockout.leave_one_out import SingleKnockouts

_SCORES_AT_ONCE = 2**26  # single knock-outs times patches held at a time (256 MiB)

Dropped = dict[str, tuple[int, ...]]
"""Neurons that are dropped at each hook point of the detector."""


class ScoreEngine(Engine):
    """Score knock-outs of one category.

    The gallery of normal tokens stays the same but for the channels that are dropped, so a coreset
    keeps its tokens. A normalisation over the selected channels (stage ``"after"``) is computed
    over those that are left. Where no channel is left, the score is a constant: the distance of
    two zero vectors, 1 for cosine and 0 for Euclidean.

    Parameters
    ----------
    data, base, branches
        As :class:`.Engine`; branches are ``"visual"`` and, where there is a text branch,
        ``"lake"``.

    Raises
    ------
    ConfigError
        On an unknown base or branch, or ``"lake"`` without a text branch.
    SelectionError
        If the detector selects a subspace, of which no neuron can be dropped.
    """

    kind = "score"
    known = ("visual", "lake")

    @cached_property
    def detector(self) -> VisualBranch:
        """The visual branch of the intact detector."""
        return self.data.branches([self.selections])[0]

    @cached_property
    def _channels(self) -> dict[str, np.ndarray]:
        found = {}
        for point, selection in self.selections.items():
            if not isinstance(selection, NeuronSelection):
                raise SelectionError(
                    f"{point}: the detector selects a subspace ({selection.selector}), and a "
                    "neuron can only be dropped from a set of neurons; use base='all'"
                )
            found[point] = selection.channels
        return found

    def candidates(self, point: str) -> np.ndarray:
        """Channels the detector reads at a point, in ascending order."""
        return np.sort(self._channels[point])

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; see :meth:`.Engine.run`."""
        checked = [self._dropped(condition) for condition in conditions]
        keys = dict.fromkeys(key for dropped in checked for key in dropped.items())
        scorers = {key: self._scorer(*key) for key in keys}
        maps: list[list[np.ndarray]] = [[] for _ in checked]
        with torch.inference_mode():
            for _, tokens in self.data.batches():
                scores = {key: score(tokens[key[0]]) for key, score in scorers.items()}
                for parts, dropped in zip(maps, checked, strict=True):
                    of_points = {key[0]: scores[key] for key in dropped.items()}
                    parts.append(join_layers(of_points, self.data.grids)[0].cpu().numpy())
        return [self._knocked(np.concatenate(parts)) for parts in maps]

    def impossible(self, condition: Condition, branch: str) -> str:
        """Say why a condition cannot change a branch: a score knock-out never touches the text."""
        if branch in self.known:
            return ""
        return f"a score knock-out touches the visual branch alone, so the {branch} branch stays"

    def singles(self, point: str, neurons: Sequence[int]) -> Iterator[Knocked]:
        """Score the test images without each of some neurons, one at a time.

        The same as :meth:`run` with one condition per neuron, up to rounding, but cheap where
        distances can be updated (see :mod:`lakeviz.studies.knockout.leave_one_out`): one
        neighbour, and a normalisation that looks at no other channel once neurons are selected.

        Raises
        ------
        ConfigError
            If a neuron is not one the detector reads.
        """
        conditions = [(self.ablation(point, [n]),) for n in neurons]
        for condition in conditions:
            self._dropped(condition)
        n_patches = self.data.test.patches(point, slice(0, 1)).shape[1]
        step = max(1, _SCORES_AT_ONCE // (n_patches * len(self.data.test)))
        for start in range(0, len(conditions), step):
            if self._updatable(point):
                yield from self._updated(point, [int(n) for n in neurons[start : start + step]])
            else:
                yield from self.run(conditions[start : start + step])

    def _dropped(self, condition: Condition) -> Dropped:
        dropped: Dropped = dict.fromkeys(self.points, ())
        for ablation in self.check(condition):
            unread = set(ablation.neurons) - set(self._channels[ablation.point].tolist())
            if unread:
                raise ConfigError(
                    f"{ablation.point}: the detector does not read neuron {min(unread)}, so it "
                    "cannot be dropped"
                )
            dropped[ablation.point] = ablation.neurons
        return dropped

    def _scorer(self, point: str, neurons: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        """From all channels of tokens to their distances without some neurons."""
        of_point = self.detector.points[point]
        if not neurons:
            return of_point.score
        gallery, restriction = of_point.gallery, of_point.restriction
        keep = torch.from_numpy(np.flatnonzero(~np.isin(self._channels[point], neurons)))
        if len(keep) == 0:
            is_cosine = gallery.distance == "cosine"
            nothing = 1.0 / gallery.typical_distance if is_cosine else 0.0
            return lambda tokens: torch.full(tokens.shape[:2], nothing)
        normalisation = restriction.normalisation
        again = normalisation.stage == "after" and normalisation.kind in ("layernorm", "l2")
        kind = normalisation.kind if again else "none"
        without = gallery.of(normalise(gallery.tokens[:, keep], kind))
        return lambda tokens: without.score(normalise(restriction(tokens)[..., keep], kind))

    def _knocked(self, visual: Float[np.ndarray, "image row column"]) -> Knocked:
        maps = {"visual": visual}
        if "lake" in self.branches:
            maps["lake"] = self.data.fuse(visual)
        return Knocked({branch: maps[branch] for branch in self.branches}, {})

    # --- all single knock-outs of a point ---

    def _updatable(self, point: str) -> bool:
        of_point = self.detector.points[point]
        normalisation = of_point.restriction.normalisation
        alone = normalisation.stage == "before" or normalisation.kind in ("none", "zscore")
        return alone and of_point.gallery.neighbours == 1 and of_point.gallery.k > 1

    def _updated(self, point: str, neurons: Sequence[int]) -> Iterator[Knocked]:
        place = {int(c): i for i, c in enumerate(self._channels[point])}
        of_point = self.detector.points[point]
        updated = SingleKnockouts(of_point.gallery, [place[n] for n in neurons])
        singles: list[Tensor] = []
        others: dict[str, list[Tensor]] = {p: [] for p in self.points if p != point}
        with torch.inference_mode():
            for _, tokens in self.data.batches():
                singles.append(updated.score(of_point.restriction(tokens[point])))
                for other, scores in others.items():
                    scores.append(self.detector.points[other].score(tokens[other]))
        whole = torch.cat(singles)
        fixed = {p: torch.cat(scores) for p, scores in others.items()}
        for number in range(len(neurons)):
            found = {p: whole[..., number] if p == point else fixed[p] for p in self.points}
            yield self._knocked(join_layers(found, self.data.grids)[0].cpu().numpy())
