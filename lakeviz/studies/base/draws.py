"""Several draws of the normal images: a study measures each, and its numbers are over all.

A study measures its conditions on one draw after the other; :func:`replicates` joins them. What
cannot be made on a draw, such as a control that needs more channels than there are, is left out
with its reason: :func:`attempted` and :func:`not_measured`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selectors import get_selector
from lakeviz.metrics.comparison import NO_COMPARISON
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Measurement, metric_columns

if TYPE_CHECKING:
    from lakeviz.lake import Selection
    from lakeviz.lake.paired_evaluator import PairedEvaluator
    from lakeviz.studies.base.captured import StudyData

Draws = Sequence["StudyData"]
"""One category on several draws of its normal images, with the same test images."""

_Key = TypeVar("_Key", bound=Hashable)
_Made = TypeVar("_Made")


def as_draws(data: StudyData | Draws) -> tuple[StudyData, ...]:
    """Take one draw, or several of one category."""
    draws = tuple(data) if isinstance(data, Sequence) else (data,)
    if not all(hasattr(one, "category") for one in draws):
        raise ConfigError(
            f"a study takes what capture_study(...) returns, not {type(data).__name__}; on the "
            "folder of a run it is `lakeviz study`"
        )
    if not draws:
        raise ConfigError("a study needs at least one draw of the normal images, got none")
    first = draws[0]
    for number, other in enumerate(draws[1:], start=2):
        for what, same in (
            ("another category", other.category == first.category),
            ("other test images", other.test.sample_ids == first.test.sample_ids),
            ("other hook points", other.points == first.points),
            ("other options", other.options == first.options),
        ):
            if not same:
                raise ConfigError(
                    f"draw {number} has {what} than draw 1; a study takes draws of the normal "
                    f"images of one category ({first.category}), and nothing else may differ"
                )
    return draws


def replicates(parts: Sequence[Mapping[_Key, Sequence[Measurement]]]) -> dict[_Key, Replicates]:
    """Join what was measured on each draw, condition by condition.

    A condition that one draw lacks is left out: a mean over other draws would not be paired.
    """
    first, *others = parts
    return {
        key: Replicates.over_draws([part[key] for part in parts])
        for key in first
        if all(key in part for part in others)
    }


def attempted(
    keys: Iterable[_Key], make: Callable[[_Key], _Made]
) -> tuple[dict[_Key, _Made], dict[_Key, str]]:
    """Make each of some conditions; where a selection is impossible, keep the reason instead."""
    made: dict[_Key, _Made] = {}
    missing: dict[_Key, str] = {}
    for key in keys:
        try:
            made[key] = make(key)
        except SelectionError as error:
            missing[key] = str(error)
    return made, missing


def n_members(selector: str, n_random_sets: int) -> int:
    """How many sets of a selector are measured: one, or so many where it is random."""
    return n_random_sets if get_selector(selector).is_random else 1


def members_of(
    data: StudyData, k: int, selector: str, n_random_sets: int, seed: int = 0
) -> list[dict[str, Selection]]:
    """Select once, or once for every random set, each with a seed of its own."""
    return [data.select(k, selector, seed + n) for n in range(n_members(selector, n_random_sets))]


def servable(draws: Draws, names: Iterable[str], k: int) -> tuple[list[str], dict[str, str]]:
    """Selectors that can select ``k`` neurons on every draw, and why each of the others cannot."""
    found = list(dict.fromkeys(get_selector(name).name for name in names))
    made, missing = attempted(found, lambda name: [data.select(k, name) for data in draws])
    return list(made), missing


def absence(data: StudyData, name: str, reason: str) -> str:
    """Note on a selector that could not serve."""
    return f"{data.category}: no {get_selector(name).label}: {reason}"


def not_measured(reason: str, evaluator: PairedEvaluator, **said: Any) -> Iterator[dict[str, Any]]:
    """Rows of a condition that was not measured, one per metric, with the reason.

    ``said`` is what names the condition, and columns that are not of a difference.
    """
    for _, columns in metric_columns(evaluator.measured):
        yield {**columns, **NO_COMPARISON, **said, **evaluator.counts, "reason": reason}


def mean_of_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over draws of tables with the same rows, with the number of draws.

    Text and whole numbers, such as counts of channels, are those of the first draw.
    """
    first = tables[0]
    shares = [name for name in first if is_float_dtype(first[name])]
    means = {name: np.mean([table[name] for table in tables], axis=0) for name in shares}
    return first.assign(**means, n_draws=len(tables))


def describe_draws(
    draws: Draws, study: str, settings: Mapping[str, Any], evaluator: PairedEvaluator
) -> dict[str, Any]:
    """Provenance of a result over draws: that of the first, and the normal images of each."""
    first = draws[0]
    made = first.describe(study, settings, evaluator)
    if len(draws) > 1:
        own = [as_plain(dict(data.provenance.get("fit", {}))) for data in draws]
        made["categories"][first.category]["draws"] = own
    return made
