"""Overlap: order does not matter, ways to compare, errors; items from images and runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_items import NEXT, POINT, D, K, item, planted, quick
from scipy.stats import ttest_1samp

from lakeviz.activations import Loading
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.metrics.estimates import estimate
from lakeviz.studies import load_study
from lakeviz.studies.overlap import OverlapItem, OverlapResult, capture_items, overlap

# --- order, ways to compare, errors ---


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(4)), images=st.permutations(range(6)))
def test_order_of_items_and_images_does_not_matter(order, images):
    def make(shuffled):
        made = planted([range(8), range(4, 12), range(3, 11), range(20, 28)], noise=0.6, n=6)
        if not shuffled:
            return made
        taken = [OverlapItem(m.dataset, m.category, m.pool.take(images)) for m in made]
        return [taken[i] for i in order]

    one, other = quick(make(False), n_random_sets=5), quick(make(True), n_random_sets=5)
    for name, table in one.tables.items():
        assert list(table.columns) == list(other.tables[name].columns)
        for column in table:
            if table[column].dtype.kind == "f":
                np.testing.assert_allclose(table[column], other.tables[name][column], rtol=1e-9)
            else:
                assert table[column].tolist() == other.tables[name][column].tolist()


def test_across_data_sets_only_pairs_of_different_ones():
    sets = [range(8), range(8), range(40, 48)]
    first = planted(sets, dataset="one")
    second = planted(sets[:1], dataset="two")
    result = quick([*first, *second], across="dataset")
    assert len(result.pairs) == 3
    assert set(result.pairs["dataset_a"]) == {"one"}
    assert set(result.pairs["dataset_b"]) == {"two"}
    assert result.pairs["a"].tolist() == ["one/c0", "one/c1", "one/c2"]
    assert result.pairs["n_shared"].tolist() == [8, 8, 0]
    assert list(result.provenance["categories"]) == ["one/c0", "one/c1", "one/c2", "two/c0"]


@pytest.mark.parametrize("across", ["layer", "shots", "seed"])
def test_within_a_category(across):
    varied = {
        "layer": ({"point": POINT}, {"point": NEXT}),
        "shots": ({"shots": "4"}, {"shots": "16"}),
        "seed": ({"seed": 0}, {"seed": 1}),
    }[across]
    generator = np.random.default_rng(2)
    items = []
    for name in ("a", "b"):
        low = generator.standard_normal(D)
        high = low + 0.2 * generator.standard_normal(D)
        items += [item(name, v, n=4, **kw) for v, kw in zip((low, high), varied)]
    result = quick(items, across=across)
    assert result.pairs["category"].tolist() == ["a", "b"]
    (row,) = result.overview.to_dict("records")
    assert row["n_categories"] == 2
    assert row["jaccard"] == pytest.approx(result.pairs["jaccard"].mean())
    expected = ttest_1samp(result.pairs["jaccard"], 0).confidence_interval(0.95)
    assert row["jaccard_low"] == pytest.approx(expected.low)
    assert "items of one category" in result.pairs["reason"].iloc[0]
    assert "blocks.1" in result.summary()


def test_layers_of_other_widths_are_refused():
    items = [item("a", np.zeros(10)), item("a", np.zeros(12), point=NEXT)]
    with pytest.raises(ConfigError, match="blocks of one residual stream"):
        overlap(items, 3, across="layer")
    more = [item("b", np.zeros(10)), item("b", np.zeros(12), point=NEXT)]
    assert len(quick([*items, *more], k=3).pairs) == 2  # across categories, each at its own width


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda i: ([i[0]], {}), ConfigError, "there is d/c0 alone: add categories"),
        (lambda i: ([], {}), ConfigError, "no item"),
        (lambda i: (i, {"across": "seed"}), ConfigError, "add draws of the normal images"),
        (lambda i: (i, {"across": "dataset"}), ConfigError, "of different data sets"),
        (lambda i: (i, {"across": "moon"}), ConfigError, "across must be .*, not 'moon'"),
        (lambda i: ([i[0], i[0]], {}), ConfigError, "twice .dataset d, category c0"),
        (lambda i: (i, {"k": 0}), SelectionError, "between 1 and 80, not 0"),
        (lambda i: (i, {"k": 81}), SelectionError, "between 1 and 80, not 81"),
        (lambda i: (i, {"n_random_sets": 0}), ConfigError, "n_random_sets"),
        (lambda i: (i, {"rbo_p": 1.5}), SelectionError, "persistence"),
        (
            lambda i: ([i[0], item("x", np.zeros(D), weights_hash="ee" * 20)], {}),
            ConfigError,
            "different weights",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    items = planted([range(8), range(4, 12)], weights_hash="aa" * 20)
    given_items, settings_of = change(items)
    with pytest.raises(error, match=message):
        quick(given_items, **({"k": K} | settings_of))


def test_images_outside_the_pool_are_refused():
    with pytest.raises(DataError, match="different positions in a pool of 8"):
        item("a", np.zeros(D), images=(0, 8))


def test_round_trip(tmp_path):
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    back = load_study(result.to_parquet(tmp_path / "overlap"))
    assert isinstance(back, OverlapResult)
    assert back.summary() == result.summary()
    assert back.notes == result.notes
    for name, table in result.tables.items():
        np.testing.assert_array_equal(
            table.select_dtypes("number").to_numpy(), back.tables[name].select_dtypes("number")
        )
    assert "Overlap of selected neurons" in result._repr_html_()


def test_summary_says_what_the_tables_hold():
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    (row,) = result.overview.to_dict("records")
    said = result.summary()
    gap = estimate(row, "minus_chance")
    assert f"two categories, Jaccard index {row['jaccard']:.3f}, minus random sets" in said
    assert f"{gap.text(signed=True)} (95 % over 3 categories): cannot tell" in said
    assert f"Jaccard index of random sets {row['expected_jaccard']:.3f}" in said
    assert "(q < 0.05): than random sets 3 of 3" in said
    assert "does not say that they respond to anomalies" in said


# --- from images ---


def test_captured_items_hold_the_draws_of_the_detector(tmp_path):
    from lakeviz.data import read_dataset
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.lake import select
    from lakeviz.models import load_model

    write_benchmark(
        tmp_path, categories=("carpet", "hex_nut"), size=48, n_train=6, n_good=1, n_per_defect=0
    )
    dataset, model = read_dataset("mvtec", tmp_path), load_model("tiny")
    items = capture_items(
        model, dataset, 10, shots=(2, "all"), seeds=(0, 1), points=[1], pool=5,
        loading=Loading(batch_size=4, workers=0),
    )  # fmt: skip
    assert [(i.category, i.shots, i.seed) for i in items[:4]] == [
        ("carpet", "2", 0), ("carpet", "2", 1), ("carpet", "all", 0), ("carpet", "all", 1),
    ]  # fmt: skip
    one = items[0]
    draw = dataset.category("carpet").few_shot(2, 0)
    assert {one.pool.sample_ids[i] for i in one.images} == set(draw.sample_ids)
    from lakeviz.activations import stream_statistics

    direct = stream_statistics(model, draw.paths, [POINT], with_covariance=True)[POINT]
    np.testing.assert_allclose(one.statistics.variance, direct.variance, rtol=1e-4)
    assert one.select(10).channels.tolist() == select(direct, 10).channels.tolist()
    expected = select(direct, 10, "pca").project(torch.eye(192))
    found = one.subspace.project(torch.eye(192))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)
    result = quick(items, k=10)
    assert len(result.pairs) == 4
    assert result.pairs["pca_kernel"].between(0, 1).all()
    with pytest.raises(SelectionError, match="between 1 and 192"):
        capture_items(model, dataset, 193, points=[1])


def test_figures_and_headline():
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    assert len(result.figures()) == 4
    (row,) = result.headline().to_dict("records")
    assert row["neurons"] == "8 of 80"
    assert row["pairs above random"] == "3 of 3"
    assert row["common ranking"] == "–"
    one_image = quick(planted([range(8), range(4, 12)], n=1))
    assert len(one_image.figures()) == 2  # one pair is no matrix, and there is no ceiling


def test_command_line_compares_two_runs_of_one_model_only(tmp_path, monkeypatch):
    """Two runs by their manifests; the reports themselves are another test's."""
    import json

    from click.testing import CliRunner

    from lakeviz.cli import study
    from lakeviz.cli.app import lakeviz
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.lake import LakeOptions
    from lakeviz.models import load_model
    from lakeviz.runs.run import RunSpec

    described = load_model("tiny").describe()
    for number, category in enumerate(("carpet", "hex_nut")):
        root = tmp_path / f"data{number}"
        write_benchmark(root, categories=(category,), size=48, n_train=4, n_good=1, n_per_defect=0)
        spec = RunSpec("mvtec", str(root), shots=2, options=LakeOptions(k=10, layers=(1,)))
        manifest = {"protocol": "lakeviz-run/1", "spec": spec.to_plain(), "model": described}
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "manifest.json").write_text(json.dumps(manifest))
    concluded = []
    monkeypatch.setattr(study, "conclude", lambda run, result: concluded.append((run, result)))

    def invoke(*arguments: str):
        runs = [str(tmp_path / "run0"), str(tmp_path / "run1")]
        given_options = ["--resamples", "20", "--random-sets", "20", "--workers", "0", *arguments]
        return CliRunner().invoke(lakeviz, ["study", "overlap", *runs, *given_options])

    assert invoke("--across", "dataset").exit_code == 0
    ((run, result),) = concluded
    assert run.folder == tmp_path / "run0"
    assert result.pairs["seed"].tolist() == [0, 1]  # both draws of two of the four images
    assert set(result.pairs["k"]) == {10}
    assert set(result.pairs["dataset_a"]) == {"mvtec (run0)"}
    assert result.provenance["model"]["weights_hash"] == described["weights_hash"]
    assert result.settings["n_resamples"] == 20
    assert isinstance(invoke("--category", "moon").exception, ConfigError)
    assert isinstance(invoke("--category", "carpet").exception, ConfigError)  # one only
    assert "'none'" in str(invoke("--shots", "none").exception)
    assert "one run only" in str(invoke("--root", str(tmp_path)).exception)
    path = tmp_path / "run1" / "manifest.json"
    other = json.loads(path.read_text())
    other["model"]["weights_hash"] = "f" * 64
    path.write_text(json.dumps(other))
    refused = invoke().exception
    assert isinstance(refused, ConfigError)
    assert "run0" in str(refused)
    assert "ffffffffffff" in str(refused)
