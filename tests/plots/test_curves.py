"""Curves show the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import Bootstrap, Conventions, aupro, pr_band, pro_band, roc_band
from lakeviz.plots import Scored, pr_figure, pro_figure, roc_figure

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
    assert "Band: 90 % pointwise bootstrap over images, 200 resamples" in caption
    assert "Band" not in roc_figure({"a": Scored(SCORES, LABELS)}).layout.meta["caption"]


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


def regions(n=9, size=(12, 10)):
    """Return maps and masks; the first five images have a square defect."""
    generator = np.random.default_rng(8)
    masks = np.zeros((n, *size), dtype=bool)
    for image in range(5):
        row, column = generator.integers(0, 7, size=2)
        masks[image, row : row + 3, column : column + 2] = True
    return generator.normal(size=masks.shape) + 1.5 * masks, masks


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_area_under_the_drawn_overlap_curve_is_aupro(limit):
    maps, masks = regions()
    conventions = Conventions(aupro_limit=limit)
    (trace,) = curves(pro_figure({"run": Scored(maps, masks)}, conventions=conventions))
    assert (trace.x[0], trace.x[-1]) == pytest.approx((0, limit))
    area = np.trapezoid(trace.y, trace.x) / limit
    assert area == pytest.approx(aupro(maps, masks, conventions), abs=1e-12)


def test_a_long_overlap_curve_is_thinned_to_the_same_area():
    maps, masks = regions(40, (60, 60))
    (trace,) = curves(pro_figure({"run": Scored(maps, masks)}))
    assert len(trace.x) <= 400
    assert np.trapezoid(trace.y, trace.x) / 0.3 == pytest.approx(aupro(maps, masks), abs=1e-3)


def test_overlap_figure_says_what_it_is():
    maps, masks = regions()
    runs = {"a": Scored(maps, masks, 0.7, 0.6, 0.8), "b": Scored(-maps, masks)}
    fig = pro_figure(runs, bootstrap=Bootstrap(0.9, 30))
    first, second = curves(fig)
    assert first.name == "a: AUPRO 0.700 [0.600, 0.800]"
    assert first.line.dash != second.line.dash
    caption = fig.layout.meta["caption"]
    assert "of 9 images" in caption
    assert "Bands: 90 % pointwise bootstrap over images, 30 resamples" in caption
    assert "every region counts the same" in caption
    with pytest.raises(ConfigError, match="not of image scores"):
        pro_figure({"a": Scored(SCORES, LABELS)})


@pytest.mark.parametrize(
    ("draw", "make"), [(roc_figure, roc_band), (pr_figure, pr_band), (pro_figure, pro_band)]
)
def test_every_curve_has_its_band(draw, make):
    scores, labels = regions() if draw is pro_figure else (SCORES, LABELS)
    bootstrap = Bootstrap(0.9, 40, 3)
    runs = {"a": Scored(scores, labels), "b": Scored(-scores, labels)}
    bands = [t for t in draw(runs, bootstrap=bootstrap).data if t.fill]
    for trace, sign in zip(bands, (1, -1), strict=True):
        band = make(sign * scores, labels, bootstrap)
        assert trace.y == pytest.approx(np.concatenate([band.low, band.high[::-1]]))
    assert len({trace.line.dash for trace in bands}) == 2


def test_a_value_over_draws_beside_the_curve_of_the_first_is_told_apart():
    of_draws = Scored(SCORES, LABELS, 0.8, 0.7, 0.9, n_draws=5)
    caption = roc_figure({"a": of_draws}, bootstrap=Bootstrap(n_resamples=20)).layout.meta[
        "caption"
    ]
    assert "Numbers: means over 5 draws of the normal images; curve and band: first." in caption
    assert "Brackets: 95 % interval over images and draws." in caption
    of_one = roc_figure({"a": Scored(SCORES, LABELS, 0.8, 0.7, 0.9)}).layout.meta["caption"]
    assert "Brackets: 95 % interval over images." in of_one


def test_bands_that_would_hide_each_other_are_left_out_and_the_caption_says_so():
    fig = pr_figure({str(i): Scored(SCORES, LABELS) for i in range(4)}, bootstrap=Bootstrap())
    assert not [t for t in fig.data if t.fill]
    assert "No bands" in fig.layout.meta["caption"]
