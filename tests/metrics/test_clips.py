"""Frame scores of clips, and resamples of clips: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.clips import (
    BLOCK,
    ClusterBootstrap,
    by_clip,
    clip_aurocs,
    cluster_estimate,
    detect_events,
    events_of,
    over_clips,
    smooth_over_time,
)
from lakeviz.metrics.image_intervals import measure_images

# Two clips of five frames, the second one listed backwards, and a normal one.
FRAMES = [("a", i) for i in range(5)] + [("b", i) for i in range(4, -1, -1)] + [("c", 0)]
LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0])
SCORES = np.array([0.1, 0.2, 0.9, 0.3, 0.8, 0.0, 0.5, 0.4, 0.6, 0.7, 0.95])


def test_auroc_is_per_clip_and_of_both_kinds_only():
    found = clip_aurocs(SCORES, LABELS, FRAMES)
    # a: normal 0.1, 0.3 against 0.2, 0.9, 0.8: 5 of 6 pairs.
    # b: normal 0, 0.5, 0.7 against 0.4, 0.6: 3 of 6 pairs.
    assert found == {"a": pytest.approx(5 / 6), "b": pytest.approx(3 / 6)}
    assert found["b"] == pytest.approx(roc_auc_score(LABELS[5:10], SCORES[5:10]))


def test_events_end_with_a_normal_frame_a_gap_or_the_clip():
    found = [(e.clip, e.positions.tolist()) for e in events_of(LABELS, FRAMES)]
    # Of b, frames 1 and 2 are anomalous, at positions 8 and 7.
    assert found == [("a", [1, 2]), ("a", [4]), ("b", [8, 7])]
    gap = [("a", 0), ("a", 1), ("a", 3)]
    assert [e.positions.tolist() for e in events_of(np.ones(3, int), gap)] == [[0, 1], [2]]


def test_delays_count_frames_to_the_first_alarm():
    # The six normal scores are 0.95, 0.7, 0.5, 0.3, 0.1, 0: one of them may be an alarm.
    found = detect_events(SCORES, LABELS, FRAMES, fpr=1 / 6)
    assert found.threshold == 0.7
    np.testing.assert_array_equal(found.delays, [1, 0, np.nan])
    np.testing.assert_array_equal(found.found, [True, True, False])
    assert found.false_alarms == pytest.approx(1 / 6)
    none = detect_events(SCORES, LABELS, FRAMES, fpr=0)
    assert (none.threshold, none.false_alarms, none.found.any()) == (0.95, 0, False)
    # With ties at the threshold fewer alarms, never more, than allowed.
    assert detect_events(np.zeros(11), LABELS, FRAMES, fpr=0.5).false_alarms == 0
    with pytest.raises(ConfigError, match="below 1, got 1"):
        detect_events(SCORES, LABELS, FRAMES, fpr=1)
    with pytest.raises(MetricError, match="no normal frame"):
        detect_events(SCORES, np.ones(11), FRAMES)


def test_smoothing_stays_within_a_clip_and_follows_the_numbers():
    assert smooth_over_time(SCORES, FRAMES, 0) is SCORES
    peak = np.zeros(11)
    peak[7] = 1  # frame 2 of b, in its middle
    smooth = smooth_over_time(peak, FRAMES, 1.0)
    assert not smooth[:5].any()
    assert not smooth[10]
    np.testing.assert_allclose(smooth[[6, 8]], smooth[7] * np.exp(-0.5))
    assert smooth.sum() == pytest.approx(1, abs=0.01)
    # Backwards in the list is forwards in the clip.
    np.testing.assert_array_equal(by_clip(FRAMES)["b"], [9, 8, 7, 6, 5])
    with pytest.raises(ConfigError, match="0 or more frames, got -1"):
        smooth_over_time(SCORES, FRAMES, -1)


def many(n_clips: int, n: int = 8):
    frames = [(f"clip {c}", i) for c in range(n_clips) for i in range(n)]
    labels = np.array([int(i >= n // 2 and c % 3 > 0) for c in range(n_clips) for i in range(n)])
    return frames, labels


def test_clips_are_drawn_as_one():
    frames, labels = many(6)
    bootstrap = over_clips(Bootstrap(n_resamples=50, seed=4), frames)
    assert isinstance(bootstrap, ClusterBootstrap)
    assert (bootstrap.n_clusters, bootstrap.what) == (6, "6 clips")
    anomalous = labels.astype(bool)
    (rows, weights), *rest = bootstrap.blocks(anomalous, 1)
    assert (rows, rest) == (slice(0, 50), [])
    by_hand = weights.reshape(50, 6, 8)
    np.testing.assert_array_equal(by_hand, np.broadcast_to(by_hand[..., :1], by_hand.shape))
    # Clips 0 and 3 have no anomalous frame and are drawn apart from the four others.
    np.testing.assert_array_equal(by_hand[:, [0, 3], 0].sum(axis=1), 2)
    np.testing.assert_array_equal(by_hand[:, [1, 2, 4, 5], 0].sum(axis=1), 4)
    assert bootstrap.sample_sizes("image", anomalous) == (4, 6)
    assert bootstrap.sample_sizes("pixel", anomalous) == (4, 2)
    # The size of a block has no say in what is drawn.
    parts = [w for _, w in bootstrap.blocks(anomalous, 1 << 15)]
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate(parts), weights)


def test_few_clips_are_drawn_in_blocks():
    frames, _ = many(2, 60)
    bootstrap = over_clips(Bootstrap(), frames)
    assert isinstance(bootstrap, ClusterBootstrap)
    ids = np.array(bootstrap.clusters).reshape(2, 60)
    np.testing.assert_array_equal(ids[0], np.arange(60) // BLOCK)
    np.testing.assert_array_equal(ids[1], 3 + np.arange(60) // BLOCK)
    assert bootstrap.what.startswith("blocks of 25 frames, since there are 2 clips")


def test_resamples_have_both_kinds_of_frames():
    # One mixed clip; the other four are wholly anomalous and are mostly drawn without it.
    frames = [(c, i) for c in "abcde" for i in range(3)]
    anomalous = np.ones(15, dtype=bool)
    anomalous[0] = False
    bootstrap = over_clips(Bootstrap(n_resamples=200), frames)
    weights = np.concatenate([w for _, w in bootstrap.blocks(anomalous, 1)])
    assert weights[:, 0].min() >= 1
    assert weights[:, anomalous].sum(axis=1).min() >= 1
    again = np.concatenate([w for _, w in bootstrap.blocks(anomalous, 1 << 14)])
    np.testing.assert_array_equal(again, weights)


def test_images_without_clips_are_drawn_as_before():
    assert over_clips(Bootstrap(seed=3), []) == Bootstrap(seed=3)
    labels = many(6)[1]
    scores = np.random.default_rng(0).normal(size=labels.size) + labels
    metric = ("image", "auroc")
    # Every frame a clip of its own: the resamples of the images.
    alone = over_clips(Bootstrap(n_resamples=20), [(str(i), 0) for i in range(labels.size)])
    of_frames = measure_images(scores, labels, ["auroc"], Bootstrap(n_resamples=20))
    of_clusters = measure_images(scores, labels, ["auroc"], alone)
    np.testing.assert_array_equal(of_clusters.resampled[metric], of_frames.resampled[metric])
    assert of_clusters.n_images == of_frames.n_images == {"image": (16, 32)}
    with pytest.raises(MetricError, match="clusters of 48 images given for 47"):
        measure_images(scores[1:], labels[1:], ["auroc"], alone)
    with pytest.raises(ConfigError, match="numbered from 0"):
        ClusterBootstrap(clusters=(1, 2))


def test_intervals_over_clusters_are_students():
    rng = np.random.default_rng(1)
    units = rng.normal(size=8) / 20 + 0.5
    drawn = units[rng.integers(8, size=(20000, 8))].mean(axis=1)
    found = cluster_estimate([units.mean()], [drawn], 8, 0.95)
    reach = 2.364624 * units.std(ddof=1) / np.sqrt(8)  # Student's quantile, 7 degrees of freedom
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.02)
    assert found.value == units.mean()
    wide = cluster_estimate([0.5, 0.6], [drawn, drawn], 8, 0.95)
    assert wide.value == pytest.approx(0.55)
    assert (wide.low, wide.high) == (0, 1)  # two draws say little of others, and a share has bounds
    assert np.isnan(cluster_estimate([0.5], [drawn], 1, 0.95).low)
    assert np.isnan(cluster_estimate([1.0], [np.ones(20)], 8, 0.95).low)
