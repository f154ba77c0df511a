"""A new metric, selector and study need one file each: the examples of the documentation do it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import lakeviz
from lakeviz import selector_names
from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import selector_registry
from lakeviz.metrics import Bootstrap, registry
from lakeviz.metrics.estimates import Estimate
from lakeviz.studies import study_names
from lakeviz.studies.base import registry as studies
from lakeviz.studies.base.findings import Finding

PAGE = Path(__file__).parents[2] / "docs/extending.md"
METRIC, SELECTOR, STUDY = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.fixture
def run_block(monkeypatch):
    """Run a block of the page as a module; what it registers is forgotten after the test."""
    for home, name in (
        (registry, "_DEFINITIONS"),
        (selector_registry, "SELECTORS"),
        (selector_names, "SELECTOR_NAMES"),
        (studies, "_REGISTRY"),
    ):
        kept = dict(getattr(home, name))
        monkeypatch.setattr(home, name, kept)
        if home is selector_names:
            monkeypatch.setattr(selector_registry, name, kept)
        if home is selector_registry and name == "SELECTORS":
            monkeypatch.setattr("lakeviz.lake.SELECTORS", kept, raising=False)

    def run(code: str) -> ModuleType:
        module = ModuleType("extension")
        monkeypatch.setitem(sys.modules, "extension", module)
        exec(compile(code, str(PAGE), "exec"), module.__dict__)
        return module

    return run


@pytest.mark.parametrize("code", [METRIC, SELECTOR, STUDY])
def test_an_extension_is_short(code):
    assert len(code.splitlines()) <= 60


def test_a_metric(run_block, world):
    run_block(METRIC)
    data = world()
    metrics = (("image", "fpr95"), ("pixel", "fpr95"))
    evaluator = data.evaluator(metrics, Bootstrap(n_resamples=50))
    maps = data.visual_maps(data.branches([data.select(3)]))[0]
    found = evaluator.measure(maps)
    scores, labels = maps.reshape(len(maps), -1).max(1), data.truth.labels.astype(bool)
    positives = np.sort(scores[labels])[::-1]
    threshold = positives[int(np.ceil(0.95 * labels.sum() - 1e-9)) - 1]
    assert found.values["image", "fpr95"] == pytest.approx((scores[~labels] >= threshold).mean())
    assert 0 <= found.values["pixel", "fpr95"] <= 1
    # Lower is better, and 0 is perfect.
    perfect = Finding("n", metrics[0], "wood", Estimate(0.0, 0.0, 0.0), value=Estimate(0, 0, 0))
    assert perfect.verdict == "ceiling"
    assert perfect.quantity == "image FPR95"


def test_a_selector_is_shown_by_its_name(run_block, world):
    run_block(SELECTOR)
    from lakeviz.studies import pca

    data = world()
    chosen = data.select(3, "largest_mean")
    for point, selection in chosen.items():
        size = np.abs(data.statistics[point].mean)
        assert size[selection.channels].min() >= np.sort(size)[-3] - 1e-12
    result = pca(
        data,
        sizes=[3],
        selectors=("pca", "random", "largest_mean"),
        n_random_sets=2,
        bootstrap=Bootstrap(n_resamples=20),
    )
    assert "largest-mean neurons" in set(result.headline()["selection"])
    drawn = "".join(figure.to_json() for figure in result.figures())
    assert "largest-mean neurons" in drawn
    assert "largest mean" in drawn


def test_a_study_has_command_section_and_figures(run_block, tmp_path, capsys):
    run_block(STUDY)
    assert "points" in study_names(on_runs=True)
    write_benchmark(
        tmp_path / "data", categories=("tile",), size=32, n_train=3, n_good=3, n_per_defect=1
    )
    out = str(tmp_path / "run")
    given = ("--shots", "2", "--no-controls", "--map-size", "24", "--k", "8")
    main(["run", "mvtec", "--root", str(tmp_path / "data"), "--out", out, *given])
    main(["study", "points", out, "--random-sets", "3", "--map-size", "24", "--resamples", "30"])
    assert "minus random neurons" in capsys.readouterr().out
    result = lakeviz.load_study(f"{out}/studies/points")
    assert set(result.metrics["control"]) == {"random"}
    assert result.settings["n_random_sets"] == 3
    assert "One hook point at a time" in Path(f"{out}/report.html").read_text()
    main(["figure", "--list", out])
    assert "One hook point at a time" in capsys.readouterr().out
    main(["study", "points", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Random sets per hook point." in said
    with pytest.raises(SystemExit):
        main(["study", "points", out, "--random-sets", "1"])
    assert "Invalid value for '--random-sets': 1 is not between 2 and" in capsys.readouterr().err
