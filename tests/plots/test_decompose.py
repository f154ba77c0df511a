"""Figures of the ``decompose`` study show the numbers of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots import caption_of
from lakeviz.studies.decompose.figures import (
    block_contributions_figure,
    head_map_figure,
    source_patches_figure,
    top_neurons_figure,
)

TERMS = [("embedding", "embedding", -1), ("final.bias", "bias", -1)]
TERMS += [(f"blocks.{b}.attn", "attention", b) for b in range(3)]
TERMS += [(f"blocks.{b}.mlp", "mlp", b) for b in range(3)]


def _row(value: float, clear: bool) -> dict[str, object]:
    """A row whose difference is beyond both controls, or within one of them."""
    edge = abs(value) / 2 if clear else 2 * abs(value) + 1
    return {
        "category": "<nut>",
        "difference": value,
        "difference_low": value - 0.1,
        "difference_high": value + 0.2,
        "control_quantile_low": -edge,
        "control_quantile_high": edge,
        "p_corrected": 0.01,
        "auroc": 0.7,
        "n_random_sets": 9,
        "n_images": 23,
    }


def components(category: str = "<nut>") -> pd.DataFrame:
    rows = []
    for i, (name, kind, block) in enumerate(TERMS):
        about = {"component": name, "kind": kind, "block": block, "head": -1, "level": "blocks"}
        rows.append(_row(0.1 * (i + 1), clear=i % 2 == 0) | about)
    for block in range(3):
        for head in range(2):
            value = 0.1 * (block + 1) * (-1) ** head
            about = {"component": f"blocks.{block}.attn.head.{head}", "kind": "head"}
            about |= {"block": block, "head": head, "level": "heads"}
            rows.append(_row(value, clear=(block, head) == (2, 1)) | about)
    return pd.DataFrame(rows).assign(category=category)


def patches(category: str = "nut") -> pd.DataFrame:
    rows = [
        {"image": f"test/{'bad' if i % 2 else 'good'}/{i}.png", "label": i % 2}
        | {"row": r, "column": c, "contribution": 0.1 * i + r - c}
        for i in range(6)
        for r in range(2)
        for c in range(3)
    ]
    frame = pd.DataFrame(rows)
    frame.insert(0, "category", category)
    return frame


def test_blocks_with_their_intervals_and_random_directions():
    fig = block_contributions_figure(components(), controls="of <prompts>")
    boxes, *marks = fig.data
    top = np.asarray(boxes.base, dtype=float) + np.asarray(boxes.y, dtype=float)
    np.testing.assert_allclose(top, components()["control_quantile_high"].to_numpy(dtype=float)[:8])
    by_name = {trace.name: trace for trace in marks}
    assert list(by_name["attention"].x) == ["0 attn", "1 attn", "2 attn"]
    np.testing.assert_allclose(list(by_name["attention"].y), [0.3, 0.4, 0.5])
    np.testing.assert_allclose(list(by_name["attention"].error_y.array), 0.2)
    # Filled only where beyond both controls.
    assert list(by_name["attention"].marker.symbol) == ["circle", "circle-open", "circle"]
    title, caption = caption_of(fig)
    assert "<nut>" in title
    assert "&lt;nut&gt;" in fig.layout.title.text
    assert "23 test images" in caption
    assert "9 random directions (of <prompts>)" in caption


def test_what_is_not_beyond_shuffled_labels_stays_open():
    table = components().assign(p_corrected=0.5)
    for trace in block_contributions_figure(table).data[1:]:
        assert all(symbol.endswith("-open") for symbol in trace.marker.symbol)


def test_heads_lie_at_their_layer_and_number():
    fig = head_map_figure(components())
    (heat,) = fig.data
    np.testing.assert_allclose(heat.z, [[0.1, -0.1], [0.2, -0.2], [0.3, -0.3]])
    assert heat.zmin == -heat.zmax == pytest.approx(-0.3)
    assert heat.text[2][1] == "-0.300*"
    (box,) = fig.layout.shapes
    assert (box.x0 + box.x1, box.y0 + box.y1) == (2, 4)
    assert "1 of 6 heads" in caption_of(fig)[1]


def test_top_neurons_say_that_they_were_picked():
    table = pd.DataFrame([_row(0.3 - 0.1 * i, clear=True) for i in range(3)])
    table = table.assign(block=[1, 0, 2], neuron=[5, 6, 7], n_neurons=3072)
    fig = top_neurons_figure(table, shown=2)
    *ranges, marks = fig.data
    np.testing.assert_allclose(marks.x, [0.3, 0.2])
    assert list(fig.layout.yaxis.ticktext) == ["block 1, 5", "block 0, 6"]
    assert [list(one.x) for one in ranges] == table[
        ["control_quantile_low", "control_quantile_high"]
    ].to_numpy()[:2].tolist()
    assert "picked after looking" in caption_of(fig)[1]
    assert "3,072 neurons" in caption_of(fig)[1]


def test_maps_of_source_patches_share_one_scale_of_normal_images():
    fig = source_patches_figure(patches(), columns=2)
    assert len(fig.data) == 4
    np.testing.assert_allclose(fig.data[0].z, [[0, -1, -2], [1, 0, -1]])
    assert {trace.coloraxis for trace in fig.data} == {"coloraxis"}
    axis = fig.layout.coloraxis
    normal = patches().query("label == 0")["contribution"]
    assert (axis.cmin + axis.cmax) / 2 == pytest.approx(normal.median())
    said = [note.text for note in fig.layout.annotations]
    assert said == [
        "normal: good/0.png",
        "normal: good/4.png",
        "anomalous: bad/1.png",
        "anomalous: bad/5.png",
    ]
    (one,) = source_patches_figure(patches(), images=["test/bad/3.png"]).data
    assert one.z[0][0] == pytest.approx(0.3)


def test_what_cannot_be_drawn():
    with pytest.raises(ConfigError, match="one category"):
        block_contributions_figure(pd.concat([components("a"), components("b")]))
    with pytest.raises(ConfigError, match="no component"):
        block_contributions_figure(components().query("level == 'heads'"))
    with pytest.raises(ConfigError, match="no head"):
        head_map_figure(components().query("level == 'blocks'"))
    with pytest.raises(ConfigError, match="no neuron"):
        top_neurons_figure(components()[:0])
    with pytest.raises(ConfigError, match="no image gone"):
        source_patches_figure(patches(), images=["gone"])
    with pytest.raises(ConfigError, match="one category"):
        source_patches_figure(pd.concat([patches("a"), patches("b")]))
