"""The conditions of a comparison: the host alone, restricted, and with LAKE's score added."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lakeviz.lake import Selection
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import members_of, n_members
from lakeviz.studies.hosts.detectors.protocol import Host, name_of
from lakeviz.studies.hosts.result import ADD, ALONE, LAKE, NO_SELECTOR, RESTRICT
from lakeviz.studies.hosts.scoring import (
    HostMaps,
    Scale,
    Selections,
    fit_host,
    host_scale,
    lake_scales,
    test_maps,
)

Group = tuple[str, str]
"""Mode and selector."""


@dataclass
class Conditions:
    """What was measured of one host on one draw of the normal images of a category.

    Attributes
    ----------
    members : dict of (mode, selector) to list of Measurement
        One measurement, or one per random set.
    fitted : dict of (mode, selector) to detector
        One member of each group, for costs: the host, restricted or not, or LAKE's branch.
    scales : list of dict
        Units in which scores were added.
    """

    members: dict[Group, list[Measurement]] = field(default_factory=dict)
    fitted: dict[Group, tuple[Any, Selections | None]] = field(default_factory=dict)
    scales: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is compared, and how.

    Attributes
    ----------
    host : Host
        As it was given; it is copied before each fit.
    selectors : tuple of str
        The one in question first.
    k : int
        Per hook point.
    n_random_sets : int
        Of each random selector.
    seed : int
    weight : float
        Share of LAKE's score where it is added.
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
    alone = test_maps(host, data, None)
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
            members.append(measured(test_maps(host, data, selections), evaluator))
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
