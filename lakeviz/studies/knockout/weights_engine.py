"""Weights knock-outs: the weights that write a channel are removed, and the whole tower runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import Loading, select_tokens
from lakeviz.data import Dataset
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError
from lakeviz.models.hooks.weight_removal import weights_removed, writers_of
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Condition, Knocked
from lakeviz.studies.knockout.rescoring import (
    OUTPUT,
    NetworkEngine,
    Scores,
    Snapshot,
    differing,
    join,
    joined,
)

# Conditions that share one pass over the test images: the gallery of each is held until it ends.
_TOGETHER = 32


class WeightsEngine(NetworkEngine):
    """Weights knock-outs of one category.

    The images, normal and test, go through the whole tower under each condition, and the gallery
    is filled again from the normal ones (see :mod:`lakeviz.studies.knockout.rescoring`). Images are
    decoded once for every 32 conditions of a call.

    Parameters
    ----------
    data : StudyData
        With its model and image files.
    base, branches
        As :class:`.NetworkEngine`.
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
        branches: Sequence[str] | None = None,
        loading: Loading | None = None,
    ) -> None:
        super().__init__(data, base, branches)
        self.loading = loading or Loading()
        if data.dataset is None or not data.normal_paths:
            raise ConfigError(
                f"{data.category}: a weights knock-out runs the whole tower on the images, and "
                "these data name no files; make them with capture_study"
            )
        self.dataset = data.dataset
        for point in data.points:
            writers_of(self.tower, point)

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; see :meth:`.Engine.run`."""
        checked = [self.check(condition) for condition in conditions]
        distinct = [c for c in dict.fromkeys(checked) if c or self._intact is None]
        found: dict[Condition, Scores] = {}
        for start in range(0, len(distinct), _TOGETHER):
            group = distinct[start : start + _TOGETHER]
            found.update(zip(group, self._score(group), strict=True))
        self._intact = found.get((), self._intact)
        if self._intact is not None:
            found[()] = self._intact
        return [self.knocked(found[condition]) for condition in checked]

    def reach(self, point: str) -> Collection[str]:
        """What the weights of a point can change of what the branches read."""
        return self._reach[point]

    def _obstacle(self, condition: Condition, branch: str) -> str:
        points = ", ".join(ablation.point for ablation in condition)
        return (
            f"what the {branch} branch reads is computed before the weights that write {points} "
            "have an effect"
        )

    # --- running ---

    _intact: Scores | None = None

    @cached_property
    def _normal(self) -> list[Float[Tensor, "image 3 height width"]]:
        """Normal images, preprocessed, in batches; there are few."""
        return [batch.images for batch in self._batches(list(self.data.normal_paths))]

    def _batches(self, images: Dataset | Sequence[Path]) -> ImageBatches:
        loading = self.loading
        return ImageBatches(
            images, self.model.preprocess, loading.batch_size, workers=loading.workers
        )

    @cached_property
    def _reach(self) -> dict[str, set[str]]:
        image, found = self._normal[0][:1], {}
        with torch.inference_mode():
            before = self._snapshot(image, {})
            for point in self.points:
                everything = {point: range(self.n_channels(point))}
                found[point] = differing(before, self._snapshot(image, everything))
        return found

    def _score(self, conditions: Sequence[Condition]) -> list[Scores]:
        """Scores under each condition; every batch of test images is decoded once."""
        removals = [{a.point: a.neurons for a in condition} for condition in conditions]
        found: list[list[Scores]] = [[] for _ in removals]
        with torch.inference_mode():
            fitted = [
                self.fit(join([self._snapshot(b, r) for b in self._normal])) for r in removals
            ]
            for batch in self._batches(self.dataset):
                for removal, galleries, parts in zip(removals, fitted, found, strict=True):
                    parts.append(self.score(galleries, self._snapshot(batch.images, removal)))
        return [joined(parts) for parts in found]

    def _snapshot(self, images: Tensor, removal: Mapping[str, Sequence[int]]) -> Snapshot:
        """Run images through the tower without some weights."""
        points = [place for place in self.read if place != OUTPUT]
        to_the_end = OUTPUT in self.read
        with ExitStack() as stack:
            for point, neurons in removal.items():
                stack.enter_context(weights_removed(self.tower, point, neurons))
            output, cache = self.tower.run_with_cache(
                images, names_filter=points or [OUTPUT], stop_at=None if to_the_end else "auto"
            )
        output = output[0] if isinstance(output, tuple) else output
        patches = {p: select_tokens(self.tower, p, cache[p]) for p in points}
        return patches | ({OUTPUT: output} if to_the_end else {})
