"""What the sections of a report are made from, and what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.measurement import Metric

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.studies.base.result import StudyResult


@dataclass(frozen=True)
class Group:
    """Categories reported together; an empty name where there is only one group."""

    name: str
    evaluations: list[Evaluation]


@dataclass(frozen=True)
class Page:
    """What a page shows: the evaluations of a run, one per category, its manifest and studies.

    Parameters
    ----------
    evaluations
        In the order of the report.
    manifest
        Settings and versions; every key is optional. ``groups`` maps names to categories that are
        reported apart, such as those an embedded model was not trained on.
    studies
        Results of studies, each a section of its own.
    """

    evaluations: Sequence[Evaluation]
    manifest: Mapping[str, Any]
    studies: Sequence[StudyResult] = ()

    @cached_property
    def groups(self) -> list[Group]:
        """The groups of the manifest, then one of the categories in none of them.

        A category named by two groups belongs to the first.
        """
        named: Mapping[str, Sequence[str]] = self.manifest.get("groups") or {}
        left = list(self.evaluations)
        found = []
        for name, members in named.items():
            found.append(Group(name, [e for e in left if e.category in members]))
            left = [e for e in left if e.category not in members]
        found.append(Group("other" if named else "", left))
        return [group for group in found if group.evaluations]

    @property
    def ordered(self) -> list[Evaluation]:
        """Evaluations, group after group."""
        return [evaluation for group in self.groups for evaluation in group.evaluations]

    def anchor(self, evaluation: Evaluation) -> str:
        """Id of a category's section; a number, since a name may hold anything."""
        number = next(i for i, e in enumerate(self.ordered, start=1) if e is evaluation)
        return f"category-{number}"

    def table(self, name: str) -> pd.DataFrame:
        """One table (metrics, controls, ...) of all categories, one below the other."""
        parts = [getattr(e, name) for e in self.ordered]
        filled = [part for part in parts if not part.empty]
        return pd.concat(filled, ignore_index=True) if filled else parts[0]

    @property
    def metrics(self) -> list[Metric]:
        """Level and name of every metric that was measured, in the order of the tables."""
        table = self.table("metrics")
        return list(dict.fromkeys(zip(table["level"], table["metric"], strict=True)))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Options of the run: the manifest's own, or those of the first evaluation."""
        asked = (self.manifest.get("spec") or {}).get("options", {})
        made = self.evaluations[0].provenance.get("options", {})
        return {**made, **{name: value for name, value in asked.items() if value is not None}}

    @cached_property
    def study_pages(self) -> list[Mapping[str, Any]]:
        """What the templates of the studies read, in their order."""
        return [result.page_context() for result in self.studies]

    @cached_property
    def dossiers(self) -> Mapping[tuple[str, str, int], str]:
        """Id of the page of a neuron, by category, hook point and channel."""
        pages = [page for context in self.study_pages for page in context.get("pages", ())]
        return {page["neuron"]: page["anchor"] for page in pages if "neuron" in page}

    @property
    def confidence(self) -> float:
        """Level of the intervals over images."""
        return Bootstrap.from_plain(self.provenance.get("bootstrap")).confidence

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Provenance of the first evaluation: what all categories share."""
        return self.evaluations[0].provenance


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    anchor : str
        Its id, unique in the page.
    title : str
        Its heading and its entry in the contents.
    template : str
        File in ``templates/`` that shows it.
    context : mapping
        What the template reads.
    group : str
        Heading above its entry in the contents, if any.
    """

    anchor: str
    title: str
    template: str
    context: Mapping[str, Any]
    group: str = ""


SectionMaker = Callable[[Page], list[Section]]
"""Makes the sections of one kind; none where the run has nothing of it."""
