"""``Ablation``: neurons that are knocked out, and how; ``Engine``: what carries it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError, SelectionError
from lakeviz.journal import fingerprint
from lakeviz.lake import NeuronSelection, Selection, get_selector, select
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.measurement import Measurement
from lakeviz.progress import step
from lakeviz.settings import check_choice
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.result import BASES, KINDS, REFERENCES, TOKENS, VARIANCE


@dataclass(frozen=True)
class Ablation:
    """Neurons of one hook point that are knocked out, and how.

    Parameters
    ----------
    point : str
        Hook point.
    neurons : tuple of int
        Channels; kept in ascending order, so that equal sets are equal ablations.
    kind : str
        ``"score"``: dropped from gallery and query alone, the network is untouched.
        ``"forward"``: the activation is replaced at its hook point and the rest of the network
        runs on. ``"weights"``: the weights that write the channel are removed.
    tokens : str
        ``"all"``, ``"patch"`` or ``"cls"``: where the activation is replaced (``forward`` only).
    reference : str
        What replaces it (``forward`` only): ``"zero"``, ``"mean"`` (of the normal images' tokens),
        ``"resample"`` (values of other normal tokens, drawn by the seed).

    Raises
    ------
    ConfigError
        On an unknown word, a neuron named twice or below 0, or a token set or reference that the
        kind does not have.
    """

    point: str
    neurons: tuple[int, ...]
    kind: str = "score"
    tokens: str = "all"
    reference: str = "zero"

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("tokens", TOKENS), ("reference", REFERENCES)):
            check_choice(f"{name} of an ablation", getattr(self, name), known)
        if self.kind != "forward" and (self.tokens, self.reference) != ("all", "zero"):
            raise ConfigError(
                f"a {self.kind} knock-out drops its neurons from all tokens: tokens and reference "
                "are choices of the forward kind"
            )
        ordered = tuple(sorted(int(n) for n in self.neurons))
        if len(set(ordered)) != len(ordered):
            raise ConfigError(f"{self.point}: a neuron is named twice in {ordered}")
        if ordered and ordered[0] < 0:
            raise ConfigError(f"{self.point}: neurons are counted from 0, not {ordered[0]}")
        object.__setattr__(self, "neurons", ordered)


Condition = tuple[Ablation, ...]
"""What is knocked out at once: at most one ablation per hook point, all of one kind."""


@dataclass(frozen=True)
class Knocked:
    """Scores of the test images under one condition.

    Attributes
    ----------
    maps : mapping of branch to float array [image, row, column]
        Patch maps: ``"visual"`` and, with a text branch, ``"text"`` and ``"lake"`` (fused).
    image_scores : mapping of branch to float array [image]
        Branches that have no map: ``"embedding"`` (distance of the image embedding to the nearest
        normal one) and, with text, ``"text_image"``.
    """

    maps: Mapping[str, Float[np.ndarray, "image row column"]]
    image_scores: Mapping[str, Float[np.ndarray, " image"]]

    def measure(self, evaluator: PairedEvaluator) -> dict[str, Measurement]:
        """Measure every branch."""
        measured = dict(zip(self.maps, evaluator.measure_all([*self.maps.values()]), strict=True))
        for branch, scores in self.image_scores.items():
            measured[branch] = evaluator.measure_scores(scores)
            step()
        return measured


Sets = Mapping[str, NeuronSelection]
"""Neurons of each hook point; channels count among the candidates of an engine."""


class Engine(ABC):
    """Carries knock-outs of one kind out on one category.

    Parameters
    ----------
    data : StudyData
    base : str
        The detector reads ``"all"`` channels of its hook points, or those it ``"selected"``;
        either is chosen once, on the intact network.
    branches : sequence of str, optional
        What is scored, of ``known``; all there are by default.

    Attributes
    ----------
    absent : dict of str
        Branches there are none of, and why.

    Raises
    ------
    ConfigError
        A base or branch is unknown, or the data have no such branch.
    """

    kind: ClassVar[str]
    known: ClassVar[tuple[str, ...]]
    """Branches that knock-outs of the kind can score."""

    def __init__(
        self, data: StudyData, base: str = "all", branches: Sequence[str] | None = None
    ) -> None:
        self.data, self.base = data, base
        check_choice("base", base, BASES)
        reason = self._no_text()
        self.absent = {b: reason for b in ("text", "text_image", "lake") if reason}
        there = [branch for branch in self.known if branch not in self.absent]
        self.branches = tuple(dict.fromkeys(there if branches is None else branches))
        for branch in self.branches:
            if branch not in self.known:
                raise ConfigError(
                    f"a {self.kind} knock-out has no branch {branch!r}; known: "
                    f"{', '.join(self.known)}"
                )
            if branch in self.absent:
                raise ConfigError(f"{data.category}: no branch {branch!r}, because {reason}")
        if not self.branches:
            raise ConfigError("no branch was named to score")

    def _no_text(self) -> str:
        """Why there are no branches of text; empty where there are."""
        return "there is no text branch" if self.data.text is None else ""

    # --- what each kind does ---

    @abstractmethod
    def candidates(self, point: str) -> np.ndarray:
        """Channels of a point that can be knocked out, ascending: all, or those of the base."""

    @abstractmethod
    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; the empty one is the intact detector.

        Raises
        ------
        ConfigError
            A condition has another kind, a hook point at which this engine knocks nothing out, one
            that is named twice, or a neuron that does not exist.
        """

    @abstractmethod
    def impossible(self, condition: Condition, branch: str) -> str:
        """Say why a condition cannot change a branch by construction; empty where it can."""

    @property
    def choices(self) -> dict[str, str]:
        """``tokens`` and ``reference`` of its ablations, where the kind has a choice."""
        return {}

    @property
    def identity(self) -> str:
        """SHA-256 of all that the scores of a condition depend on, within one run."""
        own = [self.kind, self.base, self.branches, self.points, self.choices]
        return fingerprint(own, getattr(self, "seed", None), self.data.identity)

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points at which neurons are knocked out: those of the detector."""
        return self.data.points

    def n_channels(self, point: str) -> int:
        """Number of channels of a hook point."""
        return self.data.n_channels(point)

    def statistics(self, point: str) -> ChannelStatistics:
        """Statistics of all channels over the normal patch tokens, by which neurons are ranked."""
        return self.data.statistics[point]

    @cached_property
    def selections(self) -> dict[str, Selection]:
        """Channels the detector reads at each hook point, chosen on the intact network."""
        data = self.data
        if self.base == "selected":
            return data.select(data.options.k, data.options.selector, data.options.seed)
        return data.select(1, "all")

    # --- conditions ---

    @cached_property
    def ranked(self) -> dict[str, ChannelStatistics]:
        """Statistics of the candidates of each hook point."""
        return {p: self.statistics(p).some(self.candidates(p)) for p in self.points}

    def select(self, point: str, size: int, selector: str, seed: int = 0) -> NeuronSelection:
        """Choose candidates of a hook point; channels count among the candidates.

        Raises
        ------
        SelectionError
            If the selector chooses directions, or neurons that would be rescaled.
        """
        chosen = get_selector(selector)
        if chosen.needs_covariance:
            raise SelectionError(f"{selector} chooses no neurons that could be knocked out")
        if chosen.is_named:
            return self._named(point, selector)
        found = select(self.ranked[point], size, selector, seed=seed)
        if not isinstance(found, NeuronSelection):
            raise SelectionError(f"{selector} chooses no neurons that could be knocked out")
        if found.scale is not None:
            raise SelectionError(f"{selector} rescales neurons, which a knock-out does not do")
        return found

    def _named(self, point: str, selector: str) -> NeuronSelection:
        """Neurons that were named, counted among the candidates."""
        found = select(self.statistics(point), 1, selector)
        assert isinstance(found, NeuronSelection)
        candidates = self.candidates(point)
        missing = np.setdiff1d(found.channels, candidates)
        if missing.size:
            raise SelectionError(
                f"the detector does not read neuron {missing[0]} of {point}, so it cannot be "
                "knocked out there; base='all' reads all"
            )
        places = np.searchsorted(candidates, found.channels)
        return replace(found, channels=places, n_channels=len(candidates))

    def sets(
        self, size: int, selector: str, seed: int, points: Sequence[str] | None = None
    ) -> Sets:
        """Choose ``size`` candidates of each hook point, or of some.

        Raises
        ------
        ConfigError
            If neurons are knocked out at none of those hook points.
        """
        wanted = self.points if points is None else points
        for point in wanted:
            self._require(point)
        return {point: self.select(point, size, selector, seed) for point in wanted}

    def _require(self, point: str) -> None:
        if point not in self.points:
            raise ConfigError(
                f"{self.data.category}: neurons are knocked out at {', '.join(self.points)} here, "
                f"not at {point}"
            )

    def sets_of_others(self, size: int, points: Sequence[str] | None = None) -> list[Sets]:
        """Choose the top candidates by variance over the normal images of each other category.

        Raises
        ------
        SelectionError
            If there is no other category, or a hook point was not captured of it.
        """
        if not self.data.others:
            raise SelectionError("there is no other category to select neurons on")
        return [
            {p: self._select_on(other, p, size) for p in points or self.points}
            for other in self.data.others
        ]

    def _select_on(self, other: StudyData, point: str, size: int) -> NeuronSelection:
        if point not in other.points:
            raise SelectionError(f"{point} was not captured of {other.category}")
        found = select(other.statistics[point].some(self.candidates(point)), size, VARIANCE)
        assert isinstance(found, NeuronSelection)
        return found

    def by_variance(self, point: str) -> tuple[np.ndarray, np.ndarray]:
        """Candidates of a point by descending variance, and their variances."""
        statistics = self.ranked[point]
        order = self.select(point, len(statistics.kept_channels), VARIANCE).channels
        return self.candidates(point)[order], statistics.variance[order]

    def ablation(self, point: str, neurons: Sequence[int] | np.ndarray) -> Ablation:
        """Make an ablation of some neurons in the manner of this engine."""
        return Ablation(point, tuple(int(n) for n in neurons), self.kind, **self.choices)

    def condition(self, sets: Sets, mode: str) -> Condition:
        """Knock the sets out, or everything but them."""
        found = []
        for point, selection in sets.items():
            candidates = self.candidates(point)
            chosen = candidates[selection.channels]
            if mode == "keep":
                chosen = np.setdiff1d(candidates, chosen)
            if chosen.size:
                found.append(self.ablation(point, chosen))
        return tuple(found)

    def check(self, condition: Condition) -> Condition:
        """Refuse what this engine cannot carry out; leave out ablations of no neuron."""
        seen = [ablation.point for ablation in condition]
        for ablation in condition:
            point = ablation.point
            if ablation.kind != self.kind:
                raise ConfigError(
                    f"this engine carries out {self.kind} knock-outs, not {ablation.kind}"
                )
            self._require(point)
            if seen.count(point) > 1:
                raise ConfigError(f"{point} is named twice in one condition")
            n = self.n_channels(point)
            if ablation.neurons and ablation.neurons[-1] >= n:
                raise ConfigError(f"{point} has neurons 0 to {n - 1}, not {ablation.neurons[-1]}")
        return tuple(ablation for ablation in condition if ablation.neurons)
