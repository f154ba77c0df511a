"""The evaluator against the metric functions that it is built on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lakeviz.errors import ConfigError, MetricError
from lakeviz.journal import Journal
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.score_maps import upsample
from lakeviz.metrics import (
    Bootstrap,
    auroc,
    image_intervals,
    paired_difference,
    paired_pixel_difference,
    pixel_metrics,
)
from lakeviz.metrics.contrasts import difference, estimate_of

N = 12


@pytest.fixture
def truth():
    labels = np.r_[np.zeros(N // 2, int), np.ones(N // 2, int)]
    masks = [np.zeros((16, 16), bool) for _ in range(N)]
    for image in range(N // 2, N):
        masks[image][2 : 2 + image // 2, 3:7] = True
    return Truth.of_masks(labels, masks)


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    found = generator.random((2, N, 4, 4))
    found[:, N // 2 :, :2] += 0.5
    return found.astype(np.float32)


def test_values_and_intervals_are_those_of_the_metrics(truth, maps):
    bootstrap = Bootstrap(n_resamples=200, seed=3)
    evaluator = PairedEvaluator(truth, map_size=(16, 16), bootstrap=bootstrap)
    a, b = (evaluator.measure(m) for m in maps)
    scores = [m.reshape(N, -1).max(1) for m in maps]
    assert a.values["image", "auroc"] == auroc(scores[0], truth.labels)
    expected = image_intervals(scores[0], truth.labels, ("auroc",), bootstrap)["auroc"]
    assert estimate_of(a, ("image", "auroc"), bootstrap) == expected
    # Differences of draws are the paired differences of the metrics floor, number for number.
    paired = paired_difference("auroc", *scores, truth.labels, bootstrap).difference
    assert difference(a, b, ("image", "auroc"), bootstrap) == paired
    pixels = [[upsample(one, (16, 16)) for one in m] for m in maps]
    exact = pixel_metrics(pixels[0], truth.masks)
    assert a.values["pixel", "aupro"] == exact.aupro
    assert a.values["pixel", "auroc"] == exact.auroc
    paired = paired_pixel_difference(
        "aupro", *pixels, truth.masks, bootstrap, evaluator.conventions
    ).difference
    assert difference(a, b, ("pixel", "aupro"), bootstrap) == paired


def test_several_conditions_are_measured_at_a_time_as_alone(truth, maps, tmp_path, monkeypatch):
    """Together, alone, and read back from a journal that several threads wrote: the same bits."""
    monkeypatch.setattr("lakeviz.lake.paired_evaluator.usable_cores", lambda: 4)
    evaluator = PairedEvaluator(truth, map_size=(16, 16), bootstrap=Bootstrap(n_resamples=50))
    many = [np.roll(one, shift, axis=2) for one in maps for shift in range(4)]
    alone = [evaluator.measure(one).arrays() for one in many]
    journal = Journal(tmp_path / "journal")
    kept = replace(evaluator, journal=journal)
    for found in (evaluator.measure_all(many), kept.measure_all(many), kept.measure_all(many)):
        for one, expected in zip(found, alone, strict=True):
            assert one.arrays().keys() == expected.keys()
            assert all(np.array_equal(one.arrays()[n], expected[n]) for n in expected)
    size = journal.path.stat().st_size
    again = replace(evaluator, journal=Journal(journal.path))
    again.measure_all(many)
    assert journal.path.stat().st_size == size  # every record was found
    with pytest.raises(MetricError, match="3 maps"):
        evaluator.measure_all([*many, maps[0][:3]])


def test_few_large_conditions_are_in_memory_at_once(truth, monkeypatch):
    monkeypatch.setattr("lakeviz.lake.paired_evaluator.usable_cores", lambda: 16)
    at_a_time = {}
    for megabytes in (1, 300, 5000):
        monkeypatch.setattr(Truth, "megabytes", megabytes)
        at_a_time[megabytes] = PairedEvaluator(truth)._at_a_time
    assert at_a_time == {1: 4, 300: 2, 5000: 1}


def test_the_rule_of_image_scores_is_used_and_said(truth, maps):
    evaluator = PairedEvaluator(
        truth, map_size=(16, 16), image_score=ImageScoreRule("top_mean", 0.5)
    )
    top = np.sort(maps[0].reshape(N, -1), axis=1)[:, -8:].mean(1)
    found = evaluator.measure(maps[0]).values["image", "auroc"]
    assert found == auroc(top, truth.labels)
    assert evaluator.conventions.image_score == "mean of the top 0.5 of patches"
    assert evaluator.conventions.resolution == "16x16"


def test_what_cannot_be_measured_is_left_out_with_a_reason(truth, maps):
    no_masks = PairedEvaluator(Truth.of_masks(truth.labels, None), map_size=(16, 16))
    assert set(no_masks.measure(maps[0]).values) == {
        ("image", "auroc"),
        ("image", "average_precision"),
        ("image", "cohens_d"),
    }
    assert no_masks.reasons == {"pixel": "there are no masks"}
    one_class = PairedEvaluator(Truth.of_masks(np.zeros(N, int), None))
    assert not one_class.measure(maps[0]).values
    with pytest.raises(MetricError, match=r"no metric is defined.*image: all 12 images are normal"):
        one_class.require_some()


def test_unknown_metrics_and_wrong_numbers_of_maps(truth, maps):
    with pytest.raises(ConfigError, match="no metric pixel cohens_d; known: image auroc"):
        PairedEvaluator(truth, metrics=(("pixel", "cohens_d"),))
    with pytest.raises(MetricError, match="3 maps were given for 12 images"):
        PairedEvaluator(truth).measure(maps[0][:3])


def test_without_a_map_size_each_image_has_its_own(maps):
    sizes = [(16, 16), (8, 20)] * (N // 2)
    masks = [np.zeros(size, bool) for size in sizes]
    for image in range(N // 2, N):
        masks[image][1:4, 1:9] = True
    truth = Truth.of_masks(np.r_[np.zeros(N // 2, int), np.ones(N // 2, int)], masks)
    found = PairedEvaluator(truth, sizes=sizes).measure(maps[0])
    pixels = [upsample(one, size) for one, size in zip(maps[0], sizes)]
    assert found.values["pixel", "auroc"] == pixel_metrics(pixels, masks).auroc
