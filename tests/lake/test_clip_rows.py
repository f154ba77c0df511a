"""The table of clips: its numbers are those of the metrics, and its intervals are over clips."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lakeviz.lake.clip_rows import ALL, SMOOTHED, clip_table
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import image_rows
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import clip_aurocs, detect_events, over_clips, smooth_over_time
from lakeviz.metrics.region_detection import detect_regions

N_CLIPS, N = 6, 10
FRAMES = [(f"test/{c}", i) for c in range(N_CLIPS) for i in range(N)]
LABELS = np.array([int(c > 0 and i >= 6) for c in range(N_CLIPS) for i in range(N)])


@pytest.fixture
def maps():
    rng = np.random.default_rng(2)
    found = rng.uniform(size=(len(FRAMES), 8, 8)).astype(np.float32)
    found[:, 2:5, 2:5] += 0.6 * LABELS[:, None, None]
    return found


@pytest.fixture
def truth():
    masks = np.zeros((len(FRAMES), 8, 8), dtype=bool)
    masks[:, 2:5, 2:5] = LABELS[:, None, None]
    return Truth.of_masks(LABELS, list(masks))


def table(branches, maps, truth, frames=FRAMES, bootstrap=None):
    bootstrap = over_clips(bootstrap or Bootstrap(n_resamples=200), frames)
    rows, _ = image_rows(branches, truth.labels, Conventions(), bootstrap)
    return clip_table(branches, maps, truth, frames, rows, bootstrap), rows


def test_values_are_those_of_the_metrics_and_means_over_draws(maps, truth):
    scores = [maps.max(axis=(1, 2)), maps.mean(axis=(1, 2))]
    found, rows = table({"lake": scores, "text": scores[:1]}, maps, truth)
    whole = found[(found["clip"] == ALL) & (found["branch"] == "lake")].set_index("metric")
    each = [clip_aurocs(s, LABELS, FRAMES) for s in scores]
    assert len(each[0]) == 5  # the clip without an anomalous frame has no part in it
    macro = np.mean([list(one.values()) for one in each])
    assert whole.loc["auroc_macro", "value"] == pytest.approx(macro)
    detected = [detect_events(s, LABELS, FRAMES) for s in scores]
    share = np.mean([d.found.mean() for d in detected])
    assert whole.loc["events_found", "value"] == pytest.approx(share)
    assert whole.loc["events_found", "n_events"] == 5
    delay = np.mean([np.nanmean(d.delays) for d in detected])
    assert whole.loc["delay", "value"] == pytest.approx(delay)
    regions = detect_regions(list(maps), truth.masks, FRAMES)
    assert whole.loc["rbdc", "value"] == pytest.approx(regions.rbdc()[0])
    assert whole.loc["tbdc", "value"] == pytest.approx(regions.tbdc()[0])
    assert whole["n_draws"].tolist() == [2, 2, 2, 2, 2, 1, 1]
    # The micro AUROC is the image AUROC of the table of metrics, with its interval.
    (micro,) = [r for r in rows if r["branch"] == "lake" and r["metric"] == "auroc"]
    assert whole.loc["auroc_micro", ["value", "low", "high"]].tolist() == [
        micro[c] for c in ("value", "low", "high")
    ]
    assert set(whole["note"]) <= {
        "",
        "the interval is over 6 clips",
        "the interval is over 6 clips; drawn clips were covered less often than it says",
    }
    assert (
        micro["note"] == "is over 6 clips; its coverage was measured for the AUROC of frames alone"
    )
    clips = found[(found["metric"] == "auroc") & (found["branch"] == "lake")].set_index("clip")
    assert clips["value"].to_dict() == pytest.approx(
        {c: np.mean([one.get(c, np.nan) for one in each]) for c in dict(FRAMES)}, nan_ok=True
    )
    assert clips.loc["test/0", "reason"] == "all frames of the clip are of one kind"
    assert not set(found[found["branch"] == "text"]["metric"]) & {"rbdc", "tbdc"}


def test_intervals_over_clips_are_wider_than_over_frames(maps, truth):
    # Scores differ from clip to clip and hardly within one: there are six units, not sixty.
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.normal(size=N_CLIPS), N) + 0.5 * LABELS + rng.normal(0, 0.01, 60)
    by_clip = image_rows({"lake": [scores]}, LABELS, Conventions(), over_clips(Bootstrap(), FRAMES))
    by_frame = image_rows({"lake": [scores]}, LABELS, Conventions(), Bootstrap())
    wide, narrow = (rows[0][0]["high"] - rows[0][0]["low"] for rows in (by_clip, by_frame))
    assert wide > 1.5 * narrow
    assert by_clip[0][0]["value"] == by_frame[0][0]["value"]


def test_smoothed_scores_are_a_branch_of_their_own(maps, truth):
    scores = [maps.max(axis=(1, 2))]
    bootstrap = over_clips(Bootstrap(n_resamples=20), FRAMES)
    rows, _ = image_rows({"lake": scores}, LABELS, Conventions(), bootstrap)
    plain, _ = table({"lake": scores}, maps, truth, bootstrap=Bootstrap(n_resamples=20))
    both = clip_table({"lake": scores}, maps, truth, FRAMES, rows, bootstrap, smoothing=2.0)
    assert both[both["branch"] == "lake"].reset_index(drop=True).equals(plain)
    smooth = both[(both["branch"] == SMOOTHED) & (both["clip"] == ALL)].set_index("metric")
    expected = smooth_over_time(scores[0], FRAMES, 2.0)
    assert smooth.loc["auroc_micro", "value"] == pytest.approx(roc_auc_score(LABELS, expected))
    macro = np.mean(list(clip_aurocs(expected, LABELS, FRAMES).values()))
    assert smooth.loc["auroc_macro", "value"] == pytest.approx(macro)
    assert "rbdc" not in smooth.index


def test_absent_parts_say_why(maps, truth):
    scores = [maps.max(axis=(1, 2))]
    found, _ = table({"lake": scores}, maps, Truth(LABELS, reason="the data set has no masks"))
    rbdc = found.set_index("metric").loc["rbdc"]
    assert np.isnan(rbdc["value"])
    assert rbdc["reason"] == "the data set has no masks"
    normal = Truth(np.zeros(60, dtype=int), reason="there is no anomalous image")
    found, _ = table({"lake": scores}, maps, normal)
    whole = found[found["clip"] == ALL].set_index("metric")
    assert whole["value"].isna().all()
    assert whole.loc["events_found", "reason"] == "all frames are normal"
    assert whole.loc["auroc_macro", "reason"] == "no clip has both normal and anomalous frames"


def test_images_that_are_no_frames_have_no_table(maps, truth):
    assert table({"lake": [maps.max(axis=(1, 2))]}, maps, truth, frames=[])[0].empty
