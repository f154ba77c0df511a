"""The study ``readings``: planted channels, exchanges by hand, absences, numbers of an audit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from worlds import World

from lakeviz.cli import main
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError
from lakeviz.lake import LakeOptions
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.studies import ReadingsResult, capture_study, load_study, readings
from lakeviz.tables import where
from lakeviz.wording import minus

FEW = Bootstrap(n_resamples=50)
BLOCKS = [f"blocks.{n}.hook_resid_post" for n in range(2)]


def world(**changes) -> World:
    """Channel 0 alone carries the defects, and has the highest variance."""
    scales = [3.0, *np.linspace(2.0, 0.5, 15)]
    return World(**{"scales": scales, "signal": [0], "shift": 6.0, "mean": 20.0} | changes)


def run(data, **changes):
    given = {"n_random_sets": 9, "n_exchanged": 3, "bootstrap": FEW} | changes
    return readings(data, **given)


def only(table: pd.DataFrame, **values) -> pd.Series:
    found = where(table, **values)
    assert len(found) == 1
    return found.iloc[0]


def test_a_planted_channel_carries_the_gap():
    data = world().data(k=4)
    result = run(data, comparisons=["euclidean"], references=["gallery"])
    row = only(result.readings, level="image", metric="auroc")
    top, mean = row["value"], row["control_mean"]
    assert top > 0.95
    assert row["difference"] == pytest.approx(top - mean)
    sets = where(result.random_sets, level="image", metric="auroc")["value"].to_numpy()
    assert mean == pytest.approx(sets.mean())
    assert (row["control_min"], row["control_max"]) == (sets.min(), sets.max())
    assert row["p_value"] == pytest.approx((1 + (sets >= top).sum()) / 10)
    channels = where(result.channels, level="image", metric="auroc")
    carrier = only(channels, carries=True)
    fifth = data.select(5)[BLOCKS[0]].channels[4]
    assert (carrier["channel"], carrier["rank"], carrier["replaced_by"]) == (0, 1, fifth)
    assert carrier["gap_without"] == pytest.approx(row["difference"] + carrier["change"])
    assert carrier["gap_without_high"] < 0.5 < top - mean + 0.5
    assert carrier["variance_share"] == pytest.approx(9 / np.square(world().scales).sum(), rel=0.1)
    overall = only(result.overview(), level="image", metric="auroc")
    assert overall["channel"] == "0 of blocks.0"
    assert not overall["survives"]
    assert overall["paper"] == pytest.approx(0.131)
    assert "without channel 0 of blocks.0 it is" in result.summary()


def test_a_gap_of_many_channels_survives_any_one():
    many = world(signal=range(8), shift=4.0)
    result = run(many.data(k=8), comparisons=["euclidean"], references=["gallery"])
    channels = where(result.channels, level="image", metric="auroc")
    assert channels["change"].abs().max() < 0.1


def test_joint_takes_as_many_channels_in_total():
    data = world(points=BLOCKS).data(k=3)
    result = run(data, comparisons=["euclidean"], references=["gallery"])
    assert dict(zip(result.readings["scope"], result.readings["k"])) == {"layer": 3, "joint": 6}
    assert result.readings["layers"].unique().tolist() == ["0+1"]
    depths = run(data, depths=["1", "0+1"], comparisons=["cosine"], references=["gallery"])
    assert depths.names() == [
        "layer 1, cosine, gallery, 3 per layer",
        "layer 0+1, cosine, gallery, 3 per layer",
        "layer 0+1, cosine, gallery, 6 in total",
    ]
    own = depths.readings[["reading", "own"]].drop_duplicates()
    assert not own["own"].any()  # the detector of this world compares Euclidean distances


def test_what_is_not_defined_says_why():
    result = run(world().data(k=3))
    absent = where(result.readings, comparison="centred cosine", reference="prototype")
    assert absent["value"].isna().all()
    assert absent["reason"].str.contains("mean of centred tokens is zero").all()
    shown = result.headline().set_index("reading")["top minus random"]
    assert (
        shown["layer 0, centred cosine, prototype, 3 per layer"]
        .str.startswith("not measured")
        .all()
    )
    assert "no joint selection, which needs a depth of several" in result.notes[0]
    many = run(world().data(k=3), sizes=[16, 17], comparisons=["cosine"], references=["gallery"])
    assert where(many.readings, k=17)["reason"].str.contains("k must be between 1 and 16").all()
    # All channels are one set: no gap, and no channel left for an exchange.
    assert where(many.readings, k=16)["difference"].abs().max() < 1e-12
    assert many.channels.empty
    assert "1 readings were not measured" in many.summary()


def test_test_images_of_one_class():
    result = run(world(n_anomalous=0).data(k=3), comparisons=["cosine"])
    assert result.readings["value"].isna().all()
    assert result.readings["reason"].str.len().min() > 5
    assert "was not measured under any reading" in result.summary()
    without_masks = run(world(masks=False).data(k=3), comparisons=["cosine"])
    measured = without_masks.readings.groupby("level")["value"].count()
    assert measured["pixel"] == 0 < measured["image"]


def test_several_categories_are_averaged_and_ranked_by_their_means():
    parts = [
        run(
            world(seed=seed).data(k=4),
            comparisons=["euclidean"],
            references=["gallery"],
        )
        for seed in range(3)
    ]
    for number, part in enumerate(parts):
        for table in part.tables.values():
            table["category"] = f"c{number}"
        part.provenance["categories"] = {f"c{number}": {}}
    joined = ReadingsResult.join(parts)
    row = only(joined.overview(), level="image", metric="auroc")
    gaps = where(joined.readings, level="image")["difference"]
    assert row["gap"] == pytest.approx(gaps.mean())
    assert row["n_categories"] == 3
    assert row["gap_low"] < row["gap"] < row["gap_high"]
    means = where(joined.random_sets, level="image").groupby("seed")["value"].mean()
    assert row["p_value"] == pytest.approx((1 + (means >= row["top"]).sum()) / 10)
    alone = only(parts[0].overview(), level="image", metric="auroc")
    assert alone["n_categories"] == 1
    assert "1 category" in parts[0].summary()


def test_figure_and_files(tmp_path):
    result = run(world().data(k=4), comparisons=["cosine", "euclidean"])
    (fig,) = result.figures()
    dashed = [s.x0 for s in fig.layout.shapes if s.line.dash == "dash"]
    assert dashed == pytest.approx([0.131, 0.431])
    back = load_study(result.to_parquet(tmp_path))
    pd.testing.assert_frame_equal(back.overview(), result.overview())
    assert [f.quantity for f in back.findings()].count("AUPRO") >= 1


def test_an_unknown_depth():
    with pytest.raises(ConfigError, match=r"blocks\.7\.hook_resid_post was not captured"):
        run(world().data(k=3), depths=["7"])


@pytest.mark.slow
def test_command_and_report(tmp_path, capsys):
    root = write_benchmark(
        tmp_path / "data", categories=("tile",), size=48, n_train=4, n_good=3, n_per_defect=1
    )
    words = ["readings", "mvtec", "--root", root, "--map-size", "24", "--no-controls"]
    words += ["--random-sets", "2", "--exchanged", "1", "--resamples", "20", "--depth", "0"]
    words += ["--depth", "1+2", "--grid-distance", "cosine", "--out", tmp_path / "out"]
    main([str(word) for word in words])
    said = capsys.readouterr().out
    result = load_study(tmp_path / "out/studies/readings")
    assert isinstance(result, ReadingsResult)
    assert "layer 1+2, cosine, prototype, 48 in total" in said
    assert minus(result.summary()) in said
    assert result.readings[result.readings["own"]]["layers"].unique().tolist() == ["1+2"]
    assert "Readings of the paper" in (tmp_path / "out/report.html").read_text()


VIT, WEIGHTS = "timm/vit_tiny_patch16_224", "vit_tiny_patch16_224.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "folder", "depth", "distance", "reference", "expected", "without"),
    [
        ("mvtec", "hazelnut_toy", "5+6", "cosine", "prototype", 0.956, None),
        ("mtd", "mtd", "8", "centred cosine", "gallery", 0.690, 0.3),
    ],
)
def test_numbers_of_an_independent_audit(
    real_data, reader, folder, depth, distance, reference, expected, without
):
    data = read_dataset(reader, real_data / folder)
    own = data.category(data.categories[0])
    captured = capture_study(
        load_model(VIT, str(real_data / WEIGHTS)),
        own.few_shot(4, 0),
        own,
        options=LakeOptions(k=20, text_weight=0),
        points=depth.split("+"),
    )
    result = readings(
        captured,
        bootstrap=Bootstrap(n_resamples=20),
        depths=[depth],
        comparisons=[distance],
        references=[reference],
        scopes=["layer"],
        metrics=(("pixel", "aupro"),),
        n_random_sets=10,
        n_exchanged=1,
    )
    (row,) = result.readings.to_dict("records")
    assert row["value"] == pytest.approx(expected, abs=0.02)
    assert row["control_mean"] < expected - 0.2
    if without is not None:
        (carrier,) = result.channels.to_dict("records")
        assert carrier["channel"] == 41
        assert carrier["value_without"] < without
