"""``lakeviz study dossier``: in a run's folder and in its report."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark


def test_dossiers_of_a_run(tmp_path, capsys):
    root, out, words = tmp_path / "data", tmp_path / "run", tmp_path / "words.txt"
    write_benchmark(root, categories=("tile",), size=48, n_train=3, n_good=3, n_per_defect=1)
    words.write_text("# mine\ntile\nscratch\n<i>dent</i>\n", encoding="utf-8")
    main(
        f"run mvtec --root {root} --out {out} --shots 2 --no-controls --map-size 16 --layer 1 "
        "--k 4 --text-weight 0".split()
    )
    settings = f"--random 5 --top 2 --partners 2 --network-neurons 0 --words {words}"
    main(
        f"study dossier {out} --resamples 20 --map-size 16 --k 3 --template {{}} {settings}".split()
    )
    printed = capsys.readouterr().out
    assert "dossiers of 3 neurons selected by variance and of 5 random ones" in printed
    folder = out / "studies/dossier"
    index = pd.read_parquet(folder / "neurons.parquet")
    assert index["group"].value_counts().to_dict() == {"random": 5, "selected": 3}
    patches = pd.read_parquet(folder / "patches.parquet")
    assert (patches[patches["kind"] == "top"].groupby("channel").size() == 2).all()
    labels = pd.read_parquet(folder / "labels.parquet")
    assert set(labels["word"]) <= {"tile", "scratch", "<i>dent</i>"}
    effects = pd.read_parquet(folder / "effects.parquet")
    score = effects["kind"] == "score"
    assert effects[score]["change"].notna().all()
    assert effects[~score]["change"].isna().all()
    page = (out / "report.html").read_text()
    assert "study-dossier" in page
    assert "<i>dent</i>" not in page
    with pytest.raises(SystemExit) as stop:
        main(f"study dossier {out} --top 0".split())
    assert stop.value.code == 2
    assert "Invalid value for '--top': 0 is not between 1 and" in capsys.readouterr().err
