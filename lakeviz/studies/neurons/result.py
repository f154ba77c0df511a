"""What the study of single neurons returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.neurons.group_comparison import MEAN_POINT, NO_RANDOM, mean_of_categories
from lakeviz.tables import equals, numbers, rows

_SPOKEN = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "patch_auroc": "patch AUROC",
}

_VERDICTS = {
    "higher": "selected neurons detect better",
    "lower": "random neurons detect better",
    "undecided": "undecided",
}


@dataclass
class NeuronsResult(StudyResult):
    """Every tested neuron as a detector, selected beside random ones.

    Attributes
    ----------
    neurons : DataFrame
        One row per neuron under test: ``category, point, channel, group`` (selected, random),
        ``variance, variance_rank, constant``; each with ``_low`` and ``_high``: the metrics of its
        deviation (``image_auroc, pixel_auroc``), ``patch_auroc``, and the effect sizes of the
        activation (``cohens_d, matched_d, rank_biserial``) and of the deviation (``deviation_d,
        deviation_matched_d``); ``p_value, q_value`` and ``deviation_p_value, deviation_q_value``
        of the matched differences; ``direction, reach, reach_normal``, the numbers of images and
        patches, and ``reason`` where columns are empty.
    groups : DataFrame
        Per point (and their mean) and measure: mean over selected neurons with its interval,
        ``control_mean`` over random ones, ``difference`` with interval.
    channels : DataFrame
        Image AUROC of every channel of the points.
    trend : DataFrame
        Rank correlation of variance and image AUROC over all channels.
    histograms : DataFrame
        Activation of each tested neuron over normal and over defect patches, in shared bins.
    patches : DataFrame
        Test patches of largest deviation of each tested neuron; ``crop`` is a PNG or empty.
    """

    name: ClassVar[str] = "neurons"
    title: ClassVar[str] = "Single-neuron detectors"

    neurons: pd.DataFrame
    groups: pd.DataFrame
    channels: pd.DataFrame
    trend: pd.DataFrame
    histograms: pd.DataFrame
    patches: pd.DataFrame

    def __post_init__(self) -> None:
        # Parquet cannot tell a missing picture from a missing number.
        pictures = [own if isinstance(own, bytes) else None for own in self.patches["crop"]]
        self.patches = self.patches.assign(
            crop=pd.Series(pictures, self.patches.index, dtype=object)
        )

    @property
    def measure(self) -> str:
        """The measure that :meth:`summary` speaks of: image AUROC, or the first one there is."""
        metrics = [f"{lv}_{m}" for lv, m in self.provenance["settings"]["metrics"]]
        there = [m for m in ["image_auroc", *metrics] if m in set(self.groups["measure"])]
        return there[0]

    @property
    def bootstrap(self) -> Bootstrap:
        """Of intervals over categories."""
        return Bootstrap.from_plain(self.provenance.get("bootstrap"))

    def overall(self) -> pd.DataFrame:
        """Rows of ``groups`` that hold for each category as a whole: the mean of its points."""
        table = rows(self.groups, equals(self.groups, measure=self.measure))
        means = rows(table, equals(table, point=MEAN_POINT))
        return means if len(means) else table

    def clear_of_chance(self) -> tuple[int, int, int, int] | None:
        """Neurons whose AUROC lies above 0.5 with its whole interval, and all there are.

        Returns
        -------
        (selected above, selected, random above, random), or None where the measure is no AUROC
        """
        if not self.measure.endswith("auroc"):
            return None
        above = numbers(self.neurons, f"{self.measure}_low") > 0.5
        chosen = equals(self.neurons, group="selected")
        groups = (above & chosen, chosen, above & ~chosen, ~chosen)
        selected, n_selected, random, n_random = (int(flags.sum()) for flags in groups)
        return selected, n_selected, random, n_random

    def summary(self) -> str:
        """Say how selected neurons detect beside random ones, over what, and with what doubt."""
        spoken = _SPOKEN.get(self.measure, self.measure.replace("_", " "))
        settings, n_points = self.provenance["settings"], self.neurons["point"].nunique()
        who = (
            f"{', '.join(self.categories)}: {settings['k']} neurons selected by "
            f"{settings['selector']} at each of {n_points} hook point{'s' * (n_points > 1)}, each "
            f"alone as a detector by its {settings['deviation']} deviation."
        )
        said = [who, self._counts(spoken), self._difference(spoken), self._trend()]
        return " ".join(sentence for sentence in said if sentence)

    def _counts(self, spoken: str) -> str:
        counts = self.clear_of_chance()
        if counts is None:
            return ""
        selected, n_selected, random, n_random = counts
        beside = f", beside {random} of {n_random} random ones" if n_random else ""
        return (
            f"The {100 * self.confidence:g} % interval of the {spoken} lies above 0.5 for "
            f"{selected} of {n_selected} selected neurons{beside}."
        )

    def _difference(self, spoken: str) -> str:
        table = self.overall()
        mean, gaps = numbers(table, "value").mean(), numbers(table, "difference")
        if np.isnan(gaps).all():
            return f"Mean {spoken} {mean:.3f}; there is no difference to random: {NO_RANDOM}."
        n_images = f"{int(numbers(table, 'n_images').sum()):,} images"
        low, high = numbers(table, "difference_low"), numbers(table, "difference_high")
        control = np.nanmean(numbers(table, "control_mean"))
        said = f"Mean {spoken} {mean:.3f} selected and {control:.3f} random, difference"
        if len(table) == 1:
            gap = Estimate(float(gaps[0]), float(low[0]), float(high[0]))
            over = f"{n_images}, interval over images and neurons"
            return f"{said} {gap.text(signed=True)} ({over}): {_VERDICTS[gap.verdict]}."
        gap = mean_of_categories(gaps, self.bootstrap)
        over = f"{len(table)} categories, {n_images}"
        if np.isfinite(gap.low):
            over, shown = f"{over}, interval over categories", gap.text(signed=True)
        else:
            over, shown = f"{over}, too few for an interval over categories", f"{gap.value:+.3f}"
        return (
            f"{said} {shown} ({over}): {_VERDICTS[gap.verdict]}. In {(low > 0).sum()} of "
            f"{len(table)} categories selected neurons are above random ones with the whole "
            f"interval over images and neurons, in {(high < 0).sum()} below."
        )

    def _trend(self) -> str:
        table = rows(self.trend, np.isfinite(numbers(self.trend, "value")))
        if table.empty:
            return ""
        value, low, high = (numbers(table, column) for column in ("value", "low", "high"))
        if len(table) == 1:
            own = Estimate(float(value[0]), float(low[0]), float(high[0]))
            verdict = {"higher": "positive", "lower": "negative"}.get(own.verdict, "undecided")
            n_channels = int(numbers(table, "n_channels")[0])
            return (
                f"Over all {n_channels} channels, variance and image AUROC have rank correlation "
                f"{own.text(signed=True)} (interval over images and channels): {verdict}."
            )
        where = "points" if len(self.categories) == 1 else "points and categories"
        up, down = (low > 0).sum(), (high < 0).sum()
        return (
            "Over all channels of a point, the rank correlation of variance and image AUROC is "
            f"{value.min():+.2f} to {value.max():+.2f}; its interval over images and channels is "
            f"above zero at {up} and below at {down} of {len(table)} {where}."
        )
