"""Options of readers at the command line: listed, read, refused, and kept with the run."""

from __future__ import annotations

import json
import re
import shutil

import pandas as pd
import pytest

from lakeviz.cli import main
from lakeviz.data import datasets_table, get_layout
from lakeviz.data.registry import parse_options
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError
from lakeviz.runs.spec import RunSpec


def parse(name, *given):
    return parse_options(name, get_layout(name).options, given)


@pytest.mark.parametrize("name", list(datasets_table()["name"]))
def test_every_option_has_a_help_of_its_reader(name):
    for option in get_layout(name).options.values():
        assert option.help.endswith("."), option


def test_values_have_the_type_of_the_option():
    assert parse("folder", "normal=a, b", "masks=gt", "train-fraction=0.3", "split_seed=4") == {
        "normal": ["a", "b"],
        "masks": "gt",
        "train_fraction": 0.3,
        "split_seed": 4,
    }
    assert parse("csv", "label_threshold=0.5", "images_root=/a=b") == {
        "label_threshold": 0.5,
        "images_root": "/a=b",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["normal"], "key=value, not 'normal'"),
        (["normals=a"], "folder has no option 'normals'; nearest: normal, .*; it has normal, anom"),
        (["split_seed=x"], "split_seed must be a whole number, got 'x'"),
        (["train_fraction=half"], "train_fraction must be a number, got 'half'"),
        (["masks=a", "masks=b"], "option masks is given twice"),
    ],
)
def test_bad_options_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        parse("folder", *given)


def test_datasets_lists_the_options_of_a_reader(capsys):
    main(["datasets", "csv"])
    printed = capsys.readouterr().out
    assert re.search(r"label_threshold +number +Labels are numbers, and anomalous from", printed)
    assert re.search(r"train_fraction +number +0\.5 +Share of the normal images", printed)
    assert re.search(r"on_missing_mask +text +error ", printed)


@pytest.fixture
def textile(tmp_path):
    """Normal images in nominal/, defects in hole/ without masks, and a sheet that is neither."""
    write_benchmark(
        tmp_path / "b", categories=("tile",), size=48, n_train=5, n_good=3, n_per_defect=1
    )
    root = tmp_path / "textile"
    shutil.copytree(tmp_path / "b/tile/train/good", root / "plain")
    shutil.copytree(next((tmp_path / "b/tile/test").glob("cr*")), root / "hole")
    shutil.copytree(tmp_path / "b/tile/test/good", root / "other")
    return root


RUN = ("--shots", "1", "--no-controls", "--map-size", "16", "--k", "4", "--draws", "1")


def test_a_run_keeps_the_options_of_its_reader(textile, tmp_path, capsys):
    own = ("--reader", "normal=plain", "--reader", "anomalous=hole", "--reader", "split_seed=1")
    out = tmp_path / "out"
    main(["run", "folder", "--root", str(textile), "--out", str(out), *own, *RUN])
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["spec"]["reader_options"] == {
        "normal": ["plain"],
        "anomalous": ["hole"],
        "split_seed": 1,
    }
    assert manifest["seeds"]["split"] == 1
    assert set(pd.read_parquet(out / "scores.parquet")["defect_type"]) == {"good", "hole"}
    metrics = pd.read_csv(out / "metrics.csv")
    assert metrics["n_anomalous"].dtype == "int64"  # also in the rows without masks
    assert set(metrics.loc[metrics["level"] == "pixel", "reason"]) == {"the data set has no masks"}
    spec = RunSpec.from_manifest(manifest)
    assert {p.parts[-2] for p in spec.read_data().paths} == {"plain", "hole"}
    assert "note: textile: the images of other/ are not read" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "claims", "readings"])
def test_every_command_that_reads_data_takes_them(command, textile, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        out, bad = str(tmp_path / "o"), "normal=nowhere"
        main([command, "folder", "--root", str(textile), "--out", out, "--reader", bad])
    assert stop.value.code == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
