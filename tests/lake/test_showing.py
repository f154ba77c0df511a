"""One line to a picture: what a detector and its results draw of themselves."""

from __future__ import annotations

import base64
import io
import pickle

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import Lake
from lakeviz.lake.figures import KINDS
from lakeviz.plots import caption_of


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    root = tmp_path_factory.mktemp("tile")
    write_benchmark(root, categories=("tile",), size=32, n_train=4, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root)["tile"]


@pytest.fixture
def lake(tiny_model, tile) -> Lake:
    lake = Lake(tiny_model("clip"), k=8, layers=[1], text_weight=0)
    return lake.fit(tile.few_shot(2, seed=0), controls=[("random", 0), ("all", 0)])


def photograph(figure: go.Figure) -> Image.Image:
    source = figure.layout.images[0].source
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_every_kind_of_an_evaluation(lake, tile) -> None:
    evaluation = lake.evaluate(tile)
    for kind in [name for name, own in KINDS.items() if not (own.of_clips or own.of_image)]:
        assert evaluation.plot(kind).data
    assert caption_of(evaluation.plot())[0] == "Image scores: tile"
    with pytest.raises(ConfigError, match="nearest: gallery"):
        evaluation.plot("galery")
    assert evaluation.gallery(per_group=1).data
    name = evaluation.maps.sample_ids[4]
    for image in (4, name, 4 - len(evaluation.maps)):
        figure = evaluation.heatmap(image)
        assert caption_of(figure)[0] == f"Patch scores: {name}"
    with pytest.raises(DataError, match="images 0 to"):
        evaluation.heatmap(10**6)
    with pytest.raises(DataError, match="no image 'x'"):
        evaluation.heatmap("x")


def test_the_notebook_table_begins_with_detection_and_localisation(lake, tile) -> None:
    shown = lake.evaluate(tile)._table_html().partition("more rows")[0]
    rows = [row for row in shown.split("<tr>") if "<td>" in row]
    assert {"aupro" in row for row in rows[:6]} == {True, False}
    assert all("<td>lake</td>" in row for row in rows[:6])


def test_maps_draw_the_images_that_were_scored(lake, tile) -> None:
    maps = lake.score(tile.evaluated())
    picture = np.asarray(photograph(maps.heatmap(0)).convert("L"), dtype=float)
    expected = np.asarray(tile.evaluated()[0]["image"].convert("L"), dtype=float)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).mean() < 6  # stored as JPEG
    raw = np.random.default_rng(0).random((2, 32, 32, 3))
    assert lake.score(raw).heatmap("image 1").data
    normalised = torch.stack([lake.model.preprocess(tile[i]["image"]) for i in range(2)])
    again = lake.score(normalised, preprocessed=True).heatmap(1)
    seen = np.asarray(photograph(again).convert("L"), dtype=float)
    assert np.abs(seen - np.asarray(tile[1]["image"].convert("L"), dtype=float)).mean() < 6
    maps.picture = None
    with pytest.raises(DataError, match="hold no images"):
        maps.heatmap(0)


def test_spectrum_and_representations_are_short(lake, tile) -> None:
    assert lake.spectrum().data
    evaluation = lake.evaluate(tile)
    for one in (lake, evaluation, evaluation.maps, tile):
        assert len(repr(one)) < 700
        assert "array(" not in repr(one)
    assert "8 neurons each by variance" in repr(lake)
    with pytest.raises(AttributeError, match=r"lake\.score"):
        lake.predict  # noqa: B018
    for owner, name, said in (
        (evaluation.maps, "anomaly_map", r"scores\.pixel_map\(0\)"),
        (evaluation.maps, "image_score", "nearest: image_scores"),
        (evaluation, "auroc", r"evaluation\.metrics"),
    ):
        with pytest.raises(AttributeError, match=said):
            getattr(owner, name)


def test_a_data_set_by_name_position_and_slice(tile) -> None:
    first = tile[0]
    assert first["image"].size == (32, 32)
    assert first["sample_id"] == tile.sample_ids[0]
    assert tile[-1]["sample_id"] == tile.sample_ids[-1]
    assert tile[2:5].sample_ids == tile.sample_ids[2:5]
    assert tile[tile.labels == 1].labels.all()
    with pytest.raises(DataError, match="no category 'tyle'"):
        tile["tyle"]
    with pytest.raises(IndexError):
        tile[len(tile)]
    assert len(pickle.loads(pickle.dumps(tile))) == len(tile)
