"""Hook points of the visual branch: from names, block numbers, or the measured default."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lakeviz.activations import neurons_of
from lakeviz.activations.tokens import resolve_points
from lakeviz.data.streams import IMAGE, on_stream
from lakeviz.errors import ConfigError
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.selector_registry import NeuronNumbers, check_neurons

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.units.base import Units


# Depths, as shares of the blocks, that served best: benchmarks/layers.py, docs/method-layers.md.
_DEEP, _SHALLOW, _DEEP_FROM = (1 / 2, 7 / 12), (1 / 3, 1 / 2), 12
_MOST, _SHARE = 100, 8  # the paper's k, and the least number of channels for each neuron selected


def default_k(widths: Collection[int], scope: str = "layer") -> int:
    """Neurons selected where no number was named, of hook points with so many channels.

    The paper's 100, but at most an eighth of the channels of the narrowest hook point: of 192
    channels 100 are more than half, so that a random set shares half of its members with the
    top ones, and the question "top against random" loses its sense. For joint selection it is that
    number times the hook points, so that as many neurons are selected in total.
    """
    each = max(1, min(_MOST, min(widths) // _SHARE))
    return each * len(widths) if scope == "joint" else each


def with_k(options: LakeOptions, widths: Collection[int]) -> LakeOptions:
    """Settings whose number of neurons is decided: their own, or :func:`default_k`."""
    if options.k is not None:
        return options
    return replace(options, k=default_k(widths, options.selection_scope))


def default_layers(model: VisionModel) -> tuple[str, ...]:
    """Hook points used when none are named, as measured in ``docs/method-layers.md``.

    Two blocks around the middle of a deep ViT, a little earlier in a shallow one; the last outputs
    of the two middle stages of staged towers.
    """
    depth = model.n_blocks
    if "stages.0.hook_resid_post" in model.tower.points:
        named = model.tower.resolve("stages.*.hook_resid_post")
        return tuple(named[max(0, depth // 2 - 1) : depth // 2 + 1])
    if model.architecture == "open_clip_resnet":
        stages = ("layer2.*.hook_resid_post", "layer3.*.hook_resid_post")
        return tuple(model.tower.resolve(stage)[-1] for stage in stages)
    shares = _DEEP if depth >= _DEEP_FROM else _SHALLOW
    blocks = sorted({max(0, round(depth * share) - 1) for share in shares})
    return tuple(f"blocks.{block}.hook_resid_post" for block in blocks)


def check_model(model: object) -> None:
    """Refuse what is no loaded model, such as its name."""
    if not hasattr(model, "tower"):
        said = repr(model) if isinstance(model, str) else type(model).__name__
        raise ConfigError(f"the model is {said}; give what load_model(NAME, WEIGHTS) returns")


def neurons_at(model: VisionModel, neurons: NeuronNumbers) -> dict[str, Sequence[int]]:
    """Channels by hook point, of hook points or blocks."""
    check_neurons(neurons)
    return {layer_points(model, [point])[0]: own for point, own in neurons.items()}


def layer_points(
    model: VisionModel, layers: Sequence[int | str] | None, streams: Sequence[str] = (IMAGE,)
) -> tuple[str, ...]:
    """Hook points for the layers asked for, on each stream.

    Parameters
    ----------
    model : VisionModel
    layers : sequence of int or str, optional
        Block numbers (their ``hook_resid_post``), exact names or globs; with the suffix of a stream
        they are on it alone.
    streams : sequence of str
        See :mod:`lakeviz.data.streams`.

    Raises
    ------
    ConfigError
        If the list is empty, or a block or stream does not exist.
    UnknownHookPointError
        If a name or glob matches nothing.
    """
    if layers is None:
        layers = default_layers(model)
    if isinstance(layers, (str, int)):
        layers = [layers]
    points: list[str] = []
    for layer in layers:
        name, _, stream = str(layer).partition("@")
        if not isinstance(layer, str) or name.isdecimal():
            if not 0 <= int(name) < model.n_blocks:
                raise ConfigError(f"{model.name} has blocks 0 to {model.n_blocks - 1}, not {name}")
            name = f"blocks.{int(name)}.hook_resid_post"
        for one in [stream] if stream else streams:
            points.extend(resolve_points(model.tower, on_stream(name, one)))
    if not points:
        raise ConfigError("no layer was named for the visual branch")
    for point in points:
        neurons_of(model.tower, point)
    return tuple(dict.fromkeys(points))


def widths_of(
    model: VisionModel, points: Sequence[str], units: Mapping[str, Units]
) -> dict[str, int]:
    """Number of neurons at each hook point, or of the units that stand in their place."""
    return {p: units[p].n_units if p in units else neurons_of(model.tower, p) for p in points}


def unit_points(
    model: VisionModel,
    layers: Sequence[int | str] | None,
    units: Mapping[str, Units],
    streams: Sequence[str] = (IMAGE,),
) -> tuple[str, ...]:
    """Hook points of units that fit the model; without units those of :func:`layer_points`."""
    if not units:
        return layer_points(model, layers, streams)
    for one in units.values():
        one.check(model)
    points = tuple(units) if layers is None else layer_points(model, layers)
    if set(points) != set(units):
        raise ConfigError(
            f"the units are of {', '.join(units)}, and the layers are {', '.join(points)}; leave "
            "layers out, or give units for each"
        )
    return points
