"""``lakeviz study decompose``: in a run's folder and in its report."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark


def test_a_run_decomposed(tmp_path, capsys):
    root, out = tmp_path / "data", tmp_path / "run"
    write_benchmark(root, categories=("tile",), size=48, n_train=3, n_good=3, n_per_defect=1)
    main(
        f"run mvtec --root {root} --out {out} --shots 2 --no-controls --map-size 16 --layer 1 "
        "--k 10 --text-weight 0".split()
    )
    few = "--resamples 20 --map-size 16 --random-sets 2 --size 3 --top 4"
    main(f"study decompose {out} {few}".split())
    printed = capsys.readouterr().out
    assert "minus 2 random directions" in printed
    folder = out / "studies/decompose"
    table = pd.read_parquet(folder / "contributions.parquet")
    score = table.groupby(["image", "level"])["contribution"].sum().unstack()
    assert len(score) == len(set(table["image"]))
    pd.testing.assert_series_equal(score["blocks"], score["output"], check_names=False, atol=1e-5)
    assert len(pd.read_parquet(folder / "neurons.parquet")) == 4
    assert "study-decompose" in (out / "report.html").read_text()
    with pytest.raises(SystemExit) as stop:
        main(f"study decompose {out} --random-sets 1".split())
    assert stop.value.code == 2
    assert "is not between 2 and" in capsys.readouterr().err
