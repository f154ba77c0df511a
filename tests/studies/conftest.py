"""Planted worlds, and tiny images on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from worlds import World

from lakeviz.activations import select_tokens
from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.data import Dataset, read_dataset
from lakeviz.data.loading import ImageBatches
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import LakeOptions, Selection, fit_text
from lakeviz.models import VisionModel
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData


@pytest.fixture
def world() -> Callable[..., StudyData]:
    """Make study data of a planted world: ``world(shift=0.0, ...)``; detector options in a dict."""
    return lambda options=None, **settings: World(**settings).data(**(options or {}))


# --- tiny images on disk, and what a changed tower yields by the long way ---


@pytest.fixture(scope="session")
def tile(tmp_path_factory) -> Dataset:
    """Eleven test images, of which three are normal, and four normal images to fit on."""
    root = tmp_path_factory.mktemp("tiles")
    write_benchmark(root, categories=("tile",), size=32, n_train=4, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root).category("tile")


@pytest.fixture
def captured(tile) -> Callable[..., StudyData]:
    """Capture study data of the tiles: ``captured(model, [1, 2], shots=3, k=8, ...)``."""

    def capture(
        model: VisionModel, points: Sequence[Any], shots: int = 3, cache: Any = None, **options: Any
    ) -> StudyData:
        settings = LakeOptions(**{"k": 8, "map_size": (24, 24), **options})
        draw = tile.few_shot(shots, seed=1)
        return capture_study(model, draw, tile, options=settings, points=points, cache=cache)

    return capture


Run = Callable[[torch.Tensor, bool], tuple[torch.Tensor, dict[str, torch.Tensor]]]
"""From images (normal ones or not) to the tower's output and all tensors at some points."""


@pytest.fixture
def long_way() -> Callable[..., dict[str, np.ndarray]]:
    """Score every part from images that go one by one through a changed tower, without an engine.

    ``long_way(data, run, selections)``, where ``run`` is a :data:`Run`.
    """

    def score(data: StudyData, run: Run, selections: dict[str, Selection]) -> dict[str, np.ndarray]:
        model = data.model
        assert model is not None
        assert data.dataset is not None
        tokens, outputs = [], []
        text = None if data.text is None else fit_text(model, "tile", data.options.text)
        with torch.inference_mode():
            for files, normal in ((list(data.normal_paths), True), (data.dataset, False)):
                images = torch.cat([b.images for b in ImageBatches(files, model.preprocess)])
                output, cache = run(images, normal)
                patches = {p: select_tokens(model.tower, p, t) for p, t in cache.items()}
                tokens.append(patches)
                outputs.append(torch.nn.functional.normalize(output, dim=-1))
            names = data.normal.sample_ids, data.test.sample_ids
            fresh = replace(
                data,
                normal=CapturedTokens.of_patches(tokens[0], names[0]),
                test=CapturedTokens.of_patches(tokens[1], names[1]),
            )
            parts = {"visual": fresh.visual_maps(fresh.branches([selections]))[0]}
            parts["embedding"] = (1 - (outputs[1] @ outputs[0].T).amax(1)).numpy()
            if text is not None:
                of_patches = text.probability(model.project_patches(tokens[1][text.point]))
                parts["text"] = of_patches.reshape(parts["visual"].shape).numpy()
                parts["text_image"] = text.probability(outputs[1]).numpy()
                parts["lake"] = 0.7 * parts["visual"] + 0.3 * parts["text"]
        return parts

    return score
