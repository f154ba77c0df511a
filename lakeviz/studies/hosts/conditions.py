"""The conditions of a comparison, the host alone, restricted and with LAKE's score; and costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lakeviz.lake import Selection
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import members_of, n_members
from lakeviz.studies.hosts.detectors.protocol import Host, ImageDetector, name_of
from lakeviz.studies.hosts.result import ADD, ALONE, LAKE, NO_SELECTOR, RESTRICT
from lakeviz.studies.hosts.scoring import (
    HostMaps,
    Scale,
    Selections,
    features_of,
    fit_host,
    host_maps,
    host_scale,
    lake_scales,
)

Group = tuple[str, str]
"""Mode and selector."""


@dataclass
class Conditions:
    """What was measured of one host on one draw of the normal images of a category.

    ``members`` hold one measurement per group, or one per random set; ``fitted`` one detector of
    each group, for costs; ``scales`` the units in which scores were added.
    """

    members: dict[Group, list[Measurement]] = field(default_factory=dict)
    fitted: dict[Group, tuple[Any, Selections | None]] = field(default_factory=dict)
    scales: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is compared, and how: ``k`` neurons per hook point, the selector in question first.

    ``weight`` is the share of LAKE's score where it is added.
    """

    host: Host
    selectors: tuple[str, ...]
    k: int
    n_random_sets: int
    seed: int
    weight: float

    def select(self, data: StudyData, selector: str) -> list[dict[str, Selection]]:
        """One selection, or one per random set."""
        return members_of(data, self.k, selector, self.n_random_sets, self.seed)

    def n_conditions(self, modes: Sequence[str]) -> int:
        """How many are measured of each draw: the host and LAKE alone, and each set by mode."""
        sets = sum(n_members(name, self.n_random_sets) for name in self.selectors)
        return 1 + (ADD in modes) + len(modes) * sets

    def fresh(self) -> Host:
        """A copy of the host, to be fitted."""
        return copy.deepcopy(self.host)


def run_conditions(
    data: StudyData, plan: Plan, modes: Sequence[str], evaluator: PairedEvaluator
) -> Conditions:
    """Fit, score and measure every condition."""
    found = Conditions()
    host = plan.fresh()
    fit_host(host, data, None)
    alone = host_maps(host, data, None)
    found.members[ALONE, NO_SELECTOR] = [measured(alone, evaluator)]
    found.fitted[ALONE, NO_SELECTOR] = (host, None)
    if RESTRICT in modes:
        _restricted(data, plan, evaluator, found)
    if ADD in modes:
        _added(data, plan, evaluator, alone, found)
    return found


def measured(scored: HostMaps, evaluator: PairedEvaluator) -> Measurement:
    """Measure maps, and image scores by the host's own rule where it has one."""
    made = evaluator.measure(scored.maps)
    if scored.images is None:
        return made
    return made | evaluator.measure_scores(scored.images)


def _restricted(data: StudyData, plan: Plan, evaluator: PairedEvaluator, found: Conditions) -> None:
    for selector in plan.selectors:
        members = []
        for number, selections in enumerate(plan.select(data, selector)):
            host = plan.fresh()
            fit_host(host, data, selections)
            members.append(measured(host_maps(host, data, selections), evaluator))
            if number == 0:
                found.fitted[RESTRICT, selector] = (host, selections)
        found.members[RESTRICT, selector] = members


def _added(
    data: StudyData, plan: Plan, evaluator: PairedEvaluator, alone: HostMaps, found: Conditions
) -> None:
    own_scale = host_scale(plan.fresh(), data)
    found.scales.append(_scale_row(name_of(plan.host), NO_SELECTOR, 0, own_scale))
    host = alone.scaled(own_scale)
    for selector in plan.selectors:
        branches = data.branches(plan.select(data, selector))
        scales = lake_scales(data, lambda part, name=selector: plan.select(part, name))
        members = []
        scored = zip(data.visual_maps(branches), scales, strict=True)
        for number, (maps, scale) in enumerate(scored):
            found.scales.append(_scale_row("lake", selector, number, scale))
            if number == 0:
                found.fitted[ADD, selector] = (branches[0], None)
                if selector == plan.selectors[0]:
                    found.members[LAKE, selector] = [evaluator.measure(maps)]
            fused = add(host, HostMaps(scale(maps)), plan.weight, evaluator.image_score)
            members.append(measured(fused, evaluator))
        found.members[ADD, selector] = members


def add(
    host: HostMaps, lake: HostMaps, weight: float, image_score: Callable[[np.ndarray], np.ndarray]
) -> HostMaps:
    """``(1 - w) host + w lake``, of scores in standard units.

    Where the host scores whole images by a rule of its own, that score and LAKE's are added in the
    same way; otherwise image scores come from the joint map.
    """
    maps = (1 - weight) * host.maps + weight * lake.maps
    if host.images is None:
        return HostMaps(maps)
    return HostMaps(maps, (1 - weight) * host.images + weight * image_score(lake.maps))


def _scale_row(what: str, selector: str, member: int, scale: Scale) -> dict[str, Any]:
    return {"score": what, "selector": selector, "member": member, **asdict(scale)}


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
