"""``lakeviz sae train``: an autoencoder of a run's images, and LAKE on its latents."""

from __future__ import annotations

import json

import pytest
import torch

from lakeviz import Lake
from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.studies import StudyRun
from lakeviz.studies.base.sae_training import image_aurocs
from lakeviz.studies.base.unit_data import on_units, reconstructed
from lakeviz.units import load_sae, reconstruction

POINT = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=64, n_train=6, n_good=3, n_per_defect=1)
    out = root / "run"
    given = ["--shots", "2", "--draws", "2", "--text-weight", "0", "--no-controls", "--k", "4"]
    main(["run", "mvtec", "--root", str(root), *given, "--layer", POINT, "--out", str(out)])
    return out


def test_train_and_use(run, tmp_path, capsys):
    out = tmp_path / "sae"
    small = ["--latents", "40", "--k", "5", "--steps", "30", "--images", "4"]
    main(["sae", "train", str(run), "--point", POINT, *small, "--out", str(out)])
    said = capsys.readouterr().out
    units = load_sae(out)
    assert (units.point, units.n_units) == (POINT, 40)
    opened = StudyRun.open(run)
    data = opened.data("tile")
    test = data.test.patches(POINT)
    report = units.report
    found = reconstruction(units, test)
    assert {name: report[name] for name in found} == pytest.approx(found)
    assert f"explained variance {found['explained_variance']:.3f}" in said
    assert report["n_tokens"] == 4 * test.shape[1]
    assert report["settings"]["steps"] == 30
    aurocs = report["image_auroc"]["tile"]
    for name, one in (("intact", data), ("reconstructed", reconstructed(data, units))):
        assert [aurocs[name]] == image_aurocs(one, [one.select(4, "variance")])
    own = on_units(data, units)
    assert len(image_aurocs(own, [own.select(k, "variance") for k in (4, 8)]) or ()) == 2
    assert f"tile: image AUROC {aurocs['intact']:.3f} as it is" in said
    lake = Lake(opened.model, units=units, k=4, text_weight=0).fit(opened.draw("tile"))
    assert torch.isfinite(torch.tensor(lake.score(data.dataset).image_scores)).all()
    again = tmp_path / "again"
    main(["sae", "train", str(run), "--point", POINT, *small, "--out", str(again)])
    assert load_sae(again).hash == units.hash
    assert json.loads((out / "cfg.json").read_text())["metadata"]["model_name"] == "tiny"


def test_errors_are_one_line(run, tmp_path, capsys):
    base = ["sae", "train", str(run), "--out", str(tmp_path / "x")]
    for more, said in (
        ([], "Missing option '--point'"),
        (["--point", "blocks.99.hook_resid_post"], "blocks.99.hook_resid_post"),
        (["--point", "blocks.*.hook_resid_post"], "means"),
        (["--point", POINT, "--latents", "4", "--k", "5"], "k must be 1 to the 4 latents, not 5"),
        (["--point", POINT, "--architecture", "relu"], "'relu'"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*base, *more])
        assert stop.value.code == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error:") and said in error
