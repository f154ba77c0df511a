"""Score knock-outs: neurons are dropped from gallery and query alone, the network is untouched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import Gallery, NeuronSelection, Selection, select
from lakeviz.lake.normalisation import normalise
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import VisualBranch
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Ablation, Condition, Knocked
from lakeviz.studies.knockout.leave_one_out import SingleKnockouts
from lakeviz.studies.knockout.rescoring import BASES, check_condition

PARTS: tuple[str, ...] = ("visual", "lake")
_SCORES_AT_ONCE = 2**26  # single knock-outs times patches held at a time (256 MiB)

PointScores = Float[Tensor, "image patch"]


class ScoreEngine:
    """Score knock-outs of one category.

    The memory of normal tokens stays the same but for the channels that are dropped, so a coreset
    keeps its tokens. A normalisation over the selected channels (stage ``"after"``) is taken anew
    over those that are left. Where no channel is left, the score is a constant: the distance of
    two zero vectors, 1 for cosine and 0 for Euclidean.

    Parameters
    ----------
    data : StudyData
    base : str
        The detector reads ``"all"`` channels of its hook points, or those it ``"selected"``.
    parts : sequence of str, optional
        ``"visual"`` and, where there is a text branch, ``"lake"``; all there are by default.

    Raises
    ------
    ConfigError
        On an unknown base or part, or ``"lake"`` without a text branch.
    SelectionError
        If the detector selects a subspace, of which no neuron can be dropped.
    """

    kind = "score"

    def __init__(
        self, data: StudyData, base: str = "all", parts: Sequence[str] | None = None
    ) -> None:
        if base not in BASES:
            raise ConfigError(f"base must be one of {', '.join(BASES)}, not {base!r}")
        self.data, self.base = data, base
        there = PARTS if data.text is not None else PARTS[:1]
        self.parts = tuple(dict.fromkeys(there if parts is None else parts))
        for part in self.parts:
            if part not in PARTS:
                raise ConfigError(
                    f"a score knock-out has the parts {', '.join(PARTS)}, not {part!r}"
                )
            if part not in there:
                raise ConfigError(
                    f"{data.category}: no part {part!r}, because there is no text branch"
                )
        if not self.parts:
            raise ConfigError("no part was named to score")

    @property
    def points(self) -> tuple[str, ...]:
        """The hook points of the detector."""
        return self.data.points

    def candidates(self, point: str) -> np.ndarray:
        """Channels the detector reads at a point, in ascending order."""
        return np.sort(self._channels[point])

    @cached_property
    def branch(self) -> VisualBranch:
        """The intact detector."""
        return self.data.branches([self._selections])[0]

    @cached_property
    def _selections(self) -> dict[str, Selection]:
        data = self.data
        if self.base == "all":
            return {p: select(data.statistics[p], 1, "all") for p in data.points}
        return dict(data.select(data.options.k, data.options.selector, data.options.seed))

    @cached_property
    def _channels(self) -> dict[str, np.ndarray]:
        found = {}
        for point, selection in self._selections.items():
            if not isinstance(selection, NeuronSelection):
                raise SelectionError(
                    f"{point}: the detector selects a subspace ({selection.selector}), and a "
                    "neuron can only be dropped from a set of neurons; use base='all'"
                )
            found[point] = selection.channels
        return found

    # --- the engine protocol ---

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; the empty one is the intact detector.

        Raises
        ------
        ConfigError
            If a condition is of another kind or point, or names a neuron the detector does not
            read.
        """
        checked = [self._check(condition) for condition in conditions]
        galleries: dict[tuple[str, tuple[int, ...]], _Without | None] = {}
        for dropped in checked:
            for key in dropped.items():
                if key not in galleries:
                    galleries[key] = self._without(*key)
        maps: list[list[np.ndarray]] = [[] for _ in checked]
        with torch.inference_mode():
            for _, tokens in self.data.batches():
                scores = {}
                for (point, neurons), gallery in galleries.items():
                    scores[point, neurons] = self._score(point, gallery, tokens[point])
                for parts, dropped in zip(maps, checked, strict=True):
                    of_points = {p: scores[p, neurons] for p, neurons in dropped.items()}
                    parts.append(join_layers(of_points, self.data.grids)[0].cpu().numpy())
        return [self._knocked(np.concatenate(parts)) for parts in maps]

    def impossible(self, condition: Condition, part: str) -> str:
        """Say why a condition cannot change a part: a score knock-out never touches the text."""
        if part in PARTS:
            return ""
        return f"a score knock-out touches the visual branch alone, so the {part} part stays"

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
        conditions = [(Ablation(point, (int(n),)),) for n in neurons]
        for condition in conditions:
            self._check(condition)
        n_patches = self.data.test.patches(point, slice(0, 1)).shape[1]
        step = max(1, _SCORES_AT_ONCE // (n_patches * len(self.data.test)))
        for start in range(0, len(conditions), step):
            if self._updatable(point):
                yield from self._updated(point, [int(n) for n in neurons[start : start + step]])
            else:
                yield from self.run(conditions[start : start + step])

    # --- one gallery ---

    def _check(self, condition: Condition) -> dict[str, tuple[int, ...]]:
        """Neurons that are dropped at each point of the detector."""
        n_channels = {p: self.data.n_channels(p) for p in self.points}
        check_condition(condition, self.kind, n_channels, self.data.category)
        dropped: dict[str, tuple[int, ...]] = dict.fromkeys(self.points, ())
        for ablation in condition:
            unread = set(ablation.neurons) - set(self._channels[ablation.point].tolist())
            if unread:
                raise ConfigError(
                    f"{ablation.point}: the detector does not read neuron {min(unread)}, so it "
                    "cannot be dropped"
                )
            dropped[ablation.point] = ablation.neurons
        return dropped

    def _without(self, point: str, neurons: tuple[int, ...]) -> _Without | None:
        """Gallery of a point without some neurons; None where none is left."""
        of_point = self.branch.points[point]
        keep = np.flatnonzero(~np.isin(self._channels[point], neurons))
        if keep.size == 0:
            return None
        if not neurons:
            return _Without(slice(None), "none", of_point.gallery)
        normalisation = of_point.restriction.normalisation
        again = normalisation.stage == "after" and normalisation.kind in ("layernorm", "l2")
        kind = normalisation.kind if again else "none"
        gallery = of_point.gallery
        tokens = normalise(gallery.tokens[:, keep], kind)
        return _Without(
            torch.from_numpy(keep),
            kind,
            Gallery(
                tokens,
                distance=gallery.distance,
                neighbours=gallery.neighbours,
                memory_mb=gallery.memory_mb,
            ),
        )

    def _score(
        self, point: str, without: _Without | None, tokens: Float[Tensor, "image patch channel"]
    ) -> PointScores:
        of_point = self.branch.points[point]
        if without is None:
            nothing = 1.0 if of_point.gallery.distance == "cosine" else 0.0
            return torch.full(tokens.shape[:2], nothing)
        return without.score(of_point.restriction(tokens))

    def _knocked(self, visual: Float[np.ndarray, "image row column"]) -> Knocked:
        maps = {"visual": visual}
        if "lake" in self.parts:
            maps["lake"] = self.data.fuse(visual)
        return Knocked({part: maps[part] for part in self.parts}, {})

    # --- all single knock-outs of a point ---

    def _updatable(self, point: str) -> bool:
        of_point = self.branch.points[point]
        normalisation = of_point.restriction.normalisation
        alone = normalisation.stage == "before" or normalisation.kind in ("none", "zscore")
        return alone and of_point.gallery.neighbours == 1 and of_point.gallery.k > 1

    def _updated(self, point: str, neurons: Sequence[int]) -> Iterator[Knocked]:
        place = {int(c): i for i, c in enumerate(self._channels[point])}
        of_point = self.branch.points[point]
        updated = SingleKnockouts(of_point.gallery, [place[n] for n in neurons])
        rest = [p for p in self.points if p != point]
        singles: list[Tensor] = []
        others: dict[str, list[Tensor]] = {p: [] for p in rest}
        with torch.inference_mode():
            for _, tokens in self.data.batches():
                singles.append(updated.score(of_point.restriction(tokens[point])))
                for other, scores in others.items():
                    scores.append(self.branch.points[other].score(tokens[other]))
        whole = torch.cat(singles)
        fixed = {p: torch.cat(scores) for p, scores in others.items()}
        for number in range(len(neurons)):
            found: Mapping[str, Tensor] = {
                p: whole[..., number] if p == point else fixed[p] for p in self.points
            }
            yield self._knocked(join_layers(found, self.data.grids)[0].cpu().numpy())


class _Without:
    """A gallery of some of the restricted channels, normalised anew where that is asked for."""

    def __init__(self, keep: slice | Tensor, kind: str, gallery: Gallery):
        self.keep, self.kind, self.gallery = keep, kind, gallery

    def score(self, tokens: Float[Tensor, "image patch k"]) -> PointScores:
        return self.gallery.score(normalise(tokens[..., self.keep], self.kind))
