"""Detectors and evaluations on disk: safetensors, Parquet and JSON, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.errors import StoreError
from lakeviz.files import read_json, remove, write_json, write_parquet, written
from lakeviz.lake.detector import Lake
from lakeviz.lake.evaluation import Evaluation
from lakeviz.lake.gallery import Gallery
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
from lakeviz.lake.text import TextBranch
from lakeviz.lake.visual import Restriction, VisualBranch, VisualPoint
from lakeviz.runs.names import EVALUATION, TABLES, read_description, read_table

if TYPE_CHECKING:
    from lakeviz.data import Dataset
    from lakeviz.models import VisionModel

PROTOCOL = "lakeviz-lake/1"


def _selection_arrays(selection: Selection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    plain = {
        "selector": selection.selector,
        "n_channels": selection.n_channels,
        "provenance": dict(selection.provenance),
    }
    if isinstance(selection, NeuronSelection):
        return plain, {"channels": selection.channels, "scores": selection.scores}
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
        )
    return SubspaceSelection(
        point, arrays["basis"], arrays["scores"], plain["selector"], plain["provenance"]
    )


def save_lake(lake: Lake, folder: str | Path) -> Path:
    """Write a fitted detector: ``lake.json`` and ``lake.safetensors``. Controls are left out.

    Raises
    ------
    NotFittedError
        If it was not fitted.
    OutputError
        If it cannot be written.
    """
    folder = Path(folder)
    arrays: dict[str, np.ndarray] = {}
    points = {}
    for point, fitted in lake.visual.points.items():
        points[point], found = _selection_arrays(fitted.selection)
        found = dict(found) | {"gallery": fitted.gallery.tokens.cpu().numpy()}
        if fitted.restriction.standard is not None:
            mean, deviation = fitted.restriction.standard
            found |= {"standard_mean": mean.numpy(), "standard_deviation": deviation.numpy()}
        assert lake.statistics is not None
        found |= {f"statistics/{n}": a for n, a in lake.statistics[point].arrays().items()}
        arrays |= {f"{point}|{name}": np.ascontiguousarray(a) for name, a in found.items()}
    if lake.text is not None:
        arrays["text|vectors"] = lake.text.vectors.cpu().numpy()
    remove(folder / "lake.json")
    with written(folder / "lake.safetensors") as scratch:
        save_numpy(arrays, str(scratch))
    described = {
        "protocol": PROTOCOL,
        "model": lake.describe_model(),
        "options": as_plain(lake.options),
        "points": points,
        "normal_ids": lake.normal_ids,
        "class_name": lake.text.class_name if lake.text else None,
        "text_point": lake.text.point if lake.text else None,
    }
    write_json(folder / "lake.json", described)
    return folder


def load_lake(folder: str | Path, model: VisionModel) -> Lake:
    """Read a detector back.

    Parameters
    ----------
    folder : path
        As written by :func:`save_lake`.
    model : VisionModel
        The model it was fitted on, checked by its weights' hash.

    Raises
    ------
    StoreError
        If it is missing, damaged, or was fitted on another model.
    """
    folder = Path(folder)
    described = read_json(folder / "lake.json")
    if described.get("protocol") != PROTOCOL:
        raise StoreError(f"{folder} follows {described.get('protocol')!r}, not {PROTOCOL!r}")
    lake = Lake.from_options(model, LakeOptions.from_plain(described["options"]))
    was, now = described["model"], lake.describe_model()
    for name in ("weights_hash", "preprocess", "precision"):
        if was[name] != now[name]:
            raise StoreError(
                f"{folder} was fitted on {was['name']} with another {name.replace('_', ' ')} "
                f"than {now['name']} has"
            )
    try:
        with safe_open(str(folder / "lake.safetensors"), framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StoreError(f"cannot read {folder / 'lake.safetensors'}: {error}") from error
    lake.normal_ids = described["normal_ids"]
    lake.statistics = RunningStatistics([])
    points = {}
    for point, plain in described["points"].items():
        own = {n.split("|", 1)[1]: a for n, a in arrays.items() if n.startswith(f"{point}|")}
        points[point] = _visual_point(lake, point, plain, own)
        of_point = {n.removeprefix("statistics/"): a for n, a in own.items() if "/" in n}
        lake.statistics[point] = ChannelStatistics.from_arrays(point, of_point)
    lake.branches = {"lake": VisualBranch(points, lake.options.selector, lake.options.seed)}
    if described["class_name"] is not None and model.logit_scale is not None:
        lake.text = TextBranch(
            lake.options.text,
            described["class_name"],
            torch.from_numpy(arrays["text|vectors"]),
            model.logit_scale,
            described["text_point"],
        )
    return lake


def _visual_point(
    lake: Lake, point: str, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
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
    )
    selection = _selection(point, plain, arrays)
    return VisualPoint(Restriction(selection, o.normalisation, standard), gallery)


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write an evaluation; ``evaluation.json`` comes last, so its presence means the rest is whole.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    folder = Path(folder)
    maps = evaluation.maps
    remove(folder / EVALUATION)
    for name in TABLES:
        write_parquet(folder / f"{name}.parquet", getattr(evaluation, name))
    arrays = {"patch": maps.patch, "image_scores": maps.image_scores}
    arrays |= {f"part/{n}": a for n, a in maps.parts.items()}
    arrays |= {f"image/{n}": a for n, a in maps.image_parts.items()}
    ready = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    with written(folder / "maps.safetensors") as scratch:
        save_numpy(ready, str(scratch))
    rest = {
        f.name: getattr(maps, f.name)
        for f in fields(maps)
        if f.name not in ("patch", "parts", "image_scores", "image_parts")
    }
    described = {
        "protocol": PROTOCOL,
        "category": evaluation.category,
        "maps": as_plain(rest),
        "provenance": evaluation.provenance,
    }
    write_json(folder / EVALUATION, described)
    return folder


def load_evaluation(folder: str | Path, dataset: Dataset) -> Evaluation:
    """Read an evaluation back.

    Parameters
    ----------
    folder : path
        As written by :func:`save_evaluation`.
    dataset : Dataset
        The data it was made on (its masks are read from there).

    Raises
    ------
    StoreError
        If it is missing, damaged, or the data have other images.
    """
    folder = Path(folder)
    described = read_description(folder)
    tables = {name: read_table(folder, name) for name in TABLES}
    try:
        arrays = load_numpy(str(folder / "maps.safetensors"))
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{folder} is damaged: {error}") from error
    rest = described["maps"]
    rest["sizes"] = [tuple(size) for size in rest["sizes"]]
    rest["skipped"] = [tuple(entry) for entry in rest["skipped"]]
    rest["map_size"] = None if rest["map_size"] is None else tuple(rest["map_size"])
    maps = ScoreMaps(
        patch=arrays["patch"],
        parts={n.removeprefix("part/"): a for n, a in arrays.items() if n.startswith("part/")},
        image_scores=arrays["image_scores"],
        image_parts={n.removeprefix("image/"): a for n, a in arrays.items() if n[:6] == "image/"},
        **rest,
    )
    test = dataset.where(np.isin(dataset.sample_ids, maps.sample_ids))
    if test.sample_ids != maps.sample_ids:
        raise StoreError(f"{folder} was made on other images than {dataset.name} has now")
    return Evaluation(
        category=described["category"],
        maps=maps,
        dataset=test,
        provenance=described["provenance"],
        **tables,
    )
