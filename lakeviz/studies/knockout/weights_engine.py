"""Weights knock-outs: the weights that write a channel are removed, and the whole tower runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import Loading, neurons_of, select_tokens
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError
from lakeviz.models.hooks.weight_removal import weights_removed
from lakeviz.models.hooks.weight_rows import writers_of
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Condition, Knocked
from lakeviz.studies.knockout.rescoring import (
    OUTPUT,
    Refit,
    Scores,
    Snapshot,
    check_condition,
    joined,
)

Images = Float[Tensor, "image 3 height width"]
# Conditions that share one pass over the test images: the memory of each is held until it ends.
_TOGETHER = 32


class WeightsEngine:
    """Weights knock-outs of one category.

    The images, normal and test, go through the whole tower under each condition; the memory is made
    anew from the normal ones, in channels that were chosen on the intact network (see
    :mod:`lakeviz.studies.knockout.rescoring`). Images are decoded once for every 32 conditions of
    a call.

    Parameters
    ----------
    data : StudyData
        With its model and image files.
    base : str
        ``"all"`` channels of the detector's hook points, or those it ``"selected"``.
    parts : sequence of str, optional
        Of :data:`.refit.PARTS`; all there are by default.
    loading : Loading, optional
        How images are read; its batch size is that of the forward passes.

    Raises
    ------
    ConfigError
        If there are no model or image files, or a choice does not exist.
    HookError
        If the writers of a hook point of the detector are not known.
    """

    kind = "weights"

    def __init__(
        self,
        data: StudyData,
        *,
        base: str = "all",
        parts: Sequence[str] | None = None,
        loading: Loading | None = None,
    ) -> None:
        self.refit = Refit(data, base, parts)
        self.data, self.tower = data, self.refit.model.tower
        self.loading = loading or Loading()
        if data.dataset is None or not data.normal_paths:
            raise ConfigError(
                f"{data.category}: a weights knock-out runs the whole tower on the images, and "
                "these data name no files; make them with capture_study"
            )
        self.dataset = data.dataset
        for point in data.points:
            writers_of(self.tower, point)

    # --- the engine protocol ---

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points at which neurons are knocked out: those of the detector."""
        return self.data.points

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that are scored."""
        return self.refit.parts

    def candidates(self, point: str) -> np.ndarray:
        """Channels that can be knocked out: all, or those the detector selected."""
        chosen = self.refit.candidates(point)
        return np.arange(neurons_of(self.tower, point)) if chosen is None else chosen

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; the empty one is the intact detector.

        Raises
        ------
        ConfigError
            If a condition is of another kind or point, or a neuron does not exist.
        """
        checked = [self._check(condition) for condition in conditions]
        distinct = [c for c in dict.fromkeys(checked) if c or self._intact is None]
        found: dict[Condition, Scores] = {}
        for start in range(0, len(distinct), _TOGETHER):
            group = distinct[start : start + _TOGETHER]
            found.update(zip(group, self._score(group), strict=True))
        if () in found:
            self._intact = found[()]
        if self._intact is not None:
            found[()] = self._intact
        return [self.refit.knocked(found[condition]) for condition in checked]

    def impossible(self, condition: Condition, part: str) -> str:
        """Say why a condition cannot change a part by construction; empty where it can.

        Whether the weights of a point reach what a part reads is tried, on one image: all of them
        are removed, and what stays bit-equal is out of their reach.
        """
        checked = self._check(condition)
        if not checked:
            return "no neuron is knocked out"
        places = self.refit.places(part)
        if any(place in self._reach[a.point] for a in checked for place in places):
            return ""
        points = ", ".join(ablation.point for ablation in checked)
        return (
            f"what the {part} part reads is computed before the weights that write {points} have a "
            "say"
        )

    # --- running ---

    _intact: Scores | None = None

    def _check(self, condition: Condition) -> Condition:
        n_channels = {p: neurons_of(self.tower, p) for p in self.points}
        check_condition(condition, self.kind, n_channels, self.data.category)
        return tuple(ablation for ablation in condition if ablation.neurons)

    @cached_property
    def _normal(self) -> list[Images]:
        """Normal images, preprocessed, in batches; there are few."""
        return [batch.images for batch in self._batches(list(self.data.normal_paths))]

    def _batches(self, images: object) -> ImageBatches:
        return ImageBatches(
            images,  # type: ignore[arg-type]
            self.refit.model.preprocess,
            self.loading.batch_size,
            workers=self.loading.workers,
        )

    @cached_property
    def _reach(self) -> dict[str, set[str]]:
        """What each point's weights can change of what the parts read."""
        image = self._normal[0][:1]
        found = {}
        with torch.inference_mode():
            before = self._snapshot(image, {})
            for point in self.points:
                everything = {point: range(neurons_of(self.tower, point))}
                found[point] = before.differing(self._snapshot(image, everything))
        return found

    def _score(self, conditions: Sequence[Condition]) -> list[Scores]:
        """Scores under each condition; every batch of test images is decoded once."""
        removals = [{a.point: a.neurons for a in condition} for condition in conditions]
        found: list[list[Scores]] = [[] for _ in removals]
        with torch.inference_mode():
            memories = [
                self.refit.fit(Snapshot.join([self._snapshot(b, r) for b in self._normal]))
                for r in removals
            ]
            for batch in self._batches(self.dataset):
                for removal, memory, parts in zip(removals, memories, found, strict=True):
                    parts.append(self.refit.score(memory, self._snapshot(batch.images, removal)))
        return [joined(parts) for parts in found]

    def _snapshot(self, images: Images, removal: Mapping[str, Sequence[int]]) -> Snapshot:
        """Run images through the tower without some weights."""
        points = [place for place in self.refit.read if place != OUTPUT]
        with ExitStack() as stack:
            for point, neurons in removal.items():
                stack.enter_context(weights_removed(self.tower, point, neurons))
            to_the_end = OUTPUT in self.refit.read
            output, cache = self.tower.run_with_cache(
                images,
                names_filter=points or [OUTPUT],
                stop_at=None if to_the_end else "auto",
            )
        output = output[0] if isinstance(output, tuple) else output
        patches = {p: select_tokens(self.tower, p, cache[p]) for p in points}
        return Snapshot(patches, output if to_the_end else None)
