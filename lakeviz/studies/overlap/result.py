"""Settings and result of the study ``overlap``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.studies.base import settings
from lakeviz.studies.base.findings import Finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import option
from lakeviz.tables import Row, is_measured, records, where

ACROSS: dict[str, tuple[str, ...]] = {
    "category": ("dataset", "category"),
    "dataset": ("dataset", "category"),
    "layer": ("point",),
    "shots": ("shots",),
    "seed": ("seed",),
}
"""What can be compared: the fields that vary; all others are the same on both sides of a pair."""
SEVERAL = {
    "category": "categories",
    "dataset": "categories of different data sets",
    "layer": "layers",
    "shots": "numbers of shots",
    "seed": "draws of the normal images",
}
"""Words for the things that are compared."""
FIELDS = ("dataset", "category", "point", "shots", "seed")
"""What identifies an item."""
Q_LEVEL = 0.05
"""Pairs with a smaller corrected p-value are counted as sharing more than their null."""

_SENTENCES, _ROWS, _GROUPS = 4, 12, 3


@dataclass(frozen=True)
class PairSettings(settings.Settings):
    """How items are compared: the settings of ``overlap(items, k)``."""

    k: int | None = option(None, "Neurons per hook point; the first run's by default.")
    across: str = option(
        "category", "What differs between the two sides of a pair.", choices=tuple(ACROSS)
    )
    n_random_sets: int = option(
        200, "Variance-matched and random sets drawn.", least=1, was="n_null"
    )
    n_resamples: int = option(
        200, "Draws of the normal images, for the overlap with itself.", least=1, command=False
    )
    rbo_p: float = option(0.9, "Persistence of the rank-biased overlap.")
    confidence: float = option(0.95, "Confidence of all intervals.", command=False, was="level")


@dataclass(frozen=True)
class Settings(PairSettings, settings.DrawSettings):
    """Compare the neurons of categories, layers, shots or seeds.

    Several runs of one model may be named, such as of several data sets; the result is saved with
    the first. Pairs are compared with random sets of the same size, sets next in variance, the
    other categories' common ranking, and the overlap of a category with itself.
    """

    several_runs: ClassVar[bool] = True

    layers: tuple[str, ...] = option(
        (), "Block, hook point or glob; the run's own by default.", flag="--layer"
    )
    shots: tuple[str, ...] = option((), 'Normal images, or "all"; the run\'s own by default.')
    n_seeds: int | None = option(
        None, "Draw the normal images with seeds 0 to N - 1 instead of RUN's draws.", least=1
    )
    pool: int = option(64, "Normal images captured per category, to redraw from.")

    def check(self) -> None:
        """Check the numbers of shots."""
        for text in self.shots:
            if text != "all" and not (text.isdecimal() and len(text) < 10 and int(text)):
                raise ConfigError(f'shots is {text!r}; it must be a positive number or "all"')


@dataclass
class OverlapResult(StudyResult):
    """Overlap of selected neurons: pairs, their nulls, and overlap of each item with itself.

    What varies between the two sides of a pair has columns ``_a`` and ``_b``; ``a`` and ``b`` are
    their names.

    Attributes
    ----------
    pairs : DataFrame
        One row per pair: ``n_shared, jaccard, overlap_coefficient, above_chance, rbo, spearman,
        projection_kernel, pca_kernel``; ``jaccard_without_first``, of the k next in variance when
        each side leaves out its channel of highest variance; random sets: ``expected_shared,
        expected_jaccard, p_hypergeometric, q_hypergeometric``; the common ranking:
        ``permutation_mean, permutation_jaccard, p_permutation, q_permutation``; sets next in
        variance: ``matched_mean, matched_quantile_low, matched_quantile_high, matched_jaccard``;
        both sides' images resampled: ``jaccard_resampled, resampled_quantile_low,
        resampled_quantile_high``; itself: ``ceiling, ceiling_kind, jaccard_of_ceiling``;
        ``reason``.
    overview : DataFrame
        Means over pairs by hook point and number of shots; ``jaccard, spearman,
        jaccard_of_ceiling, minus_chance, minus_matched, minus_permutation`` with intervals over
        categories; numbers of pairs with q < 0.05.
    shared : DataFrame
        Number of neurons that ``m`` or more items select; expectation, quantiles and p-value of
        random sets; mean and quantiles of sets next in variance.
    neurons : DataFrame
        Every selected neuron: how many items select it, mean rank and variance.
    selections : DataFrame
        The neurons of each item, by rank, with their variance.
    stability : DataFrame
        Overlap of each item with itself under other normal images, by kind: mean over draws,
        quantiles of one draw.
    clusters, leaves : DataFrame
        Average linkage of ``1 - jaccard``: merges, and the order of the items.
    """

    name: ClassVar[str] = "overlap"
    title: ClassVar[str] = "Overlap of selected neurons"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_null": "n_random_sets",
        "level": "confidence",
        "matched_low": "matched_quantile_low",
        "matched_high": "matched_quantile_high",
        "resampled_low": "resampled_quantile_low",
        "resampled_high": "resampled_quantile_high",
        "expected_low": "random_quantile_low",
        "expected_high": "random_quantile_high",
        "stability.low": "jaccard_quantile_low",
        "stability.high": "jaccard_quantile_high",
    }

    pairs: pd.DataFrame
    overview: pd.DataFrame
    shared: pd.DataFrame
    neurons: pd.DataFrame
    selections: pd.DataFrame
    stability: pd.DataFrame
    clusters: pd.DataFrame
    leaves: pd.DataFrame

    @property
    def across(self) -> str:
        """What is compared: category, dataset, layer, shots or seed."""
        return str(self.settings["across"])

    def findings(self) -> Iterator[Finding]:
        """Yield the mean overlap of each hook point and number of shots, minus chance."""
        for row in records(self.overview):
            n, n_pairs = int(row["n_categories"]), int(row["n_pairs"])
            n_draws = int(row.get("n_draws", 1))
            over = f"mean over {n_pairs} pairs" if n_pairs > 1 else "1 pair"
            if n_draws > 1 and n_pairs % n_draws == 0:
                each = n_pairs // n_draws
                over = f"mean over {each} pair{'s' * (each > 1)} in each of {n_draws} draws"
            yield Finding(
                f"two {SEVERAL[self.across]}",
                "Jaccard index",
                f"{_sides(row, 'point')} ({_sides(row, 'shots')} shots), {over}",
                difference=estimate(row, "minus_chance"),
                control="random sets",
                n=n,
                over="categories" if n > 1 else "category",
                value=estimate(row, "jaccard"),
                confidence=self.confidence,
            )

    def summary(self) -> str:
        """Mean overlap minus chance, the other comparisons and the ceiling; for each layer."""
        rows = records(self.overview)
        said = [
            f"{found.sentence()} {_facts(row)}"
            for found, row in zip(self.findings(), rows[:_SENTENCES])
        ]
        if len(rows) > _SENTENCES:
            said.append(f"{len(rows) - _SENTENCES} more rows are in the table overview.")
        if any(row["k"] < row["n_channels"] for row in rows):
            said.append(
                "All are neurons of high variance on normal images: their overlap does not say "
                "that they respond to anomalies."
            )
        return " ".join(said)

    def headline(self) -> pd.DataFrame:
        """Mean overlap, chance, the other comparisons and the ceiling."""
        return pd.DataFrame([_row(row) for row in records(self.overview)[:_ROWS]])

    def figures(self) -> Figures:
        """Matrix, shared neurons and their sets of the first groups, then pairs and ceiling."""
        from lakeviz.studies.overlap import figures as draw
        from lakeviz.studies.overlap import set_figures as sets

        of, made = SEVERAL[self.across], []
        # Draws are averaged in the matrix; the sets and the tree are those of the first.
        columns = [name for name in FIELDS if name in self.shared and name != "seed"]
        first = [
            table if table.empty or "seed" not in table else where(table, seed=table["seed"].min())
            for table in (self.clusters, self.leaves, self.shared, self.selections)
        ]
        groups = records(self.shared.filter(columns).drop_duplicates().astype(object))
        tables = (self.pairs, *first)
        for fixed in ({str(n): v for n, v in group.items()} for group in groups[:_GROUPS]):
            pairs, clusters, leaves, shared, chosen = (
                table if table.empty else where(table, **fixed) for table in tables
            )
            words = {"dataset": "", "shots": f"{fixed.get('shots')} shots"}
            n = len({*pairs["seed"]}) if "seed" in pairs else 1
            averaged = f", mean of {n} draws" if n > 1 else ""
            said = ", ".join(filter(None, (words.get(n, str(v)) for n, v in fixed.items())))
            if len(pairs) > 1:
                title = f"Overlap of selected neurons: {said}{averaged}"
                matrix = draw.overlap_matrix_figure(pairs, clusters, leaves, title=title, of=of)
                made.append(matrix.update_layout(width=None))  # the page has its own
            said += ", first draw" if averaged else ""
            title, confidence = f"Neurons that several select: {said}", self.confidence
            made.append(
                sets.shared_neurons_figure(shared, title=title, of=of, confidence=confidence)
            )
            order = None if leaves.empty else leaves.sort_values("position")["name"].tolist()
            title = f"Which of them select which neurons: {said}"
            made.append(sets.neuron_sets_figure(chosen, order=order, title=title, of=of))
        if is_measured(self.pairs, "ceiling"):
            made.append(draw.overlap_ceiling_figure(self.pairs))
        return made


Result = OverlapResult


def _sides(row: Row, name: str) -> str:
    return " and ".join(str(row[c]) for c in (name, f"{name}_a", f"{name}_b") if c in row)


def _facts(row: Row) -> str:
    """Number of shared neurons, the other comparisons, the ceiling and the tests."""
    chance = [
        ("of random sets", "expected_jaccard"),
        ("of other sets of nearly the same variance", "matched_jaccard"),
        ("explained by the other categories' ranking", "permutation_jaccard"),
        ("without each side's channel of highest variance", "jaccard_without_first"),
    ]
    said = [f"{name} {row[c]:.3f}" for name, c in chance if np.isfinite(row.get(c, np.nan))]
    ceiling = "that of a category with itself could not be measured"
    if np.isfinite(row["jaccard_of_ceiling"]):
        share = estimate(row, "jaccard_of_ceiling").text(2)
        ceiling = (
            f"that of a category with itself under other normal images {row['ceiling']:.3f} "
            f"(of which pairs reach {share})"
        )
    tests = {"hypergeometric": "random sets", "permutation": "the others' ranking explains"}
    above = [f"than {name} {_counted(row, null)}" for null, name in tests.items()]
    return (
        f"They share {row['n_shared']:.1f} of their {int(row['k'])} neurons; Jaccard index "
        f"{', '.join(said)}; {ceiling}. Pairs that share more (q < {Q_LEVEL:g}): "
        f"{', '.join(one for one in above if not one.endswith('–'))}."
    )


def _row(row: Row) -> dict[str, str]:
    def number(name: str) -> str:
        return f"{row[name]:.3f}" if np.isfinite(row.get(name, np.nan)) else "–"

    return {
        "hook point": _sides(row, "point"),
        "shots": _sides(row, "shots"),
        "neurons": f"{int(row['k'])} of {int(row['n_channels']):,}",
        "categories": str(int(row["n_categories"])),
        "pairs": f"{int(row['n_pairs']):,}",
        "shared": f"{row['n_shared']:.1f}",
        "Jaccard": estimate(row, "jaccard").text(),
        "without the first": number("jaccard_without_first"),
        "random sets": number("expected_jaccard"),
        "matched sets": number("matched_jaccard"),
        "common ranking": number("permutation_jaccard"),
        "with itself": number("ceiling"),
        "Spearman": estimate(row, "spearman").text(),
        "pairs above random": _counted(row, "hypergeometric"),
        "pairs above common ranking": _counted(row, "permutation"),
    }


def _counted(row: Row, null: str) -> str:
    n = int(row[f"n_tested_{null}"])
    return f"{int(row[f'n_above_{null}'])} of {n}" if n else "–"
