"""What an exported figure shows, in a JSON file next to it: data, versions, command, provenance."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import OutputError
from lakeviz.plots.panels import unpacked
from lakeviz.plots.template import caption_of

PROTOCOL = "lakeviz-figure/1"
_PACKAGES = ("lakeviz", "plotly", "kaleido", "numpy", "pandas")
# What a trace shows, as against how it looks.
_SHOWN = (
    "name",
    "type",
    "x",
    "y",
    "z",
    "x0",
    "dx",
    "y0",
    "dy",
    "error_x",
    "error_y",
    "text",
    "customdata",
    "labels",
    "values",
    "dimensions",
)
_OF_ERROR = ("array", "arrayminus", "symmetric")

Tables = pd.DataFrame | Mapping[str, pd.DataFrame]


def describe_figure(
    fig: go.Figure,
    *,
    data: Tables | None = None,
    provenance: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Say what a figure shows and what made it, as JSON types; see ``save_figure``.

    Numbers that are not finite are null.
    """
    title, caption = caption_of(fig)
    if not title:
        title = str(fig.to_plotly_json()["layout"].get("title", {}).get("text", ""))
    described = {
        "protocol": PROTOCOL,
        "title": title,
        "caption": caption,
        "data": _traces(fig) if data is None else _tables(data),
        "versions": {name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "command": command,
        "provenance": provenance,
    }
    return as_json(described)


def sidecar_path(path: Path) -> Path:
    """``x.json`` for ``x.pdf``."""
    return path.with_suffix(".json")


def with_file(
    described: dict[str, Any], path: Path, content: bytes, **facts: Any
) -> dict[str, Any]:
    """Add an exported file with its hash.

    Where the sidecar that is there tells of the same figure, its other files stay listed: the
    same figure is often exported as PDF and as PNG.
    """
    before = read_sidecar(path)
    same = before is not None and all(
        before.get(key) == described[key] for key in ("title", "caption", "data")
    )
    files = dict(before["files"]) if same and before is not None else {}
    kept = {n: f for n, f in files.items() if n != path.name and (path.parent / n).is_file()}
    own = as_json({"sha256": hashlib.sha256(content).hexdigest(), **facts})
    return described | {"files": kept | {path.name: own}}


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Read the sidecar of an exported figure, or None where there is none."""
    beside = sidecar_path(path)
    if not beside.exists():
        return None
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("protocol") != PROTOCOL:
        raise OutputError(
            f"{beside} is in the way: it is not the sidecar of a figure; choose another name than "
            f"{path.name}, or leave the sidecar out"
        )
    return found


def as_json(value: Any) -> Any:
    """Turn arrays, tables and numbers of any kind into plain lists, dicts and numbers."""
    if isinstance(value, Mapping):
        if value.keys() >= {"dtype", "bdata"}:
            return as_json(unpacked(value))
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | pd.Series | pd.Index):
        return as_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(v) for v in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA:
        return None
    return value if isinstance(value, bool | int | str) else str(value)


def _traces(fig: go.Figure) -> dict[str, Any]:
    kept = []
    for trace in fig.to_plotly_json()["data"]:
        shown = {name: trace[name] for name in _SHOWN if name in trace}
        for name in ("error_x", "error_y"):
            if name in shown:
                shown[name] = {k: v for k, v in shown[name].items() if k in _OF_ERROR}
        kept.append(shown)
    return {"traces": kept}


def _tables(data: Tables) -> dict[str, Any]:
    named = {"table": data} if isinstance(data, pd.DataFrame) else data
    return {
        "tables": {
            name: {"columns": list(table.columns), "rows": table.to_numpy(dtype=object).tolist()}
            for name, table in named.items()
        }
    }
