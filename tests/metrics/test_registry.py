"""A metric is one object: a new one is measured, compared and named without any other change."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import ConfigError
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.metrics import (
    Bootstrap,
    MetricDefinition,
    auroc,
    get_metric,
    image_intervals,
    known_metrics,
    metric_title,
    pixel_intervals,
    register_metric,
    registry,
)
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.registry import at_best, better, room
from lakeviz.studies.base.findings import Finding

IMAGE, PIXEL = ("image", "fpr95"), ("pixel", "fpr95")
LABELS = np.repeat([1, 0], [20, 4])
# Of 20 anomalous images 19 score 2 or more (95 %), and so do 2 of the 4 normal ones.
SCORES = np.r_[np.arange(1.0, 21.0), 0.5, 1.5, 2.5, 30.0]


def rate(counts, conventions):
    """False-positive rate at the highest threshold that 95 % of the positives reach."""
    total = np.asarray(counts.n_positive)[..., None]
    first = (counts.tp >= 0.95 * total - 1e-9).argmax(axis=-1)[..., None]
    return np.take_along_axis(counts.fp, first, axis=-1)[..., 0] / counts.n_negative


@pytest.fixture
def fpr95(monkeypatch):
    monkeypatch.setattr(registry, "_DEFINITIONS", dict(registry._DEFINITIONS))
    return register_metric(
        MetricDefinition("fpr95", "FPR95", image=rate, pixel=rate, higher_is_better=False, best=0.0)
    )


def literal(scores, labels):
    """The same by its definition."""
    thresholds = np.sort(scores[labels])[::-1]
    threshold = next(t for t in thresholds if np.mean(scores[labels] >= t) >= 0.95 - 1e-9)
    return np.mean(scores[~labels] >= threshold)


@pytest.fixture
def scene():
    generator = np.random.default_rng(0)
    masks = np.zeros((24, 8, 8), dtype=bool)
    masks[:20, 2:5, 1:6] = True
    maps = (generator.normal(size=masks.shape) + masks).astype(np.float32)
    return maps, masks


def test_a_new_metric_of_image_scores(fpr95):
    found = image_intervals(SCORES, LABELS, ("fpr95",), Bootstrap(n_resamples=200))["fpr95"]
    assert found.value == 0.5
    assert 0 <= found.low < 0.5 < found.high <= 1


def test_resampled_values_are_those_of_the_repeated_images(fpr95, scene):
    maps, masks = scene
    bootstrap = Bootstrap(n_resamples=20, seed=1)
    evaluator = PairedEvaluator(
        Truth.of_masks(LABELS, list(masks)), (8, 8), metrics=(IMAGE, PIXEL), bootstrap=bootstrap
    )
    measured = evaluator.measure(maps)
    scores = maps.reshape(24, -1).max(axis=1)
    assert measured.values[IMAGE] == literal(scores, LABELS == 1)
    assert measured.values[PIXEL] == literal(maps.ravel(), masks.ravel())
    ((_, weights),) = bootstrap.blocks(LABELS == 1, 512)
    for number, w in enumerate(weights):
        images = np.repeat(np.arange(24), w)
        expected = literal(scores[images], LABELS[images] == 1)
        assert measured.resampled[IMAGE][number] == pytest.approx(expected)
        expected = literal(maps[images].ravel(), masks[images].ravel())
        # The grid of 512 thresholds leaves some of the 300 x 20 scores of defect pixels out.
        assert measured.resampled[PIXEL][number] == pytest.approx(expected, abs=0.02)
    assert pixel_intervals(maps, masks, ["fpr95"])["fpr95"].value == measured.values[PIXEL]


def test_differences_are_read_in_the_direction_of_the_metric(fpr95):
    truth = Truth.of_masks(LABELS, None)
    evaluator = PairedEvaluator(truth, metrics=(IMAGE, ("image", "auroc")))
    good, bad = np.where(LABELS, 100, 0) + SCORES, SCORES
    rows = compare(
        evaluator.measure_scores(good), {"bad": [evaluator.measure_scores(bad)]}, evaluator
    )
    own, area = rows
    assert (own["value"], own["control_mean"], own["difference"]) == (0.0, 0.5, -0.5)
    assert area["difference"] == auroc(good, LABELS) - auroc(bad, LABELS) > 0
    gap = Estimate(-0.5, -0.75, -0.25)
    assert gap.verdict == "lower"
    assert better(IMAGE, gap).verdict == "higher"
    assert better(("image", "auroc"), gap) == gap
    assert better(IMAGE, -0.5) == 0.5
    assert better(("image", "auroc"), -0.5) == -0.5


def test_the_best_value_is_the_metrics(fpr95):
    assert at_best(IMAGE, 0.0) and not at_best(IMAGE, 1.0)
    assert at_best(("pixel", "auroc"), 1.0) and not at_best(("pixel", "auroc"), 0.0)
    assert room(IMAGE, 0.2) == pytest.approx(0.2)
    assert room(("image", "auroc"), 0.75) == 0.25
    assert not at_best(("image", "cohens_d"), 50.0)
    none = Estimate(0.0, 0.0, 0.0)
    assert Finding("a", IMAGE, "b", value=none, difference=none).verdict == "ceiling"
    assert Finding("a", ("image", "auroc"), "b", value=none, difference=none).verdict == "undecided"


def test_it_is_listed_and_named(fpr95):
    assert {IMAGE, PIXEL} < set(known_metrics())
    assert metric_title(*PIXEL) == "pixel FPR95"
    assert [metric_title("image", "auroc"), metric_title("pixel", "aupro")] == [
        "image AUROC",
        "AUPRO",
    ]
    assert metric_title("image", "what_else") == "image what_else"
    assert get_metric(*IMAGE) is fpr95


def test_what_cannot_be_registered_or_found(fpr95):
    with pytest.raises(ConfigError, match="'fpr95' is already registered"):
        register_metric(fpr95)
    with pytest.raises(ConfigError, match="'empty' has neither"):
        register_metric(MetricDefinition("empty", "Empty"))
    with pytest.raises(ConfigError, match=r"image aupro; known: image auroc, .*pixel aupimo"):
        get_metric("image", "aupro")
