"""Neurons that a user names: a selector whose name holds them, so that results can say which.

``neurons:blocks.5.hook_resid_post=3,17,40;blocks.8.hook_resid_post=7`` stands wherever the name of
a selector does: in options, settings of studies, on the command line, and in stored results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from lakeviz.errors import SelectionError
from lakeviz.selector_names import NAMED

NeuronNumbers = Mapping[str, Sequence[int]]
"""Channels by hook point."""


def check_neurons(neurons: object) -> None:
    """Refuse what is no mapping of hook points to lists of channels."""
    if not isinstance(neurons, Mapping) or any(
        isinstance(channels, str) or not isinstance(channels, Iterable)
        for channels in neurons.values()
    ):
        raise SelectionError(f"the neurons are {neurons!r}; give {{hook point: [channels]}}")


def name_of(neurons: NeuronNumbers) -> str:
    """Name of the selector of these neurons."""
    check_neurons(neurons)
    parts = []
    for point, channels in neurons.items():
        whole = [int(channel) for channel in channels]
        if whole != list(channels) or not whole or min(whole) < 0 or len(set(whole)) < len(whole):
            raise SelectionError(
                f"the neurons of {point} are {list(channels)}; they must be one or more different "
                "channel numbers from 0"
            )
        parts.append(f"{point}={','.join(map(str, whole))}")
    if not parts:
        raise SelectionError("no neuron was named; give {hook point: [channels]}")
    return NAMED + ";".join(parts)


@cache
def neurons_named(selector: str) -> Mapping[str, tuple[int, ...]] | None:
    """Neurons that the name of a selector holds; None for any other selector."""
    if not selector.startswith(NAMED):
        return None
    found: dict[str, tuple[int, ...]] = {}
    for part in selector.removeprefix(NAMED).split(";"):
        point, equals, listed = part.partition("=")
        numbers = [number.strip() for number in listed.split(",")]
        if not equals or not all(number.isdecimal() for number in numbers) or point in found:
            raise SelectionError(
                f"cannot read the neurons in {selector!r}; write "
                f"{NAMED}blocks.5.hook_resid_post=3,17,40;blocks.8.hook_resid_post=7"
            )
        found[point.strip()] = tuple(int(number) for number in numbers)
    name_of(found)
    return found
