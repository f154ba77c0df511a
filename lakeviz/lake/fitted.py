"""State of a fitted detector, and its files: ``lake.json`` and ``lake.safetensors``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, Protocol, TypedDict, TypeVar

import numpy as np
import torch

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.documents import of_file
from lakeviz.errors import StoreError
from lakeviz.files import read_arrays, read_json, settle, write_arrays, write_json, written_together
from lakeviz.lake.gallery import Gallery
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.outliers import Outliers
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
from lakeviz.lake.text import TextBranch
from lakeviz.lake.visual import Restriction, VisualBranch, VisualPoint

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.units.base import Units

PROTOCOL = "lakeviz-lake/1"


class DescribedPoint(TypedDict):
    """A selection, but for its arrays."""

    selector: str
    n_channels: int
    provenance: dict[str, Any]


class DescribedModel(TypedDict):
    """The model that a detector was fitted on."""

    name: str
    weights_hash: str
    preprocess: dict[str, Any]
    precision: str


class Described(TypedDict):
    """What ``lake.json`` says."""

    model: DescribedModel
    options: LakeOptions
    points: dict[str, DescribedPoint]
    normal_ids: list[str]
    class_name: str | None
    arrays_sha256: NotRequired[str]
    text_point: str | None
    units: NotRequired[dict[str, Any]]


class FittedLake(Protocol):
    """What evaluations and files need of a detector; see :class:`lakeviz.lake.detector.Lake`."""

    model: VisionModel
    units: dict[str, Units]
    options: LakeOptions
    points: tuple[str, ...]
    text_weight: float
    statistics: RunningStatistics | None
    normal_ids: list[str]
    branches: dict[str, VisualBranch]
    missing_controls: dict[str, str]
    outliers: Outliers | None
    text: TextBranch | None

    @property
    def visual(self) -> VisualBranch:
        """The detector's own visual branch."""
        ...

    def describe_model(self) -> dict[str, Any]:
        """Describe the model."""
        ...


L = TypeVar("L", bound=FittedLake)


def _selection_arrays(selection: Selection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    plain = {
        "selector": selection.selector,
        "n_channels": selection.n_channels,
        "provenance": dict(selection.provenance),
    }
    if isinstance(selection, NeuronSelection):
        arrays = {"channels": selection.channels, "scores": selection.scores}
        if selection.scale is not None:
            arrays["scale"] = selection.scale
        return plain, arrays
    return plain, {"basis": selection.basis, "scores": selection.scores}


def _selection(point: str, plain: Mapping[str, Any], arrays: Mapping[str, Any]) -> Selection:
    if "channels" in arrays:
        return NeuronSelection(
            point,
            arrays["channels"],
            arrays["scores"],
            plain["n_channels"],
            plain["selector"],
            plain["provenance"],
            arrays.get("scale"),
        )
    return SubspaceSelection(
        point, arrays["basis"], arrays["scores"], plain["selector"], plain["provenance"]
    )


def save_fitted(lake: FittedLake, folder: str | Path) -> Path:
    """Write a fitted detector: ``lake.json`` and ``lake.safetensors``. Controls are left out."""
    arrays: dict[str, np.ndarray] = {}
    points = {}
    for point, fitted in lake.visual.points.items():
        points[point], found = _selection_arrays(fitted.selection)
        found = dict(found) | {"gallery": fitted.gallery.tokens.cpu().numpy()}
        if fitted.restriction.standard is not None:
            mean, deviation = fitted.restriction.standard
            found |= {"standard_mean": mean.numpy(), "standard_deviation": deviation.numpy()}
        if fitted.restriction.centre is not None:
            found |= {"centre": fitted.restriction.centre.numpy()}
        if fitted.restriction.typical_distance != 1:
            found |= {"typical_distance": np.array([fitted.restriction.typical_distance])}
        if fitted.gallery.typical_distance != 1:
            found |= {"gallery_distance": np.array([fitted.gallery.typical_distance])}
        assert lake.statistics is not None
        found |= {f"statistics/{n}": a for n, a in lake.statistics[point].arrays().items()}
        arrays |= {f"{point}|{name}": a for name, a in found.items()}
    if lake.text is not None:
        arrays["text|vectors"] = lake.text.vectors.cpu().numpy()
    described = {
        "protocol": PROTOCOL,
        "model": lake.describe_model(),
        "options": as_plain(lake.options),
        "points": points,
        **described_units(lake.units),
        "normal_ids": lake.normal_ids,
        "class_name": lake.text.class_name if lake.text else None,
        "text_point": lake.text.point if lake.text else None,
    }
    with written_together(folder) as scratch:
        described["arrays_sha256"] = write_arrays(scratch / "lake.safetensors", arrays)
        write_json(scratch / "lake.json", described, sealed=True)
    return Path(folder)


def load_fitted(
    folder: str | Path, make: Callable[[LakeOptions], L], units: Mapping[str, Units] | None = None
) -> L:
    """Read a detector back from the folder of :func:`save_fitted`.

    ``make`` makes a detector, not fitted yet, of its settings; ``units``: those it was fitted on.
    """
    folder = Path(folder)
    settle(folder)
    described = read_json(folder / "lake.json")
    if described.get("protocol") != PROTOCOL:
        raise StoreError(f"{folder} follows {described.get('protocol')!r}, not {PROTOCOL!r}")
    described = of_file(folder / "lake.json", Described, described)
    _check_units(folder, described.get("units", {}), units or {})
    lake = make(described["options"])
    was, now = described["model"], lake.describe_model()
    for name in ("weights_hash", "preprocess", "precision"):
        if was[name] != now[name]:
            raise StoreError(
                f"{folder} was fitted on {was['name']} with another {name.replace('_', ' ')} "
                f"than {now['name']} has"
            )
    arrays = read_arrays(folder / "lake.safetensors", described.get("arrays_sha256"))
    lake.normal_ids = described["normal_ids"]
    lake.statistics = RunningStatistics([])
    points = {}
    try:
        for point, plain in described["points"].items():
            own = {n.split("|", 1)[1]: a for n, a in arrays.items() if n.startswith(f"{point}|")}
            points[point] = _visual_point(lake, point, plain, own)
            of_point = {n.removeprefix("statistics/"): a for n, a in own.items() if "/" in n}
            lake.statistics[point] = ChannelStatistics.from_arrays(point, of_point)
        lake.branches = {"lake": VisualBranch(points, lake.options.selector, lake.options.seed)}
        if described["class_name"] is not None and lake.model.logit_scale is not None:
            lake.text = TextBranch(
                lake.options.text,
                described["class_name"],
                torch.from_numpy(arrays["text|vectors"]),
                lake.model.logit_scale,
                described["text_point"],
            )
    except KeyError as error:
        raise StoreError(
            f"{folder / 'lake.safetensors'} lacks {error} that lake.json speaks of; fit again"
        ) from error
    return lake


def described_units(units: Mapping[str, Units]) -> dict[str, Any]:
    """Source and hash of units that stand in place of neurons, as results carry them."""
    return {"units": {p: one.describe() for p, one in units.items()}} if units else {}


def _check_units(
    folder: Path, was: Mapping[str, Mapping[str, Any]], given: Mapping[str, Units]
) -> None:
    for point in [*was, *(p for p in given if p not in was)]:
        fitted = was.get(point, {"name": "neurons", "source": "channels", "hash": None})
        own = given[point].describe() if point in given else {"source": "channels", "hash": None}
        if fitted["hash"] != own["hash"]:
            raise StoreError(
                f"{folder} was fitted on {fitted['name']} of {fitted['source']} at {point} (hash "
                f"{str(fitted['hash'])[:12]}), and not on those of {own['source']} (hash "
                f"{str(own['hash'])[:12]}); give the same units= again"
            )


def _visual_point(
    lake: FittedLake, point: str, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> VisualPoint:
    o = lake.options.visual
    standard = None
    if "standard_mean" in arrays:
        mean, deviation = arrays["standard_mean"], arrays["standard_deviation"]
        standard = (torch.from_numpy(mean), torch.from_numpy(deviation))
    gallery = Gallery(
        torch.from_numpy(arrays["gallery"]).to(lake.model.device),
        distance=o.distance,
        neighbours=o.neighbours,
        memory_mb=o.memory_mb,
        typical_distance=_number(arrays, "gallery_distance"),
    )
    selection = _selection(point, plain, arrays)
    centre = torch.from_numpy(arrays["centre"]) if "centre" in arrays else None
    typical = _number(arrays, "typical_distance", "unit")  # its name in the version before
    restriction = Restriction(selection, o.normalisation, standard, centre, typical)
    return VisualPoint(restriction, gallery, o.reference)


def _number(arrays: Mapping[str, np.ndarray], *names: str) -> float:
    """Number under the first of some names that there is; 1 where there is none."""
    return next((float(arrays[name][0]) for name in names if name in arrays), 1.0)
