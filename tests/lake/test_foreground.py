"""Metrics of the foreground: what counts, and when there is no such branch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from sklearn import metrics as sk

from lakeviz.data import read_dataset
from lakeviz.data.depth import foreground
from lakeviz.data.depth_files import read_depth
from lakeviz.data.synthetic import write_relief_benchmark
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.stream_rows import foreground_rows
from lakeviz.metrics import Bootstrap

SIZE = (32, 32)
OPTIONS = LakeOptions(map_size=SIZE)


@pytest.fixture(scope="module")
def relief(tmp_path_factory):
    root = tmp_path_factory.mktemp("relief")
    counts = {"n_train": 1, "n_good": 3, "n_per_defect": 1}
    return write_relief_benchmark(root, categories=("coin", "wood"), size=32, **counts)


def measured(data, maps):
    truth = Truth.of_dataset(data, [SIZE] * len(data), SIZE)
    rows, draws = foreground_rows(
        data, [SIZE] * len(data), [maps], truth, OPTIONS, Bootstrap(n_resamples=20)
    )
    return pd.DataFrame(rows), pd.DataFrame(draws), truth


def test_the_plane_behind_a_thing_does_not_count(relief):
    data = read_dataset("mvtec_3d", relief, categories=["coin"]).split("test")
    shown = [foreground(read_depth(d.path)) for d in data.depths]
    rng = np.random.default_rng(0)
    maps = [np.where(on, 0, 10) + rng.random(SIZE) for on in shown]  # alarms on the plane alone
    rows, draws, truth = measured(data, maps)
    assert set(rows["branch"]) == {"foreground"}
    value = rows.set_index(["level", "metric"])["value"]
    assert {"aupro_0.05", "aupro_0.01"} < set(value["pixel"].index)
    scores = [one[on].max() for one, on in zip(maps, shown)]
    assert value["image", "auroc"] == pytest.approx(sk.roc_auc_score(data.labels, scores))
    counted = [on | mask for on, mask in zip(shown, truth.masks)]
    pixels = np.concatenate([one[c] for one, c in zip(maps, counted)])
    labels = np.concatenate([mask[c] for mask, c in zip(truth.masks, counted)])
    assert value["pixel", "auroc"] == pytest.approx(sk.roc_auc_score(labels, pixels))
    assert len(draws) == rows["value"].notna().sum()


def test_a_surface_that_only_defects_stand_off_is_no_background(tmp_path):
    root = write_relief_benchmark(
        tmp_path, categories=("wood",), size=32, n_train=1, n_good=3, n_per_defect=1
    )
    for path in root.rglob("xyz/*.tiff"):  # a flat plate, with a pit in every defective one
        points = tifffile.imread(path)
        points[..., 2] = 500
        if "good" not in path.parts:
            points[8:16, 8:16, 2] = 510
        tifffile.imwrite(path, points, photometric="rgb")
    data = read_dataset("mvtec_3d", root).split("test")
    assert not foreground(read_depth(data.depths[-1].path)).all()
    assert measured(data, [np.ones(SIZE)] * len(data))[0].empty


def test_without_a_plane_or_without_depth_there_is_no_such_branch(relief):
    for name, category in (("mvtec_3d", "wood"), ("folder", None)):
        root = relief if category else relief / "coin/test/good"
        options = {"normal": "rgb", "category": "x"} if category is None else {}
        data = read_dataset(name, root, categories=[category] if category else None, **options)
        data = data.split("test")
        assert measured(data, [np.ones(SIZE)] * len(data))[0].empty
