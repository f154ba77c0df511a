"""What the axes of a figure span, and where they end: at the ends of the quantity they show."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

Bounds = tuple[float, float]
Json = dict[str, Any]
_ROOM = 0.05
"""On both sides of values that are all equal, where a quantity says no other."""


def data_range(spec: Json, axis: str) -> Bounds | None:
    """Lowest and highest value that the traces of an axis show, with their error bars.

    Parameters
    ----------
    spec : dict
        Of ``Figure.to_plotly_json()``.
    axis : str
        Such as ``"x2"``.

    Returns
    -------
    (float, float) or None
        None where there is no number.
    """
    values = [value for trace in spec["data"] for value in _values(trace, axis)]
    finite = [one[np.isfinite(one)] for one in values]
    joined = np.concatenate(finite) if finite else np.array([])
    return (float(joined.min()), float(joined.max())) if joined.size else None


def end_axes(fig: go.Figure, letter: str, bounds: Bounds, **at: Any) -> None:
    """End axes where their quantity ends, however far the automatic range would go.

    Values that are all equal get a little room instead of a whole unit; marks that lie on the end
    are drawn whole.

    Parameters
    ----------
    fig : Figure
        With its traces.
    letter : str
        ``"x"`` or ``"y"``.
    bounds : (float, float)
        Least and greatest value there can be, infinite where there is none; see
        :func:`lakeviz.metrics.registry.metric_bounds`.
    **at
        ``row`` and ``col`` of a panel; all panels by default.
    """
    spec = fig.to_plotly_json()
    select = fig.select_xaxes if letter == "x" else fig.select_yaxes
    for axis in select(**at):
        name = axis.plotly_name.replace("axis", "")
        found = data_range(spec, name)
        if found is None:
            continue
        low, high = found
        ends = {"clipmin": bounds[0], "clipmax": bounds[1]}
        axis.autorangeoptions = {end: at for end, at in ends.items() if np.isfinite(at)}
        if high - low < 1e-9:
            axis.range = span_within(np.array([low, high]), bounds)
        traces: Any = fig.data
        for trace in traces:
            if trace.type == "scatter" and (getattr(trace, f"{letter}axis") or letter) == name:
                trace.cliponaxis = False


def span_within(values: np.ndarray, bounds: Bounds) -> list[float]:
    """From the lowest to the highest value; with a little room, within bounds, where they equal."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = _ROOM if high - low < 1e-9 else 0.0
    return np.clip([low - room, high + room], *bounds).tolist()


def unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    """Read an array as plotly packs it: base64 of its bytes."""
    array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])
    shape = str(packed.get("shape", array.size)).split(",")
    return array.reshape([int(length) for length in shape])


def _values(trace: Json, axis: str) -> Iterator[np.ndarray]:
    letter = axis[0]
    if (trace.get(f"{letter}axis") or letter) != axis or trace.get("visible", True) is not True:
        return
    found = _numbers(trace.get(letter))
    if found is None:
        return
    yield found
    bars = trace.get(f"error_{letter}") or {}
    above = _numbers(bars.get("array"))
    below = _numbers(bars.get("arrayminus"))
    if above is not None and len(above) == len(found):
        yield found + above
        yield found - (above if below is None else below)
    base = _numbers(trace.get("base"))
    if base is not None and (trace.get("orientation") == "h") == (letter == "x"):
        yield base
        yield base + found


def _numbers(values: Any) -> np.ndarray | None:
    """Numbers of a list or array, also as plotly packs them; None where they are none."""
    if isinstance(values, dict):
        values = unpacked(values)
    try:
        return None if values is None else np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError):
        return None
