"""What a claim is: a statement, its parts with their rules, and how they are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lakeviz.metrics.measurement import Metric
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.effects import Effect, Pooled, pool
from lakeviz.studies.claims.rules import NOT_MEASURED, Rule

SMALLEST_EFFECT = 0.01
"""A difference of image AUROC (or AUPRO) that matters: one point, as papers report them."""

PAPER, CAUSES = "paper", "causes"
"""Families of claims: those of the paper, and those that interventions on pairs add."""

Measure = Callable[[Sequence[Case]], Mapping[str, Pooled]]
"""From the categories to the effect of each part, by its name."""


@dataclass(frozen=True)
class Part:
    """One effect of a claim.

    Attributes
    ----------
    name : str
    effect : str
        In words: what minus what.
    control : str
        What it is compared with.
    rule : Rule
    unit : str
        Of the effect; the metric the claims are judged by, where it is empty.
    against_sets : bool
        Whether it must also be better than one more member of the control: a random set, an
        untrained tower.
    paper : dict of metric to (own, control)
        Values that the paper reports, where it does.
    is_optional : bool
        Whether the claim is judged without it where it cannot be measured.
    """

    name: str
    effect: str
    control: str
    rule: Rule
    unit: str = ""
    against_sets: bool = False
    paper: Mapping[Metric, tuple[float, float]] = field(default_factory=dict)
    is_optional: bool = False

    def judge(self, found: Pooled, confidence: float) -> str:
        """Verdict at the corrected confidence."""
        if not found.measured:
            return NOT_MEASURED
        return self.rule.judge(found.at(confidence), found.beyond_sets(confidence))

    def describe(self) -> str:
        """The rule in words."""
        more = (
            "; supported only if one more member of the control would not do as well"
            if self.against_sets
            else ""
        )
        return self.rule.describe() + more

    @property
    def estimand(self) -> str:
        """What is estimated, in words."""
        said = f"{self.effect}, mean over draws of the normal images"
        return f"{said} and the members of the control" if self.against_sets else said


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, as it is tested.

    Attributes
    ----------
    number : int
    name : str
    statement : str
    parts : tuple of Part
        All must be supported for the claim to be.
    measure : callable
    family : str
        Claims whose intervals hold together.
    """

    number: int
    name: str
    statement: str
    parts: tuple[Part, ...]
    measure: Measure
    family: str = PAPER


def each(measure: Callable[[Case], Mapping[str, Effect]]) -> Measure:
    """Measure the categories one by one, and pool each part over them."""
    return lambda cases: by_category(cases, measure)


def by_category(
    cases: Sequence[Case], measure: Callable[[Case], Mapping[str, Effect]]
) -> dict[str, Pooled]:
    """Measure each category, and pool each part over them."""
    found = {case.data.category: measure(case) for case in cases}
    parts = dict.fromkeys(name for effects in found.values() for name in effects)
    return {
        part: pool({category: effects[part] for category, effects in found.items()})
        for part in parts
    }
