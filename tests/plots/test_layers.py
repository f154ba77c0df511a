"""A score map's parts make it up, and look alike where they are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz import Lake, load_model
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError
from lakeviz.lake.score_maps import join_layers
from lakeviz.plots import caption_of, colour_range, layer_ranges, layers_figure
from lakeviz.plots.layers import join_error
from lakeviz.studies.base.captured import StudyData

RNG = np.random.default_rng(0)
LABELS = np.array([0, 0, 0, 1])


def batch(w: float) -> dict[str, np.ndarray]:
    """Maps of four images that add up, by hand."""
    layers = {f"visual/blocks.{i}": RNG.random((4, 3, 5)) for i in (1, 2)}
    visual = (layers["visual/blocks.1"] + layers["visual/blocks.2"]) / 2
    if not w:
        return {"visual": visual, **layers}
    text = RNG.random((4, 3, 5))
    return {"fused": (1 - w) * visual + w * text, "text": text, "visual": visual, **layers}


def of(maps, index):
    return {name: values[index] for name, values in maps.items()}


def test_panels_and_formula_with_text():
    maps = batch(0.25)
    ranges = layer_ranges(maps, LABELS)
    photo, mask = Image.new("RGB", (50, 30)), np.zeros((30, 50), dtype=bool)
    mask[3:9, 10:20] = True
    fig = layers_figure(of(maps, 3), ranges, text_weight=0.25, image=photo, mask=mask)
    said = [note.text for note in fig.layout.annotations]
    names = ["image", "fused", "text", "visual", "blocks.1", "blocks.2"]
    assert [text.split("<br>")[0] for text in said] == names
    assert said[3].split("<br>")[1] == said[4].split("<br>")[1]  # one range for the visual maps
    heat = {t.name: t for t in fig.data if t.type == "heatmap"}
    for name, trace in heat.items():
        assert np.array_equal(trace.customdata[..., 2], maps[name][3])
    _, caption = caption_of(fig)
    assert "fused = 0.75 visual + 0.25 text; visual = mean of 2 layers" in caption
    assert "3 normal test images" in caption
    outlines = [t for t in fig.data if t.name == "mask outline"]
    assert len(outlines) == 6


def test_without_text_the_visual_map_stands_for_the_fused_one():
    maps = batch(0)
    fig = layers_figure(of(maps, 0), layer_ranges(maps, LABELS))
    said = [n.text.split("<br>")[0] for n in fig.layout.annotations]
    assert said == ["visual", "blocks.1", "blocks.2"]
    assert "There is no text branch" in caption_of(fig)[1]


def test_one_scale_for_the_visual_map_and_all_its_layers():
    maps = batch(0.5)
    ranges = layer_ranges(maps, LABELS)
    assert ranges["visual"].low == pytest.approx(np.median(maps["visual"][:3]))
    for kind in ("text", "fused", "visual"):
        highest = maps[kind].reshape(len(LABELS), -1).max(axis=1)
        assert ranges[kind] == colour_range(maps[kind], LABELS, highest)


def test_maps_that_do_not_add_up_are_refused():
    maps = batch(0.25)
    ranges = layer_ranges(maps, LABELS)
    with pytest.raises(ConfigError, match="do not make up the map"):
        layers_figure(of(maps, 0), ranges, text_weight=0.3)
    with pytest.raises(ConfigError, match="do not make up the map"):
        layers_figure(of(maps, 0) | {"visual": maps["visual"][1]}, ranges, text_weight=0.25)
    with pytest.raises(ConfigError, match="needs a text map"):
        layers_figure({"visual": maps["visual"][0]}, ranges, text_weight=0.25)
    with pytest.raises(ConfigError, match="no colours for 'text'"):
        layers_figure(of(maps, 0), {"visual": ranges["visual"], "fused": ranges["fused"]},
                      text_weight=0.25)  # fmt: skip
    with pytest.raises(ConfigError, match="no visual map"):
        layers_figure({"text": maps["text"][0]}, ranges)


def test_maps_of_a_detector_are_made_up_exactly_by_their_parts(tmp_path):
    write_benchmark(tmp_path, categories=["wood"], n_train=3, n_good=2, n_per_defect=1, size=64)
    data = read_dataset("mvtec", tmp_path).category("wood")
    lake = Lake(load_model("tiny"), k=20).fit(data.few_shot(2, 0))
    maps = lake.score(data.split("test"))
    assert lake.text_weight > 0
    every = {"fused": maps.patch, **maps.parts}
    assert join_error(every, lake.text_weight) < 1e-6
    ranges = layer_ranges(every, data.split("test").labels)
    fig = layers_figure(of(every, 0), ranges, text_weight=lake.text_weight)
    assert len(fig.data) == 3 + len(lake.points)


def test_maps_of_study_data_are_made_up_exactly_by_their_layers():
    generator = torch.Generator().manual_seed(0)
    tokens = {p: torch.randn(5, 6, 8, generator=generator) for p in ("a", "b", "c")}
    data = StudyData.of_arrays(tokens, tokens, np.array([0, 0, 0, 1, 1]), grid=(2, 3))
    branch = data.branches([data.select(4)], images=[0, 1])[0]
    layers = join_layers(branch.score(tokens), data.grids)[1]
    every = {"visual": data.visual_maps([branch])[0]}
    every |= {f"visual/{p}": layer.numpy() for p, layer in layers.items()}
    assert join_error(every, 0.0) < 1e-6
    layers_figure(of(every, 4), layer_ranges(every, data.truth.labels))
