"""The explorer patches neurons of an image with those of its twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz import units
from lakeviz.activations import select_tokens
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.explorer import Explorer
from lakeviz.explorer.interventions import twin_of_image
from lakeviz.lake import LakeOptions
from lakeviz.studies import capture_study
from lakeviz.studies.base.unit_data import on_units

EARLY, LATE = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"


@pytest.fixture
def explored(tmp_path, tiny_model):
    """Explore tiles on a tiny tower, at two hook points."""
    write_benchmark(tmp_path, categories=("tile",), size=32, n_train=3, n_good=2, n_per_defect=1)
    tile = read_dataset("mvtec", tmp_path).category("tile")
    options = LakeOptions(k=6, map_size=(16, 16))
    data = capture_study(
        tiny_model("timm"), tile.few_shot(3), tile, options=options, points=[EARLY, LATE]
    )
    explorer = Explorer(data, n_controls=2)
    index = int(np.flatnonzero(data.truth.labels)[0])
    return explorer, index


def test_an_exchange_is_that_of_hand_made_hooks(explored) -> None:
    explorer, index = explored
    fitted = explorer.fitted()
    data, tower = fitted.data, fitted.data.model.tower
    channels = fitted.galleries[EARLY].selection.channels[:2].tolist()
    twin = twin_of_image(fitted, index)
    assert twin.kind == "rendered"
    _, cache = tower.run_with_cache(twin.image, names_filter=[EARLY])
    stream = cache[EARLY].clone()
    _, other = tower.run_with_cache(twin.twin, names_filter=[EARLY])
    stream[..., channels] = other[EARLY][..., channels]
    _, later = tower.run_from(EARLY, stream, names_filter=[LATE])
    values = {EARLY: stream, LATE: later[LATE]}
    chosen = {p: g.chosen(select_tokens(tower, p, values[p])) for p, g in fitted.galleries.items()}
    found = explorer.exchange({EARLY: channels}, index)
    expected = fitted.image_map(index, fitted.galleries, chosen)
    np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found.map - fitted.intact.fused[index]).max() > 1e-4
    assert found.score == pytest.approx(float(data.options.image_score(expected[None])[0]), 1e-4)
    assert found.intact == fitted.image_scores[index]
    assert found.control_maps.shape == (2, *found.map.shape)
    assert [len(one[EARLY]) for one in found.controls] == [2, 2]


def test_nothing_exchanged_is_the_image_and_a_twin_is_less_anomalous_there(explored) -> None:
    explorer, index = explored
    fitted = explorer.fitted()
    still = explorer.exchange({}, index)
    np.testing.assert_allclose(still.map, fitted.intact.fused[index], rtol=1e-3, atol=1e-5)
    twin = twin_of_image(fitted, index)
    with torch.no_grad():
        _, cache = fitted.data.model.tower.run_with_cache(twin.twin, names_filter=[EARLY, LATE])
    chosen = {
        p: g.chosen(select_tokens(fitted.data.model.tower, p, cache[p]))
        for p, g in fitted.galleries.items()
    }
    own = fitted.image_map(index, fitted.galleries, chosen)
    assert still.twin_score == pytest.approx(float(fitted.data.options.image_score(own[None])[0]))


@pytest.mark.parametrize("kind", ["neurons", "lifted latents"])
def test_units_are_exchanged_as_neurons_are(explored, kind) -> None:
    """Units that are the neurons give what the neurons give; latents keep their error."""
    explorer, index = explored
    data = explorer.fitted().data
    eye = torch.eye(32)
    made = [
        units.channels(data.model, point)
        if kind == "neurons"
        else units.AutoencoderUnits(point, eye, torch.zeros(32), eye, torch.full((32,), -100.0))
        for point in data.points
    ]
    euclidean = replace(data.options, visual=replace(data.options.visual, distance="euclidean"))
    own = Explorer(data.view(options=euclidean), n_controls=2)
    other = Explorer(on_units(data.view(options=euclidean), made), n_controls=2)
    channels = own.fitted().galleries[EARLY].selection.channels[:2].tolist()
    assert other.fitted().galleries[EARLY].selection.channels[:2].tolist() == channels
    expected = own.exchange({EARLY: channels}, index)
    found = other.exchange({EARLY: channels}, index)
    np.testing.assert_allclose(found.map, expected.map, rtol=1e-3, atol=1e-4)
    assert found.score != pytest.approx(found.intact)
    assert found.twin_score == pytest.approx(expected.twin_score, rel=1e-3)


def test_heads_are_exchanged_whole(explored) -> None:
    explorer, index = explored
    data = explorer.fitted().data
    point = "blocks.1.attn.hook_z"
    options = LakeOptions(k=2, map_size=(16, 16))
    own = capture_study(
        data.model, data.normal_paths, data.dataset, options=options, points=[point]
    )
    heads = Explorer(on_units(own, units.heads(data.model, point)), n_controls=2)
    tower, galleries = data.model.tower, heads.fitted().galleries
    head = int(galleries[point].selection.channels[0])
    found = heads.exchange({point: [head]}, index)
    twin = twin_of_image(heads.fitted(), index)
    z, other = (
        tower.run_with_cache(image, names_filter=[point])[1][point]
        for image in (twin.image, twin.twin)
    )
    z[:, :, head] = other[:, :, head]
    lengths = z[:, tower.adapter.n_prefix_tokens :].norm(dim=-1)
    chosen = {point: galleries[point].chosen(lengths)}
    expected = heads.fitted().image_map(index, galleries, chosen)
    np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_exchanged_is_said(explored) -> None:
    explorer, index = explored
    normal = int(np.flatnonzero(explorer.fitted().data.truth.labels == 0)[0])
    with pytest.raises(DataError, match="has no mask that the tower sees"):
        explorer.exchange({}, normal)
    with pytest.raises(SelectionError, match="no neurons are selected at"):
        explorer.exchange({"blocks.2.hook_resid_post": [1]}, index)
    data = explorer.fitted().data
    with pytest.raises(ConfigError, match="an exchange runs the model"):
        Explorer(replace(data, model=None)).exchange({}, index)
    with pytest.raises(DataError, match="there are none"):
        Explorer(replace(data, dataset=None)).exchange({}, index)


def test_the_widget_patches_what_is_chosen(explored) -> None:
    from lakeviz.explorer.widget import ExplorerWidget

    explorer, index = explored
    widget = ExplorerWidget(explorer)
    channels = explorer.fitted().galleries[EARLY].selection.channels[:2].tolist()
    for message in (
        {"do": "image", "index": index},
        {"do": "toggle", "dropped": {EARLY: channels}},
        {"do": "exchange"},
    ):
        widget._receive(None, message)
        assert widget.problem == ""
    view = explorer.exchange({EARLY: channels}, index)
    assert widget.exchanged["score"] == pytest.approx(view.score)
    assert widget.exchanged["twin_score"] == pytest.approx(view.twin_score)
    assert widget.exchanged["n"] == 2
    assert widget.exchanged["heat"] != widget.knocked["heat"]
    widget._receive(None, {"do": "image", "index": index})
    assert widget.exchanged == {}  # it is of the choice before
    widget.wait()
