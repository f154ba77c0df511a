"""``lakeviz claims`` from a data set to a table in its report."""

from __future__ import annotations

import re

import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.studies.claims import ClaimsResult

FEW = ["--k", "10", "--map-size", "24", "--no-controls", "--random-sets", "2", "--fits", "2"]
FEW += ["--untrained", "1", "--draws", "2"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_benchmark(
        tmp_path_factory.mktemp("data"),
        categories=("tile",),
        size=48,
        n_train=8,
        n_good=4,
        n_per_defect=1,
    )


def run(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
def test_table_report_and_single_blocks(root, tmp_path, capsys):
    words = ["claims", "mvtec", "--root", root, *FEW, "--resamples", "20", "--depth", "4"]
    assert run(*words, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    result = ClaimsResult.from_parquet(tmp_path / "out/studies/claims")
    assert result.points[1:] == ["blocks.3.hook_resid_post"]
    assert len(result.verdicts) == 30
    assert "10. needs little memory" in said
    assert result.summary() in said
    page = (tmp_path / "out/report.html").read_text()
    assert "The claims of the paper" in page
    text = result.verdicts.set_index(["points", "name"])["reason"]
    # The embedded model has a text branch; whether these few images leave it room is another thing.
    assert "no text branch" not in text[result.points[0], "text_helps"]
    assert (result.parts["n_draws"].max(), result.provenance.get("plan")) == (2, None)
    # The same run is taken again, with another metric.
    assert run(*words[:-2], "--metric", "pixel:aupro", "--out", tmp_path / "out") == 0
    again = ClaimsResult.from_parquet(tmp_path / "out/studies/claims")
    assert again.provenance["settings"]["metric"] == ["pixel", "aupro"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--depth", "0"], "'--depth': 0 is not between 1 and 1000000"),
        (["--depth", "7"], "names no block: there are 6"),
        (["--metric", "auroc"], "image:auroc, .* got auroc"),
        (["--metric", "image:cohens_d"], "got image:cohens_d"),
        (["--random-sets", "1"], "'--random-sets': 1 is not between 2 and"),
        (["--host", "patchcor"], "no host 'patchcor'"),
    ],
)
def test_bad_settings_are_named(root, tmp_path, capsys, words, message):
    assert run("claims", "mvtec", "--root", root, *FEW, *words, "--out", tmp_path / "out") == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_under_a_plan_says_so(root, tmp_path, capsys):
    words = ["claims", "mvtec", "--root", root, *FEW, "--resamples", "20"]
    plan, out = tmp_path / "plan.json", tmp_path / "out"
    assert run(*words, "--out", out, "--write-plan", plan) == 0
    assert not out.exists()
    assert run(*words, "--out", out, "--plan", plan) == 0
    assert "As planned" in capsys.readouterr().out
    assert "As planned" in (out / "report.html").read_text()
    assert run(*words, "--random-sets", "3", "--out", out, "--plan", plan) == 0
    assert "claims.n_random_sets: planned 2, now 3" in capsys.readouterr().out
    assert run(*words, "--out", out, "--write-plan", tmp_path / "late.json") == 2
    assert "holds a run already" in capsys.readouterr().err


def test_no_data_set(capsys):
    assert run("claims") == 2
    assert "name a data set and its --root" in capsys.readouterr().err
