"""What the version before stored still opens: a run, its studies, and their figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import lakeviz
from lakeviz.runs.run_folder import RunFolder
from lakeviz.studies import get_study, load_studies

RUN = Path(__file__).parent / "golden/run_v1"
NAMES = sorted(path.name for path in (RUN / "studies").iterdir())
OLD = {"part", "order", "interval_level", "n_draws"}


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_study_reads_speaks_and_draws(name):
    result = lakeviz.load_study(RUN / "studies" / name)
    assert isinstance(result, get_study(name).result)
    assert result.summary()
    assert len(result.headline())
    assert result.figures()
    columns = {column for table in result.tables.values() for column in table}
    assert not (OLD - {"part"} if name == "claims" else OLD) & columns  # a claim has parts
    for table in result.tables.values():
        if "metric" in table:
            assert "margin" not in set(table["metric"])


def test_scored_maps_read():
    result = lakeviz.load_study(RUN / "score")
    assert "branch" in result.metrics
    assert np.isfinite(result.metrics["confidence"]).any()


def test_a_stored_run_reads_with_todays_names():
    run = RunFolder.open(RUN, root=RUN / "data")
    assert sorted(run.categories) == ["gear", "wood"]
    assert {"branch", "confidence"} <= set(run.table("metrics"))
    controls = run.table("controls")
    assert {"difference_low", "difference_high"} <= set(controls)
    assert (controls["difference_low"] <= controls["difference"]).all()
    evaluations = run.evaluations
    assert [e.category for e in evaluations] == run.categories
    assert evaluations[0].value("auroc") == pytest.approx(
        run.table("metrics")
        .query("branch == 'lake' and level == 'image' and metric == 'auroc'")["value"]
        .iloc[0]
    )


def test_a_report_of_a_stored_run(tmp_path):
    from lakeviz.report import write_run_report

    folder = shutil.copytree(RUN, tmp_path / "run")
    page = write_run_report(RunFolder.open(folder, root=folder / "data")).read_text()
    for result in load_studies(folder):
        assert result.title in page
