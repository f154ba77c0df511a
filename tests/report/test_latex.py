"""LaTeX tables: escaped, complete, bold only where it may be."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError, DataError
from lakeviz.report.latex import latex_text, metrics_table

ODD = r"_ % & # $ { } ~ ^ \ < > | ["
AUROC = (("image", "auroc"),)


def frame(values: dict[str, float], half: float = 0.01, metric: str = "auroc") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "category": category,
                "branch": "lake",
                "level": "image",
                "metric": metric,
                "value": value,
                "low": value - half,
                "high": value + half,
                "confidence": 0.95,
                "n_images": 10 + 5 * number,
                "reason": "" if np.isfinite(value) else "only one class",
            }
            for number, (category, value) in enumerate(values.items())
        ]
    )


def body(text: str) -> list[list[str]]:
    """Cells of the lines after the heads."""
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in line[:-2].split(" & ")] for line in lines[1:]]


def test_text_is_escaped():
    assert latex_text(ODD) == (
        r"\_ \% \& \# \$ \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{}"
        r" \textless{} \textgreater{} \textbar{} ["
    )
    assert latex_text('a\n "b"') == "a ''b''"


def test_one_run_has_intervals_a_mean_and_no_bold():
    text = metrics_table(frame({"nut": 0.9, "a_b": 0.7, "cup": 0.8}), AUROC)
    # Student's: 0.8 -+ 4.303 x 0.1 / sqrt(3).
    assert sorted(body(text)) == [
        [r"a\_b", r"0.700 {\scriptsize [0.690, 0.710]}"],
        ["cup", r"0.800 {\scriptsize [0.790, 0.810]}"],
        ["mean", r"0.800 {\scriptsize [0.552, 1.000]}"],
        ["nut", r"0.900 {\scriptsize [0.890, 0.910]}"],
    ]
    assert "textbf" not in text
    assert "3 categories (10 to" in text
    assert r"95 \% interval over images; of the mean, Student's 95 \% interval" in text
    assert text.count(r"\label{tab:metrics}") == 1


def test_the_caption_says_over_how_many_draws_values_are_means():
    drawn = {"estimand": "", "n_draws": 5}
    text = metrics_table(frame({"nut": 0.9, "cup": 0.8}).assign(**drawn), AUROC)
    assert "Values: means over 5 draws of the normal images." in text
    several = {"a": frame({"nut": 0.9}).assign(**drawn), "b": frame({"nut": 0.9})}
    assert "means over 1 to 5 draws of the normal images" in metrics_table(several, AUROC)
    assert "draws" not in metrics_table(frame({"nut": 0.9}), AUROC)


def test_one_category_has_no_mean():
    text = metrics_table(frame({"nut": 0.9}), AUROC, digits=2, label="tab:a_1")
    assert body(text) == [["nut", r"0.90 {\scriptsize [0.89, 0.91]}"]]
    assert "over categories" not in text
    assert r"\label{tab:a_1}" in text


def test_best_is_bold_within_each_category():
    runs = {"one": frame({"a": 0.9, "b": 0.5}), "two": frame({"a": 0.8, "b": 0.505})}
    rows = body(metrics_table(runs, AUROC))
    assert [row[:2] for row in rows] == [
        ["a", "one"],
        ["", "two"],
        ["b", "one"],
        ["", "two"],
        ["mean", "one"],
        ["", "two"],
    ]
    bold = [r"\textbf" in row[2] for row in rows]
    assert bold == [True, False, False, True, True, False]
    # 0.9 +- 0.01 lies apart from 0.8 +- 0.01; 0.505 +- 0.01 does not from 0.5 +- 0.01.
    dagger = [r"\dagger" in row[2] for row in rows]
    assert dagger[:4] == [True, False, False, False]
    lowest = body(metrics_table(runs, AUROC, bold="min"))
    assert [r"\textbf" in row[2] for row in lowest] == [not is_bold for is_bold in bold]
    assert r"\textbf" not in metrics_table(runs, AUROC, bold="none")


def test_ties_as_printed_are_all_bold_unless_all_are_alike():
    values = {"one": 0.90004, "two": 0.9, "three": 0.5}
    rows = body(metrics_table({n: frame({"a": v}) for n, v in values.items()}, AUROC))
    assert [r"\textbf" in row[2] for row in rows] == [True, True, False]
    assert not any(r"\dagger" in row[2] for row in rows)
    alike = metrics_table({n: frame({"a": 0.9}) for n in "xy"}, AUROC)
    assert r"\textbf" not in alike


def test_runs_are_compared_on_the_categories_they_share():
    runs = {
        "full": frame({"easy": 0.99, "hard": 0.6, "odd": 0.5}),
        "part": frame({"hard": 0.7, "odd": 0.6, "easy": np.nan}),
    }
    text = metrics_table(runs, AUROC, by="run")
    rows = body(text)
    # Over hard and odd alone; with easy, the run that has it would win by that alone.
    # Student's of two: 12.706 x 0.1 / 2 on either side.
    assert rows == [
        ["full", r"0.550 {\scriptsize [0.000, 1.000]}"],
        ["part", r"\textbf{0.650} {\scriptsize [0.015, 1.000]}"],
    ]
    assert "with a value in every run: 2 for image AUROC" in text
    assert "A dash: only one class." in text


def test_an_interval_that_is_unknown_is_not_apart():
    one, two = frame({"a": 0.9}), frame({"a": 0.1})
    two[["low", "high"]] = np.nan
    rows = body(metrics_table({"one": one, "two": two}, AUROC))
    assert r"\dagger" not in rows[0][2]
    assert rows[1][2] == "0.100"


def test_a_category_called_mean_is_no_mean():
    rows = body(
        metrics_table({n: frame({"mean": v, "b": v}) for n, v in (("x", 0.2), ("y", 0.4))}, AUROC)
    )
    assert [row[0] for row in rows] == ["mean", "", "b", "", "mean", ""]
    assert [r"\textbf" in row[2] for row in rows] == [False, True] * 3


def test_missing_values_are_dashes_with_their_reason():
    text = metrics_table(frame({"a": np.nan, "b": 0.5}), AUROC)
    assert body(text)[0] == ["a", "--"]
    assert "A dash: only one class." in text
    assert body(text)[2] == ["mean", r"0.500 {\scriptsize [0.490, 0.510]}"]
    assert r"With one category: 95 \% interval over images." in text


def test_evaluations_are_taken(make):
    text = metrics_table([make(category="nut"), make(category="50%")])
    rows = body(text)
    assert rows[0][:2] == ["nut", r"0.900 {\scriptsize [0.850, 0.950]}"]
    assert rows[1][0] == r"50\%"
    assert len(rows[0]) == 4


def test_own_caption_is_escaped():
    assert r"\caption{50 \% \textbackslash{}input}" in metrics_table(
        frame({"a": 0.5}), AUROC, caption=r"50 % \input"
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "image"}, ConfigError, "by must be category or run, not 'image'"),
        ({"bold": "best"}, ConfigError, "max, min or none"),
        ({"label": "a}b"}, ConfigError, "label"),
        ({"digits": -1}, ConfigError, "digits"),
        ({"branch": "visual"}, DataError, "no metric of 'visual'"),
        ({"metrics": (("image", "aurok"),)}, DataError, "nearest: image:auroc"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        metrics_table(frame({"a": 0.5}), **({"metrics": AUROC} | options))


def test_bad_input():
    with pytest.raises(DataError, match="at least one evaluation"):
        metrics_table([])
    with pytest.raises(DataError, match="twice"):
        metrics_table(pd.concat([frame({"a": 0.5})] * 2), AUROC)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_reads_it(tmp_path):
    runs = {ODD: frame({ODD: 0.9, "[x]": 0.5}), "*": frame({ODD: 0.8, "[x]": 0.7})}
    made = [metrics_table(runs, AUROC), metrics_table(runs, AUROC, by="run", label="tab:2")]
    document = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        + "\n".join(made)
        + r"\end{document}"
    )
    (tmp_path / "a.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
