"""Published conventions against direct loops over their definition and published examples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import COMPAT_MODES, Conventions, aupro, compat


def overlap_above(maps, masks, threshold):
    shares = []
    for score_map, mask in zip(maps, masks):
        labels, n = ndimage.label(mask, np.ones((3, 3)))
        shares += [(score_map[labels == k] > threshold).mean() for k in range(1, n + 1)]
    return np.mean(shares)


def test_mvtec_is_100_thresholds_at_ranks_of_the_background(smooth_set):
    maps, masks = smooth_set(0)
    normal = np.sort(maps[~masks])
    points = [(1.0, 1.0)]
    for k in np.linspace(0, normal.size - 1, 100).astype(int):
        points.append((1 - (k + 1) / normal.size, overlap_above(maps, masks, normal[k])))
    x, y = np.array(points[::-1]).T
    fine = np.linspace(0, 0.3, 300_001)
    expected = np.interp(fine, x, y).mean()
    assert compat("mvtec", maps, masks).value == pytest.approx(expected, abs=1e-4)


def test_mvtec_comes_near_the_exact_area(smooth_set):
    maps, masks = smooth_set(1, n=10, side=64)
    assert compat("mvtec", maps, masks).value == pytest.approx(aupro(maps, masks), abs=0.01)


def test_cflow_is_200_score_steps_with_stretched_rates(smooth_set):
    maps, masks = smooth_set(2)
    maps = maps.astype(np.float64)
    step = (maps.max() - maps.min()) / 200
    points = []
    for k in range(200):
        threshold = maps.min() + k * step
        rate = (maps[~masks] > threshold).mean()
        if rate < 0.3:
            points.append((rate, overlap_above(maps, masks, threshold)))
    x, y = np.array(points[::-1]).T
    expected = np.trapezoid(y, (x - x.min()) / (x.max() - x.min()))
    assert compat("cflow", maps, masks).value == pytest.approx(expected, abs=1e-12)


def test_cflow_moves_with_the_scale_of_the_scores(smooth_set):
    maps, masks = smooth_set(3, n=10, side=48)
    heavy = np.exp(3 * maps.astype(np.float64))
    assert abs(compat("cflow", heavy, masks).value - compat("cflow", maps, masks).value) > 0.05
    assert aupro(heavy, masks) == pytest.approx(aupro(maps, masks), abs=1e-12)


def test_cflow_breaks_down_on_an_outlier(smooth_set):
    maps, masks = smooth_set(4)
    maps[1, 0, 0] = 1e9
    masks[1, 0, 0] = True
    with pytest.raises(MetricError, match="200 even score steps"):
        compat("cflow", maps, masks)


def test_anomalib_trapezoid_reproduces_its_published_examples():
    # The example in anomalib's documentation (0.8750), and issue 3781: a constant detector at
    # 5 % prevalence gets 0.525, a perfect one with distinct scores 0.9952.
    def value(scores, labels):
        return compat("anomalib_trapezoid", [np.array([scores])], [np.array([labels])]).value

    assert value([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]) == pytest.approx(0.875)
    labels = np.arange(2000) >= 1900
    assert value(np.full(2000, 0.5), labels) == pytest.approx(0.525)
    assert value(np.arange(2000.0), labels) == pytest.approx(0.9952, abs=5e-5)


def test_results_say_what_they_are(smooth_set):
    maps, masks = smooth_set(5)
    for name, mode in COMPAT_MODES.items():
        result = compat(name, maps, masks, Conventions(aupro_limit=0.2))
        recorded = json.loads(json.dumps(result.to_dict()))
        assert recorded["mode"] == name and recorded["metric"] == mode.metric
        assert recorded["conventions"]["resolution"] == "24x24"
        assert 0 <= result.value <= 1
    assert compat("anomalib_trapezoid", maps, masks).conventions.ap_rule == "trapezoid"


def test_unknown_modes_and_undefined_sets(smooth_set):
    maps, masks = smooth_set(6)
    with pytest.raises(ConfigError, match="must be mvtec, cflow or anomalib_trapezoid"):
        compat("mvtek", maps, masks)
    with pytest.raises(MetricError, match="no mask"):
        compat("mvtec", maps, np.zeros_like(masks))
    with pytest.raises(MetricError, match="every pixel"):
        compat("cflow", maps, np.ones_like(masks))
