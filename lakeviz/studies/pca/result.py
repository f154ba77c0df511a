"""Settings and result of the study ``pca``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.selector_names import selector_name, selector_order
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, findings
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.tables import mean_of, records, where

REFERENCE = "variance"


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Compare the top-variance neurons with truncated PCA.

    Controls are measured as well, size by size. Also: how much variance each keeps, how near the
    two subspaces are, and how diagonal the covariance is, since the two are the same only where it
    is.
    """

    sizes: tuple[int, ...] | None = option(
        None,
        "Dimensions kept, K; powers of two by default. The detector's k and all channels are "
        "always among them.",
        flag="--size",
    )
    n_random_sets: int = option(
        20, "Random sets of each random selector and size.", least=2, was="n_draws"
    )
    selectors: tuple[str, ...] = option(
        (
            *("variance", "variance_without_first", "pca", "random_rotation", "rotated"),
            *("random", "bottom_variance", "all"),
        ),
        "Selectors compared with top variance.",
        flag="--selector",
    )
    smallest_effect: float = option(
        0.01, "Differences of a metric within it count as equivalent.", least=0
    )
    n_permutations: int = option(
        5, "Permutations that show what sampling noise leaves off the diagonal.", least=1
    )


@dataclass
class PCAResult(StudyResult):
    """High-variance neurons against truncated PCA and controls, at every size K.

    All tables are means over ``n_draws`` draws of the normal images.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, selector, K and metric: value with interval (over images, draws, and
        one more random set for random selectors), ``retained_variance`` (share of the total, mean
        over hook points), ``difference`` (variance minus this selector) with what its interval is
        of (``estimand``), and what it costs: ``gallery_bytes`` and ``seconds`` (restriction and
        search of all test images, as measured on the machine at hand with whatever else it was
        doing). A selector that cannot serve a size has a ``reason``.
    geometry : DataFrame
        One row per category, hook point and K: variance retained by the channels, by PCA and by
        random channels; principal angles (degrees) and normalised projection kernel between the
        channels and PCA, and between random channels and PCA; ``kernel_expected`` is K / D.
    covariance : DataFrame
        One row per category, hook point and measure of how diagonal the covariance is, and the
        same after each channel's tokens were permuted (``control_mean`` and quantiles).
    spectrum : DataFrame
        Eigenvalues and channel variances by rank; they agree where the covariance is diagonal.
    """

    name: ClassVar[str] = "pca"
    title: ClassVar[str] = "Neurons against truncated PCA"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random_sets",
        "covariance.n_draws": "n_permutations",
        "permutations": "n_permutations",
        "control_low": "control_quantile_low",
        "control_high": "control_quantile_high",
    }

    metrics: pd.DataFrame
    geometry: pd.DataFrame
    covariance: pd.DataFrame
    spectrum: pd.DataFrame

    @property
    def k(self) -> int:
        """The detector's own size, at which the summary reads the tables."""
        return int(self.provenance["options"]["k"])

    def findings(self) -> Iterator[Finding]:
        """Yield variance minus PCA at the detector's own size."""
        yield from findings(
            self.metrics,
            f"{self.k} top-variance neurons",
            where={"selector": "pca", "k": self.k},
            control=f"{self.k} principal directions",
            control_value="value",
            smallest_effect=self.settings["smallest_effect"],
            confidence=self.confidence,
        )

    def summary(self) -> str:
        """Variance minus PCA at the detector's own size, and how diagonal the covariance is."""
        said = super().summary() or "Truncated PCA was not compared by image AUROC or AUPRO."
        return f"{said} {self._retained()} {self._diagonality()}"

    def _retained(self) -> str:
        rows = records(self.geometry, k=self.k)
        kept, most, random = (
            100 * mean_of(rows, f"{kind}_retained") for kind in ("variance", "pca", "random")
        )
        return (
            f"At that size the neurons retain {kept:.1f} % of the variance, PCA {most:.1f} %, "
            f"random neurons {random:.1f} %; their projection kernel with PCA is "
            f"{mean_of(rows, 'kernel'):.3f} (1 if equal, {mean_of(rows, 'kernel_expected'):.3f} by "
            "chance)."
        )

    def _diagonality(self) -> str:
        rows = records(self.covariance, measure="off_diagonal_covariance")
        rows = [row for row in rows if np.isfinite(row["value"])]
        if not rows:
            return "No channel varies, so nothing can be said of the covariance."
        share, chance = (100 * mean_of(rows, column) for column in ("value", "control_mean"))
        return (
            f"{share:.1f} % of the covariance's energy lies off its diagonal ({chance:.1f} % if "
            "the channels were independent); the two methods are the same only where nothing does."
        )

    def headline(self) -> pd.DataFrame:
        """Each selector at the detector's own size; of several categories the mean of each."""
        rows = []
        for selector in selector_order(where(self.metrics, k=self.k)["selector"]):
            own = {"selector": selector, "k": self.k}
            row = {"selection": selector_name(selector)}
            costs = records(self.metrics, **own)
            if not np.isfinite(costs[0]["retained_variance"]):
                rows.append(row | {"variance kept": f"not measured: {costs[0]['reason']}"})
                continue
            row["variance kept"] = f"{100 * mean_of(costs, 'retained_variance'):.1f} %"
            for found in findings(self.metrics, "", where=own, confidence=self.confidence):
                row[found.quantity] = found.value.text()
                row[f"top variance minus this, {found.quantity}"] = found.difference.text(
                    signed=True
                )
            row["gallery"] = f"{mean_of(costs, 'gallery_bytes') / 2**20:.2f} MiB"
            row["search"] = f"{mean_of(costs, 'seconds'):.2f} s"
            rows.append(row)
        return pd.DataFrame(rows)

    def figures(self) -> Figures:
        """Differences first, then values, variance, geometry and covariance."""
        from lakeviz.studies.pca import figures as draw

        made = [
            draw.pca_differences_figure(
                self.metrics,
                level=level,
                metric=metric,
                smallest_effect=self.settings["smallest_effect"],
                confidence=self.confidence,
            )
            for level, metric in HEADLINE_METRICS
            if records(self.metrics, level=level, metric=metric)
        ]
        made += [
            draw.metrics_by_size_figure(self.metrics, confidence=self.confidence),
            draw.retained_figure(self.geometry, confidence=self.confidence),
            draw.nearness_figure(self.geometry, confidence=self.confidence),
            draw.diagonality_figure(self.covariance),
        ]
        if len(self.categories) == 1:
            made.append(draw.eigenvalue_figure(self.spectrum))
        return made


Result = PCAResult
