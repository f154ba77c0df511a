"""What the claims came to: verdicts, the effects behind them, and a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.claims.rules import VERDICTS
from lakeviz.tables import records


@dataclass
class ClaimsResult(StudyResult):
    """The claims of the paper, judged.

    Attributes
    ----------
    verdicts : DataFrame
        One row per hook points and claim: ``statement``, ``verdict`` (supported, contradicted or
        inconclusive), ``finding`` in words with the corrected intervals, and ``reason`` where
        something could not be measured.
    parts : DataFrame
        One row per hook points, claim and part: the ``effect`` in words, its ``control``, ``value``
        with the interval at the confidence of the settings (``low``, ``high``) and with the
        corrected one (``corrected_low``, ``corrected_high``), by which it is judged; ``rule``,
        ``smallest_effect``, ``verdict``; what the interval is over, and n.
    effects : DataFrame
        One row per category, hook points, claim and part, with the interval over images.
    """

    name: ClassVar[str] = "claims"
    title: ClassVar[str] = "The claims of the paper"

    verdicts: pd.DataFrame = field(repr=False)
    parts: pd.DataFrame = field(repr=False)
    effects: pd.DataFrame = field(repr=False)

    @property
    def level(self) -> float:
        """Confidence with which all intervals of one table hold together."""
        return float(self.provenance["settings"]["confidence"])

    @property
    def points(self) -> list[str]:
        """Hook points that were judged apart; several joined by commas were judged together."""
        return list(dict.fromkeys(self.verdicts["points"]))

    def summary(self) -> str:
        """Say how many claims came out how, at which hook points, judged by what."""
        return " ".join([self._setting(), *(self._at(points) for points in self.points)])

    def _setting(self) -> str:
        level, metric = self.provenance["settings"]["metric"]
        n = len(self.categories)
        who = self.categories[0] if n == 1 else f"{n} categories"
        words = {"auroc": "AUROC", "aupro": "AUPRO"}.get(metric, metric.replace("_", " "))
        again = "; hook points are not corrected for each other" if len(self.points) > 1 else ""
        return (
            f"{who}, judged by {level} {words} with rules fixed beforehand; the intervals of one "
            f"table hold together with {100 * self.confidence:g} % confidence{again}."
        )

    def _at(self, points: str) -> str:
        rows = records(self.verdicts, points=points)
        said = []
        for verdict in VERDICTS:
            own = [str(row["claim"]) for row in rows if row["verdict"] == verdict]
            said.append(f"{len(own)} {verdict}" + (f" ({', '.join(own)})" if own else ""))
        return f"At {points}, of {len(rows)} claims: {'; '.join(said)}."
