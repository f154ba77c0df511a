"""Depth maps: what is read, what is invalid, and renderings of surfaces with known geometry."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from lakeviz.data import Dataset, Sample
from lakeviz.data.depth import Rendering, foreground, render, render_map, units_of
from lakeviz.data.depth_files import depth_map, read_depth, require_same_size
from lakeviz.data.inputs import ImageItems, as_images
from lakeviz.data.streams import RENDERINGS
from lakeviz.data.surfaces import mean_curvature, tangents, unit_normals
from lakeviz.data.table import build_frame
from lakeviz.errors import ConfigError, DepthError

SIZE = 48
V, U = np.mgrid[0:SIZE, 0:SIZE].astype(float)


def pixels(depth, how, **units):
    return np.asarray(render_map(depth_map(depth), how, Rendering(**units))).astype(int)


# --- files ---


def test_16_bit_png_is_read_and_0_is_invalid(tmp_path):
    Image.fromarray(np.array([[0, 7], [40000, 9]], np.uint16)).save(tmp_path / "d.png")
    found = read_depth(tmp_path / "d.png")
    np.testing.assert_array_equal(found.depth, [[np.nan, 7], [40000, 9]])
    assert found.n_invalid == 1
    assert found.values.shape[-1] == 1


def test_point_cloud_is_read_and_the_origin_nan_and_infinity_are_invalid(tmp_path):
    points = np.ones((2, 3, 3), np.float32) * 5
    points[0, 0] = 0
    points[0, 1, 0] = np.nan
    points[1, 2, 2] = np.inf
    points[1, 0, :2] = 0  # x = y = 0 is a point like others
    tifffile.imwrite(tmp_path / "d.tiff", points, photometric="rgb")
    found = read_depth(tmp_path / "d.tiff")
    np.testing.assert_array_equal(found.valid, [[False, False, True], [True, True, False]])
    assert found.values.shape[-1] == 3
    assert found.depth[1, 0] == 5


@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_float_depth_is_read(tmp_path, suffix):
    depth = np.array([[0.5, 0.0], [np.nan, 2.0]], np.float32)
    path = tmp_path / f"d.{suffix}"
    np.save(path, depth) if suffix == "npy" else tifffile.imwrite(path, depth)
    np.testing.assert_array_equal(read_depth(path).depth, [[0.5, np.nan], [np.nan, 2.0]])


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_eyecandies_depth_has_its_range_and_no_invalid_0(tmp_path, suffix):
    Image.fromarray(np.array([[0, 65535], [13107, 0]], np.uint16)).save(tmp_path / "07_depth.png")
    (tmp_path / f"07_info_depth.{suffix}").write_text("normalization:\n  min: 2.0\n  max: 4.0\n")
    found = read_depth(tmp_path / "07_depth.png")
    np.testing.assert_allclose(found.depth, [[2.0, 4.0], [2.4, 2.0]])
    (tmp_path / f"07_info_depth.{suffix}").write_text("normalization: [2.0, 4.0]\n")
    with pytest.raises(DepthError, match=r"07_info_depth.* does not give normalization"):
        read_depth(tmp_path / "07_depth.png")


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DepthError, match=r"depth map .*gone\.tiff does not exist"):
        read_depth(tmp_path / "gone.tiff")
    tifffile.imwrite(tmp_path / "bad.tiff", np.ones((30, 30), np.float32))
    whole = (tmp_path / "bad.tiff").read_bytes()
    (tmp_path / "bad.tiff").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DepthError, match=r"cannot read the depth map .*bad\.tiff"):
        read_depth(tmp_path / "bad.tiff")
    Image.new("RGB", (4, 3)).save(tmp_path / "rgb.png")
    with pytest.raises(DepthError, match=r"rgb\.png is a picture of mode RGB"):
        read_depth(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(tmp_path / "empty.png")
    with pytest.raises(DepthError, match=r"empty\.png has no valid point: all 12 are 0"):
        read_depth(tmp_path / "empty.png")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object))
    with pytest.raises(DepthError, match=r"cannot read .*pickle\.npy"):
        read_depth(tmp_path / "pickle.npy")
    with pytest.raises(DepthError, match=r"shape \[2, 3, 4\]"):
        depth_map(np.ones((2, 3, 4)))


@pytest.mark.parametrize("name", ["d.png", "d.tiff", "d.npy"])
def test_a_depth_map_of_another_size_is_named(tmp_path, name):
    depth, path = np.ones((3, 4), np.uint16), tmp_path / name
    if name == "d.png":
        Image.fromarray(depth).save(path)
    else:
        np.save(path, depth) if name == "d.npy" else tifffile.imwrite(path, depth)
    require_same_size(path, "a.png", (3, 4))
    with pytest.raises(DepthError, match=rf"{name} is 4x3 .* its image a\.png 3x4"):
        require_same_size(path, "a.png", (4, 3))


def test_a_row_of_numbers_is_no_depth_map(tmp_path):
    np.save(tmp_path / "d.npy", np.ones(7))
    with pytest.raises(DepthError, match=r"d\.npy has shape \[7\]"):
        require_same_size(tmp_path / "d.npy", "a.png", (7, 1))


# --- geometry ---


@pytest.mark.parametrize("gap", [False, True])
def test_a_plane_has_one_normal_everywhere_and_no_curvature(gap):
    points = (3 + 0.5 * U - 0.25 * V)[..., None]
    valid = np.ones((SIZE, SIZE), bool)
    if gap:
        valid[:, 20:22] = False
        points[~valid] = 1e9
    right, down = tangents(points, valid, 2.0)
    normals = unit_normals(right, down)
    known = np.array([-0.5, 0.25, 1]) / np.sqrt(0.25 + 0.0625 + 1)
    np.testing.assert_allclose(normals, np.broadcast_to(known, normals.shape), atol=1e-9)
    np.testing.assert_allclose(mean_curvature(right, down, normals, 2.0), 0, atol=1e-9)


def test_a_turned_plane_of_points_has_its_true_normal():
    # Points 2 apart along (1, 0, 1)/sqrt 2 and 3 apart along y: the pixel grid does not matter.
    step = 2 / np.sqrt(2)
    points = np.stack([step * U, 3 * V, step * U], axis=-1)
    right, down = tangents(points, np.ones((SIZE, SIZE), bool), 2.0)
    known = np.array([-1, 0, 1]) / np.sqrt(2)
    normals = unit_normals(right, down)
    np.testing.assert_allclose(normals, np.broadcast_to(known, normals.shape), atol=1e-9)


@pytest.mark.parametrize("cloud", [False, True])
def test_a_sphere_has_the_curvature_of_its_radius_and_normals_along_it(cloud):
    radius, middle = 60.0, (SIZE - 1) / 2
    x, y = U - middle, V - middle
    z = 100 - np.sqrt(radius**2 - x**2 - y**2)
    points = np.stack([x, y, z], axis=-1) if cloud else z[..., None]
    right, down = tangents(points, np.ones((SIZE, SIZE), bool), 1.5)
    normals = unit_normals(right, down)
    outward = np.stack([-x, -y, 100 - z], axis=-1) / radius
    inner = slice(6, -6)
    np.testing.assert_allclose(normals[inner, inner], outward[inner, inner], atol=2e-3)
    found = mean_curvature(right, down, normals, 1.5)[inner, inner]
    np.testing.assert_allclose(found, 1 / radius, rtol=0.02)


# --- renderings ---


def test_depth_is_drawn_around_its_median_in_units_of_its_span():
    # Percentiles 2 and 98 of 0..100 are 2 and 98, the median is 50.
    ramp = np.arange(1, 102, dtype=float)[None, :].repeat(3, axis=0)
    drawn = pixels(ramp, "depth")
    assert (drawn[..., 0] == drawn[..., 2]).all()
    np.testing.assert_array_equal(
        drawn[0, :, 1], np.clip(np.rint(128 + 127 * (np.arange(101) - 50) / 96), 1, 255)
    )
    wide = pixels(ramp, "depth", span=200.0)
    assert (wide[0, 0, 0], wide[0, 100, 0]) == (round(128 - 127 / 4), round(128 + 127 / 4))


def test_a_small_defect_moves_nothing_beside_itself_and_is_not_hidden():
    rough = 100 + np.sin(U / 3) + np.cos(V / 2)
    holed = rough.copy()
    holed[10:14, 10:14] = 300  # 0.7 % of the image
    before, after = pixels(rough, "depth"), pixels(holed, "depth")
    away = np.ones((SIZE, SIZE), bool)
    away[10:14, 10:14] = False
    assert np.abs(after - before)[away].max() <= 3
    assert (after[~away] == 255).all()


def test_one_hole_in_a_flat_plate_is_drawn():
    plate = np.full((SIZE, SIZE), 7.0)
    plate[3:6, 3:6] = 9
    assert (pixels(plate, "depth")[4, 4] == 255).all()
    assert (pixels(plate, "depth")[20, 20] == 128).all()
    assert np.ptp(pixels(plate, "normals")) > 100
    assert np.ptp(pixels(plate, "curvature")) > 100


def test_a_constant_map_is_one_colour_and_said(caplog):
    flat = np.full((SIZE, SIZE), 7.0)
    colours = {"depth": (128,) * 3, "normals": (128, 128, 255), "curvature": (128,) * 3}
    for how in RENDERINGS:
        assert set(map(tuple, pixels(flat, how).reshape(-1, 3))) == {colours[how]}
    assert caplog.text.count("is constant: it adds nothing to its image") == len(RENDERINGS)


def test_a_plane_has_flat_normals_and_curvature():
    plane = 5 + 0.3 * U
    colours = pixels(plane, "normals").reshape(-1, 3)
    # The steepest slope stands at 45 degrees: (-1, 0, 1) / sqrt 2.
    assert set(map(tuple, colours)) == {(38, 128, 218)}
    assert set(pixels(plane, "curvature").ravel()) == {128}


def test_invalid_points_show_what_is_nearest():
    plane = 5 + 0.3 * U
    holed = plane.copy()
    holed[10:30, 20:26] = 0
    for how in ("normals", "curvature"):
        np.testing.assert_array_equal(pixels(holed, how), pixels(plane, how))
    drawn = pixels(holed, "depth")
    np.testing.assert_array_equal(drawn[15, 21], drawn[15, 19])


def test_units_of_normal_images_are_their_medians(tmp_path):
    paths = []
    for i, height in enumerate((1.0, 2.0, 8.0)):
        paths.append(tmp_path / f"{i}.npy")
        np.save(paths[-1], 10 + height * np.sin(U / 4))
    units = [Rendering.of([p]) for p in paths]
    assert Rendering.of(paths).span == pytest.approx(units[1].span)
    assert Rendering.of(paths).slope == pytest.approx(units[1].slope)
    # With its own units each is drawn alike; with common ones a higher relief has more contrast.
    own = [np.asarray(render(p, "depth")).astype(int) for p in paths]
    assert np.abs(own[0] - own[2]).max() <= 1
    common = [np.ptp(np.asarray(render(p, "depth", Rendering.of(paths)))) for p in paths]
    assert common[0] < common[1] < common[2]


def test_large_maps_are_drawn_at_most_448_wide():
    assert pixels(np.random.default_rng(0).random((20, 1000)), "depth").shape == (7, 334, 3)


def test_unknown_renderings_and_units_are_refused():
    with pytest.raises(ConfigError, match=r"rendering must be .* curvature, not 'normal'"):
        pixels(U + 1, "normal")
    with pytest.raises(ConfigError, match="span of a rendering must be positive"):
        Rendering(span=0.0)


def test_the_foreground_is_what_stands_off_the_plane_behind_it():
    plane = 100 + 0.2 * U + 0.1 * V
    thing = (np.hypot(U - 24, V - 24) < 10).astype(bool)
    depth = np.where(thing, plane - 20, plane)
    np.testing.assert_array_equal(foreground(depth_map(depth)), thing)
    depth[0, :5] = depth[20, 20] = 0  # invalid
    depth[24:28, 24:28] = plane[24:28, 24:28]  # as deep as the plane
    np.testing.assert_array_equal(foreground(depth_map(depth)), thing)


def test_without_a_plane_all_measured_points_are_foreground():
    rough = 100 + np.random.default_rng(0).normal(size=(SIZE, SIZE))
    hills = 100 + np.sin(U / 6) * np.cos(V / 7)
    np.testing.assert_array_equal(foreground(depth_map(hills)), True)
    rough[5, 5] = np.nan
    np.testing.assert_array_equal(foreground(depth_map(rough)), np.isfinite(rough))


def test_a_large_defect_is_drawn_in_the_units_of_normal_images(tmp_path):
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"{i}.npy")
        np.save(paths[-1], 100 + np.sin(U / 4))
    broken = 100 + np.sin(U / 4)
    broken[:, 30:] += 40  # more than a third of the image
    np.save(tmp_path / "broken.npy", broken)
    units = units_of(tuple(paths))
    whole, drawn = (
        np.asarray(render(p, "depth", units)) for p in (paths[0], tmp_path / "broken.npy")
    )
    assert np.ptp(drawn[:, :24]) >= 0.8 * np.ptp(whole[:, :24])
    own = np.asarray(render(tmp_path / "broken.npy", "depth"))
    assert np.ptp(own[:, :24]) < 0.1 * np.ptp(whole[:, :24])
    assert units_of(()) == Rendering()


def test_renderings_of_a_data_set_are_in_the_units_of_normal_training_images(tmp_path):
    flat, steep = (100 + height * np.sin(U / 3) for height in (1, 9))
    samples = []
    for name, split, depth in (("a", "train", flat), ("b", "test", flat), ("c", "test", steep)):
        picture, own = tmp_path / f"{name}.png", tmp_path / f"{name}.npy"
        Image.new("RGB", (SIZE, SIZE)).save(picture)
        np.save(own, depth)
        samples.append(Sample(picture, "road", split, depth=own))
    test = Dataset("rgbd", tmp_path, build_frame(samples, tmp_path)).split("test")
    items = as_images(test)
    assert isinstance(items, ImageItems)
    low, high = (np.asarray(items.rendering(i, "depth")).astype(int) for i in range(2))
    assert np.ptp(high) > np.ptp(low) > 100  # each by itself, both would be drawn alike
    units = Rendering.of([tmp_path / "a.npy"])
    np.testing.assert_array_equal(high, render(tmp_path / "c.npy", "depth", units))
