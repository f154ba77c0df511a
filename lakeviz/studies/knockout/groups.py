"""Knock-outs of sets of neurons, measured on every draw of the normal images."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lakeviz.errors import SelectionError
from lakeviz.journal import fingerprint
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selectors import expand_selectors, get_selector, neurons_named
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.progress import step
from lakeviz.selector_names import selector_name
from lakeviz.studies.base.draws import attempted, replicates
from lakeviz.studies.knockout.ablation import Condition, Engine, Sets
from lakeviz.studies.knockout.result import OTHER_CATEGORY, OTHER_CONTROLS, UNTRAINED, Settings
from lakeviz.studies.knockout.score_engine import ScoreEngine

Measured = Mapping[str, Measurement]
"""Measurement of each branch under one condition, on one draw."""
OverDraws = Mapping[str, Replicates]
"""The same on every draw, and for every member where there are several."""

_AT_ONCE = 24  # conditions whose maps are held at a time


@dataclass
class Measurer:
    """Measures conditions on one draw, each once however often it is asked for."""

    engine: Engine
    evaluator: PairedEvaluator
    found: dict[Condition, Measured] = field(default_factory=dict)

    def measure(self, conditions: Sequence[Condition]) -> list[Measured]:
        """Run and measure conditions, some at a time."""
        missing = [c for c in dict.fromkeys(conditions) if c not in self.found]
        for start in range(0, len(missing), _AT_ONCE):
            group = missing[start : start + _AT_ONCE]
            self.found |= zip(group, self._kept(group) or self._run(group), strict=True)
        return [self.found[c] for c in conditions]

    def _run(self, group: Sequence[Condition]) -> Sequence[Measured]:
        found = [knocked.measure(self.evaluator) for knocked in self.engine.run(group)]
        if (journal := self.evaluator.journal) is not None:
            parts = {
                f"{number}/{branch}/{name}": array
                for number, measured in enumerate(found)
                for branch, one in measured.items()
                for name, array in one.arrays().items()
            }
            journal.put(self._key(group), parts)
        return found

    def _kept(self, group: Sequence[Condition]) -> Sequence[Measured] | None:
        """What was measured of a group before a kill; a group is made of the same conditions."""
        journal = self.evaluator.journal
        kept = None if journal is None else journal.get(self._key(group))
        if kept is None:
            return None
        parts: list[dict[str, dict[str, np.ndarray]]] = [{} for _ in group]
        for place, array in kept.items():
            number, branch, name = place.split("/", 2)
            parts[int(number)].setdefault(branch, {})[name] = array
        step(sum(map(len, parts)))
        return [{b: Measurement.of_arrays(one) for b, one in own.items()} for own in parts]

    def _key(self, group: Sequence[Condition]) -> list[str]:
        return [self.engine.identity, self.evaluator.identity, fingerprint(as_plain(list(group)))]

    @property
    def intact(self) -> Measured:
        """Measurement of the intact detector."""
        return self.measure([()])[0]

    def singles(self, point: str, channels: Sequence[int]) -> list[Measured]:
        """Measure the knock-out of each of some neurons alone."""
        if isinstance(self.engine, ScoreEngine):
            return [k.measure(self.evaluator) for k in self.engine.singles(point, channels)]
        return self.measure([(self.engine.ablation(point, [c]),) for c in channels])


@dataclass
class DrawMeasurers:
    """Measures conditions on every draw; ``notes`` say what could not be made, and why."""

    of_draws: Sequence[Measurer]
    notes: list[str] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        """Engine of the first draw."""
        return self.of_draws[0].engine

    @property
    def evaluator(self) -> PairedEvaluator:
        """The same of every draw."""
        return self.of_draws[0].evaluator

    @property
    def intact(self) -> OverDraws:
        """Measurement of the intact detector."""
        return over_draws([[measurer.intact] for measurer in self.of_draws])

    def singles(self, point: str, channels: Sequence[int]) -> list[OverDraws]:
        """Measure the knock-out of each of some neurons alone."""
        found = [measurer.singles(point, channels) for measurer in self.of_draws]
        return [over_draws([[one] for one in of_neuron]) for of_neuron in zip(*found, strict=True)]

    def each_metric(self) -> Iterator[tuple[str, Metric, dict[str, str]]]:
        """Yield every branch and metric that is measured, with the columns of the metric."""
        for branch, measurement in self.of_draws[0].intact.items():
            for metric, columns in metric_columns(tuple(measurement.values)):
                yield branch, metric, columns


def over_draws(draws: Sequence[Sequence[Measured]]) -> OverDraws:
    """Join the members that were measured on each draw, branch by branch."""
    return replicates([{b: [one[b] for one in members] for b in members[0]} for members in draws])


@dataclass(frozen=True)
class Group:
    """Knock-outs of the neurons that one selector chooses at one size: several where random.

    ``conditions[draw][member]``; ``members`` by branch, empty where they could not be made: then
    ``missing`` says why.
    """

    selector: str
    size: int
    conditions: list[list[Condition]]
    members: OverDraws
    note: str = ""
    missing: str = ""


def measure_groups(
    measurer: DrawMeasurers, sizes: Sequence[int], mode: str, settings: Settings
) -> list[Group]:
    """Measure the neurons in question and every control by size, or say why one cannot be made."""
    found, data = [], measurer.engine.data
    for name in dict.fromkeys((settings.selector, *_expanded(settings.controls))):
        made, missing = attempted(
            sizes, lambda size, name=name: _sets(measurer, name, size, settings)
        )
        if missing and name == settings.selector:
            raise SelectionError(next(iter(missing.values())))
        for size, sets in made.items():
            pairs = list(zip(measurer.of_draws, sets, strict=True))
            conditions = [[m.engine.condition(one, mode) for one in own] for m, own in pairs]
            members = over_draws(
                [m.measure(own) for m, own in zip(measurer.of_draws, conditions, strict=True)]
            )
            note = _particular(name, [one for own in sets for one in own], size)
            found.append(Group(name, size, conditions, members, note))
        found += [Group(name, size, [], {}, missing=why) for size, why in missing.items()]
        if missing:
            measurer.notes.append(f"{data.category}: {_absence(name, missing)}")
    return sorted(found, key=lambda group: group.size)


def n_conditions(engine: Engine, sizes: Sequence[int], settings: Settings) -> int:
    """How many sets of neurons are knocked out in each mode, and single ones, on one draw."""
    names = dict.fromkeys((settings.selector, *_expanded(settings.controls)))
    sets = sum(len(_seeds(name, settings.n_random_sets, 0)) for name in names if name != UNTRAINED)
    k, points = engine.data.options.k, engine.points
    single = sum(min(2 * k, len(engine.candidates(p))) for p in points) if settings.single else 0
    return 1 + len(settings.modes) * len(sizes) * sets + single


def _absence(name: str, missing: Mapping[int, str]) -> str:
    (first, reason), *rest = missing.items()
    further = f"; nor {', '.join(str(size) for size, _ in rest)} of them" if rest else ""
    return f"no {first} {selector_name(name)}: {reason}{further}"


def _expanded(names: Sequence[str]) -> list[str]:
    """Names of controls, with the members of groups such as ``deciles``."""
    return [
        own
        for name in names
        for own in ([name] if name in OTHER_CONTROLS else expand_selectors([name]))
    ]


def _sets(measurer: DrawMeasurers, name: str, size: int, settings: Settings) -> list[list[Sets]]:
    """Sets of a selector on every draw."""
    engines = [of_draw.engine for of_draw in measurer.of_draws]
    if name == UNTRAINED:
        raise SelectionError(
            "an untrained tower shares no neurons with this one, and a knock-out is of neurons of "
            "one tower; lakeviz run --untrained compares the towers"
        )
    points = tuple(neurons_named(settings.selector) or engines[0].points)
    if name == OTHER_CATEGORY:
        return [engine.sets_of_others(size, points) for engine in engines]
    seeds = _seeds(name, settings.n_random_sets, settings.seed)
    return [[engine.sets(size, name, seed, points) for seed in seeds] for engine in engines]


def _seeds(selector: str, n_random_sets: int, seed: int) -> list[int]:
    """Seeds of the sets of a selector; its name enters, so that controls are independent."""
    if selector == OTHER_CATEGORY or not get_selector(selector).is_random:
        return [seed]
    generator = np.random.default_rng([seed, zlib.crc32(selector.encode())])
    return generator.integers(2**31, size=n_random_sets).tolist()


def _particular(selector: str, sets: Sequence[Sets], size: int) -> str:
    """Say where a control had to take some of the top neurons, or has fewer than ``size``."""
    chosen = [one for own in sets for one in own.values()]
    fewest = min(len(one.channels) for one in chosen)
    if fewest < size:
        return f"there are {fewest} such neurons, fewer than {size}"
    if selector != "next_variance":
        return ""
    shared = max(int(one.provenance["overlap_with_top_k"]) for one in chosen)
    said = (
        f"{shared} of the {size} neurons of this control are among the top {size} themselves: too "
        "few others are left"
    )
    return said if shared else ""
