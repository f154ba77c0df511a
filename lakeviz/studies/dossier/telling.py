"""What dossiers show, in sentences: one neuron's, and selected neurons' beside random ones'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.neurons.group_comparison import mean_of_categories
from lakeviz.tables import equals, numbers, records, rows

SPOKEN = {
    "abs_cliffs_delta": "|Cliff's delta| of defect against normal patches",
    "loss_image_auroc": "loss of image AUROC by a score knock-out",
    "share_anomalous": "share of a defect patch's distance",
}
"""Measures that the summary speaks of, fixed beforehand."""

_SOURCES = {"patches": "the highest patches", "direction": "the write direction"}
_KINDS = {"score": "out of the score", "forward": "replaced", "weights": "without its weights"}
_METRICS = {"auroc": "AUROC", "aupro": "AUPRO", "average_precision": "AP"}


# --- one neuron ---


def neuron_sentences(tables: Mapping[str, pd.DataFrame], level: float) -> list[str]:
    """Say what one neuron's tables show."""
    (row,) = records(tables["neurons"])
    chosen = f"selected (place {row['selection_rank']})" if row["selected"] else "not selected"
    said = [
        f"Rank {row['variance_rank']} of {row['n_channels']} by variance; {chosen}.",
        *_activation(tables["activations"], level),
        *_shares(tables["shares"], level),
        *_knocked(tables["effects"]),
        *_partners(tables["correlated"]),
        *_labels(tables["labels"]),
    ]
    return said


def _activation(table: pd.DataFrame, level: float) -> list[str]:
    (row,) = records(table, measure="cliffs_delta")
    if not np.isfinite(row["value"]):
        return [f"No effect size of the activation: {row['reason']}."]
    own = Estimate(row["value"], row["low"], row["high"])
    verdict = {"higher": "higher on defect patches", "lower": "lower on defect patches"}
    read = verdict.get(own.verdict, "undecided")
    said = f"Activation: Cliff's delta {own.text(signed=True)} ({read})"
    return [f"{said}, {100 * level:g} % interval over images{_among(row)}."]


def _shares(table: pd.DataFrame, level: float) -> list[str]:
    (row,) = records(table, measure="share_excess")
    if not np.isfinite(row["value"]):
        return [f"No share of the distance: {row['reason']}."]
    parts = {n: records(table, measure=f"share_{n}")[0]["value"] for n in ("normal", "anomalous")}
    own = Estimate(100 * row["value"], 100 * row["low"], 100 * row["high"])
    return [
        f"Of the distance of a defect patch it makes {100 * parts['anomalous']:.2f} %, of a normal "
        f"patch {100 * parts['normal']:.2f} % (an even share is {100 * row['uniform']:.2f} %): "
        f"difference {own.text(signed=True)} points{_among(row)}."
    ]


def _among(row: Mapping[Any, Any]) -> str:
    if not row["n_draws"]:
        return "; no random neuron to compare with"
    return f"; {row['n_as_large']} of {row['n_draws']} random neurons are at least as far from zero"


def _knocked(table: pd.DataFrame) -> list[str]:
    said = []
    for kind, how in _KINDS.items():
        for row in records(table, kind=kind):
            name = f"{row['level']} {_METRICS.get(row['metric'], row['metric'])}"
            if not np.isfinite(row["change"]):
                continue
            change = Estimate(row["change"], row["change_low"], row["change_high"])
            line = f"Neuron {how} ({kind}): {name} changes by {change.text(signed=True)}"
            line += f" on {row['n_images']} images"
            if row["n_draws"]:
                line += f"; {row['n_as_low']} of {row['n_draws']} random neurons change it as low"
            said.append(f"{line}." if not row["reason"] else f"{line} ({row['reason']}).")
    return said


def _partners(table: pd.DataFrame) -> list[str]:
    found = records(table, place=1)
    if not found or not np.isfinite(found[0]["value"]):
        return []
    row = found[0]
    own = Estimate(row["value"], row["low"], row["high"])
    control = (
        f"; the closest partners of random neurons: |r| {row['control_mean']:.2f} on average"
        if row["n_draws"]
        else ""
    )
    number = own.text(signed=True) if np.isfinite(own.low) else f"{own.value:+.3f}"
    return [f"Goes closest with channel {row['partner']}: r = {number} on test images{control}."]


def _labels(table: pd.DataFrame) -> list[str]:
    said = []
    for row in records(table, rank=1):
        source = _SOURCES[row["source"]]
        if not row["word"]:
            said.append(f"No label from {source}: {row['reason']}.")
            continue
        line = f"Label from {source}: “{row['word']}”"
        control = "random directions" if row["source"] == "direction" else "shuffled labels"
        q = row["q_value"]
        if np.isfinite(q):
            verdict = "better than" if q < 0.05 else "no better than"
            line += f", {verdict} {control} (q = {q:.3f})"
        else:
            line += f", not tested ({row['reason']})"
        said.append(f"{line}.")
    return said


# --- selected beside random ---


def group_sentences(groups: pd.DataFrame, labels: pd.DataFrame, bootstrap: Bootstrap) -> list[str]:
    """Say how selected neurons differ from random ones in the measures fixed beforehand."""
    said = []
    for measure, spoken in SPOKEN.items():
        table = rows(groups, equals(groups, measure=measure))
        gaps = numbers(table, "difference") if len(table) else np.empty(0)
        if not np.isfinite(gaps).any():
            continue
        said.append(_difference(table, gaps, spoken, bootstrap))
    return said + _labelled(labels)


def _difference(table: pd.DataFrame, gaps: np.ndarray, spoken: str, bootstrap: Bootstrap) -> str:
    value = np.nanmean(numbers(table, "value"))
    control = np.nanmean(numbers(table, "control_mean"))
    n_images = f"{int(numbers(table, 'n_images').sum()):,} images"
    line = f"Mean {spoken}: {value:.4f} selected, {control:.4f} random, difference"
    low, high = numbers(table, "difference_low"), numbers(table, "difference_high")
    if len(table) == 1:
        gap, over = Estimate(float(gaps[0]), float(low[0]), float(high[0])), "images and neurons"
    else:
        gap, over = mean_of_categories(gaps, bootstrap), "categories"
        n_images = f"{len(table)} categories, {n_images}"
    if not np.isfinite(gap.low):
        return (
            f"{line} {gap.value:+.4f} ({n_images}, too few for an interval over categories; with "
            f"the interval over images and neurons above zero in {(low > 0).sum()}, below in "
            f"{(high < 0).sum()})."
        )
    verdict = {"higher": "selected higher", "lower": "random higher"}.get(gap.verdict, "undecided")
    interval = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
    return f"{line} {interval} ({n_images}, interval over {over}): {verdict}."


def _labelled(labels: pd.DataFrame) -> list[str]:
    """Counts of neurons whose label beats its control, selected and random."""
    said = []
    if labels.empty:
        return said
    first = rows(labels, equals(labels, rank=1))
    for source, spoken in _SOURCES.items():
        own = rows(first, equals(first, source=source))
        own = rows(own, np.isfinite(numbers(own, "q_value")))
        if own.empty:
            continue
        counts = []
        for group in ("selected", "random"):
            q = numbers(rows(own, equals(own, group=group)), "q_value")
            counts.append(f"{int((q < 0.05).sum())} of {len(q)} {group}")
        control = "random directions" if source == "direction" else "shuffled labels"
        said.append(
            f"Labels from {spoken} are better than {control} (q < 0.05) for {' and '.join(counts)} "
            "neurons."
        )
    return said
