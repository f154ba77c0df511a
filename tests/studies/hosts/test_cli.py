"""``lakeviz study hosts`` on a small run: tables, report, and one line for each bad input."""

from __future__ import annotations

import pytest

import lakeviz
from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.studies.hosts import HostResult


def test_hosts_of_a_run(tmp_path, capsys):
    write_benchmark(
        tmp_path / "data", categories=("tile",), size=32, n_train=3, n_good=3, n_per_defect=1
    )
    out = str(tmp_path / "run")
    tiny = ("--shots", "2", "--no-controls", "--map-size", "24", "--k", "8")
    main(["run", "mvtec", "--root", str(tmp_path / "data"), "--out", out, *tiny])
    study = ["study", "hosts", out, "--map-size", "24", "--random-sets", "2", "--resamples", "50"]
    main([*study, "--host", "patch_nn", "--set", "patch_nn.neighbours=2", "--repeats", "1"])
    assert "patch_nn alone: image AUROC" in capsys.readouterr().out
    result = lakeviz.load_study(f"{out}/studies/hosts")
    assert isinstance(result, HostResult)
    assert result.hosts["patch_nn"]["neighbours"] == 2
    page = (tmp_path / "run/report.html").read_text()
    assert "Plugged into other detectors" in page
    assert "Plugged into patch_nn" in page
    for given, message in (
        (["--host", "lof", "--set", "lof.depth=1"], "lof does not take depth"),
        (["--host", "lof", "--set", "lof"], "--set takes HOST.NAME=VALUE"),
        (["--host", "lof", "--set", "padim.seed=1"], "not among"),
        (["--host", "zero_shot", "--mode", "restrict"], "cannot be restricted"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*study, *given])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
