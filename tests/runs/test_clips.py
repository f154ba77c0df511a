"""Runs over clips: the control of shuffled frames, or why it is none, and rows of each stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lakeviz import Lake
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark, write_video_benchmark
from lakeviz.lake import LakeOptions
from lakeviz.lake.options import VisualOptions
from lakeviz.metrics.image import auroc
from lakeviz.models import load_model
from lakeviz.report.run_report import write_run_report
from lakeviz.runs.run import execute
from lakeviz.runs.spec import RunSpec
from lakeviz.selector_names import SHUFFLED

OPTIONS = LakeOptions(
    k=16,
    layers=(2,),
    streams=("image", "change_4"),
    text_weight=0,
    map_size=(32, 32),
    visual=VisualOptions(distance="euclidean"),
)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def belt(tmp_path_factory):
    root = tmp_path_factory.mktemp("belt")
    kinds = ("jump", "speed", "stain")
    return write_video_benchmark(
        root, scenes=["belt"], kinds=kinds, n_train=2, n_good=1, n_frames=24, size=96
    )


@pytest.fixture(scope="module")
def run(belt, model, tmp_path_factory):
    spec = RunSpec("clips", str(belt), shots=1, draws=2, options=OPTIONS, controls=(SHUFFLED,))
    return execute(spec, tmp_path_factory.mktemp("run") / "run", model=model)


def test_shuffled_frames_are_a_control_on_the_same_frames(run, belt, model):
    (row,) = run.table("controls").query("level == 'image'").to_dict("records")
    assert row["control"] == SHUFFLED
    assert row["difference"] > 0.02
    assert row["n_members"] == 1
    # By hand: frames shuffled to fit and to test, scores put back in their places.
    data = read_dataset("clips", belt)
    test, values = data.evaluated(), []
    for number in range(2):
        lake = Lake.from_options(model, OPTIONS)
        mixed = test.shuffled_frames(0)
        maps = lake.fit(data.few_shot(1, number=number).shuffled_frames(0)).score(mixed)
        values.append(auroc(maps.image_scores, mixed.labels))
    assert row["control_mean"] == pytest.approx(np.mean(values), abs=1e-6)


def test_every_stream_is_measured_alone_on_the_frames_that_have_it(run, tmp_path):
    table = run.table("streams")
    assert list(table["stream"].unique()) == ["image", "change_4", "fused"]
    assert list(table["defect_type"].unique()) == ["all", "jump", "speed", "stain"]
    evaluation = run.evaluation("belt")
    scores, maps = evaluation.scores, evaluation.maps
    keyed = table.query("level == 'image'").set_index(["stream", "defect_type"])
    for stream, kept in (("image", scores["frame"] >= 0), ("change_4", scores["frame"] >= 4)):
        for kind in ("all", "jump"):
            chosen = kept if kind == "all" else kept & scores["defect_type"].isin(["good", kind])
            row = keyed.loc[(stream, kind)]
            assert row["n_images"] == chosen.sum()
            assert row["low"] <= row["value"] <= row["high"]
            assert "blocks of 25 frames" in row["note"]
        # The mean over both draws is near the first, of which the maps are.
        own = auroc(maps.streams[stream][kept].max(axis=(1, 2)), scores["label"][kept])
        assert keyed.loc[(stream, "all"), "value"] == pytest.approx(own, abs=0.1)
    assert keyed.loc[("fused", "all"), "value"] == pytest.approx(
        evaluation.value("auroc", branch="lake")
    )
    assert keyed.loc[("change_4", "jump"), "value"] > keyed.loc[("image", "jump"), "value"]
    pixel = table.query("level == 'pixel' and metric == 'aupro' and stream == 'image'")
    assert pixel["value"].notna().all()
    assert "image AUROC by stream: image" in evaluation.summary()
    assert "change_4 0." in evaluation.summary()
    assert (run.folder / "streams.csv").is_file()
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "<th>Defects</th><th>image</th><th>change_4</th><th>fused</th>" in page
    assert "shuffled frames" in page


@pytest.mark.parametrize(
    ("streams", "said"),
    [(("image",), "no stream looks at other frames"), (None, "not frames of clips")],
)
def test_where_frames_cannot_be_shuffled_the_row_says_why(belt, model, tmp_path, streams, said):
    if streams is None:
        root = write_benchmark(
            tmp_path / "tiles", categories=("tile",), size=32, n_train=2, n_good=2, n_per_defect=1
        )
        spec = RunSpec("mvtec", str(root), options=LakeOptions(k=4, text_weight=0), shots=1)
    else:
        options = LakeOptions(k=4, layers=(1,), streams=streams, text_weight=0, map_size=(16, 16))
        spec = RunSpec("clips", str(belt), shots=1, options=options)
    made = execute(replace(spec, controls=(SHUFFLED,), draws=1), tmp_path / "run", model=model)
    controls = made.table("controls")
    assert set(controls["control"]) == {SHUFFLED}
    assert controls["reason"].str.contains(said).all()
