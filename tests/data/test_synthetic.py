"""The synthetic benchmark: exact masks, seeds, sizes, layout."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lakeviz.data import read_dataset
from lakeviz.data.synthetic import (
    CATEGORIES,
    DEFECT_TYPES,
    HELD_OUT,
    TRAINED,
    render_sample,
    render_scene,
    write_benchmark,
)
from lakeviz.data.synthetic.defects import apply_defect, to_uint8
from lakeviz.errors import ConfigError


def test_there_are_enough_categories_and_defects():
    assert len(CATEGORIES) >= 16
    assert len(set(CATEGORIES)) == len(CATEGORIES)
    assert len(DEFECT_TYPES) >= 6
    assert len(HELD_OUT) == 4
    assert set(TRAINED) | set(HELD_OUT) == set(CATEGORIES)
    assert not set(TRAINED) & set(HELD_OUT)


@pytest.mark.parametrize("category", CATEGORIES)
def test_mask_is_exactly_what_the_defect_changed(category: str):
    for number, kind in enumerate(DEFECT_TYPES):
        rng = np.random.default_rng([number, CATEGORIES.index(category)])
        scene = render_scene(category, 64, rng)
        image, mask = apply_defect(rng, scene, kind)
        changed = (image != to_uint8(scene.image)).any(axis=2)
        assert np.array_equal(changed, mask)
        assert mask.any()
        assert not (mask & ~scene.foreground).any()


def test_a_picture_depends_on_its_own_name_and_seed_only():
    first = render_sample("wood", "test", 3, "scratch", size=48, seed=1)
    again = render_sample("wood", "test", 3, "scratch", size=48, seed=1)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    others = [
        render_sample("wood", "test", 4, "scratch", size=48, seed=1),
        render_sample("wood", "train", 3, "scratch", size=48, seed=1),
        render_sample("wood", "test", 3, "scratch", size=48, seed=2),
        render_sample("tile", "test", 3, "scratch", size=48, seed=1),
    ]
    for other in others:
        assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("category", ["wood", "washer", "mesh"])
def test_the_scene_is_the_same_at_every_size(category: str):
    small = render_sample(category, "train", 0, size=32).image
    large = render_sample(category, "train", 0, size=128).image
    shrunk = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BOX))
    other = render_sample(category, "train", 1, size=32).image
    same = np.corrcoef(small.ravel(), shrunk.ravel())[0, 1]
    assert same > 0.8
    assert same > np.corrcoef(other.ravel(), shrunk.ravel())[0, 1]


def test_good_pictures_have_empty_masks():
    sample = render_sample("coin", "test", 0, size=40)
    assert sample.image.shape == (40, 40, 3)
    assert not sample.mask.any()


def test_written_benchmark_reads_as_mvtec(tmp_path):
    write_benchmark(
        tmp_path, categories=("tile", "gear"), size=32, n_train=3, n_good=2, n_per_defect=1
    )
    data = read_dataset("mvtec", tmp_path)
    assert data.categories == ["gear", "tile"]
    assert data.has_masks
    gear = data.category("gear")
    assert len(gear.split("train")) == 3
    assert len(gear.split("test").normal()) == 2
    assert set(gear.anomalous().frame["defect_type"]) == set(DEFECT_TYPES)
    row = gear.sample_ids.index("gear/test/crack/003.png")
    index = DEFECT_TYPES.index("crack")
    assert np.array_equal(
        gear.mask(row, (32, 32)), render_sample("gear", "test", 2 + index, "crack", size=32).mask
    )


@pytest.mark.parametrize(("category", "kind"), [("woood", "good"), ("wood", "scrach")])
def test_unknown_names_say_the_nearest(category: str, kind: str):
    with pytest.raises(ConfigError, match=r"nearest: (wood|scratch)"):
        render_sample(category, "test", 0, kind)
