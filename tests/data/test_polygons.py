"""Polygons as masks: areas in closed form, the three formats, and boxes that are none."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lakeviz.data import from_dataframe, load_mask, read_dataset
from lakeviz.data.polygons import fill
from lakeviz.errors import MaskError

SQUARE = [[1, 1], [3, 1], [3, 3], [1, 3]]
EXPECTED = [[1, 1], [1, 2], [2, 1], [2, 2]]  # rows and columns of the square, in 4 x 6 pixels


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([(1, 1), (3, 1), (3, 3), (1, 3)], 4),
        ([(0, 0), (6, 0), (6, 4), (0, 4)], 24),
        ([(-5, -5), (50, -5), (50, 50), (-5, 50)], 24),  # cut by the image
        ([(1.6, 1), (3.4, 1), (3.4, 2), (1.6, 2)], 1),  # one centre (2.5) lies within
        ([(0, 0), (4, 0), (4, 4)], 10),  # 4 + 3 + 2 + 1 centres on or right of the diagonal
    ],
)
def test_areas(points, area):
    assert fill(points, (4, 6)).sum() == area


def test_even_odd_and_a_disc():
    ring = [(0, 0), (6, 0), (6, 4), (0, 4), (0, 0), (1, 1), (1, 3), (5, 3), (5, 1), (1, 1)]
    assert fill(ring, (4, 6)).sum() == 24 - 8
    turn = np.linspace(0, 2 * np.pi, 721)[:-1]
    disc = fill(np.c_[100 + 60 * np.cos(turn), 90 + 60 * np.sin(turn)].tolist(), (200, 200))
    assert disc.sum() == pytest.approx(np.pi * 60**2, rel=2e-3)
    rows, columns = np.nonzero(disc)
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx((90, 100), abs=0.01)


def labelme(path, **more):
    shapes = [{"label": "dent", "shape_type": "polygon", "points": SQUARE} | more]
    path.write_text(json.dumps({"shapes": shapes, "imageHeight": 4, "imageWidth": 6}))


def coco(path, *names, **more):
    annotation = {"id": 7, "segmentation": [np.ravel(SQUARE).tolist()], "bbox": [1, 1, 2, 2]} | more
    images = [{"id": i, "file_name": n, "height": 4, "width": 6} for i, n in enumerate(names)]
    annotations = [annotation | {"image_id": i} for i in range(len(names))]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


def yolo(path):
    points = [f"{x / 6:.9f} {y / 4:.9f}" for x, y in SQUARE]
    path.write_text(f"0 {' '.join(points)}\n\n")


def test_each_format_is_the_same_mask(tmp_path):
    labelme(tmp_path / "a.json")
    coco(tmp_path / "coco.json", "x/a.png")
    rle = {"counts": [5, 2, 2, 2, 13], "size": [4, 6]}  # column by column
    coco(tmp_path / "rle.json", "x/a.png", segmentation=rle)
    yolo(tmp_path / "a.txt")
    for name in ("a.json", "coco.json", "rle.json", "a.txt"):
        mask = load_mask(tmp_path / name, (4, 6), image_path=tmp_path / "x/a.png")
        assert np.argwhere(mask).tolist() == EXPECTED, name


@pytest.fixture
def parts(tmp_path, put_image):
    for name in ("ok/1", "ok/2", "dent/a", "dent/b", "rust/a"):
        put_image(tmp_path / f"{name}.png")
    return tmp_path


def masks_of(data):
    assert data.has_masks
    return [np.argwhere(data.mask(i, (4, 6))).tolist() for i in np.flatnonzero(data.labels)]


def test_folders_of_polygons(parts):
    (parts / "labels/dent").mkdir(parents=True)
    (parts / "labels/rust").mkdir()
    (parts / "labels/classes.txt").write_text("dent\n")
    for name in ("dent/a.txt", "dent/b.txt", "rust/a.txt"):
        yolo(parts / "labels" / name)
    assert masks_of(read_dataset("folder", parts)) == [EXPECTED] * 3


def test_labelme_beside_the_images(parts):
    for name in ("dent/a.json", "dent/b.json", "rust/a.json"):
        labelme(parts / name)
    (parts / "ok/1.json").write_text('{"exposure": 3}')  # of the camera
    assert masks_of(read_dataset("folder", parts)) == [EXPECTED] * 3


@pytest.mark.parametrize("where", ["annotations/instances.json", "all.json"])
def test_a_coco_table_is_of_many_images(parts, where):
    (parts / "annotations").mkdir()
    coco(parts / where, "dent/a.png", "dent/b.png", "rust/a.png")
    options = {"masks": where} if where == "all.json" else {}
    assert masks_of(read_dataset("folder", parts, **options)) == [EXPECTED] * 3
    frame = pd.DataFrame({"path": ["dent/a.png", "rust/a.png"], "label": 1, "mask": where})
    assert masks_of(from_dataframe(frame, parts)) == [EXPECTED] * 2
    coco(parts / where, "dent/a.png", "dent/b.png", "rust/z.png")
    with pytest.raises(MaskError, match=r"1 of 3 defective .*rust/a\.png"):
        read_dataset("folder", parts, **options)
    coco(parts / where, "a.png", "dent/b.png")
    for read in (
        lambda: read_dataset("folder", parts, **options),
        lambda: from_dataframe(frame, parts),
    ):
        with pytest.raises(MaskError, match=r"a.png of .* could be .*dent/a.png and .*rust/a.png"):
            read()


def test_polygons_in_the_layout_of_mvtec(tmp_path, put_image):
    for name in ("train/good/1", "test/good/2", "test/bad/3"):
        put_image(tmp_path / f"{name}.png")
    (tmp_path / "ground_truth/bad").mkdir(parents=True)
    labelme(tmp_path / "ground_truth/bad/3.json")
    assert masks_of(read_dataset("mvtec", tmp_path)) == [EXPECTED]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: labelme(p, shape_type="rectangle"), "holds rectangle, and only polygons"),
        (lambda p: labelme(p, points=[[1, 1], [2, 2]]), "three or more points"),
        (lambda p: labelme(p, points=[[1, 1], [2, 2], [float("nan"), 1]]), "not finite"),
        (lambda p: labelme(p, points=None), "cannot read the polygons"),
        (lambda p: coco(p, "a.png", segmentation=[]), "annotation 7 is a bounding box"),
        (lambda p: coco(p, "a.png", segmentation={"counts": "PYo"}), "compressed RLE"),
        (lambda p: coco(p, "a.png", segmentation={"counts": [3]}), "runs of .* do not fill"),
        (lambda p: coco(p, "b.png"), "does not name the image"),
        (lambda p: coco(p, "a.png", "a.png"), "names the image .* twice"),
        (lambda p: p.write_text("{"), "cannot read the polygons"),
        (lambda p: p.write_text("[]"), "neither of labelme"),
        (lambda p: p.write_text("[" * 100000), "cannot read the polygons"),
    ],
)
def test_damaged_json_is_named(tmp_path, write, message):
    write(tmp_path / "a.json")
    with pytest.raises(MaskError, match=message):
        load_mask(tmp_path / "a.json", (4, 6), image_path=tmp_path / "a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", "line 1 is a bounding box, and no polygon"),
        ("\n0 0.5 0.5 0.2 0.2 0.3", "line 2 is not a class and points"),
        ("0 1 1 30 10 30 30", "line 1 is not a class and points between 0 and 1"),
        ("0 0.1 0.1 nan 0.2 0.3 0.4", "line 1 is not"),
        ("dent at the left", "could not convert"),
    ],
)
def test_damaged_text_is_named(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(MaskError, match=message):
        load_mask(tmp_path / "a.txt", (4, 6))


def test_polygons_of_another_size(tmp_path):
    labelme(tmp_path / "a.json")
    with pytest.raises(MaskError, match=r"of an image of 6x4 \(width x height\), not 4x6"):
        load_mask(tmp_path / "a.json", (6, 4))
