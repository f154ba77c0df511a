"""Planted worlds, and tiny images on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
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
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.pairs import make_pairs
from lakeviz.studies.patching.readouts import Readouts


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


@pytest.fixture
def plant(tiny_model, tmp_path, monkeypatch):
    """Make images whose defect some channels alone read: ``plant(weight=..., n_defects=...)``.

    These ``channels`` read red, which the defect changes, and all others green. The larger
    ``weight`` and ``noise``, the more they vary among normal images. Twins are exact.
    """
    twins = {}
    module = import_module("lakeviz.studies.patching.pairs")
    monkeypatch.setattr(module, "inpaint", lambda image, mask, normal: twins[image.tobytes()])

    def make(
        *,
        channels: Sequence[int] = (3, 7),
        weight: float = 0.02,
        noise: int = 0,
        n_defects: int = 4,
        **options: Any,
    ) -> tuple[StudyData, str]:
        model = tiny_model("timm")
        embed = model.module.patch_embed.proj
        random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            kernel = torch.zeros_like(embed.weight)
            kernel[:, 1] = 0.3 * torch.randn(kernel[:, 1].shape, generator=random)
            kernel[list(channels)] = 0
            kernel[list(channels), 0] = weight
            embed.weight.copy_(kernel)
        draw = np.random.default_rng(0)
        for name, n in (("train/good", 4), ("test/good", 3), ("test/red", n_defects)):
            folder = tmp_path / "thing" / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = np.full((32, 32, 3), 60, dtype=np.uint8)
                pixels[..., 0] += np.repeat(
                    draw.integers(0, noise + 1, (4, 32), dtype=np.uint8), 8, axis=0
                )
                pixels[..., 1] = draw.integers(0, 256, (32, 32))
                if "red" in name:
                    masks = tmp_path / "thing/ground_truth/red"
                    masks.mkdir(parents=True, exist_ok=True)
                    mask = np.zeros((32, 32), dtype=np.uint8)
                    mask[8:16, 8:24] = 255
                    Image.fromarray(mask).save(masks / f"{i:03d}_mask.png")
                    twin = pixels.copy()
                    pixels[8:16, 8:24, 0] = 250
                    twins[pixels.tobytes()] = twin
                Image.fromarray(pixels).save(folder / f"{i:03d}.png")
        data = read_dataset("mvtec", tmp_path)["thing"]
        point = "blocks.0.hook_resid_pre"
        settings = LakeOptions(**{"k": 2, "layers": (point,), "map_size": (16, 16), **options})
        return capture_study(model, data.few_shot(4), data, options=settings), point

    return make


@pytest.fixture
def interchange(tiny_model, captured):
    """Make the interchange of tiles on a tiny tower."""

    def make(kind: str = "clip", points=(1,), n_pairs: int = 5) -> Interchange:
        model = tiny_model(kind)
        data = captured(model, list(points), text_weight=None)
        defect = PatchTruth.of(data.truth, (4, 4)).defect
        pairs = make_pairs(
            data.dataset, data.normal_paths, model.preprocess, defect, n_pairs=n_pairs
        )
        branch = data.branches([data.select(1, "all")])[0]
        text = None
        if kind == "clip":
            text = fit_text(model, "tile", data.options.text)
        return Interchange(
            model, pairs, Readouts([branch], data.grids, data.options.image_score, text)
        )

    return make


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
