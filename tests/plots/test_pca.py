"""Figures of the ``pca`` study show the numbers of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.studies.pca.figures import (
    diagonality_figure,
    eigenvalue_figure,
    metrics_by_size_figure,
    nearness_figure,
    pca_differences_figure,
    retained_figure,
)

SIZES = [1, 4, 20, 192]


def metrics(category: str = "c", shift: float = 0.0) -> pd.DataFrame:
    rows = []
    for place, selector in enumerate(("variance", "pca", "random")):
        for level, metric in (("image", "auroc"), ("pixel", "aupro")):
            for k in SIZES:
                value = 0.9 - 0.1 * place + 0.0001 * k + shift
                gap = np.nan if selector == "variance" else 0.1 * place + shift
                rows.append(
                    {
                        "category": category,
                        "selector": selector,
                        "k": k,
                        "level": level,
                        "metric": metric,
                        "value": value,
                        "low": value - 0.05,
                        "high": value + 0.02,
                        "difference": gap,
                        "difference_low": gap - 0.03,
                        "difference_high": gap + 0.04,
                        "n_random_sets": 1 if selector != "random" else 7,
                        "n_images": 23,
                    }
                )
    return pd.DataFrame(rows)


def geometry(category: str = "c", shift: float = 0.0) -> pd.DataFrame:
    rows = []
    for point in ("a", "b"):
        for k in SIZES:
            row = {
                "category": category,
                "point": point,
                "k": k,
                "n_random_sets": 7,
                "n_channels": 192,
            }
            for name in ("variance_retained", "pca_retained", "random_retained", "kernel"):
                row[name] = k / 192 + shift
            for name in ("angle_mean", "angle_largest", "random_angle_mean"):
                row[name] = 90 - k / 3
            for name in ("random_angle_largest", "random_kernel"):
                row[name] = k / 200
            for name in ("retained", "angle_mean", "angle_largest", "kernel"):
                row[f"random_{name}_low"] = row[f"random_{name}"] - 0.1
                row[f"random_{name}_high"] = row[f"random_{name}"] + 0.1
            rows.append(row)
    return pd.DataFrame(rows)


def covariance() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "category": "c",
            "point": ["a", "b"] * 2,
            "measure": ["off_diagonal_covariance"] * 2 + ["off_diagonal_correlation"] * 2,
            "value": [0.9, 0.8, 0.7, 0.6],
            "control_mean": [0.1, 0.2, 0.3, 0.4],
            "n_permutations": 5,
            "n_tokens": 784,
        }
    )


def lines(fig, name: str):
    return [t for t in fig.data if t.name == name and "markers" in (t.mode or "")]


def test_differences_have_their_intervals_and_the_zone_that_does_not_matter():
    fig = pca_differences_figure(metrics(), level="pixel", metric="aupro")
    (pca,) = lines(fig, "truncated PCA")
    assert list(pca.x) == SIZES
    assert list(pca.y) == pytest.approx([0.1] * 4)
    assert pca.error_y.array == pytest.approx([0.04] * 4)
    assert pca.error_y.arrayminus == pytest.approx([0.03] * 4)
    assert not lines(fig, "top-variance neurons")
    zones = [s for s in fig.layout.shapes if s.type == "rect"]
    assert [(z.y0, z.y1) for z in zones] == [(-0.01, 0.01)] * 2
    caption = fig.layout.meta["caption"]
    assert "23 test images" in caption
    assert "95 % interval, paired over images" in caption
    assert "within 0.01 of zero" in caption


def test_differences_over_categories_span_them():
    table = pd.concat([metrics("a"), metrics("b", 0.2)])
    fig = pca_differences_figure(table, level="image", metric="auroc")
    (pca,) = lines(fig, "truncated PCA")
    assert list(pca.y) == pytest.approx([0.2] * 4)
    assert pca.error_y.array == pytest.approx([0.1] * 4)
    assert "lowest to highest category" in fig.layout.meta["caption"]


def test_metrics_by_size():
    fig = metrics_by_size_figure(metrics())
    drawn = lines(fig, "random")
    assert len(drawn) == 2  # one per metric
    assert list(drawn[0].y) == pytest.approx([0.7 + 0.0001 * k for k in SIZES])
    assert [t.showlegend for t in drawn] == [True, False]
    bands = [t for t in fig.data if t.fill == "toself"]
    assert {b.name for b in bands} == {"random"}
    assert max(bands[0].y) == pytest.approx(0.7 + 0.0192 + 0.02)
    assert [note.text for note in fig.layout.annotations] == ["image AUROC", "AUPRO"]
    assert len({(t.line.dash, t.marker.symbol) for t in fig.data if t.showlegend}) == 3


def test_size_axis_labels_the_last_and_those_apart():
    fig = metrics_by_size_figure(metrics())
    assert list(fig.layout.xaxis.tickvals) == SIZES
    assert list(fig.layout.xaxis.ticktext) == ["1", "4", "20", "192"]
    near = metrics()
    near = near.assign(k=near["k"].replace({4: 10}))
    assert list(metrics_by_size_figure(near).layout.xaxis.ticktext) == ["1", "", "20", "192"]


def test_retained_variance_by_point():
    fig = retained_figure(geometry())
    drawn = lines(fig, "truncated PCA")
    assert len(drawn) == 2
    assert list(drawn[0].y) == pytest.approx([k / 192 for k in SIZES])
    assert {a.text for a in fig.layout.annotations} >= {"a", "b"}
    assert "95 % of 7 random sets" in fig.layout.meta["caption"]
    joint = retained_figure(pd.concat([geometry("x"), geometry("y", 0.2)]))
    assert list(lines(joint, "truncated PCA")[0].y) == pytest.approx([k / 192 + 0.1 for k in SIZES])
    assert not [t for t in joint.data if t.fill == "toself"]
    assert "mean over 2 categories" in joint.layout.meta["caption"]


def test_nearness_beside_random_channels():
    fig = nearness_figure(geometry())
    random = [t for t in fig.data if t.name == "random neurons" and t.fill is None]
    assert list(random[0].y) == pytest.approx([k / 200 for k in SIZES])
    (kernel, angle, _) = lines(fig, "b")
    assert list(kernel.y) == pytest.approx([k / 192 for k in SIZES])
    assert list(angle.y) == pytest.approx([90 - k / 3 for k in SIZES])


def test_diagonality_beside_its_control():
    fig = diagonality_figure(covariance())
    bars = {t.name: list(t.y) for t in fig.data}
    assert bars["covariance"] == [0.9, 0.8]
    assert bars["covariance, permuted"] == [0.1, 0.2]
    assert bars["correlation, permuted"] == [0.3, 0.4]
    assert fig.data[1].marker.pattern.shape == "/"
    assert "784 normal patch tokens" in fig.layout.meta["caption"]


def test_spectrum_leaves_zeros_out():
    table = pd.DataFrame(
        {
            "category": "c",
            "point": "a",
            "rank": [1, 2, 3],
            "eigenvalue": [4.0, 1.0, 0.0],
            "variance": [2.0, 2.0, 1.0],
        }
    )
    eigenvalues, variances = eigenvalue_figure(table).data
    assert list(eigenvalues.x) == [1, 2]
    assert list(variances.y) == [2, 2, 1]
    with pytest.raises(ConfigError, match="one category"):
        eigenvalue_figure(pd.concat([table, table.assign(category="d")]))


@pytest.mark.parametrize("make", [retained_figure, nearness_figure, metrics_by_size_figure])
def test_empty_tables_are_refused(make):
    empty = metrics().iloc[:0] if make is metrics_by_size_figure else geometry().iloc[:0]
    with pytest.raises(ConfigError):
        make(empty)


def test_missing_metric_is_refused():
    with pytest.raises(ConfigError, match="pixel AUROC"):
        pca_differences_figure(metrics(), level="pixel", metric="auroc")
