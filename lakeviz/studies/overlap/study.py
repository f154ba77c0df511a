"""``overlap``: selections compared with each other, with chance, and with themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.study import OnRun, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.overlap.capture import run_items
from lakeviz.studies.overlap.items import (
    FEWEST_TO_CLUSTER,
    ceilings_of,
    cluster_rows,
    neuron_rows,
    selection_rows,
    shared_rows,
    stability_rows,
)
from lakeviz.studies.overlap.measures import STRATUM
from lakeviz.studies.overlap.pairs import corrected, overview_table, pair_rows
from lakeviz.studies.overlap.result import OverlapResult, PairSettings, Settings
from lakeviz.studies.overlap.selections import Group, OverlapItem, make_groups
from lakeviz.tables import Row

_OF_GROUP = {"shared": shared_rows, "neurons": neuron_rows, "selections": selection_rows}


def measure(groups: Sequence[Group], settings: PairSettings) -> dict[str, pd.DataFrame]:
    """Compare the items of each group: the tables of the result."""
    every = [item for group in groups for item in group.items]
    stability = [row for item in every for row in stability_rows(item, groups[0].k, settings)]
    ceilings = ceilings_of(stability)
    rows: dict[str, list[Row]] = {name: [] for name in ("pairs", *_OF_GROUP, "clusters", "leaves")}
    for group in groups:
        rows["pairs"] += pair_rows(group, ceilings)
        for name, make in _OF_GROUP.items():
            rows[name] += make(group)
        merges, leaves = cluster_rows(group)
        rows["clusters"] += merges
        rows["leaves"] += leaves
    pairs = corrected(rows.pop("pairs"))
    return {
        "pairs": pairs,
        "overview": overview_table(pairs, settings),
        "stability": pd.DataFrame(stability),
        **{name: pd.DataFrame(own) for name, own in rows.items()},
    }


class Overlap(Study):
    """The study ``overlap``: of items of any model and data, or of one or several runs."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        items: Iterable[OverlapItem],
        k: int,
        settings: PairSettings | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> OverlapResult:
        """Compare the ``k`` neurons of highest variance between items.

        Parameters
        ----------
        items : iterable of OverlapItem
            See :func:`capture_items`. Their order does not matter.
        k : int
            Neurons of each item.
        settings : PairSettings, optional
        provenance : mapping, optional
            Added to the result's: the model.
        **changes
            Single settings by name. ``across`` is what differs between the two sides of a pair, all
            else being the same: ``"category"`` (of any data set), ``"dataset"`` (categories, only
            pairs of different data sets), ``"layer"`` (blocks of one width, within a category),
            ``"shots"`` or ``"seed"``.

        Raises
        ------
        ConfigError
            If there are not two items to compare, an item is there twice, items are of different
            models or widths, or a setting is impossible.
        SelectionError
            If ``k`` is not between 1 and the number of channels.
        """
        chosen = PairSettings.of(settings, {**changes, "k": k})
        groups = make_groups(items, k, chosen)
        tables = measure(groups, chosen)
        return OverlapResult(
            **tables,
            provenance=self._describe(chosen, groups, provenance or {}),
            notes=_notes(groups, tables["overview"]),
        )

    def measure_runs(self, on: OnRun, settings: Settings) -> OverlapResult:
        """Compare the categories, layers or draws of one run, or of several."""
        _check_runs(on.runs)
        k = on.run.spec.options.k if settings.k is None else settings.k
        items: list[OverlapItem] = []
        for run, name in zip(on.runs, _names(on.runs), strict=True):
            chosen = _chosen(run, on)
            if chosen:
                items += run_items(
                    run,
                    k,
                    categories=chosen,
                    shots=[n if n == "all" else int(n) for n in settings.shots],
                    seeds=range(settings.n_seeds or 0),
                    n_draws=settings.draws,
                    points=settings.layers or None,
                    pool=settings.pool,
                    name=name,
                    announce=on.announce,
                )
        n, model = on.bootstrap.n_resamples, on.run.manifest["model"]
        on.announce(f"overlap: {len(items)} selections are compared ...")
        return self(items, k, settings, n_resamples=n, provenance={"model": model})

    def _describe(
        self, settings: PairSettings, groups: Sequence[Group], more: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Provenance of a result: settings, model and images."""
        items = [item for group in groups for item in group.items]
        plain = settings.to_plain() | {"stratum": STRATUM}
        plain.pop("metrics")
        several = len({item.dataset for item in items}) > 1
        categories: dict[str, Any] = {}
        for item in items:
            name = str(item) if several else item.category
            made = categories.setdefault(name, {"fit": {"n_captured": len(item.pool), "draws": {}}})
            ids = [item.pool.sample_ids[i] for i in item.images]
            made["fit"]["draws"][f"{item.shots} shots, seed {item.seed}"] = ids
        return {
            "study": self.name,
            "settings": plain,
            "versions": versions(),
            "points": sorted({item.point for item in items}),
            "bootstrap": as_plain(
                Bootstrap(settings.confidence, settings.n_resamples, settings.seed)
            ),
            **as_plain(dict(more)),
            "categories": categories,
        }


STUDY = Overlap(PairSettings, OverlapResult)


def _notes(groups: Sequence[Group], overview: pd.DataFrame) -> list[str]:
    """Visible absences: what could not be measured, and why."""
    notes = []
    for null, name in (("matched", "sets next in variance"), ("permutation", "permutation null")):
        reasons = {group.obstacles[null] for group in groups if null in group.obstacles}
        notes += [f"no {name}: {reason}" for reason in sorted(reasons)]
    if all(len(group.items) < FEWEST_TO_CLUSTER for group in groups):
        notes.append(f"no clustering: it needs {FEWEST_TO_CLUSTER} items or more in a group")
    every = [item for group in groups for item in group.items]
    names = list(dict.fromkeys(item.category for item in every if item.n_images < 2))
    if names:
        notes.append(
            f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}: one normal image "
            "cannot be resampled, so there is no overlap of resampled selections"
        )
    reasons = dict.fromkeys(overview["reason"])
    return notes + [f"no interval over categories: {reason}" for reason in reasons if reason]


def _check_runs(runs: Sequence[StudyRun]) -> None:
    """Refuse one root for several runs, and other weights: their channels are other neurons."""
    models = {run.manifest["model"]["weights_hash"]: run for run in runs}
    if len(models) > 1:
        said = [
            f"{run.folder} is a run of {run.manifest['model']['name']} ({weights[:12]})"
            for weights, run in models.items()
        ]
        raise ConfigError(
            f"{' and '.join(said[:2])}: neurons can be compared within one model only"
        )
    if len(runs) > 1 and any(run.spec.root != run.manifest["spec"]["root"] for run in runs):
        raise ConfigError("--root moves the data of one run; name it with one run only")


def _chosen(run: StudyRun, on: OnRun) -> list[str]:
    """Categories of a run that were named; all where none was."""
    if len(on.runs) == 1 or not on.categories:
        return run.chosen(on.categories)
    for category in on.categories:
        if not any(category in one.categories for one in on.runs):
            raise ConfigError(f"none of the {len(on.runs)} runs has a category {category!r}")
    return [category for category in run.categories if category in on.categories]


def _names(runs: Sequence[StudyRun]) -> list[str]:
    """Name of each run's data set; with its folder where two have the same."""
    names = [run.spec.dataset for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})"
        for name, run in zip(names, runs)
    ]
