"""Registry of selectors: functions ``(statistics, k, generator) -> Selection`` with their names.

:func:`register_selector` adds one, :func:`select` calls one. :mod:`lakeviz.lake.selectors` hands
on both and has all that are built in. A selector may also be neurons that a user names:
``neurons:blocks.5.hook_resid_post=3,17,40;blocks.8.hook_resid_post=7`` stands wherever the name of
a selector does, in options, settings of studies, on the command line, and in stored results.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from lakeviz.errors import SelectionError, nearest
from lakeviz.lake.selection import NeuronSelection, Selection
from lakeviz.selector_names import NAMED, RENAMED, SELECTOR_NAMES, selector_name, selector_short

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics

SelectorFunction = Callable[["ChannelStatistics", int, np.random.Generator], Selection]


@dataclass(frozen=True)
class Selector:
    """A registered selector.

    Parameters
    ----------
    name : str
        Its name in options and results.
    label : str
        What figures and tables call the neurons it selects, such as "random neurons".
    short : str
        The same for narrow places, such as legends of many lines.
    select : callable
        ``(statistics, k, generator) -> Selection``.
    description : str
        One sentence for tables.
    needs_covariance : bool
        Whether the statistics must hold the covariance matrix.
    is_random : bool
        Whether another seed gives another selection.
    uses_k : bool
        Whether ``k`` has a meaning; it is not checked where it has none.
    needs_tokens : bool
        Whether the statistics must hold the tokens themselves.
    neurons : mapping of hook point to channels, optional
        The neurons themselves, where a user named them.
    """

    name: str
    label: str
    short: str
    select: SelectorFunction
    description: str
    needs_covariance: bool = False
    is_random: bool = False
    uses_k: bool = True
    needs_tokens: bool = False
    neurons: NeuronNumbers | None = None

    @property
    def is_named(self) -> bool:
        """Whether a user named the neurons."""
        return self.neurons is not None


SELECTORS: dict[str, Selector] = {}
GROUPS: dict[str, tuple[str, ...]] = {}
"""Names that stand for several selectors, such as ``deciles``."""


def register_selector(
    name: str,
    *,
    label: str | None = None,
    short: str | None = None,
    needs_covariance: bool = False,
    is_random: bool = False,
    uses_k: bool = True,
    needs_tokens: bool = False,
) -> Callable[[SelectorFunction], SelectorFunction]:
    """Register a function as selector ``name``; its docstring's first line describes it.

    The order of registration is the order of selectors in figures and tables. For the parameters
    see :class:`Selector`; ``label`` is by default ``name`` with spaces, ``short`` is ``label``.

    Raises
    ------
    SelectionError
        If the name is taken.
    """

    def decorate(function: SelectorFunction) -> SelectorFunction:
        if name in SELECTORS:
            raise SelectionError(f"a selector {name!r} is already registered")
        shown = label or name.replace("_", " ")
        description = (function.__doc__ or "").strip().split("\n")[0]
        SELECTORS[name] = Selector(
            name,
            shown,
            short or shown,
            function,
            description,
            needs_covariance,
            is_random,
            uses_k,
            needs_tokens,
        )
        SELECTOR_NAMES[name] = (shown, short or shown)
        return function

    return decorate


def get_selector(name: str) -> Selector:
    """Look a selector up; an old name is taken too, with a warning.

    Raises
    ------
    SelectionError
        Names the known ones.
    """
    if (named := neurons_named(name)) is not None:
        label, short = selector_name(name), selector_short(name)
        pick = partial(_pick_named, named, name)
        return Selector(name, label, short, pick, "Neurons named.", uses_k=False, neurons=named)
    if name in RENAMED:
        said = f"the selector {name} is called {RENAMED[name]} now"
        warnings.warn(said, DeprecationWarning, stacklevel=2)
        name = RENAMED[name]
    if name in GROUPS:
        raise SelectionError(
            f"{name!r} stands for several selectors ({', '.join(GROUPS[name])}); name one of them"
        )
    if name not in SELECTORS:
        hint = nearest(name, SELECTORS)
        raise SelectionError(f"no selector {name!r}{hint}; known: {', '.join(SELECTORS)}")
    return SELECTORS[name]


def expand_selectors(names: Iterable[str]) -> list[str]:
    """Selectors that a list of names means, each once: ``deciles`` is all ten of them.

    Raises
    ------
    SelectionError
        If a name is unknown.
    """
    found = [own for name in names for own in GROUPS.get(name, (name,))]
    return list(dict.fromkeys(get_selector(name).name for name in found))


def select(
    statistics: ChannelStatistics, k: int, selector: str = "variance", *, seed: int = 0
) -> Selection:
    """Select ``k`` neurons (or dimensions) of one hook point.

    Channels that the statistics have dropped are in no selection, whatever the selector.

    Parameters
    ----------
    statistics : ChannelStatistics
        Of the normal patch tokens at the point.
    k : int
        How many; ignored by ``"all"``.
    selector : str
        A registered name.
    seed : int
        Seed of the random selectors, 0 or more. Draws at different hook points are independent.

    Returns
    -------
    NeuronSelection or SubspaceSelection

    Raises
    ------
    SelectionError
        If ``k`` is not between 1 and the number of channels, the selector is unknown or cannot
        serve this hook point, or the seed is negative.
    """
    kept = statistics.kept_channels
    check_k(selector, k, len(kept), statistics.point)
    if seed < 0:
        raise SelectionError(f"the seed must be 0 or more, not {seed}")
    # The point takes part, or one seed would draw the same channels at every layer of a tower.
    generator = np.random.default_rng([seed, zlib.crc32(statistics.point.encode())])
    chosen = get_selector(selector)
    if not statistics.dropped or chosen.is_named:
        return chosen.select(statistics, k, generator)
    found = chosen.select(statistics.some(kept), k, generator).within(kept, statistics.n_channels)
    said = {**found.provenance, "dropped_channels": list(statistics.dropped)}
    return replace(found, provenance=said)


def check_k(selector: str, k: int, n_channels: int, point: str) -> None:
    """Refuse a ``k`` that a selector cannot serve at a hook point.

    Raises
    ------
    SelectionError
        If ``k`` is not between 1 and the number of channels, or the selector is unknown.
    """
    if get_selector(selector).uses_k and not 1 <= k <= n_channels:
        raise SelectionError(
            f"{point} has {n_channels} channels, so k must be between 1 and {n_channels}, not {k}"
        )


def selector_of(selector: str | NeuronNumbers | SelectorFunction) -> str:
    """Name of a selector, which may be given as neurons by hook point or as a function.

    A function is registered under its own name; one of the same name from the same place, such as
    a notebook cell that is run again, takes its place.

    Raises
    ------
    SelectionError
        If the function has no name of its own, or another selector has it.
    """
    if isinstance(selector, str):
        return selector
    if isinstance(selector, Mapping):
        return name_of(selector)
    name = getattr(selector, "__name__", "")
    if not name.isidentifier():
        raise SelectionError(
            "a selector needs a name that results can state: give a function with def, not "
            f"{name or type(selector).__name__}"
        )
    if name in _GIVEN and SELECTORS[name].select.__module__ == selector.__module__:
        del SELECTORS[name]
    if name not in SELECTORS:
        register_selector(name)(selector)
        _GIVEN.add(name)
    elif SELECTORS[name].select is not selector:
        raise SelectionError(f"a selector {name!r} is already registered; rename the function")
    return name


_GIVEN: set[str] = set()


def _pick_named(
    named: NeuronNumbers,
    selector: str,
    statistics: ChannelStatistics,
    k: int,
    generator: np.random.Generator,
) -> NeuronSelection:
    """Select the neurons that were named at a hook point."""
    if statistics.point not in named:
        raise SelectionError(
            f"no neuron of {statistics.point} is named; there are neurons of {', '.join(named)}"
        )
    channels = np.array(named[statistics.point], dtype=np.int64)
    if channels.max() >= statistics.n_channels:
        raise SelectionError(
            f"{statistics.point} has neurons 0 to {statistics.n_channels - 1}, not {channels.max()}"
        )
    dropped = set(channels.tolist()) & set(statistics.dropped)
    if dropped:
        raise SelectionError(
            f"neuron {min(dropped)} of {statistics.point} is named, and drop_channels drops it"
        )
    return neurons(statistics, channels, selector)


def variance_order(statistics: ChannelStatistics) -> Int[np.ndarray, " channel"]:
    """Channels by descending variance; equal variances keep the order of their index."""
    return np.argsort(-statistics.variance, kind="stable")


def neurons(
    statistics: ChannelStatistics,
    channels: Int[np.ndarray, " k"],
    selector: str,
    scores: Float[np.ndarray, " k"] | None = None,
    scale: Float[np.ndarray, " k"] | None = None,
    **provenance: Any,
) -> NeuronSelection:
    """Make a selection of channels; their scores are their variances by default."""
    channels = np.asarray(channels, dtype=np.int64)
    return NeuronSelection(
        point=statistics.point,
        channels=channels,
        scores=statistics.variance[channels] if scores is None else scores,
        n_channels=statistics.n_channels,
        selector=selector,
        provenance={"n_tokens": statistics.count, **provenance},
        scale=scale,
    )


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
