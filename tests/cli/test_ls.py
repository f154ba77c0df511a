"""``lakeviz ls``: what a run's folder holds, finished and not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lakeviz.cli import main
from lakeviz.locks import locked

GOLDEN = Path(__file__).parents[1] / "golden/run_v1"


@pytest.fixture
def run(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "run"))


def said(capsys, folder: Path) -> dict[str, str]:
    """Lines by their heading."""
    main(["ls", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    return {head.strip(): text for head, text in ((x[:15], x[16:]) for x in lines)}


def test_model_data_categories_tables_studies_and_sizes(run, capsys):
    (run / "activations").mkdir()
    (run / "activations/tokens").write_bytes(b"0" * 2_500_000)
    found = said(capsys, run)
    assert re.fullmatch(r"tiny, fp32, input 96x96, weights [0-9a-f]{12}", found["model"])
    assert found["data"] == "mvtec in data"
    assert found["settings"].startswith("shots 2, draws 1, k 8, selector variance, controls random")
    assert found["categories"] == "2 of 2: gear, wood"
    assert found["tables"].startswith("metrics, scores, controls, neurons, spectrum (")
    assert found["figures"].startswith("roc, pr, scores")
    assert found["activations/"] == "2.5 MB"
    assert found["neurons"] == "gear, wood; k=3, n_top=3; 159.1 KB"
    assert found["claims"].startswith("gear, wood; default settings; ")
    assert "grid={'k': [4, 8]" in found["sweep"]
    assert "lock" not in found
    assert "unfinished" not in found


def test_unfinished_work_and_a_lock(run, capsys):
    (run / "categories/gear/evaluation.json").unlink()
    (run / "unfinished/pca").mkdir(parents=True)
    (run / "unfinished/pca/measured").write_bytes(b"0" * 900)
    for folder in (run / "categories").iterdir():
        (folder / "few_shot.txt").touch()
    with locked(run):
        pass
    assert "lock" not in said(capsys, run)  # its file alone says nothing
    found = said(capsys, run)
    assert found["categories"] == "1 of 2: wood"
    assert found["unfinished"] == "gear, pca; the same command goes on"
    assert found["unfinished/"] == "900 B"


def test_another_command_that_writes_is_seen(run, capsys, monkeypatch):
    monkeypatch.setattr("lakeviz.locks.is_locked", lambda folder: folder == run)
    assert said(capsys, run)["lock"] == "another lakeviz command writes to it now"


def test_of_no_run_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["ls", str(tmp_path)])
    assert stop.value.code == 2
    assert "holds no result" in capsys.readouterr().err
