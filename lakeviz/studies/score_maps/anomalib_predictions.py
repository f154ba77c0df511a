"""anomalib's predictions as a folder of maps that :func:`~lakeviz.studies.score_maps` reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lakeviz.errors import DataError
from lakeviz.files import written
from lakeviz.metrics.inputs import to_numpy

SCORES = "scores.csv"


def save_predictions(predictions: Iterable[Any], folder: str | Path, root: str | Path) -> Path:
    """Write the maps and scores that ``anomalib.engine.Engine.predict`` returned.

    Parameters
    ----------
    predictions : iterable of ImageBatch
        Batches with ``image_path``, ``anomaly_map`` [image, (1,) height, width] and, if there are
        any, ``pred_score`` [image].
    folder : path
        Gets ``maps/NAME.npy`` for each image and, with scores, ``scores.csv``.
    root : path
        Folder below which the images lie; names are relative to it, as those of the masks are to
        theirs.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If a batch has no map, or an image lies outside ``root`` or came twice.
    OutputError
        If it cannot be written.
    """
    folder, root = Path(folder), Path(root).absolute()
    rows: list[tuple[str, float]] = []
    seen: set[str] = set()
    for batch in predictions:
        maps = getattr(batch, "anomaly_map", None)
        if maps is None:
            raise DataError("a batch of predictions has no anomaly_map")
        paths = [Path(path).absolute() for path in batch.image_path]
        scores = getattr(batch, "pred_score", None)
        for number, path in enumerate(paths):
            if not path.is_relative_to(root):
                raise DataError(f"the image {path} does not lie below {root}")
            key = path.relative_to(root).with_suffix("").as_posix()
            if key in seen:
                raise DataError(f"the image {key} was predicted twice")
            seen.add(key)
            _write(folder / "maps" / f"{key}.npy", to_numpy(maps[number]).squeeze())
            if scores is not None:
                rows.append((key, float(to_numpy(scores[number]).item())))
    if not seen:
        raise DataError("there is no prediction")
    if rows:
        with (
            written(folder / SCORES) as scratch,
            scratch.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([("sample_id", "score"), *rows])
    return folder


def _write(path: Path, values: np.ndarray) -> None:
    with written(path) as scratch, scratch.open("wb") as file:
        np.save(file, values, allow_pickle=False)
