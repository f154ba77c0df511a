"""Scores of clips over time, with the labelled events shaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError, nearest
from lakeviz.plots.line_panels import Line, line_figure
from lakeviz.plots.panels import REFERENCE, Look, Panel, rows_and_columns
from lakeviz.plots.template import ANOMALOUS, faded
from lakeviz.tables import numbers, where
from lakeviz.wording import counted

_COLUMNS, _ROW = 3, 170
MOST_CLIPS = 12
"""Clips that a figure shows where none are named."""


def timeline_figure(
    scores: pd.DataFrame,
    *,
    threshold: float = float("nan"),
    clips: Sequence[str] = (),
    title: str = "Scores over time",
    columns: int = _COLUMNS,
) -> go.Figure:
    """Draw the frame scores of clips, a panel each, with anomalous frames shaded.

    Parameters
    ----------
    scores
        One row per frame: ``clip``, ``frame``, ``label``, ``defect_type`` and ``score``.
    threshold
        Dotted line; none where it is NaN.
    clips
        Which, in this order; by default the first twelve, those with an event first.
    title
    columns
        Panels in a row.

    Raises
    ------
    ConfigError
        The rows are not frames of clips, or there is no such clip.
    """
    if "clip" not in scores or scores.empty:
        raise ConfigError("scores over time are of frames of clips, and these images are none")
    known = choose_clips(scores)
    for clip in clips:
        if clip not in known:
            raise ConfigError(f"there is no clip {clip!r}{nearest(clip, known)}")
    chosen = list(clips) or known[:MOST_CLIPS]
    own = {c: where(scores, clip=c).sort_values("frame") for c in chosen}
    lines = {
        clip: [Line("score", numbers(t, "frame"), numbers(t, "score"), Look.of(0), mode="lines")]
        for clip, t in own.items()
    }
    left = len(known) - len(chosen)
    said = f"{counted(len(chosen), 'clip')}{f' of {len(known)}' if left else ''}; anomalous frames"
    shaded, dotted = any(t["label"].any() for t in own.values()), bool(np.isfinite(threshold))
    figure = line_figure(
        lines,
        title=title,
        caption=f"Score of each frame of {said} are shaded."
        + (" Dotted: the threshold of the best F1." if dotted else ""),
        x="frame",
        y="score",
        columns=columns,
        shared_y=True,
        level=threshold if dotted else None,
        row_height=_ROW,
        legend=shaded or dotted,
    )
    _name_shapes(figure, shaded, dotted)
    _, columns = rows_and_columns(len(own), columns)
    for number, table in enumerate(own.values()):
        panel = Panel(1 + number // columns, 1 + number % columns)
        for kind, first, last in events_of_table(table):
            figure.add_shape(
                type="rect",
                x0=first - 0.5,
                x1=last + 0.5,
                y0=0,
                y1=1,
                yref="y domain",
                layer="below",
                line_width=0,
                fillcolor=faded(ANOMALOUS, 0.25),
                name=kind,
                **panel.at,
            )
    return figure


def _name_shapes(figure: go.Figure, shaded: bool, dotted: bool) -> None:
    """Name in the legend what is drawn as shapes."""
    square = {"symbol": "square", "size": 12, "color": faded(ANOMALOUS, 0.25)}
    named = {
        "anomalous frames": {"mode": "markers", "marker": square} if shaded else None,
        "threshold of the best F1": {"mode": "lines", "line": REFERENCE} if dotted else None,
    }
    for name, look in named.items():
        if look is not None:
            figure.add_trace(go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **look))


def choose_clips(scores: pd.DataFrame) -> list[str]:
    """Name the clips, those that have normal and anomalous frames first, then by name."""
    kinds: dict[str, set[int]] = {}
    for clip, label in zip(scores["clip"], scores["label"]):
        kinds.setdefault(str(clip), set()).add(int(label))
    return sorted(kinds, key=lambda clip: (len(kinds[clip]) < 2, clip))


def events_of_table(frames: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Kind, first and last frame of each event of one clip, whose frames are in order."""
    found: list[tuple[str, int, int]] = []
    for number, label, kind in zip(frames["frame"], frames["label"], frames["defect_type"]):
        if not label:
            continue
        if found and found[-1][0] == kind and found[-1][2] == number - 1:
            found[-1] = (kind, found[-1][1], int(number))
        else:
            found.append((str(kind), int(number), int(number)))
    return found


def film_frames(scores: pd.DataFrame, clip: str, n: int) -> pd.DataFrame:
    """Choose frames of a clip, evenly spaced in time: rows with their ``position`` in ``scores``.

    Raises
    ------
    ConfigError
        There is no such clip.
    """
    positions = np.flatnonzero((scores["clip"] == clip).to_numpy())
    if not positions.size:
        raise ConfigError(f"there is no clip {clip!r}{nearest(clip, choose_clips(scores))}")
    positions = positions[np.argsort(scores["frame"].to_numpy()[positions], kind="stable")]
    kept = np.unique(np.linspace(0, positions.size - 1, min(n, positions.size)).round().astype(int))
    table = scores.iloc[positions[kept]].reset_index(drop=True)
    return table.assign(position=positions[kept], group=f"clip {clip}")
