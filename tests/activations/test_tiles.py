"""Images that are read in parts: each part passes the tower, and the patches lie in one map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz import Lake, load_model
from lakeviz.activations import TokenBatches, token_grid
from lakeviz.activations.tokens import cut_tiles, join_tiles, select_tokens
from lakeviz.data import read_dataset
from lakeviz.data.aspect import Geometry
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ActivationError, ConfigError
from lakeviz.studies import knockout
from lakeviz.studies.base.capture import capture_study

POINT = "blocks.1.hook_resid_post"


@pytest.fixture
def model():
    return load_model("tiny", aspect="tile_2x3")


def test_joining_undoes_cutting():
    # Each pixel is a patch of one channel: the map of all tiles is the image.
    image = torch.arange(4 * 6.0).reshape(1, 1, 4, 6)
    tiles = cut_tiles(image, (2, 3))
    assert tiles[0, 0].tolist() == [[0, 1], [6, 7]]
    assert tiles[1, 0].tolist() == [[2, 3], [8, 9]]
    assert tiles[3, 0].tolist() == [[12, 13], [18, 19]]
    joined = join_tiles(tiles.flatten(1)[..., None], (2, 3), (4, 6))
    assert torch.equal(joined.reshape(4, 6), image[0, 0])


def test_patches_are_those_of_the_bare_tower_on_each_part(model):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    (batch,) = TokenBatches(model, Image.fromarray(pixels), [POINT])
    rows, columns = token_grid(model.tower, POINT)
    h, w = model.tower.adapter.grid()
    assert (rows, columns) == (2 * h, 3 * w)
    found = batch.tokens[POINT].reshape(rows, columns, -1)
    whole = model.preprocess(Image.fromarray(pixels))
    height, width = model.image_size
    assert whole.shape == (3, 2 * height, 3 * width)
    for row in range(2):
        for column in range(3):
            part = whole[:, row * height : (row + 1) * height, column * width :][..., :width]
            _, cache = model.tower.run_with_cache(part[None], names_filter=[POINT])
            bare = select_tokens(model.tower, POINT, cache[POINT])[0].reshape(h, w, -1)
            own = found[row * h : (row + 1) * h, column * w : (column + 1) * w]
            torch.testing.assert_close(own, bare, atol=1e-4, rtol=1e-4)


def test_a_detector_and_a_study_read_tiles(model, tmp_path):
    wood = read_dataset("mvtec", write_benchmark(tmp_path, categories=("wood",), size=64))["wood"]
    lake = Lake(model, k=8, layers=[1]).fit(wood.few_shot(2))
    assert (lake.text_weight, lake.text) == (0, None)
    maps = lake.score(wood.split("test")[:3])
    assert maps.grid == token_grid(model.tower, POINT)
    assert maps.pixel_map(0).shape == (64, 64)
    data = capture_study(model, wood.few_shot(2), wood, options=lake.options)
    found = knockout(data, sizes=[4], n_random_sets=2, single=False, kinds=["score"])
    assert len(found.contrasts)
    with pytest.raises(ConfigError, match="in parts"):
        knockout(data, sizes=[4], n_random_sets=2, single=False, kinds=["forward"])


def test_class_tokens_of_tiles_are_refused(model):
    with pytest.raises(ActivationError, match="patch tokens only"):
        TokenBatches(model, Image.new("RGB", (8, 8)), [POINT], tokens="all")


@pytest.mark.parametrize("aspect", ["tile", "tile_0x1", "tile_10x1", "tile_2"])
def test_other_tilings_are_refused(aspect):
    with pytest.raises(ConfigError, match="tile_RxC, such as tile_2x1"):
        Geometry(aspect)
