"""What the study ``hosts`` found: tables, and sentences that say also when a host loses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.hosts.conditions import ADD, ALONE, LAKE, NO_SELECTOR, RESTRICT
from lakeviz.tables import Row, mean_of, records

SUMMARY_METRICS = (("image", "auroc", "image AUROC"), ("pixel", "aupro", "AUPRO"))
_CEILING = 1 - 1e-9
SELECTION_NAMES = {
    "variance": "the {k} neurons of highest variance",
    "pca": "{k} principal directions",
}


@dataclass
class HostResult(StudyResult):
    """Hosts alone, with LAKE's neurons, and with controls of the same size.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, host, mode, selector and metric. Modes: ``alone``; ``restrict``, the
        host sees the selected channels; ``add``, LAKE's structural score in these channels is
        added; ``lake``, that score without a host. ``value`` (mean over draws of a random selector)
        with interval, and ``difference``: this minus the host alone, paired over images, and for
        random selectors over draws.
    contrasts : DataFrame
        One row per category, host, mode, control and metric: the selection in question minus a
        control of the same size, with the host around both; ``n_below`` of ``n_draws`` members of
        the control lie below it.
    costs : DataFrame
        ``bytes`` that the fitted detector keeps, and ``seconds_per_image`` (median of repeats
        measured in turn) for what ``timed`` says, on the machine at hand.
    scales : DataFrame
        Mean and deviation of patch scores of normal images not fitted on: the units of ``add``.
    """

    name: ClassVar[str] = "hosts"
    title: ClassVar[str] = "Plugged into other detectors"

    metrics: pd.DataFrame = field(repr=False)
    contrasts: pd.DataFrame = field(repr=False)
    costs: pd.DataFrame = field(repr=False)
    scales: pd.DataFrame = field(repr=False)

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> dict[str, Any]:
        """Settings by host: one result may hold several.

        Raises
        ------
        ConfigError
            If a host was run twice on a category, or with other settings.
        """
        settings: dict[str, Any] = {}
        seen: set[tuple[str, str]] = set()
        for result in results:
            for host, made in result.provenance["settings"]["hosts"].items():
                if settings.setdefault(host, made) != made:
                    raise ConfigError(f"results of the host {host} differ in their settings")
                for category in result.categories:
                    if (host, category) in seen:
                        raise ConfigError(f"the host {host} was run twice on {category}")
                    seen.add((host, category))
        return {"hosts": settings}

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts."""
        return list(self.settings)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings of each host."""
        return self.provenance["settings"]["hosts"]

    def reference(self, host: str) -> str:
        """The selection in question."""
        return self.settings[host]["selections"][0]

    def summary(self) -> str:
        """For each host: what it gains or loses, and whether another selection does as well."""
        said = []
        for host in self.hosts:
            said.append(self._alone(host))
            for mode in (RESTRICT, ADD):
                if mode in self.settings[host]["modes"]:
                    said.append(self._mode(host, mode))
        return " ".join(sentence for sentence in said if sentence)

    # --- sentences ---

    def _alone(self, host: str) -> str:
        parts = []
        for level, metric, words in SUMMARY_METRICS:
            rows = self._rows(host, ALONE, NO_SELECTOR, level, metric)
            if rows:
                parts.append(f"{words} {mean_of(rows, 'value'):.3f}")
        if not parts:
            return f"Of {host} neither image AUROC nor AUPRO was measured."
        where = self._where(records(self.metrics, host=host, mode=ALONE))
        return f"{host} alone ({where}): {', '.join(parts)}."

    def _mode(self, host: str, mode: str) -> str:
        settings, reference = self.settings[host], self.reference(host)
        which = SELECTION_NAMES.get(reference, "{k} channels of " + reference)
        what = which.format(k=settings["k"]) + " of each hook point"
        start = f"Restricted to {what}"
        if mode == ADD:
            start = f"With LAKE's score in {what} added (weight {settings['weight']:g})"
        parts = []
        for level, metric, words in SUMMARY_METRICS:
            rows = self._rows(host, mode, reference, level, metric)
            if rows:
                gain, reading = self._read(rows, _GAIN)
                parts.append(
                    f"{words} {gain} against the host alone, {reading}"
                    + self._control(host, mode, level, metric)
                    + self._lake(host, mode, level, metric)
                )
        return f"{start}: {'; '.join(parts)}." if parts else ""

    def _control(self, host: str, mode: str, level: str, metric: str) -> str:
        rows = records(
            self.contrasts, host=host, mode=mode, level=level, metric=metric, control="random"
        )
        if not rows:
            return ""
        gap, reading = self._read(rows, _CONTROL)
        return f", and {gap} against {int(rows[0]['n_draws'])} random selections, {reading}"

    def _lake(self, host: str, mode: str, level: str, metric: str) -> str:
        rows = self._rows(host, LAKE, self.reference(host), level, metric)
        if mode != ADD or not rows:
            return ""
        return f" (LAKE's score without the host: {mean_of(rows, 'value'):.3f})"

    def _read(self, rows: Sequence[Row], words: dict[str, str]) -> tuple[str, str]:
        """A difference with its interval, over images or categories, and what it says."""
        if len(rows) == 1:
            row = rows[0]
            gap = Estimate(row["difference"], row["difference_low"], row["difference_high"])
            if min(row["value"], row["value"] - gap.value) >= _CEILING:
                return gap.text(signed=True), "both perfect here, so not to be told apart"
            return gap.text(signed=True), words[gap.verdict]
        mean = mean_over_categories(np.array([row["difference"] for row in rows]), self.confidence)
        own = [Estimate(r["difference"], r["difference_low"], r["difference_high"]) for r in rows]
        counts = Counter(one.verdict for one in own)
        split = ", ".join(f"{v} in {counts[v]}" for v in ("higher", "lower", "undecided"))
        return mean.text(signed=True), f"{words[mean.verdict]} (by category: {split})"

    def _where(self, rows: Sequence[Row]) -> str:
        categories = list(dict.fromkeys(row["category"] for row in rows))
        percent = f"{100 * self.confidence:g} %"
        if len(categories) == 1:
            n = int(rows[0]["n_images"])
            return f"{categories[0]}, intervals {percent}, paired over {n} test images"
        return f"mean over {len(categories)} categories, intervals {percent} over categories"

    def _rows(self, host: str, mode: str, selector: str, level: str, metric: str) -> list[Row]:
        return records(
            self.metrics, host=host, mode=mode, selector=selector, level=level, metric=metric
        )


_GAIN = {
    "higher": "a gain",
    "lower": "so the host is better without",
    "undecided": "undecided",
}
_CONTROL = {
    "higher": "above them",
    "lower": "below them",
    "undecided": "not told apart from them",
}
