"""How the study ``hosts`` is shown in a report."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.estimates import Estimate
from lakeviz.selector_names import selector_short
from lakeviz.studies.hosts.conditions import ADD, ALONE, LAKE, NO_SELECTOR, RESTRICT
from lakeviz.studies.hosts.figures import host_costs_figure, host_gains_figure
from lakeviz.studies.hosts.result import SUMMARY_METRICS, HostResult
from lakeviz.tables import Row, mean_of, records

_WORDS = {
    ALONE: "alone",
    LAKE: "LAKE without it",
    RESTRICT: "restricted to",
    ADD: "with score added in",
}


def figures(result: HostResult) -> list[go.Figure]:
    """Gains of each host, then what each costs."""
    made = [
        host_gains_figure(result.metrics, host=host, interval_level=result.confidence)
        for host in result.hosts
        if records(result.metrics, host=host)
    ]
    return made + [host_costs_figure(result.costs, host=host) for host in result.hosts]


def headline(result: HostResult) -> pd.DataFrame:
    """Each host alone, with the selection in question and with random ones."""
    several = len(result.categories) > 1
    rows = []
    for host in result.hosts:
        for mode in (ALONE, RESTRICT, LAKE, ADD):
            for selector in (NO_SELECTOR, result.reference(host), "random"):
                own = records(result.metrics, host=host, mode=mode, selector=selector)
                if not own:
                    continue
                name = "" if selector == NO_SELECTOR else selector_short(selector)
                row = {"host": host, "condition": f"{_WORDS[mode]} {name}".strip()}
                for level, metric, words in SUMMARY_METRICS:
                    found = [r for r in own if (r["level"], r["metric"]) == (level, metric)]
                    if found:
                        row |= _cells(found, words, several=several)
                cost = records(result.costs, host=host, mode=mode, selector=selector)
                if cost:
                    row["memory"] = f"{mean_of(cost, 'bytes') / 2**20:.2f} MiB"
                    row["per image"] = f"{1e3 * mean_of(cost, 'seconds_per_image'):.2f} ms"
                rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _cells(found: Sequence[Row], words: str, *, several: bool) -> dict[str, str]:
    title = f"minus alone, {words}"
    gap = Estimate(*(mean_of(found, f"difference{end}") for end in ("", "_low", "_high")))
    if several:
        cells = {words: f"{mean_of(found, 'value'):.3f}"}
        return cells | {title: f"{gap.value:+.3f}" if gap.value == gap.value else "–"}
    row = found[0]
    return {
        words: str(Estimate(row["value"], row["low"], row["high"])),
        title: gap.text(signed=True) if gap.value == gap.value else "–",
    }
