"""What a detector costs: the bytes it keeps, and the seconds it takes, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.hosts.conditions import Conditions
from lakeviz.studies.hosts.detectors.protocol import ImageDetector
from lakeviz.studies.hosts.result import ADD, ALONE, LAKE, NO_SELECTOR
from lakeviz.studies.hosts.scoring import features_of

_DEPTH = 12
_TIMED = 16  # images
_FEATURES, _IMAGES = "captured features", "reading, tower and score"


def cost_rows(data: StudyData, found: Conditions, repeats: int) -> list[dict[str, Any]]:
    """Bytes and seconds of one member of each group; of added scores, the sum of both."""
    n_images = min(_TIMED, len(data.test))
    tokens = {p: data.test.patches(p, range(n_images)) for p in data.points}
    of_host = _IMAGES if isinstance(found.fitted[ALONE, NO_SELECTOR][0], ImageDetector) else ""
    n_normal = min(_TIMED, len(data.normal))

    def run(mode: str, fitted: Any, selections: Any) -> Callable[[], object]:
        if mode == ADD:
            return lambda: fitted.score(tokens)
        if of_host:
            return lambda: fitted.score_images(data, range(n_normal), normal=True)
        return lambda: fitted.score(features_of(data, tokens, selections))

    runs = {group: run(group[0], *fitted) for group, fitted in found.fitted.items()}
    seconds = median_seconds(runs, repeats)
    alone = (ALONE, NO_SELECTOR)
    rows = []
    for (mode, selector), (fitted, _) in found.fitted.items():
        n = n_normal if of_host and mode == ALONE else n_images
        own = kept_bytes(fitted), seconds[mode, selector] / n
        told = [(mode, *own)]
        if mode == ADD:
            host, first = rows[0], next(s for m, s in found.fitted if m == ADD)
            told = [(ADD, host["bytes"] + own[0], host["seconds_per_image"] + own[1])]
            if selector == first:
                told.insert(0, (LAKE, *own))
        for what, kept, took in told:
            rows.append(
                {
                    "mode": what,
                    "selector": selector,
                    "bytes": kept,
                    "seconds_per_image": took,
                    "timed": of_host if of_host and what in (ALONE, ADD) else _FEATURES,
                    "n_repeats": repeats,
                    "n_images": n,
                }
            )
    assert (rows[0]["mode"], rows[0]["selector"]) == alone
    return rows


def kept_bytes(fitted: object) -> int:
    """Bytes of all arrays and tensors that an object keeps, each storage once.

    Looked for in its attributes, lists and mappings. Parameters of networks, and buffers of modules
    that have parameters, are left out: they are the tower, which all detectors share.
    """
    found: dict[int, int] = {}
    _walk(fitted, found, set(), 0)
    return sum(found.values())


def _walk(value: Any, found: dict[int, int], seen: set[int], depth: int) -> None:
    if id(value) in seen or depth > _DEPTH:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, np.ndarray):
        if value.dtype != object:
            owner = value if value.base is None else value.base
            size = owner.nbytes if isinstance(owner, np.ndarray) else value.nbytes
            found[value.__array_interface__["data"][0]] = size
    elif isinstance(value, nn.Module):
        for module in value.modules():
            if not module._parameters:
                held = [v for v in vars(module).values() if isinstance(v, (Tensor, list))]
                for own in (*module._buffers.values(), *held):
                    _walk(own, found, seen, depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():
            _walk(item, found, seen, depth + 1)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            _walk(item, found, seen, depth + 1)
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        _walk(vars(value), found, seen, depth + 1)


def median_seconds(runs: Mapping[Any, Callable[[], object]], repeats: int) -> dict[Any, float]:
    """Median seconds of several runs, measured in turn: what else the machine does hits all alike.

    One run each comes before, unmeasured.
    """
    found: dict[Any, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for run in runs.values():
            run()
        for _ in range(repeats):
            for name, run in runs.items():
                start = perf_counter()
                run()
                found[name].append(perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in found.items()}
