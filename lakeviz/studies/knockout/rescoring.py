"""Engines that change the network: the detector fitted and scored again on the tokens it yields.

The selection stays that of the intact network: a new selection would mix two effects, that of the
neuron and that of the detector having turned to others. The gallery is filled again from the normal
images, since a gallery of the intact network would call every changed token abnormal, whatever the
neuron carries.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ActivationStore, ChannelStatistics, neurons_of
from lakeviz.activations.token_subsets import CapturedTokens, capture_tokens
from lakeviz.errors import ConfigError
from lakeviz.lake import NeuronSelection, TextBranch, fit_text
from lakeviz.lake.dropping import gallery_tokens
from lakeviz.lake.gallery import Gallery
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import VisualBranch, fit_selections
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.unit_data import class_name_of, model_of, require_pictures
from lakeviz.studies.knockout.ablation import Condition, Engine, Knocked
from lakeviz.studies.knockout.result import RUNS_THE_MODEL

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

BRANCHES: tuple[str, ...] = ("visual", "embedding", "text", "text_image", "lake")
OUTPUT = "hook_image_features"
"""Where the image embedding is read: the output of the tower."""

Scores = dict[str, np.ndarray]
"""Scores of images by what was scored: a hook point of the visual branch, or another branch."""


Snapshot = Mapping[str, Float[Tensor, "image *place channel"]]
"""What a tower yields for some images: patch tokens by hook point, embeddings by ``OUTPUT``."""


def join(parts: Sequence[Snapshot]) -> Snapshot:
    """Join snapshots of successive images."""
    return {place: torch.cat([part[place] for part in parts]) for place in parts[0]}


def split(snapshot: Snapshot, n: int) -> list[Snapshot]:
    """Split into ``n`` snapshots of equally many images."""
    parts = {place: found.chunk(n) for place, found in snapshot.items()}
    return [{place: found[i] for place, found in parts.items()} for i in range(n)]


def differing(one: Snapshot, other: Snapshot) -> set[str]:
    """Places at which two snapshots are not bit-equal."""
    return {place for place, found in one.items() if not torch.equal(found, other[place])}


class Fitted(NamedTuple):
    """Galleries of the normal images under one condition."""

    visual: VisualBranch | None
    embeddings: Gallery | None


class NetworkEngine(Engine):
    """Knock-outs that run the network.

    Parameters
    ----------
    data : StudyData
        With its model.
    base, branches
        As :class:`.Engine`; branches are :data:`BRANCHES`.
    """

    known = BRANCHES

    def __init__(self, data: StudyData, base: str, branches: Sequence[str] | None) -> None:
        model = model_of(data, RUNS_THE_MODEL)
        require_pictures(data.category, data.points, RUNS_THE_MODEL)
        super().__init__(data, base, branches)
        self.model, self.tower = model, model.tower

    def _no_text(self) -> str:
        if self.data.text is not None and self.data.options.text.attention != "plain":
            return (
                "the text branch reads a parallel path with value-value attention, which starts "
                "from the images and not from stored activations"
            )
        return super()._no_text()

    def n_channels(self, point: str) -> int:
        """Number of channels of a hook point of the tower."""
        return neurons_of(self.tower, point)

    def candidates(self, point: str) -> np.ndarray:
        """Channels that can be knocked out: all, or those the detector selected at the point."""
        if self.base == "selected" and point in self.data.points:
            selection = self.selections[point]
            if isinstance(selection, NeuronSelection):
                return np.sort(selection.channels)
        return np.arange(self.n_channels(point))

    def impossible(self, condition: Condition, branch: str) -> str:
        """Say why a condition cannot change a branch by construction; empty where it can.

        Whether a knock-out reaches what a branch reads is tried, on one image: a strong one is
        made, and what stays bit-equal is out of its reach.
        """
        checked = self.check(condition)
        if not checked:
            return "no neuron is knocked out"
        reached = {place for ablation in checked for place in self.reach(ablation.point)}
        return "" if reached & set(self.places(branch)) else self._obstacle(checked, branch)

    @abstractmethod
    def reach(self, point: str) -> Collection[str]:
        """What knock-outs at a point can change of what the branches read."""

    @abstractmethod
    def _obstacle(self, condition: Condition, branch: str) -> str:
        """Why a condition does not reach a branch."""

    # --- what is read ---

    @cached_property
    def text(self) -> TextBranch:
        """The text branch, fitted as it was for the data."""
        return fit_text(self.model, class_name_of(self.data), self.data.options.text)

    def places(self, branch: str) -> tuple[str, ...]:
        """Hook points (the tower's output among them) that a branch reads."""
        if branch in ("embedding", "text_image"):
            return (OUTPUT,)
        visual = self.data.points if branch in ("visual", "lake") else ()
        text = (self.text.point,) if branch in ("text", "lake") else ()
        return (*visual, *text)

    @cached_property
    def read(self) -> tuple[str, ...]:
        """Everything the branches read, once."""
        return tuple(dict.fromkeys(p for branch in self.branches for p in self.places(branch)))

    def _reads(self, branch: str) -> bool:
        """Whether patch maps of the visual or the text branch are needed."""
        return branch in self.branches or "lake" in self.branches

    # --- fitting and scoring ---

    def fit(self, normal: Snapshot) -> Fitted:
        """Fill galleries with normal images, in the channels that are kept."""
        visual = embeddings = None
        points = [p for p in self.data.points if p in normal]
        if points and self._reads("visual"):
            tokens = {p: normal[p] for p in points}
            chosen = {p: self.selections[p] for p in points}
            statistics = {p: ChannelStatistics(p).update(t) for p, t in tokens.items()}
            (visual,) = fit_selections(
                gallery_tokens([tokens], self.data.options),
                statistics,
                [chosen],
                self.data.options.visual,
            )
        if "embedding" in self.branches and OUTPUT in normal:
            embeddings = Gallery(normal[OUTPUT].float())
        return Fitted(visual, embeddings)

    def score(self, fitted: Fitted, images: Snapshot) -> Scores:
        """Score whatever of the branches can be read from a snapshot."""
        found: dict[str, Tensor] = {}
        if fitted.visual is not None:
            found.update(fitted.visual.score(images))
        if OUTPUT in images and fitted.embeddings is not None:
            found["embedding"] = fitted.embeddings.score(images[OUTPUT].float())
        if OUTPUT in images and "text_image" in self.branches:
            found["text_image"] = self.text.probability(images[OUTPUT])
        if self._reads("text") and self.text.point in images:
            projected = self.model.project_patches(images[self.text.point])
            found["text"] = self.text.probability(projected)
        return {name: scores.float().cpu().numpy() for name, scores in found.items()}

    def knocked(self, scores: Scores) -> Knocked:
        """Lay scores out as the branches that were asked for."""
        maps: dict[str, np.ndarray] = {}
        if self._reads("visual"):
            found = {p: torch.from_numpy(scores[p]) for p in self.data.points}
            maps["visual"] = join_layers(found, self.data.grids)[0].numpy()
        if self._reads("text"):
            text = scores["text"]
            maps["text"] = text.reshape(len(text), *self.model.grid())
        if "lake" in self.branches:
            w = self.data.text_weight
            maps["lake"] = (1 - w) * maps["visual"] + w * maps["text"]
        return Knocked(
            {branch: maps[branch] for branch in self.branches if branch in maps},
            {b: scores[b] for b in self.branches if b in ("embedding", "text_image")},
        )


def joined(parts: Iterable[Scores]) -> Scores:
    """Join the scores of successive images."""
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}


def stored_at(
    data: StudyData, model: VisionModel, point: str
) -> tuple[CapturedTokens, CapturedTokens]:
    """All tokens (class token, registers and patches) of normal and test images at a hook point.

    What was not captured there is captured now, to the stores that the data were read from if any.
    """
    images: tuple[Any, Any] = (data.normal_paths, data.dataset)
    found = []
    for tokens, files in zip((data.normal, data.test), images, strict=True):
        source = tokens.source
        if tokens.n_prefix == model.n_prefix_tokens and point in source.points:
            found.append(tokens)
        elif not files:
            raise ConfigError(
                f"{data.category}: all tokens at {point} are not at hand and there are no image "
                "files to capture them from; make the data with capture_study"
            )
        else:
            cache: Path | None = None
            if isinstance(source, ActivationStore):
                cache = source.folder.parent
            found.append(capture_tokens(model, files, [point], cache=cache))
    return found[0], found[1]
