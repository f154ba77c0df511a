"""What the dossier of one neuron shows, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lakeviz.metrics.estimates import estimate
from lakeviz.metrics.registry import at_best, metric_title
from lakeviz.studies.base.findings import VERDICTS
from lakeviz.studies.neurons.group_comparison import DETECTED
from lakeviz.tables import Row, numbers, records
from lakeviz.wording import counted

SOURCES = {
    "patches": ("the highest patches", "shuffled labels"),
    "direction": ("the write direction", "random directions"),
}
"""Where labels come from, and what they are compared with."""

_KINDS = {"score": "out of the score", "forward": "replaced", "weights": "without its weights"}


def neuron_sentences(tables: Mapping[str, pd.DataFrame], confidence: float) -> list[str]:
    """Say what one neuron's tables show: rank, effect size, share, knock-outs, partner, words."""
    (row,) = records(tables["neurons"])
    chosen = f"selected (place {row['selection_rank']})" if row["selected"] else "not selected"
    (delta,) = records(tables["activations"], measure="cliffs_delta")
    (excess,) = records(tables["shares"], measure="share_excess")
    of = {r["measure"]: f"{100 * r['value']:.2f} %" for r in records(tables["shares"])}
    shares = (
        f"Share of a defect patch's distance ({of['share_anomalous']}) minus that of a normal one "
        f"({of['share_normal']}; an even share is {100 * excess['uniform']:.2f} %)"
    )
    return [
        f"Rank {row['variance_rank']} of {row['n_channels']} by variance; {chosen}.",
        _effect(delta, "Cliff's delta of defect against normal patches", confidence),
        _effect(excess, shares.replace("nan %", "none"), confidence),
        *_knocked(tables["effects"]),
        *_partner(tables["correlated"]),
        *_labels(tables["labels"]),
    ]


def _effect(row: Row, what: str, confidence: float) -> str:
    """An effect with its interval, its verdict, and its place among random neurons."""
    own = estimate(row)
    if not np.isfinite(own.value):
        return f"{what}: not measured ({row['reason']})."
    among = "no random neuron to compare with"
    if row["n_random"]:
        among = f"{row['n_as_large']} of {row['n_random']} random neurons are as far from zero"
    return (
        f"{what}: {own.text(4, signed=True)} ({100 * confidence:g} % over {row['n_images']} test "
        f"images): {VERDICTS[own.verdict]}; {among}."
    )


def _knocked(table: pd.DataFrame) -> Iterator[str]:
    for row in records(table):
        change, metric = estimate(row, "change"), metric_title(row["level"], row["metric"])
        if not np.isfinite(change.value):
            continue
        if all_at_best(pd.DataFrame([row])):
            yield (
                f"Neuron {_KINDS[row['kind']]} ({row['kind']}): {metric} stays at its best value "
                f"on {counted(row['n_images'], 'image')}, {row['value']:g}: these cannot tell."
            )
            continue
        said = f"Neuron {_KINDS[row['kind']]} ({row['kind']}): {metric} changes by "
        said += f"{change.text(4, signed=True)} on {counted(row['n_images'], 'image')}"
        if row["n_random"]:
            said += f"; {row['n_as_low']} of {row['n_random']} random neurons change it as low"
        yield f"{said} ({row['reason']})." if row["reason"] else f"{said}."


def all_at_best(effects: pd.DataFrame) -> bool:
    """Whether there are knock-outs, and their metrics are at their best with and without each."""
    ends = [
        ((row["level"], row["metric"]), value)
        for row in records(effects)
        for value in (row["value"], row["value"] - row["change"])
        if np.isfinite(value)
    ]
    return bool(ends) and all(at_best(metric, value) for metric, value in ends)


def least_p(labels: pd.DataFrame) -> float:
    """Least p-value that the tests of labels can have, for the number of their controls."""
    return 1 / (1 + float(np.max(numbers(labels, "n_controls"))))


def _partner(table: pd.DataFrame) -> Iterator[str]:
    for row in records(table, place=1):
        own = estimate(row)
        if np.isfinite(own.value):
            said = f"Correlates most with channel {row['partner']}: r = {own.text(signed=True)}"
            said += " on test images"
            if row["n_random"]:
                said += f"; random neurons with theirs: |r| {row['control_mean']:.2f} on average"
            yield f"{said}."


def _labels(table: pd.DataFrame) -> Iterator[str]:
    for row in records(table, rank=1):
        source, control = SOURCES[row["source"]]
        if not row["word"]:
            yield f"No label from {source}: {row['reason']}."
            continue
        verdict = f"not tested ({row['reason']})"
        if np.isfinite(row["q_value"]):
            verdict = "better than" if row["q_value"] < DETECTED else "no better than"
            least = least_p(pd.DataFrame([row]))
            verdict += f" {control} (q = {row['q_value']:.3f}"
            verdict += f"; no p-value can be below {least:.2g})" if least >= DETECTED else ")"
        yield f"Label from {source}: “{row['word']}”, {verdict}."
