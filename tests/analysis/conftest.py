"""Planted worlds: activations in which it is known which neurons carry the defect signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from lakeviz.activations import select_tokens
from lakeviz.analysis.study_capture import capture_study
from lakeviz.analysis.study_data import StudyData
from lakeviz.analysis.tokens import StudyTokens
from lakeviz.data import Dataset, read_dataset
from lakeviz.data.loading import ImageBatches
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import LakeOptions, Selection, VisualOptions, fit_text
from lakeviz.models import VisionModel

POINT = "blocks.0.hook_resid_post"


@dataclass
class World:
    """Gaussian patch tokens; in defective images a square of patches is shifted.

    ``scales`` are the standard deviations of the channels, ``signal`` the channels that defects
    move, by ``shift`` standard deviations. With ``shift=0`` nothing tells defects: the null.
    """

    scales: Sequence[float] = tuple(np.linspace(2.0, 0.5, 16))
    signal: Sequence[int] = (0, 1, 2)
    shift: float = 4.0
    mean: float = 5.0
    grid: tuple[int, int] = (4, 4)
    n_fit: int = 4
    n_normal: int = 24
    n_anomalous: int = 24
    points: Sequence[str] = (POINT,)
    masks: bool = True
    seed: int = 0

    def arrays(self):
        """Return normal tokens, test tokens, labels and masks."""
        generator = np.random.default_rng(self.seed)
        scales = np.asarray(self.scales, dtype=float)
        rows, columns = self.grid
        n_test = self.n_normal + self.n_anomalous
        labels = np.r_[np.zeros(self.n_normal, int), np.ones(self.n_anomalous, int)]
        masks = np.zeros((n_test, rows, columns), dtype=bool)
        for image in np.flatnonzero(labels):
            row, column = generator.integers(rows - 1), generator.integers(columns - 1)
            masks[image, row : row + 2, column : column + 2] = True
        normal, test = {}, {}
        for point in self.points:
            draw = generator.standard_normal((self.n_fit + n_test, rows * columns, len(scales)))
            tokens = self.mean + draw * scales
            normal[point] = torch.from_numpy(tokens[: self.n_fit]).float()
            shifted = tokens[self.n_fit :]
            push = np.zeros(len(scales))
            push[list(self.signal)] = self.shift * scales[list(self.signal)]
            shifted += masks.reshape(n_test, -1, 1) * push
            test[point] = torch.from_numpy(shifted).float()
        return normal, test, labels, list(masks) if self.masks else None

    def data(self, **options) -> StudyData:
        """Study data of this world; Euclidean distance, so that channels add up."""
        normal, test, labels, masks = self.arrays()
        given = {"k": min(8, len(self.scales)), "text_weight": 0, "map_size": self.grid}
        given |= {"visual": VisualOptions(distance="euclidean")} | options
        return StudyData.of_arrays(
            normal, test, labels, masks, grid=self.grid, options=LakeOptions(**given)
        )


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
                normal=StudyTokens.of_patches(tokens[0], names[0]),
                test=StudyTokens.of_patches(tokens[1], names[1]),
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
