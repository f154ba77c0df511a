"""``lakeviz study sweep``: a grid around a run, in its folder and in its report."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark


def test_a_sweep_around_a_run(tmp_path, capsys):
    root, out = tmp_path / "data", tmp_path / "run"
    write_benchmark(root, categories=("tile",), size=48, n_train=3, n_good=3, n_per_defect=1)
    main(
        f"run mvtec --root {root} --out {out} --shots 2 --no-controls --map-size 16 --layer 1 "
        "--k 10 --text-weight 0".split()
    )
    own = pd.read_parquet(out / "metrics.parquet").set_index(["level", "metric"])["value"]
    sweep = f"study sweep {out} --backend sequential --resamples 20 --map-size 16".split()
    main([*sweep, *["--grid", "k=10,500", "--grid", "selector=variance,all", "--random-sets", "2"]])
    printed = capsys.readouterr().out
    # The top-variance neurons without the first join the two selectors that were named.
    assert "6 cells (2 of k, 3 of selector; tile), 2 of which failed" in printed
    assert "note: 2 of 6 cells failed: SelectionError" in printed
    contrasts = pd.read_parquet(out / "studies/sweep/contrasts.parquet")
    assert set(contrasts["control"]) == {"all", "variance_without_first"}
    cells = pd.read_parquet(out / "studies/sweep/cells.parquet")
    # The cell that is the run itself has its numbers, on its images.
    cell = cells[(cells["k"] == 10) & (cells["selector"] == "variance")]
    values = cell.set_index(["level", "metric"])["value"]
    assert values["image", "auroc"] == pytest.approx(own["image", "auroc"])
    assert values["pixel", "auroc"] == pytest.approx(own["pixel", "auroc"], abs=1e-4)
    page = (out / "report.html").read_text()
    assert "study-sweep" in page
    assert "winner" in page
    for grid, said in (("kk=1", "no axis"), ("k=ten", "has numbers, not")):
        with pytest.raises(SystemExit) as stop:
            main([*sweep, "--grid", grid])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
