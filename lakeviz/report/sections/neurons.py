"""The chosen neurons of all categories as one ranked list, with links to their dossiers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lakeviz.report.numbers import layer
from lakeviz.report.page_model import Page, Section
from lakeviz.tables import numbers, records

_FIRST = 10


@dataclass
class RankedNeuron:
    """One neuron, and where it was chosen.

    ``ranks`` are its places in the selections of the categories that chose it, ``shares`` those of
    the variance of its hook point that it holds there; ``links`` are category and id of dossiers.
    """

    point: str
    channel: int
    ranks: dict[str, int] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def layer(self) -> str:
        """Its hook point in short."""
        return layer(self.point)

    @property
    def rank(self) -> float:
        """Mean place in the selections that hold it."""
        return sum(self.ranks.values()) / len(self.ranks)

    @property
    def share(self) -> str:
        """Mean share of the variance, in words."""
        return f"{100 * sum(self.shares) / len(self.shares):.2g} %" if self.shares else "—"


def ranked(page: Page) -> list[RankedNeuron]:
    """Chosen neurons of each hook point: those of most categories first, then by mean rank."""
    found: dict[tuple[str, int], RankedNeuron] = {}
    for evaluation in page.ordered:
        table = evaluation.spectrum
        total = np.asarray(table.groupby("point")["variance"].transform("sum"))
        share = numbers(table, "variance") / np.where(total > 0, total, np.inf)
        shares = dict(zip(zip(table["point"], table["channel"]), share.tolist(), strict=True))
        for row in records(evaluation.neurons):
            key = row["point"], int(row["channel"])
            neuron = found.setdefault(key, RankedNeuron(*key))
            neuron.ranks[evaluation.category] = int(row["rank"])
            if key in shares:
                neuron.shares.append(shares[key])
            anchor = page.dossiers.get((evaluation.category, *key))
            if anchor:
                neuron.links.append((evaluation.category, anchor))
    points = list(dict.fromkeys(point for point, _ in found))
    order = {point: number for number, point in enumerate(points)}
    return sorted(found.values(), key=lambda n: (order[n.point], -len(n.ranks), n.rank, n.channel))


def neurons(page: Page) -> list[Section]:
    """Make the section; none where no neuron was chosen, as by subspaces."""
    every = ranked(page)
    if not every:
        return []
    points = list(dict.fromkeys(one.point for one in every))
    context = {
        "points": [
            (layer(point), own[:_FIRST], own[_FIRST:])
            for point in points
            for own in [[one for one in every if one.point == point]]
        ],
        "n": len(page.evaluations),
        "linked": any(one.links for one in every),
        "selector": page.settings.get("selector"),
    }
    return [Section("neurons", "Neurons", "neurons.html", context)]
