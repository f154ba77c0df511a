"""Rows of interventions: units exchanged or steered at a hook point, whole tokens everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.lake.selection import NeuronSelection
from lakeviz.lake.selectors import neurons_named
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.pair_shares import share_difference, share_estimate
from lakeviz.progress import step
from lakeviz.studies.patching.interchange import Chosen, Interchange
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import (
    ADD,
    CLASS,
    CONTROL,
    DEFECTS,
    DENOISING,
    EXCHANGES,
    GROUPS,
    HEAD,
    NEURONS,
    TWIN_DIFFERENCE,
)

if TYPE_CHECKING:
    from lakeviz.models import HookedTower

HEADS_END = ".attn.hook_z"
"""What every head gives a token, before the output projection mixes them."""


def heads_of(tower: HookedTower, point: str) -> dict[int, NeuronSelection]:
    """Channels of every head at a hook point."""
    n_heads, width = tower.points[point].sizes[-2:]
    own = np.arange(n_heads * width).reshape(n_heads, width)
    return {
        head: NeuronSelection(point, channels, np.zeros(width), own.size, f"head {head}")
        for head, channels in enumerate(own)
    }


Rows = Iterator[dict[str, Any]]
NOTHING = "the two sides of the pairs do not differ in this read-out"
Members = Float[np.ndarray, "draw member pair"]
"""What every set of every draw moves in every pair, by one read-out."""


def effect_rows(
    sets: UnitSets,
    settings: Settings,
    confidence: float,
    *,
    basis: str = NEURONS,
    against: UnitSets | None = None,
) -> Rows:
    """Share that each set of units moves, and the difference of those in question to it.

    Those in question are neurons: of ``against``, where the sets are of another basis.
    """
    interchange, full = sets.interchange, sets.interchange.full
    for direction in settings.directions:
        own = (against or sets).moved(settings.selector, direction)
        for name in sets.names if against is None else alike(settings):
            moved = sets.moved(name, direction)
            is_control = against is not None or name != settings.selector
            for readout, members in moved.items():
                reason = interchange.reaches(sets.point, readout)
                of = own[readout] if is_control else None
                yield {
                    "direction": direction,
                    "point": sets.point,
                    "tokens": settings.tokens,
                    "basis": basis,
                    "units": name,
                    "readout": readout,
                    "full": float(full[readout].mean()),
                    "n_units": sets.n_units(name),
                    "n_channels": sets.statistics[0].n_channels,
                    **compared_share(members, of, full[readout], confidence, reason),
                }


def compared_share(
    members: Members,
    own: Members | None,
    full: Float[np.ndarray, "draw pair"],
    confidence: float,
    reason: str,
) -> dict[str, Any]:
    """Share that sets of units move, and the difference of the units in question to it.

    ``own`` is what these move, where the sets are not they; ``reason`` why nothing can be moved.
    """
    share, gap, p_value = share_estimate(members.mean(1), full, confidence), NOT_MEASURED, np.nan
    if own is not None:
        gap, p_value = share_difference(own.mean(1), members, full, confidence)
    if not reason and np.isnan(share.value):
        reason = NOTHING
    if reason:
        share, gap, p_value = NOT_MEASURED, NOT_MEASURED, np.nan
    return {
        **share.columns("share"),
        **gap.columns("difference"),
        "p_value": p_value,
        "n_members": members.shape[1],
        **counts(members),
        "reason": reason,
    }


def heatmap_rows(interchange: Interchange, settings: Settings, confidence: float) -> Rows:
    """Share that whole tokens, or what single heads give them, move: by point and token group."""
    full = interchange.full
    for point, parts in points_and_heads(interchange, settings.kinds).items():
        interchange.hold(point)
        other = interchange.other_tokens(point)
        unreached = {name: other or interchange.reaches(point, name) for name in full}
        for head, direction, tokens in product(parts, settings.directions, GROUPS):
            step(of=EXCHANGES)
            reasons, found = dict(unreached), {}
            if tokens == CLASS and not interchange.has_prefix(point):
                reasons = dict.fromkeys(full, "there is no class token at this hook point")
            if not all(reasons.values()):
                edited = interchange.exchanged(point, direction, tokens, parts[head])
                found = interchange.moved(interchange.run(point, edited, direction), direction)
            for name in full:
                reason, share = reasons[name], NOT_MEASURED
                if not reason:
                    share = share_estimate(found[name], full[name], confidence)
                    reason = NOTHING if np.isnan(share.value) else ""
                yield {
                    "direction": direction,
                    "point": point,
                    "block": _block(point),
                    "head": head,
                    "tokens": tokens,
                    "readout": name,
                    **share.columns("share"),
                    **counts(full[name]),
                    "reason": reason,
                }


def alike(settings: Settings) -> list[str]:
    """Units of another basis: as the neurons in question, and controls that any units have."""
    own = "variance" if neurons_named(settings.selector) else settings.selector
    return [own, *(n for n in (CONTROL, TWIN_DIFFERENCE, "all") if n in settings.controls)]


def counts(values: np.ndarray) -> dict[str, int]:
    """Numbers of pairs and draws of an array [draw, ..., pair]."""
    return {"n_pairs": values.shape[-1], "n_draws": values.shape[0]}


def points_and_heads(
    interchange: Interchange, kinds: tuple[str, ...]
) -> dict[str, Mapping[int, Chosen]]:
    """Hook points of the kinds asked for that the tower has, each with its heads; -1 for none."""
    tower = interchange.tower
    ends = [HEADS_END if kind == HEAD else f".hook_{kind}" for kind in kinds]
    return {
        point: heads_of(tower, point) if point.endswith(HEADS_END) else {-1: None}
        for point in tower.points
        if point.endswith(tuple(ends))
    }


def _block(point: str) -> str:
    return point.rpartition(".hook_")[0].removesuffix(".attn")


def steering_rows(sets: UnitSets, confidence: float, *, basis: str = NEURONS) -> Rows:
    """Change of the read-outs of the defect image, by dose, for the units and for random ones.

    Edits of random units have, token by token, the length that the edit of the units in question
    has, so that a dose is the same size in both.
    """
    full, settings = sets.full, sets.settings
    for dose in settings.doses:
        own = sets.moved(settings.selector, DENOISING, _edit(sets, dose), ("steer", dose))
        random = sets.moved(CONTROL, DENOISING, _edit(sets, dose, equal=True), ("as long", dose))
        for readout in full:
            reason = sets.interchange.reaches(sets.point, readout)
            # ``moved`` counts towards the twin; steering asks what the score gains.
            mine, others = -own[readout].mean(1), -random[readout]
            change = share_estimate(mine, full[readout], confidence)
            control = share_estimate(others.mean(1), full[readout], confidence)
            gap, p_value = share_difference(mine, others, full[readout], confidence)
            yield {
                "basis": basis,
                "units": settings.selector,
                "control": CONTROL,
                "steer": settings.steer,
                "dose": dose,
                "readout": readout,
                **(NOT_MEASURED if reason else change).columns("change"),
                **(NOT_MEASURED if reason else control).columns("control_change"),
                **(NOT_MEASURED if reason else gap).columns("difference"),
                "p_value": p_value,
                "n_members": others.shape[1],
                **counts(others),
                "reason": reason,
            }


def _edit(sets: UnitSets, dose: float, *, equal: bool = False) -> Any:
    """Change some units of the defect patches, along their directions.

    Their deviations from the normal mean are scaled by 1 + dose, or as many normal standard
    deviations as the dose says are added.
    """
    interchange, point = sets.interchange, sets.point
    defect, _ = interchange.sides(point)
    known = interchange.encoded(point)[0]
    of_normal = sets.statistics[0]
    mean, spread = (
        torch.from_numpy(own).to(defect.dtype)
        for own in (of_normal.mean, np.sqrt(of_normal.variance))
    )
    chosen = interchange.group(DEFECTS, point)[..., None]

    def deviation(units: Chosen) -> Tensor:
        if not isinstance(units, NeuronSelection):
            return defect - interchange.mixed(defect, mean.expand_as(defect), units)
        index = units.channels.tolist()
        if sets.settings.steer == ADD:
            return interchange.replaced(defect, units, (known + spread)[..., index]) - defect
        return defect - interchange.replaced(defect, units, mean[index])

    own = deviation(sets.members(sets.settings.selector)[0][0])

    def edit(direction: str, units: Chosen) -> Tensor:
        away = deviation(units)
        if equal:
            length = own.norm(dim=-1, keepdim=True) / away.norm(dim=-1, keepdim=True).clamp(1e-12)
            away = away * length
        return defect + torch.where(chosen, dose * away, 0.0)

    return edit
