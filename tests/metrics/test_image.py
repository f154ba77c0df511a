"""Image-level metrics against hand-worked cases and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import Conventions, auroc, average_precision, f1_max, image_metrics

# Few levels, so that most examples have ties within and across the classes.
tied_sets = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def test_hand_worked_case():
    # Descending: 0.9+ 0.8- 0.7+ 0.6- ; pairs won 3 of 4; precision 1 and 2/3 at the positives.
    result = image_metrics([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert result.auroc == pytest.approx(0.75)
    assert result.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert result.f1_max == pytest.approx(0.8)  # at 0.7: 2 * 2 / (2 + 2 + 1)
    assert result.f1_threshold == 0.7
    assert (result.n_images, result.n_anomalous) == (4, 2)


def test_hand_worked_ties():
    # One threshold holds a positive and a negative: half a pair.
    result = image_metrics([1, 1, 0], [1, 0, 0])
    assert result.auroc == pytest.approx(0.75)
    assert result.average_precision == pytest.approx(0.5)
    assert result.f1_max == pytest.approx(2 / 3)


def test_trapezoid_rule_by_hand():
    # Points (recall, precision): (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3).
    value = average_precision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], Conventions(ap_rule="trapezoid"))
    assert value == pytest.approx(0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)


@settings(deadline=None)
@given(tied_sets)
def test_equals_scikit_learn(rows):
    scores = np.array([score for score, _ in rows], dtype=float)
    labels = np.array([label for _, label in rows])
    result = image_metrics(scores, labels)
    precision, recall, thresholds = sk.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert result.auroc == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-9)
    assert result.average_precision == pytest.approx(
        sk.average_precision_score(labels, scores), abs=1e-9
    )
    assert result.f1_max == pytest.approx(f1.max(), abs=1e-9)
    assert sk.f1_score(labels, scores >= result.f1_threshold) == pytest.approx(f1.max(), abs=1e-9)
    assert result.f1_threshold in thresholds
    trapezoid = average_precision(scores, labels, Conventions(ap_rule="trapezoid"))
    assert trapezoid == pytest.approx(sk.auc(recall, precision), abs=1e-9)


@settings(deadline=None)
@given(tied_sets)
def test_swapping_the_classes_mirrors_auroc(rows):
    scores = np.array([score for score, _ in rows], dtype=float)
    labels = np.array([label for _, label in rows])
    assert auroc(scores, labels) == pytest.approx(1 - auroc(scores, ~labels), abs=1e-12)


def test_single_functions_agree_with_the_whole():
    scores, labels = [3.0, 1.0, 2.0, 0.0], [1, 1, 0, 0]
    result = image_metrics(scores, labels)
    assert auroc(scores, labels) == result.auroc
    assert average_precision(scores, labels) == result.average_precision
    assert f1_max(scores, labels) == type(f1_max(scores, labels))(
        result.f1_max, result.f1_threshold
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors(dtype):
    scores = torch.tensor([0.5, 0.25, 0.75, 0.125], dtype=dtype, requires_grad=True)
    labels = torch.tensor([1, 0, 1, 0])
    assert image_metrics(scores, labels).auroc == 1.0


def test_one_class_is_nan_with_a_reason_or_an_error():
    result = image_metrics([1.0, 2.0], [0, 0])
    assert np.isnan([result.auroc, result.average_precision, result.f1_max]).all()
    assert np.isnan(result.f1_threshold)
    assert "anomalous image is needed" in result.reasons["auroc"]
    assert json.loads(json.dumps(result.to_dict()))["auroc"] is None
    with pytest.raises(MetricError, match="all 2 images are normal"):
        auroc([1.0, 2.0], [0, 0])
    with pytest.raises(MetricError, match="all 3 images are anomalous"):
        f1_max([1.0, 2.0, 3.0], [1, 1, 1])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, np.nan], [0, 1], "hold NaN"),
        ([1.0, np.inf], [0, 1], "infinite"),
        ([1.0, 2.0, 3.0], [0, 1], "one length"),
        ([[1.0], [2.0]], [[0], [1]], "one-dimensional"),
        ([], [], "no scores"),
        ([1.0, 2.0, 3.0], [0, 1, 2], "not binary"),
        ([1.0, 2.0], [0, -1], "not binary"),
        (["a", "b"], [0, 1], "real numbers"),
        ([1j, 2j], [0, 1], "real numbers"),
        ([2**53 + 1, 0], [0, 1], "no float holds exactly"),
    ],
)
def test_bad_input_is_named(scores, labels, message):
    with pytest.raises(MetricError, match=message):
        image_metrics(scores, labels)


def test_conventions_travel_with_the_result():
    conventions = Conventions(image_score="max")
    recorded = json.loads(json.dumps(image_metrics([1, 0], [1, 0], conventions).to_dict()))
    assert recorded["conventions"]["image_score"] == "max"
    assert recorded["conventions"]["aupimo_bounds"] == [1e-5, 1e-4]


@pytest.mark.parametrize(
    "bad",
    [
        {"connectivity": 6},
        {"aupro_limit": 0.0},
        {"aupro_limit": 1.5},
        {"aupimo_bounds": (1e-4, 1e-5)},
        {"aupimo_bounds": (0.0, 0.1)},
        {"ap_rule": "simpson"},
        {"ties": "worst"},
        {"interval_grid": 1},
    ],
)
def test_conventions_outside_their_range(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Conventions(**bad)
