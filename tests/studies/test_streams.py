"""Studies of neurons of several streams: they tell streams apart, or refuse them by name."""

from __future__ import annotations

import pytest

from lakeviz import capture_study, load_model
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_relief_benchmark
from lakeviz.errors import ConfigError
from lakeviz.lake import LakeOptions
from lakeviz.studies import knockout, patching
from lakeviz.studies.overlap.capture import capture_items

POINTS = ("blocks.1.hook_resid_post", "blocks.1.hook_resid_post@normals")


@pytest.fixture(scope="module")
def relief(tmp_path_factory):
    root = tmp_path_factory.mktemp("relief")
    counts = {"n_train": 4, "n_good": 3, "n_per_defect": 1}
    write_relief_benchmark(root, categories=("leather",), size=48, **counts)
    return read_dataset("mvtec_3d", root)


@pytest.fixture(scope="module")
def data(relief):
    options = LakeOptions(
        k=4, layers=(1,), streams=("image", "normals"), text_weight=0, map_size=(32, 32)
    )
    return capture_study(load_model("tiny"), relief.few_shot(2), relief, options=options)


def test_neurons_are_knocked_out_stream_by_stream(data):
    assert data.points == POINTS
    intact = {}
    for point in POINTS:
        own = knockout(
            data.view(points=[point]),
            n_random_sets=2,
            modes=("remove",),
            sizes=(2, 4),
            single=False,
        )
        rows = own.curves.query("level == 'image' and metric == 'auroc' and size == 4")
        assert {"variance", "random"} <= set(rows["selector"])
        intact[point] = rows["intact"].iloc[0]
    # Stains and contaminations alone show in the picture, and more kinds in the normals.
    assert intact[POINTS[1]] > intact[POINTS[0]]


def test_what_runs_the_network_refuses_other_streams_by_name(data):
    said = r"on the pictures alone, and these data have blocks\.1\.hook_resid_post@normals"
    with pytest.raises(ConfigError, match=said):
        knockout(data, kinds=("forward",))
    with pytest.raises(ConfigError, match=said):
        patching(data, n_pairs=3)


def test_neurons_of_streams_are_compared(relief):
    items = capture_items(load_model("tiny"), relief, 4, shots=(2,), points=POINTS, pool=3)
    assert [item.subspace.point for item in items] == list(POINTS)
    assert {len(item.pool.sample_ids) for item in items} == {3}
