"""Curves show the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import Bootstrap
from lakeviz.plots import Scored, pr_figure, roc_band, roc_figure

RNG = np.random.default_rng(3)
LABELS = np.array([0, 1] * 20 + [1] * 7)
SCORES = RNG.normal(size=LABELS.size).round(1) + LABELS  # rounded: ties occur


def curves(fig):
    return [trace for trace in fig.data if trace.fill is None]


def test_roc_is_scikit_learns():
    (trace,) = curves(roc_figure({"run": Scored(SCORES, LABELS)}))
    assert np.trapezoid(trace.y, trace.x) == pytest.approx(sk.roc_auc_score(LABELS, SCORES))
    fpr, tpr, _ = sk.roc_curve(LABELS, SCORES, drop_intermediate=False)
    # Each of its points lies on the drawn line, which may rise straight up there.
    below, above = (np.interp(fpr + side, trace.x, trace.y) for side in (-1e-9, 1e-9))
    assert (below - 1e-6 <= tpr).all()
    assert (tpr <= above + 1e-6).all()


def test_area_under_the_drawn_pr_steps_is_average_precision():
    (trace,) = curves(pr_figure({"run": Scored(SCORES, LABELS)}))
    assert trace.line.shape == "vh"
    area = np.sum(np.diff(trace.x) * trace.y[1:])
    assert area == pytest.approx(sk.average_precision_score(LABELS, SCORES))


def test_legend_carries_metric_and_interval():
    runs = {"a": Scored(SCORES, LABELS, 0.8123, 0.7, 0.9), "b": Scored(SCORES, LABELS)}
    first, second = curves(roc_figure(runs))
    assert first.name == "a: AUROC 0.812 [0.700, 0.900]"
    assert second.name == "b"
    (only,) = curves(pr_figure({"a": Scored(SCORES, LABELS, 0.5)}))
    assert only.name == "a: AP 0.500"


def test_curves_differ_by_more_than_colour():
    runs = {str(i): Scored(SCORES, LABELS) for i in range(6)}
    traces = curves(roc_figure(runs))
    assert len({trace.line.dash for trace in traces}) == 6
    assert len({trace.marker.symbol for trace in traces}) == 6


def test_names_are_escaped():
    (trace,) = curves(roc_figure({"<img src=x>&": Scored(SCORES, LABELS)}))
    assert trace.name == "&lt;img src=x&gt;&amp;"


def test_caption_says_n_and_band():
    fig = roc_figure({"a": Scored(SCORES, LABELS)}, bootstrap=Bootstrap(0.9, 200))
    caption = fig.layout.meta["caption"]
    assert "20 normal images, 27 anomalous images" in caption
    assert "Band: 90 % pointwise bootstrap over images, 200 draws" in caption
    assert "Band" not in roc_figure({"a": Scored(SCORES, LABELS)}).layout.meta["caption"]


def test_band_is_that_of_drawing_by_hand():
    bootstrap = Bootstrap(level=0.8, n_draws=50, seed=5)
    band = roc_band(SCORES, LABELS, bootstrap, n_points=11)
    generator = np.random.default_rng(5)
    drawn = {}
    for label in (1, 0):
        n = int((label == LABELS).sum())
        drawn[label] = generator.multinomial(n, np.full(n, 1 / n), size=50)
    heights = []
    for one, zero in zip(drawn[1], drawn[0]):
        scores = np.repeat(SCORES[LABELS == 1], one), np.repeat(SCORES[LABELS == 0], zero)
        labels = np.repeat([1, 0], [scores[0].size, scores[1].size])
        fpr, tpr, _ = sk.roc_curve(labels, np.concatenate(scores), drop_intermediate=False)
        # Straight up: the top counts. A step of nothing apart keeps interp from choosing.
        heights.append([np.interp(x + 1e-12, fpr, tpr) for x in np.linspace(0, 1, 11)])
    low, high = np.quantile(heights, [0.1, 0.9], axis=0)
    assert band.low == pytest.approx(low, abs=1e-9)
    assert band.high == pytest.approx(high, abs=1e-9)


def test_band_of_perfect_scores_has_no_width():
    band = roc_band(np.array([0.0, 1, 2, 3]), np.array([0, 0, 1, 1]), Bootstrap(n_draws=20))
    assert (band.low == 1).all()


def test_band_of_one_class_is_refused():
    with pytest.raises(MetricError, match="normal and anomalous"):
        roc_band(np.zeros(3), np.zeros(3, dtype=int), Bootstrap())


def test_pixels_of_maps_and_masks():
    maps = [RNG.normal(size=(6, 5)), RNG.normal(size=(4, 4))]
    masks = [np.zeros((6, 5), dtype=bool), np.zeros((4, 4), dtype=bool)]
    masks[0][2:4, 1:3] = True
    fig = roc_figure({"run": Scored(maps, masks)})
    (trace,) = curves(fig)
    flat = np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks])
    assert np.trapezoid(trace.y, trace.x) == pytest.approx(sk.roc_auc_score(flat[1], flat[0]))
    assert "42 normal pixels, 4 defect pixels" in fig.layout.meta["caption"]


def test_wrong_input_is_refused():
    with pytest.raises(ConfigError, match="no run"):
        roc_figure({})
    mixed = {"a": Scored(SCORES, LABELS), "b": Scored([np.eye(2)], [np.eye(2, dtype=bool)])}
    with pytest.raises(ConfigError, match="do not share"):
        roc_figure(mixed)
    with pytest.raises(MetricError):
        roc_figure({"a": Scored(np.arange(3.0), np.zeros(3, dtype=int))})


def test_the_legend_leaves_the_axes_alone():
    for draw in (roc_figure, pr_figure):
        fig = draw({"a": Scored(SCORES, LABELS)})
        assert fig.layout.showlegend
        assert (fig.layout.legend.y, fig.layout.legend.yanchor) == (1, "bottom")
