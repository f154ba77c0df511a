"""What the report shows of clips: their table, the score over time, and a film to play."""

from __future__ import annotations

import re
from dataclasses import replace

from lakeviz.lake.clip_rows import clip_table
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import image_rows
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import over_clips
from lakeviz.report import write_report


def with_clips(evaluation):
    """Two clips of three frames: the first is normal until its last, the second anomalous."""
    n = len(evaluation.scores)
    frames = [("test/a" if i < 4 else "test/b", i % 4) for i in range(n)]
    clips, numbers = [clip.removeprefix("test/") for clip, _ in frames], [i for _, i in frames]
    scores = evaluation.scores.assign(clip=clips, frame=numbers)
    bootstrap = over_clips(Bootstrap(n_resamples=20), frames)
    branches = {"lake": [evaluation.maps.image_scores]}
    labels = evaluation.dataset.labels
    rows, _ = image_rows(branches, labels, Conventions(), bootstrap)
    truth = Truth(labels, reason="the data set has no masks")
    table = clip_table(branches, [], truth, frames, rows, bootstrap)
    return replace(evaluation, scores=scores, clips=table)


def test_the_report_of_clips(make, tmp_path):
    page = write_report([with_clips(make())], {}, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Scores over time" in page
    table = re.search(r"<table><thead><tr><th>Clips.*?</table>", page, re.S)
    assert table
    assert "frame AUROC, macro (mean of clips)" in table[0]
    assert "the data set has no masks" in table[0]  # of RBDC
    film = re.search(r'<div class="film">.*?</div>\s*<p', page, re.S)
    assert film
    # Clip a, which has both kinds of frames, all four of them in order; one is shown at first.
    assert re.findall(r'data-said="(\d)\.png', film[0]) == ["0", "1", "2", "3"]
    assert film[0].count("<li hidden") == 3
    assert film[0].count('class="event"') == 1
    assert 'max="3"' in film[0]


def test_images_that_are_no_frames_have_nothing_of_it(make, tmp_path):
    page = write_report([make()], {}, tmp_path / "r.html").read_text(encoding="utf-8")
    for absent in ("Scores over time", '<div class="film">', "<th>Clips"):
        assert absent not in page
