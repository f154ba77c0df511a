"""The first screen: three sentences, one strip of pictures, one figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lakeviz.lake.drawing import heat_colours
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.plots.forest import MEAN, ForestRow, forest_figure
from lakeviz.plots.html import EmbeddedFigure, embed
from lakeviz.plots.panels import Look
from lakeviz.plots.template import PALETTE
from lakeviz.report.numbers import branch, channels, layer, map_size, over_categories
from lakeviz.report.page_model import Group, Page, Section
from lakeviz.report.pictures import Picture, frame, picture, typical
from lakeviz.report.sections.controls import against, control_finding
from lakeviz.report.sections.neurons import ranked
from lakeviz.selector_names import SHUFFLED, selector_short
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding
from lakeviz.tables import numbers, records, rows, where
from lakeviz.wording import joined

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.metrics.measurement import Metric

_CONTROLS = {
    "all": "all neurons",
    "untrained": "an untrained tower",
    "random": "random neurons",
}
_NOT_COMPARED = "were not compared with"
_FIRST = "variance_without_first"
_PAIRS, _LEADING = 4, 3
_TASKS = {"image": "detects defective images", "pixel": "localises the defects"}


@dataclass(frozen=True)
class Answer:
    """One sentence: the answer, then the numbers that it rests on."""

    verdict: str
    numbers: str


@dataclass(frozen=True)
class Pair:
    """A defect in colour, and with the heat over it."""

    picture: Picture
    category: str
    anchor: str


def glance(page: Page) -> list[Section]:
    """Make the first screen."""
    pairs = [_pair(page, evaluation, index) for evaluation, index in _chosen(page)]
    context = {
        "answers": [_detects(page), _which(page), _beats(page)],
        "pairs": pairs,
        "frame": frame([one.picture for one in pairs]),
        "figure": _figure(page),
    }
    return [Section("glance", "In three sentences", "glance.html", context)]


# --- does it detect and localise ---


def _detects(page: Page) -> Answer:
    """LAKE's headline metrics against chance, group by group."""
    tasks: dict[str, list[str]] = {}
    said = []
    for level, name in HEADLINE_METRICS:
        found = [
            (group, *over_categories(table, level, name, page.confidence))
            for group in page.groups
            for table in [pd.concat([e.metrics for e in group.evaluations])]
        ]
        found = [one for one in found if one[2]]
        if not found:
            tasks.setdefault("was not measured to", []).append(_TASKS[level])
            continue
        chance = _chance(page, name)
        above = all(value.low > chance for _, value, _ in found)
        tasks.setdefault("" if above else "is not shown to", []).append(_TASKS[level])
        values = "; ".join(value.text(style="html") + _of(group, n) for group, value, n in found)
        said.append(f"{metric_title(level, name)} {values}, chance {chance:g}")
    verdict = ", and ".join(
        joined(done if not how else [f"{how} {one.replace('s ', ' ', 1)}" for one in done])
        for how, done in tasks.items()
    )
    size = f", maps of {map_size(page)} pixels" if map_size(page) else ""
    said.append(f"{_over(page)}; {100 * page.confidence:g} % intervals; {branch(page)}{size}")
    return Answer(f"LAKE {verdict}", "; ".join(said))


def _of(group: Group, n: int) -> str:
    """The group, and how many categories have the value, where some have not."""
    if group.name:
        return f" {group.name} ({n})"
    return f" ({n} of {len(group.evaluations)})" if n < len(group.evaluations) else ""


def _over(page: Page) -> str:
    """What the values are of; of several categories, where the first metric is lowest."""
    if len(page.evaluations) == 1:
        return page.evaluations[0].category
    level, name = HEADLINE_METRICS[0]
    found = where(page.table("metrics"), branch="lake", level=level, metric=name)
    found = rows(found, np.isfinite(numbers(found, "value")))
    said = f"mean over {len(page.evaluations)} categories"
    if found.empty:
        return said
    lowest = found.iloc[int(np.argmin(numbers(found, "value")))]
    return (
        f"{said}, lowest {metric_title(level, name)} {lowest['value']:.3f} ({lowest['category']})"
    )


def _chance(page: Page, name: str) -> float:
    """Value of a detector that guesses: AUPRO is an area up to a limit, divided by it."""
    limit = float(page.provenance.get("conventions", {}).get("aupro_limit") or 0.3)
    return round(limit / 2, 3) if name == "aupro" else 0.5


# --- which neurons, and in how many channels does the effect live ---


def _which(page: Page) -> Answer:
    """The first channels of each hook point, how many share the variance, and one left out."""
    of_point: dict[str, list[int]] = {}
    for row in ranked(page):
        of_point.setdefault(row.point, []).append(row.channel)
    leading = "; ".join(
        f"{layer(point)}: {', '.join(map(str, found[:_LEADING]))}"
        + (" …" if len(found) > _LEADING else "")
        for point, found in of_point.items()
    )
    by = str(page.settings.get("selector"))
    what = "highest variance" if by == "variance" else f"the selector {by}"
    verdict = f"It reads the {channels(page)} of {what}"
    said = [f"first {leading}"] if leading else []
    return Answer(verdict, "; ".join([*said, *_shared(page), _without_first(page)]))


def _shared(page: Page) -> list[str]:
    """How many channels share the variance, and what the first holds."""
    held = [_held(evaluation) for evaluation in page.evaluations]
    ratios, shares = (np.concatenate(parts) for parts in zip(*held, strict=True))
    ratios, shares = ratios[np.isfinite(ratios)], shares[np.isfinite(ratios)]
    if not ratios.size:
        return []
    low, high = f"{ratios.min():.0f}", f"{ratios.max():.0f}"
    spread = low if low == high else f"{low} to {high}"
    return [
        f"the variance lives in {spread} channels (participation ratio; the first holds at most "
        f"{100 * shares.max():.2g} %)"
    ]


def _held(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Participation ratio of each hook point, and the share of its first channel."""
    if len(evaluation.outliers):
        return (
            numbers(evaluation.outliers, "participation_ratio"),
            numbers(evaluation.outliers, "share"),
        )
    points = dict.fromkeys(evaluation.spectrum["point"])  # runs of before have no such table
    variances = [numbers(where(evaluation.spectrum, point=p), "variance") for p in points]
    parts = [v / v.sum() for v in variances if v.sum() > 0]
    return np.array([1 / (p**2).sum() for p in parts]), np.array([p.max() for p in parts])


def _without_first(page: Page) -> str:
    """What the result loses with the first channel exchanged for the next."""
    metric, found = _compared(page, _FIRST)
    if found is None:
        return f"whether the result hangs on the first was not measured (control {_FIRST})"
    change = (-found.difference).text(signed=True, style="html")
    words = {"higher": "part of the effect is its own", "lower": "LAKE is better without it"}
    reading = words.get(found.verdict, found.short)
    return f"exchanging the first moves {metric_title(*metric)} by {change}: {reading}"


# --- does it beat its controls ---


def _beats(page: Page) -> Answer:
    """LAKE's neurons against all, untrained and random ones."""
    said: dict[str, list[str]] = {}
    differences = []
    for control, name in _controls(page).items():
        metric, found = _compared(page, control)
        if found is None:
            said.setdefault(_NOT_COMPARED, []).append(name)
            continue
        said.setdefault(against(found), []).append(name)
        gap = found.difference.text(signed=True, style="html")
        differences.append(f"{metric_title(*metric)} {gap} against {name}")
    missing = said.pop(_NOT_COMPARED, None)
    said |= {_NOT_COMPARED: missing} if missing else {}  # last
    verdict = joined([f"{how} {joined(names)}" for how, names in said.items()])
    numbers_said = "; ".join(differences)
    if differences:
        numbers_said += "; LAKE minus control, visual branch alone"
    return Answer(f"LAKE's neurons {verdict}", numbers_said)


def _controls(page: Page) -> dict[str, str]:
    """Controls that every run is asked for, and shuffled frames where a run had them."""
    controls = page.table("controls")
    asked = not controls.empty and SHUFFLED in set(controls["control"])
    return _CONTROLS | ({SHUFFLED: selector_short(SHUFFLED)} if asked else {})


def _compared(page: Page, control: str) -> tuple[Metric, Finding | None]:
    """LAKE's neurons minus a control by AUPRO, or by image AUROC where that was not measured."""
    table = page.table("controls")
    for metric in reversed(HEADLINE_METRICS):
        found = control_finding(table, control, metric)
        if found is not None:
            return metric, found
    return HEADLINE_METRICS[0], None


def _figure(page: Page) -> EmbeddedFigure | None:
    """LAKE minus all, untrained and random neurons; None where none was measured."""
    table = page.table("controls")
    shown, words = [], Counter[str]()
    for number, metric in enumerate(HEADLINE_METRICS):
        for control, name in _controls(page).items():
            found = control_finding(table, control, metric)
            if found is None:
                continue
            words[found.interval] += 1
            several = found.over == "categories"
            look = Look(PALETTE[number], "solid", MEAN.marker if several else Look.of(0).marker)
            members = {
                str(row["category"]): float(row["difference"])
                for row in records(table, control=control, level=metric[0], metric=metric[1])
            }
            drawn = {"members": members if several else {}, "series": metric_title(*metric)}
            shown.append(ForestRow(name, found.difference, look=look, **drawn))
    if not shown:
        return None
    ends = metric_bounds(*HEADLINE_METRICS[0], difference=True)
    figure = forest_figure(
        {"": shown},
        title="LAKE's neurons against their controls",
        caption=f"LAKE minus control, visual branch; {words.most_common(1)[0][0]}. Right of zero, "
        "LAKE's neurons are better.",
        x="LAKE − control",
        line_height=46,
        ends=ends,
        lines=[name for name in _controls(page).values() if any(row.name == name for row in shown)],
    )
    return embed(figure)


# --- pictures ---


def _chosen(page: Page) -> list[tuple[Evaluation, int]]:
    """Anomalous images of up to four categories; several of each where there are fewer.

    Of many categories they are evenly spaced in the order of the report.
    """
    found = [e for e in page.ordered if e.dataset.labels.any()]
    if not found:
        return []
    places = np.linspace(0, len(found) - 1, min(_PAIRS, len(found))).round().astype(int)
    some = [found[i] for i in places]
    each = [[(e, i) for i in typical(e, _PAIRS, several=True)] for e in some]
    rounds = [own[n] for n in range(_PAIRS) for own in each if n < len(own)]
    order = {id(e): n for n, e in enumerate(some)}
    return sorted(rounds[:_PAIRS], key=lambda one: order[id(one[0])])


def _pair(page: Page, evaluation: Evaluation, index: int) -> Pair:
    threshold = f1_max_threshold(evaluation.metrics)
    shown = picture(evaluation, index, heat_colours(evaluation), threshold)
    return Pair(shown, evaluation.category, page.anchor(evaluation))
