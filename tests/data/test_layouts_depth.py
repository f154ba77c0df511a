"""Layouts with depth, on small files written as the data sets are published."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from lakeviz.data import read_dataset
from lakeviz.errors import ConfigError, DatasetLayoutError, MaskError


def put_depth(path, depth=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = np.arange(24, dtype=np.uint16).reshape(4, 6) if depth is None else depth
    if path.suffix == ".tiff":
        points = np.stack([depth.astype(np.float32)] * 3, axis=-1)
        tifffile.imwrite(path, points, photometric="rgb")
    else:
        Image.fromarray(depth).save(path)
    return path


@pytest.fixture
def rgbd_category(put_image, put_mask):
    """Two training, one validation, one good and two defective test images."""

    def put(folder, depth="xyz", suffix=".tiff"):
        kinds = {"train/good": 2, "validation/good": 1, "test/good": 1, "test/hole": 2}
        for kind, n in kinds.items():
            for i in range(n):
                put_image(folder / kind / f"rgb/{i:03d}.png", colour=20 * i + len(kind))
                put_depth(folder / kind / depth / f"{i:03d}{suffix}")
                if kind.startswith("test"):
                    put_mask(folder / kind / f"gt/{i:03d}.png", [(0, 0)] if "hole" in kind else [])
        return folder

    return put


@pytest.mark.parametrize(
    ("name", "depth", "suffix"), [("mvtec_3d", "xyz", ".tiff"), ("rgbd", "depth", ".png")]
)
def test_rgbd_is_read_with_depth_and_masks(tmp_path, rgbd_category, name, depth, suffix):
    rgbd_category(tmp_path / "bagel", depth, suffix)
    data = read_dataset("auto", tmp_path)
    assert data.name == name
    found = data.frame[["sample_id", "defect_type", "split"]].itertuples(index=False, name=None)
    assert list(found) == [
        ("bagel/test/good/rgb/000.png", "good", "test"),
        ("bagel/test/hole/rgb/000.png", "hole", "test"),
        ("bagel/test/hole/rgb/001.png", "hole", "test"),
        ("bagel/train/good/rgb/000.png", "good", "train"),
        ("bagel/train/good/rgb/001.png", "good", "train"),
        ("bagel/validation/good/rgb/000.png", "good", "valid"),
    ]
    hole = tmp_path / "bagel/test/hole"
    assert data.depths[2].path == hole / depth / f"001{suffix}"
    good = tmp_path / "bagel/train/good" / depth  # all are drawn in their units
    assert data.depths[2].normal == (good / f"000{suffix}", good / f"001{suffix}")
    assert data.frame["mask_path"][2] == str(hole / "gt/001.png")
    # The value 0 of the first point is not measured.
    assert data.notes == (
        "bagel: 3 of the 72 points of its first 3 depth maps are invalid; they are drawn as the "
        "nearest valid ones",
    )
    assert len(read_dataset(name, tmp_path / "bagel")) == 6


def test_a_constant_depth_is_said(tmp_path, rgbd_category):
    folder = rgbd_category(tmp_path / "bagel", "depth", ".png")
    for path in folder.glob("*/*/depth/*"):
        put_depth(path, np.full((4, 6), 7, np.uint16))
    assert read_dataset("rgbd", tmp_path).notes == (
        "bagel: its first 3 depth maps are constant and add nothing",
    )


def test_a_missing_depth_map_is_named_and_none_at_all_is_said(tmp_path, rgbd_category):
    folder = rgbd_category(tmp_path / "bagel")
    (folder / "test/hole/xyz/001.tiff").unlink()
    with pytest.raises(DatasetLayoutError, match=r"1 of 6 .* no depth map.*hole/rgb/001\.png"):
        read_dataset("mvtec_3d", tmp_path)
    for path in folder.glob("*/*/xyz/*"):
        path.unlink()
    data = read_dataset("mvtec_3d", tmp_path)
    assert data.depths == []
    assert data.notes == ("bagel: there is no folder xyz/ or depth/ beside its pictures",)


def test_two_depth_maps_and_a_missing_mask_are_named(tmp_path, rgbd_category):
    folder = rgbd_category(tmp_path / "bagel", "depth", ".png")
    np.save(folder / "test/hole/depth/001.npy", np.ones((4, 6)))
    with pytest.raises(DatasetLayoutError, match=r"001\.npy and .*001\.png have one name"):
        read_dataset("rgbd", tmp_path)
    (folder / "test/hole/depth/001.npy").unlink()
    (folder / "test/hole/gt/000.png").unlink()
    with pytest.raises(MaskError, match=r"1 of 2 defective .*bagel.*hole/rgb/000\.png"):
        read_dataset("rgbd", tmp_path)


@pytest.fixture
def candy(put_image, put_mask):
    """Two training, one validation and three public test images under two lights."""

    def put(folder, inner="{}/data"):
        for split, n in {"train": 2, "val": 1, "test_public": 3}.items():
            where = folder / inner.format(split)
            for i in range(n):
                for light in range(2):
                    put_image(where / f"{i:02d}_image_{light}.png", colour=40 * i + light)
                put_image(where / f"{i:02d}_normals.png")
                put_depth(where / f"{i:02d}_depth.png")
                (where / f"{i:02d}_info_depth.yaml").write_text(
                    "normalization:\n  max: 3.0\n  min: 1.0\n"
                )
                whole = [(0, 0), (1, 1)][:i] if split == "test_public" else []
                put_mask(where / f"{i:02d}_mask.png", whole)
                put_mask(where / f"{i:02d}_bumps_mask.png", whole[:1])
                put_mask(where / f"{i:02d}_colors_mask.png", whole[1:])
        return folder

    return put


@pytest.mark.parametrize("inner", ["{}/data", "Data/{}"])
def test_eyecandies_is_read_under_one_light(tmp_path, candy, inner):
    candy(tmp_path / "Lollipop", inner)
    data = read_dataset("auto", tmp_path)
    assert data.name == "eyecandies"
    assert data.frame["split"].tolist().count("train") == 2
    test = data.split("test")
    assert [s.rsplit("/", 1)[1] for s in test.sample_ids] == [f"0{i}_image_0.png" for i in range(3)]
    assert test.frame["defect_type"].tolist() == ["good", "bumps", "bumps+colors"]
    assert [d.path.name for d in test.depths] == ["00_depth.png", "01_depth.png", "02_depth.png"]
    assert test.mask(2, (4, 6)).sum() == 2
    assert data.notes == ()  # 0 is the nearest depth
    lit = read_dataset("eyecandies", tmp_path / "Lollipop", light=1)
    assert all(s.endswith("_image_1.png") for s in lit.sample_ids)


def test_eyecandies_refuses_an_unknown_light_and_names_a_missing_mask(tmp_path, candy):
    folder = candy(tmp_path / "Lollipop")
    with pytest.raises(ConfigError, match="light must be 0 to 5, got 6"):
        read_dataset("eyecandies", tmp_path, light=6)
    (folder / "test_public/data/01_mask.png").unlink()
    with pytest.raises(DatasetLayoutError, match=r"01_image_0\.png has no mask 01_mask\.png"):
        read_dataset("eyecandies", tmp_path)
