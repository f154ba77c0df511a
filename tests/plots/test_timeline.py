"""Scores over time: which clips, where the events are shaded, and the frames of a film."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots import caption_of, timeline_figure
from lakeviz.plots.timeline import choose_clips, events_of_table, film_frames

KINDS = ["good", "stop", "stop", "good", "jump", "stop"]


def table(n_clips: int = 3) -> pd.DataFrame:
    """Clips of six frames, listed backwards; those of odd number are normal."""
    rows = [
        {
            "clip": f"c{clip:02d}",
            "frame": frame,
            "defect_type": KINDS[frame] if clip % 2 == 0 else "good",
            "score": clip + frame / 10,
        }
        for clip in range(n_clips)
        for frame in range(5, -1, -1)
    ]
    made = pd.DataFrame(rows)
    return made.assign(label=(made["defect_type"] != "good").astype(int))


def test_events_are_shaded_where_they_are():
    figure = timeline_figure(table(), threshold=1.2)
    # Clips with an event first.
    assert [a.text for a in figure.layout.annotations] == ["c00", "c02", "c01"]
    np.testing.assert_array_equal(figure.data[0].x, range(6))
    np.testing.assert_allclose(figure.data[0].y, np.arange(6) / 10)
    shaded = [(s.name, s.x0, s.x1, s.xref) for s in figure.layout.shapes if s.type == "rect"]
    assert shaded[:3] == [
        ("stop", 0.5, 2.5, "x"),
        ("jump", 3.5, 4.5, "x"),
        ("stop", 4.5, 5.5, "x"),
    ]
    assert {s[-1] for s in shaded} == {"x", "x2"}
    assert {s.y0 for s in figure.layout.shapes if s.type == "line"} == {1.2}
    assert caption_of(figure)[1].startswith("Score of each frame of 3 clips; anomalous frames")


def test_the_legend_names_what_is_shaded_and_dotted():
    def named(figure) -> list[str]:
        return [trace.name for trace in figure.data if trace.x[0] is None]

    both = timeline_figure(table(), threshold=1.2)
    assert named(both) == ["anomalous frames", "threshold of the best F1"]
    assert both.layout.showlegend
    assert not timeline_figure(table(), clips=["c01"]).layout.showlegend


def test_four_clips_stand_two_by_two():
    figure = timeline_figure(table(7), clips=["c00", "c02", "c04", "c06"])
    shaded = {s.xref for s in figure.layout.shapes if s.type == "rect"}
    assert shaded == {"x", "x2", "x3", "x4"}


def test_of_many_clips_the_first_are_shown_and_others_can_be_named():
    figure = timeline_figure(table(14))
    assert [trace.name for trace in figure.data] == ["score"] * 12 + ["anomalous frames"]
    assert "12 clips of 14" in caption_of(figure)[1]
    named = timeline_figure(table(14), clips=["c13"])
    assert [a.text for a in named.layout.annotations] == ["c13"]
    with pytest.raises(ConfigError, match=r"no clip 'c99'"):
        timeline_figure(table(), clips=["c99"])
    with pytest.raises(ConfigError, match="of frames of clips"):
        timeline_figure(table().drop(columns="clip"))


def test_a_gap_parts_two_events():
    own = table(1).sort_values("frame")
    assert events_of_table(own[own["frame"] != 2]) == [
        ("stop", 1, 1),
        ("jump", 4, 4),
        ("stop", 5, 5),
    ]


def test_films_are_evenly_spaced_and_in_order():
    scores = table()
    assert choose_clips(scores) == ["c00", "c02", "c01"]
    frames = film_frames(scores, "c02", 3)
    assert frames["frame"].tolist() == [0, 2, 5]
    assert scores.iloc[frames["position"]]["score"].tolist() == frames["score"].tolist()
    assert film_frames(scores, "c02", 50)["frame"].tolist() == list(range(6))
    with pytest.raises(ConfigError, match="no clip 'x'"):
        film_frames(scores, "x", 3)
