"""Settings and result of the claims: verdicts, and the effects behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import get_metric, known_metrics, metric_title
from lakeviz.settings import Settings, option
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.claims.rules import VERDICTS
from lakeviz.tables import records, where

IMAGE_AUROC: Metric = ("image", "auroc")


@dataclass(frozen=True)
class ClaimSettings(Settings):
    """Settings of all claims; their rules are fixed in the code."""

    metric: Metric = option(
        IMAGE_AUROC, "Level and name of the metric that detection is judged by.", command=False
    )
    depth: int | None = option(None, "Every N-th block on its own as well; 1: each.", least=1)
    n_random_sets: int = option(
        40,
        "Members of each random control; with 639 or more, ranks decide instead of Student's tail.",
        least=2,
        was="n_draws",
    )
    n_untrained: int = option(5, "Untrained towers of claims 11 and 12.", least=0)
    n_fits: int = option(
        10,
        "Fits of the claim on contamination, each on normal images of its own.",
        least=2,
        was="fits",
    )
    # Any: a name, or an object that fits and scores; only a name on the command line.
    host: Any = option(
        None, "Detector to plug into; zero_shot by default where there is text, patch_nn otherwise."
    )
    n_pairs: int = option(
        20,
        "Pairs of a defect image and its twin for claims 13 to 15; 0 leaves them out.",
        least=0,
        flag="--pairs",
    )
    n_exchanged: int = option(
        10,
        "Random sets of neurons that are exchanged within the pairs.",
        least=2,
        flag="--exchanged-sets",
    )
    sae: str | None = option(
        None, "Folder of a sparse autoencoder; claim 15 compares neurons with its latents too."
    )
    # The corrected intervals reach into the last 0.2 % of the resamples at either end.
    n_resamples: int = option(4000, "Number of bootstrap resamples.", least=1, was="resamples")
    confidence: float = option(
        0.95, "With which all intervals of one table hold together.", command=False
    )
    seed: int = option(0, "Seed of random sets and resamples.", least=0, command=False)

    def check(self) -> None:
        """Refuse a metric without a best value: a ceiling would look like an effect."""
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence is {self.confidence}; it must lie between 0 and 1")
        if 0 < self.n_pairs < 3:
            raise ConfigError(f"n_pairs is {self.n_pairs}; an interval needs 3 pairs (0: none)")
        known = [m for m in known_metrics() if np.isfinite(get_metric(*m).best)]
        if self.metric not in known:
            said = ":".join(self.metric).strip(":")
            listed = ", ".join(f"{level}:{name}" for level, name in known)
            raise ConfigError(f"claims are judged by {listed}; got {said}")

    @property
    def bootstrap(self) -> Bootstrap:
        """How images are resampled."""
        return Bootstrap(self.confidence, self.n_resamples, self.seed)


@dataclass
class ClaimsResult(StudyResult):
    """The claims of the paper, judged.

    Attributes
    ----------
    verdicts : DataFrame
        One row per hook points and claim: ``statement``, ``verdict`` (supported, contradicted,
        inconclusive or not measured), ``finding`` in words with the corrected intervals, and
        ``reason`` where something could not be measured.
    parts : DataFrame
        One row per hook points, claim and part: the ``effect`` in words, its ``control``, ``value``
        with the interval at the confidence of the settings (``low``, ``high``) and with the
        corrected one (``corrected_low``, ``corrected_high``), by which it is judged; ``p_value``
        against one more random set; ``rule``, ``smallest_effect``, ``verdict``; ``power``, how
        often the effect ``power_for`` would be supported; what the interval is over, and n.
    effects : DataFrame
        One row per category, hook points, claim and part, with the interval over images.
    """

    name: ClassVar[str] = "claims"
    title: ClassVar[str] = "The claims of the paper"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random_sets",
        "corrected_level": "corrected_confidence",
        "fits": "n_fits",
        "resamples": "n_resamples",
    }

    verdicts: pd.DataFrame
    parts: pd.DataFrame
    effects: pd.DataFrame

    @property
    def confidence(self) -> float:
        """Confidence with which all intervals of one table hold together."""
        return float(self.settings["confidence"])

    @property
    def points(self) -> list[str]:
        """Hook points that were judged apart; several joined by commas were judged together."""
        return list(dict.fromkeys(self.verdicts["points"]))

    def summary(self) -> str:
        """Say how many claims came out how, at which hook points, judged by what."""
        said = [self._setting(), self._plan(), *(self._at(points) for points in self.points)]
        return " ".join(part for part in said if part)

    @property
    def plan(self) -> Mapping[str, Any]:
        """The frozen plan it was made under: ``sha256`` and what ``differs``; empty without."""
        return self.provenance.get("plan") or {}

    def _plan(self) -> str:
        if not self.plan:
            return ""
        named = f"plan {self.plan['sha256'][:12]}"
        if not self.plan["differs"]:
            return f"As planned ({named})."
        return f"Not as planned ({named}): {'; '.join(self.plan['differs'])}."

    def _setting(self) -> str:
        metric = metric_title(*self.settings["metric"])
        n = len(self.categories)
        who = self.categories[0] if n == 1 else f"{n} categories"
        more = max(self.verdicts["claim"]) > 12
        apart = " (claims 13 and up among themselves)" if more else ""
        again = "; hook points are not corrected for each other" if len(self.points) > 1 else ""
        return (
            f"{who}, judged by {metric} with rules fixed beforehand; the intervals of one "
            f"table hold together with {100 * self.confidence:g} % confidence{apart}{again}."
        )

    def _at(self, points: str) -> str:
        rows = records(self.verdicts, points=points)
        said = []
        for verdict in VERDICTS:
            own = [str(row["claim"]) for row in rows if row["verdict"] == verdict]
            said.append(f"{len(own)} {verdict}" + (f" ({', '.join(own)})" if own else ""))
        return f"At {points}, of {len(rows)} claims: {'; '.join(said)}."

    def headline(self) -> pd.DataFrame:
        """Verdict of every claim with what was found, or its verdicts at each hook point."""
        from lakeviz.studies.claims.figures import short_points

        first, several = where(self.verdicts, points=self.points[0]), len(self.points) > 1
        rows = []
        for told in first.to_dict("records"):
            name = str(told["name"]).replace("_", " ")
            row = {"claim": f"{told['claim']}. {name if several else told['statement']}"}
            if several:
                own = where(self.verdicts, claim=told["claim"]).set_index("points")["verdict"]
                row |= {short_points(points): str(own[points]) for points in self.points}
            else:
                said = [str(told["finding"]), str(told["reason"])]  # why a part was not measured
                row |= {"verdict": told["verdict"], "finding": "; ".join(s for s in said if s)}
            rows.append(row)
        return pd.DataFrame(rows)

    def figures(self) -> Figures:
        """Verdicts by hook point where there are several, then the effects at each."""
        from lakeviz.studies.claims.figures import claims_by_point_figure, claims_figure

        made = [claims_by_point_figure(self.verdicts)] if len(self.points) > 1 else []
        return made + [
            claims_figure(
                where(self.parts, points=points),
                where(self.effects, points=points),
                confidence=self.confidence,
            )
            for points in self.points
        ]


Settings = ClaimSettings
Result = ClaimsResult
