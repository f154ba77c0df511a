"""The detector with its channels kept: its memory made anew, and what it reads of a changed tower.

An engine changes the network, gives the tokens it yields then, and gets scores. The selection stays
that of the intact network, since a selection made anew would mix two effects: that of the neuron,
and that of the detector having turned to others. The memory is made anew, since a memory of the
intact network would call every changed token abnormal, whatever the neuron carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError
from lakeviz.lake import NeuronSelection, Selection, TextBranch, fit_text, select
from lakeviz.lake.gallery import Gallery
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import VisualBranch, fit_selections
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Condition, Knocked

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

PARTS: tuple[str, ...] = ("visual", "embedding", "text", "text_image", "lake")
BASES: tuple[str, ...] = ("all", "selected")
OUTPUT = "hook_image_features"
"""Where the image embedding is read: the output of the tower."""

Scores = dict[str, np.ndarray]
"""Scores of images by what was scored: a hook point of the visual branch, or a part."""


@dataclass(frozen=True)
class Snapshot:
    """What a tower yields for some images.

    Attributes
    ----------
    patches : mapping of hook point to Tensor [image, patch, channel]
    output : Tensor [image, joint], optional
        The image embeddings, where the tower ran to its end.
    """

    patches: Mapping[str, Float[Tensor, "image patch channel"]]
    output: Float[Tensor, "image joint"] | None = None

    @classmethod
    def join(cls, parts: Sequence[Snapshot]) -> Snapshot:
        """Join snapshots of successive images."""
        outputs = [part.output for part in parts if part.output is not None]
        return cls(
            {p: torch.cat([part.patches[p] for part in parts]) for p in parts[0].patches},
            torch.cat(outputs) if outputs else None,
        )

    def split(self, n: int) -> list[Snapshot]:
        """Split into ``n`` snapshots of equally many images."""
        outputs = [None] * n if self.output is None else list(self.output.chunk(n))
        patches = {p: tokens.chunk(n) for p, tokens in self.patches.items()}
        return [Snapshot({p: t[i] for p, t in patches.items()}, outputs[i]) for i in range(n)]

    def differing(self, other: Snapshot) -> set[str]:
        """Places at which another snapshot is not bit-equal."""
        found = {p for p, t in self.patches.items() if not torch.equal(t, other.patches[p])}
        if self.output is not None and other.output is not None:
            found |= set() if torch.equal(self.output, other.output) else {OUTPUT}
        return found


@dataclass(frozen=True)
class Memory:
    """What is remembered of the normal images under one condition."""

    branch: VisualBranch | None
    embeddings: Gallery | None


def model_of(data: StudyData) -> VisionModel:
    """Return the model the data were captured from.

    Raises
    ------
    ConfigError
        If they do not come with one.
    """
    if data.model is None:
        raise ConfigError(
            f"{data.category}: forward and weights knock-outs run the model, and these data come "
            "without one; make them with capture_study, or use the score kind"
        )
    return data.model


class Refit:
    """The detector under study, for towers that yield other tokens.

    Parameters
    ----------
    data : StudyData
    base : str
        ``"all"`` channels of the hook points, or those the detector ``"selected"`` on the intact
        network.
    parts : sequence of str, optional
        Which parts are scored, of :data:`PARTS`; all there are by default.

    Attributes
    ----------
    parts : tuple of str
    absent : dict of str
        Parts there are none of, and why.

    Raises
    ------
    ConfigError
        If there is no model, or a part or base is unknown or cannot be had.
    """

    def __init__(self, data: StudyData, base: str, parts: Sequence[str] | None) -> None:
        self.data, self.base, self.model = data, base, model_of(data)
        if base not in BASES:
            raise ConfigError(f"base must be one of {', '.join(BASES)}, not {base!r}")
        reason = _no_text(data)
        self.absent = {p: reason for p in ("text", "text_image", "lake") if reason}
        wanted = [p for p in PARTS if p not in self.absent] if parts is None else list(parts)
        for part in wanted:
            if part not in PARTS:
                raise ConfigError(f"no part {part!r}; known: {', '.join(PARTS)}")
            if part in self.absent:
                raise ConfigError(f"{data.category}: no part {part!r}, because {reason}")
        if not wanted:
            raise ConfigError("no part was named to score")
        self.parts = tuple(dict.fromkeys(wanted))

    # --- what is read ---

    @cached_property
    def selections(self) -> dict[str, Selection]:
        """Channels the detector reads at each hook point, chosen on the intact network."""
        data = self.data
        if self.base == "selected":
            return data.select(data.options.k, data.options.selector, data.options.seed)
        return {p: select(s, s.n_channels, "all") for p, s in data.statistics.items()}

    def candidates(self, point: str) -> np.ndarray | None:
        """Channels the detector selected at a point; None where it reads all, or not the point."""
        if self.base == "all" or point not in self.data.points:
            return None
        selection = self.selections[point]
        is_neurons = isinstance(selection, NeuronSelection)
        return np.sort(selection.channels) if is_neurons else None

    @cached_property
    def text(self) -> TextBranch:
        """The text branch, fitted as it was for the data."""
        name = self.data.provenance.get("class_name") or self.data.category.replace("_", " ")
        return fit_text(self.model, name, self.data.options.text)

    def places(self, part: str) -> tuple[str, ...]:
        """Hook points (the tower's output among them) that a part reads."""
        if part in ("embedding", "text_image"):
            return (OUTPUT,)
        visual = self.data.points if part in ("visual", "lake") else ()
        text = (self.text.point,) if part in ("text", "lake") else ()
        return (*visual, *text)

    @cached_property
    def read(self) -> tuple[str, ...]:
        """Everything the parts read, once."""
        return tuple(dict.fromkeys(place for part in self.parts for place in self.places(part)))

    # --- fitting and scoring ---

    def _reads_visual(self) -> bool:
        return "visual" in self.parts or "lake" in self.parts

    def fit(self, normal: Snapshot) -> Memory:
        """Remember normal images, in the channels that are kept."""
        points = (
            [p for p in self.data.points if p in normal.patches] if self._reads_visual() else []
        )
        branch = embeddings = None
        if points:
            tokens = {p: normal.patches[p] for p in points}
            chosen = {p: self.selections[p] for p in points}
            statistics = {p: ChannelStatistics(p).update(t) for p, t in tokens.items()}
            (branch,) = fit_selections([tokens], statistics, [chosen], self.data.options.visual)
        if "embedding" in self.parts and normal.output is not None:
            embeddings = Gallery(normal.output.float())
        return Memory(branch, embeddings)

    def score(self, memory: Memory, images: Snapshot) -> Scores:
        """Score whatever of the parts can be read from a snapshot."""
        found: dict[str, Tensor] = {}
        if memory.branch is not None:
            tokens = {p: images.patches[p] for p in memory.branch.points}
            found.update(memory.branch.score(tokens))
        if images.output is not None:
            if memory.embeddings is not None:
                found["embedding"] = memory.embeddings.score(images.output.float())
            if "text_image" in self.parts:
                found["text_image"] = self.text.probability(images.output)
        if self._reads_text() and self.text.point in images.patches:
            projected = self.model.project_patches(images.patches[self.text.point])
            found["text"] = self.text.probability(projected)
        return {name: scores.float().cpu().numpy() for name, scores in found.items()}

    def _reads_text(self) -> bool:
        return "text" in self.parts or "lake" in self.parts

    def knocked(self, scores: Scores) -> Knocked:
        """Lay scores out as the parts that were asked for."""
        maps: dict[str, np.ndarray] = {}
        if self._reads_visual():
            found = {p: torch.from_numpy(scores[p]) for p in self.data.points}
            maps["visual"] = join_layers(found, self.data.grids)[0].numpy()
        if self._reads_text():
            text = scores["text"]
            maps["text"] = text.reshape(len(text), *self.model.grid())
        if "lake" in self.parts:
            w = self.data.text_weight
            maps["lake"] = (1 - w) * maps["visual"] + w * maps["text"]
        return Knocked(
            {part: maps[part] for part in self.parts if part in maps},
            {part: scores[part] for part in self.parts if part in ("embedding", "text_image")},
        )


def _no_text(data: StudyData) -> str:
    if data.text is None:
        return "there is no text branch"
    if data.options.text.attention != "plain":
        return (
            "the text branch reads a parallel path with value-value attention, which starts from "
            "the images and not from stored activations"
        )
    return ""


def joined(parts: Iterable[Scores]) -> Scores:
    """Join the scores of successive images."""
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}


def check_condition(
    condition: Condition, kind: str, n_channels: Mapping[str, int], category: str
) -> None:
    """Refuse a condition that an engine cannot carry out.

    Raises
    ------
    ConfigError
        Another kind, a hook point the engine does not knock out at, one named twice, or a neuron
        that does not exist.
    """
    seen = [ablation.point for ablation in condition]
    for ablation in condition:
        if ablation.kind != kind:
            raise ConfigError(f"this engine carries out {kind} knock-outs, not {ablation.kind}")
        if ablation.point not in n_channels:
            raise ConfigError(
                f"{category}: neurons are knocked out at {', '.join(n_channels)} here, not at "
                f"{ablation.point}"
            )
        if seen.count(ablation.point) > 1:
            raise ConfigError(f"{ablation.point} is named twice in one condition")
        n = n_channels[ablation.point]
        if ablation.neurons and ablation.neurons[-1] >= n:
            raise ConfigError(
                f"{ablation.point} has neurons 0 to {n - 1}, not {ablation.neurons[-1]}"
            )
