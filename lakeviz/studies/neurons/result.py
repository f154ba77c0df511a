"""Settings and result of the study ``neurons``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.plots.names import UNMATCHED, measure_title
from lakeviz.selector_names import selector_name
from lakeviz.studies.base.findings import Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.studies.neurons.example_patches import decode, with_crops
from lakeviz.studies.neurons.group_comparison import NULL_RATES, of_categories
from lakeviz.tables import equals, is_measured, numbers, records, rows, where

_SHARES = {
    "share_q_value_below_0.05": "share with q < 0.05 (activation)",
    "share_deviation_q_value_below_0.05": "share with q < 0.05 (deviation)",
    "share_image_auroc_above_chance": "share with image AUROC above 0.5",
}
_MATCHED = ("matched_auroc", "abs_matched_d")
_DRAWN = ("image_auroc", *_MATCHED, "deviation_matched_d")
_SHOWN = 4  # neurons with histogram and pictures
_PER_CATEGORY = 3  # categories whose patches are shown, of several
_UNMATCHED = ("pixel_auroc", "patch_auroc", "abs_cohens_d", "deviation_d")


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Measure each selected neuron as a detector of its own.

    As many random neurons are measured too.
    """

    k: int | None = option(None, "Neurons selected per hook point; the run's k by default.")
    selector: str = option("variance", "Selector of the neurons, one that gives channels.")
    deviation: str = option(
        "zscore",
        "|x - mean| / sd of the normal tokens, or |x - nearest normal value|.",
        choices=("zscore", "nearest"),
    )
    n_random: int | None = option(
        None, "Random neurons per hook point; as many as are selected by default."
    )
    n_top: int = option(9, "Patches of largest deviation kept per neuron.", least=1)
    coverage: float = option(
        0.25, "Share of a patch that the mask must cover to make it a defect.", least=0, most=1
    )
    crops: bool = option(True, "Keep small pictures of the patches that drive the best neurons.")
    metrics: tuple[tuple[str, str], ...] = option(
        (("image", "auroc"), ("pixel", "auroc")), "Metrics measured: (level, name).", command=False
    )


@dataclass
class NeuronsResult(StudyResult):
    """Every tested neuron as a detector: selected ones and random ones.

    Attributes
    ----------
    neurons : DataFrame
        One row per neuron under test on the first draw: ``category, point, channel, group``
        (selected, random), ``variance, variance_rank, constant``; each with ``_low`` and ``_high``:
        the metrics of its deviation (``image_auroc, pixel_auroc``; the latter mixes position and
        defect); at matched positions ``matched_auroc`` and ``deviation_matched_d`` of the
        deviation and ``matched_d`` of the activation, with
        ``p_value, q_value`` and ``deviation_p_value, deviation_q_value``; the same with positions
        not matched, ``patch_auroc, deviation_d`` and ``cohens_d, rank_biserial``; ``direction,
        reach, reach_normal``, the numbers of images and patches, and ``reason`` where columns are
        empty.
    groups : DataFrame
        Per point (and their mean) and measure, over ``n_draws`` draws of the normal images: mean
        over selected neurons with its interval, ``control_mean`` over random ones, ``difference``
        with interval, of whose variance ``share_draws`` is from the draws; ``null_rate``, how often
        that interval excluded zero where only the position of defects was special.
    channels : DataFrame
        Image AUROC of every channel of the points.
    trend : DataFrame
        Rank correlation of variance and image AUROC over all channels, mean over draws.
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
        self.patches = with_crops(self.patches)

    @property
    def measure(self) -> str:
        """The measure that :meth:`summary` speaks of: image AUROC, or the first one there is."""
        metrics = [f"{lv}_{m}" for lv, m in self.provenance["settings"]["metrics"]]
        there = [m for m in ["image_auroc", *metrics] if m in set(self.groups["measure"])]
        return there[0]

    def overall(self) -> pd.DataFrame:
        """Rows of ``groups`` that hold for each category as a whole: the mean of its points."""
        return of_categories(where(self.groups, measure=self.measure))

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

    def findings(self) -> Iterator[Finding]:
        """Yield selected minus random neurons, the trend over channels.

        Of the measures of patches, those of matched positions only.
        """
        yield self._finding(self.measure)
        measured = set(self.groups["measure"])
        yield from (self._finding(measure) for measure in _MATCHED if measure in measured)
        yield from self._trends()

    def _finding(self, measure: str) -> Finding:
        return finding(
            records(of_categories(where(self.groups, measure=measure))),
            _SHARES.get(measure) or f"mean {measure_title(measure)} of single neurons",
            selector_name(self.settings["selector"]),
            control="random neurons",
            confidence=self.confidence,
        )

    def _trends(self) -> Iterator[Finding]:
        what = "rank correlation of variance and image AUROC"
        for point in dict.fromkeys(self.trend["point"]):
            own = records(where(self.trend, point=point))
            if any(np.isfinite(row["value"]) for row in own):
                renamed = [
                    row
                    | {"difference": row["value"]}
                    | {f"difference_{end}": row[end] for end in ("low", "high")}
                    for row in own
                ]
                yield finding(
                    renamed,
                    what,
                    f"all channels of {point}",
                    value=None,
                    confidence=self.confidence,
                    bounds=(-1.0, 1.0),  # of a correlation
                )

    def summary(self) -> str:
        """Say how selected neurons detect compared with random ones, over what, with what doubt."""
        n_points = self.neurons["point"].nunique()
        who = (
            f"{self.settings['k'] or 'k'} neurons per hook point ({n_points}), each on its own as "
            f"a detector by its {self.settings['deviation']} deviation."
        )
        return " ".join(s for s in (who, self._counts(), super().summary()) if s)

    def _counts(self) -> str:
        counts = self.clear_of_chance()
        if counts is None:
            return ""
        selected, n_selected, random, n_random = counts
        others = f" and for {random} of {n_random} random ones" if n_random else ""
        return (
            f"The {100 * self.confidence:g} % interval of the {measure_title(self.measure)} lies "
            f"above 0.5 for {selected} of {n_selected} selected neurons{others}."
        )

    def headline(self) -> pd.DataFrame:
        """Selected and random neurons, measure by measure; of several categories their means.

        What does not match positions comes last, with the rate at which it differs by them alone.
        """
        made = []
        measures = dict.fromkeys(self.groups["measure"])
        for measure in sorted(measures, key=lambda name: name in _UNMATCHED):
            found = self._finding(measure)
            control = found.value.value - found.difference.value
            made.append(
                {
                    "measure": found.quantity,
                    "selected neurons": f"{found.value.value:.3f}",
                    "random neurons": f"{control:.3f}" if control == control else "–",
                    "selected − random": found.difference.text(signed=True),
                    "reading": found.verdict + _confounded(measure),
                }
            )
        return pd.DataFrame(made)

    def figures(self) -> Figures:
        """One category in detail; of several their differences, then the first few's patches."""
        from lakeviz.studies.neurons import figures as draw
        from lakeviz.studies.neurons.group_figures import neuron_groups_figure

        groups, confidence = self.groups, self.confidence
        measured = set(groups["measure"])
        if len(self.categories) > 1:
            made = [
                draw.neuron_differences_figure(groups, measure=measure, confidence=confidence)
                for measure in _DRAWN[:3]
                if is_measured(where(groups, measure=measure), "difference")
            ]
            for category in self.categories[:_PER_CATEGORY]:
                made += self._patch_figures(category, f"{category}: ")
            return made
        made = [
            draw.neuron_detectors_figure(self.neurons, measure=measure, confidence=confidence)
            for measure in _DRAWN[:2]
            if measure in measured
        ]
        if measured & set(_DRAWN):
            made.append(neuron_groups_figure(self.neurons, groups, confidence=confidence))
        if is_measured(self.channels, "image_auroc"):
            trend = draw.variance_auroc_figure(self.channels, self.trend, confidence=confidence)
            made.append(trend)
        return made + self._patch_figures(self.categories[0])

    def _patch_figures(self, category: str, prefix: str = "") -> Figures:
        """Histograms and pictures of the best selected neurons of a category."""
        from lakeviz.plots.names import short_point
        from lakeviz.studies.neurons.patch_figures import activation_figure, driving_patches_figure

        best, by = where(self.neurons, category=category, group="selected"), "variance"
        if is_measured(best, "image_auroc"):
            best = rows(best, np.argsort(-numbers(best, "image_auroc"), kind="stable"))
            by = measure_title("image_auroc")
        best = best.iloc[:_SHOWN]
        which = f"the {len(best)} selected neurons of highest {by}"
        chosen = list(zip(best["point"], best["channel"].tolist(), strict=True))
        histograms = where(self.histograms, category=category)
        title = f"{prefix}Activation of {which}"
        made = [activation_figure(histograms, best, chosen=chosen, title=title)]
        pictures, labels, names = [], [], []
        for point, channel in chosen:
            own = where(self.patches, category=category, point=point, channel=channel)
            own = rows(own, np.array([isinstance(crop, bytes) for crop in own["crop"]], dtype=bool))
            if len(own):
                pictures.append([np.asarray(decode(crop)) for crop in own["crop"]])
                labels.append([str(label) for label in own["label"]])
                names.append(f"{short_point(point)}\nchannel {channel}")
        if pictures:
            title = f"{prefix}What drives {which}"
            caption = "These neurons were chosen by this very measure, as examples."
            made.append(
                driving_patches_figure(pictures, labels, names, title=title, caption=caption)
            )
        return made


def _confounded(measure: str) -> str:
    """Say of an unmatched measure how often it differs where only positions are special."""
    if measure not in _UNMATCHED:
        return ""
    rate = f"{100 * NULL_RATES[measure]:.0f} %"
    return f"; {UNMATCHED}: differs in {rate} of worlds without an effect"


Result = NeuronsResult
