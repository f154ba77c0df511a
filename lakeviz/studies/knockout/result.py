"""Settings and result of the study ``knockout``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake.selectors import GROUPS, get_selector, neurons_named
from lakeviz.runs.manifest import OTHER_CATEGORY, UNTRAINED
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult, joint_by
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.tables import is_measured, records, where

KINDS: tuple[str, ...] = ("score", "forward", "weights")
MODES: tuple[str, ...] = ("remove", "keep")
TOKENS: tuple[str, ...] = ("all", "patch", "cls")
REFERENCES: tuple[str, ...] = ("zero", "mean", "resample")
BASES: tuple[str, ...] = ("all", "selected")
VARIANCE = "variance"
"""Selector of the neurons that are compared with controls, unless another is named."""
RUNS_THE_MODEL = "forward and weights knock-outs (the score kind does not) run"
OTHER_CONTROLS = (OTHER_CATEGORY, UNTRAINED)
"""Controls that are no selectors."""

_KIND_WORDS = {
    "score": "neurons dropped from gallery and query alone; the network is untouched",
    "forward": "activations replaced at their hook point; the rest of the network runs on",
    "weights": "the weights that write the neurons removed",
}
_CATEGORIES = 3  # whose curves are drawn
_SINGLE = (("image", "cohens_d"), ("pixel", "aupro"))  # metrics of single neurons that are drawn


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Knock out the top-variance neurons, and controls.

    The neurons are those of RUN's detector, the controls of the same size. Single neurons are
    knocked out too, and their importance is compared with their variance.
    """

    kinds: tuple[str, ...] = option(
        ("score",),
        "score: drop neurons from gallery and query alone. forward: replace their activations and "
        "run the rest of the network. weights: remove the weights that write them.",
        choices=KINDS,
        flag="--kind",
    )
    modes: tuple[str, ...] = option(
        ("remove",), "Knock the top neurons out, or all but them.", choices=MODES, flag="--mode"
    )
    sizes: tuple[int, ...] | None = option(
        None,
        "Neurons per hook point; by default from 1 to all, the detector's k among them.",
        flag="--size",
    )
    selector: str = option(
        VARIANCE,
        "The neurons in question; neurons:POINT=3,17,40 names them, and their number is the size.",
    )
    controls: tuple[str, ...] = option(
        ("random", "bottom_variance", "next_variance", "variance_without_first"),
        "Selectors of other neurons, of the same size at each hook point; deciles are all ten of "
        "variance, other_category selects on the normal images of RUN's other categories.",
        flag="--control",
    )
    n_random_sets: int = option(20, "Random sets of each random control.", least=1, was="n_draws")
    base: str = option(
        "all", "The detector reads all channels, or those it selected.", choices=BASES
    )
    tokens: str = option("all", "Tokens that a forward knock-out edits.", choices=TOKENS)
    reference: str | None = option(
        None, "What replaces them in a forward knock-out; mean by default.", choices=REFERENCES
    )
    point: str | None = option(
        None, "Hook point of a forward knock-out; the detector's first by default."
    )
    branches: tuple[str, ...] | None = option(
        None, "Branches of the detector; all by default.", flag="--branch", was="parts"
    )
    single: bool = option(True, "Knock out single neurons as well.")
    draws: int | None = option(
        None,
        "Draws of RUN's normal images that are measured; all by default. Time grows with their "
        "number: a score knock-out reads one capture, the others run the network for each.",
        least=1,
    )

    def check(self) -> None:
        """Refuse empty choices, selectors that are no controls, and what only one kind has."""
        for name in ("kinds", "modes", "controls"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty; name at least one")
        for name in self.controls:
            if name in (*OTHER_CONTROLS, *GROUPS):
                continue
            if name == self.selector or not get_selector(name).uses_k:
                raise SelectionError(f"{name} is no control of a knock-out of the same size")
        self._check_named()
        if "forward" in self.kinds:
            return
        if (self.tokens, self.reference, self.point) != ("all", None, None):
            raise ConfigError(
                f"a {self.kinds[0]} knock-out drops its neurons from all tokens at every hook "
                "point: tokens, reference and point are choices of the forward kind"
            )

    def _check_named(self) -> None:
        named = neurons_named(self.selector)
        if named is None:
            get_selector(self.selector)
            return
        sizes = {len(channels) for channels in named.values()}
        if len(sizes) > 1:
            raise SelectionError(
                "a knock-out compares sets of one size at each hook point; name as many neurons "
                "at each, or those of one hook point at a time"
            )
        if self.sizes not in (None, tuple(sizes)):
            raise ConfigError(f"{max(sizes)} neurons are named at each hook point; leave sizes out")


@dataclass
class KnockoutResult(StudyResult):
    """Knock-out of neurons; values are means over ``n_draws`` draws of the normal images.

    Attributes
    ----------
    contrasts : DataFrame
        Knock-out by variance minus each control of the same size, per category, kind, mode,
        branch, control, size and metric: the columns of
        :meth:`~lakeviz.metrics.comparison.Comparison.columns`, ``control_quantile_low`` and
        ``_high`` (where one more random set would be expected), ``n_below`` (members strictly
        below the value), and a ``reason`` where a control could not be made.
    curves : DataFrame
        Each selector at every size, per category, kind, mode, branch and metric: ``value`` and
        ``change`` (from ``intact``) with intervals.
    neurons : DataFrame
        Each neuron alone, per category, kind, branch, hook point and metric: its variance (mean
        over draws) and rank, ``change`` with interval, ``importance``.
    correlation : DataFrame
        Spearman's rank correlation of variance and importance, per category, kind, branch, hook
        point, group of neurons and metric.
    """

    name: ClassVar[str] = "knockout"
    title: ClassVar[str] = "Knock-out of neurons"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random_sets",
        "contrasts.n_draws": "n_members",
        "order": "selector",
        "part": "branch",
        "control_low": "control_quantile_low",
        "control_high": "control_quantile_high",
    }

    contrasts: pd.DataFrame
    curves: pd.DataFrame
    neurons: pd.DataFrame
    correlation: pd.DataFrame

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> dict[str, Any]:
        """Settings by kind and mode: one result may hold several of them."""
        return joint_by(results, lambda result: result.settings)

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Kind and mode of every study in it."""
        pairs = zip(self.curves["kind"], self.curves["mode"], strict=True)
        return list(dict.fromkeys((str(kind), str(mode)) for kind, mode in pairs))

    def size_of(self, kind: str, mode: str) -> int:
        """Size that was declared before: the detector's ``k``, or the size nearest to it."""
        k = self.settings[run_name(kind, mode)]["k"]
        sizes = set(where(self.curves, kind=kind, mode=mode)["size"].tolist())
        return min(sizes, key=lambda size: (abs(np.log(size / k)), size))

    def selector_of(self, kind: str, mode: str) -> str:
        """Selector of the neurons in question."""
        return self.settings[run_name(kind, mode)].get("selector", VARIANCE)

    def branch_of(self, kind: str) -> str:
        """Branch that summaries speak of: the visual one, if it was scored."""
        branches = list(dict.fromkeys(where(self.curves, kind=kind)["branch"]))
        return "visual" if "visual" in branches else str(branches[0])

    def _declared(self, kind: str, mode: str) -> dict[str, Any]:
        branch, size = self.branch_of(kind), self.size_of(kind, mode)
        return {"kind": kind, "mode": mode, "branch": branch, "size": size}

    def _read_by(self, kind: str, mode: str) -> str:
        """The channels that the intact detector reads."""
        return f"{self.settings[run_name(kind, mode)].get('base', 'all')} channels"

    def baseline(self) -> str:
        """The intact detector."""
        runs = [f"{self.branch_of(k)} branch on {self._read_by(k, m)}" for k, m in self.runs]
        return " and ".join(dict.fromkeys(runs))

    def findings(self) -> Iterator[Finding]:
        """Yield what the top neurons do at the declared sizes, compared with each control."""
        controls = selector_order(self.contrasts["control"])
        for kind, mode in self.runs:
            yield from self._findings(kind, mode, controls)

    def _findings(self, kind: str, mode: str, controls: Sequence[str]) -> Iterator[Finding]:
        own = self._declared(kind, mode)
        what = "without" if mode == "remove" else "with only"
        selector = self.selector_of(kind, mode)
        name = selector_name(selector)
        own_size = "" if neurons_named(selector) else f"the {own['size']} "
        subject = f"{kind} knock-out {what} {own_size}{name}"
        read = partial(finding, subject=subject, confidence=self.confidence)
        for metric in HEADLINE_METRICS:
            own |= {"level": metric[0], "metric": metric[1]}
            curves = records(self.curves, **own, selector=selector)
            if curves:
                intact = f"the intact detector on {self._read_by(kind, mode)}"
                yield read(curves, metric, control=intact, difference="change")
            for control in controls:
                rows = records(self.contrasts, **own, control=control)
                if rows:
                    n, name = rows[0]["n_members"], f"{own['size']} {selector_name(control)}"
                    name = f"{n} sets of {name}" if n > 1 else name
                    yield read(rows, metric, control=name, control_value="control_mean")

    def summary(self) -> str:
        """Say how much the top neurons matter, and more than random ones, at the declared size."""
        controls = selector_order(self.contrasts["control"])
        # Random sets of the same size, or the first other control where there are none.
        control = "random" if "random" in controls else controls[0]
        return " ".join(self._said(kind, mode, control) for kind, mode in self.runs)

    def _said(self, kind: str, mode: str, control: str) -> str:
        own = self._declared(kind, mode)
        points = self.settings[run_name(kind, mode)]["points"]
        at = f"at each of {len(points)} hook points" if len(points) > 1 else f"at {points[0]}"
        sentences = [one.sentence() for one in self._findings(kind, mode, [control])]
        found = [one.replace(f"{kind} knock-out ", "") for one in sentences]
        rows = records(self.curves, **own, selector=self.selector_of(kind, mode))
        rows += records(self.contrasts, **own, control=control)
        reasons = dict.fromkeys(row["reason"] for row in rows if row["reason"])
        head = f"{kind.capitalize()} knock-out ({_KIND_WORDS[kind]}) {at}, {own['branch']} branch."
        notes = (f"Note: {reason}." for reason in reasons)
        return " ".join([head, *(found or ["No headline metric was measured."]), *notes])

    def figures(self) -> Figures:
        """Per kind and mode: contrasts at the declared size, then curves; then single neurons."""
        from lakeviz.studies.knockout import figures as draw

        made, confidence = [], self.confidence
        shown = self.categories[:_CATEGORIES]
        for kind, mode in self.runs:
            own = self._declared(kind, mode)
            contrasts = where(self.contrasts, **own)
            if is_measured(contrasts, "difference"):
                made.append(draw.knockout_contrasts_figure(contrasts, confidence=confidence))
            del own["size"]
            for category in shown:
                curves = where(self.curves, **own, category=category)
                if not curves.empty:
                    made.append(draw.knockout_curves_figure(curves, confidence=confidence))
        if self.neurons.empty:
            return made
        for kind in dict.fromkeys(kind for kind, _ in self.runs):
            for category in shown:
                own = {"kind": kind, "category": category, "branch": self.branch_of(kind)}
                for level, metric in _SINGLE:
                    table = where(self.neurons, **own, level=level, metric=metric)
                    if not table.empty:
                        of = {"level": level, "metric": metric, "confidence": confidence}
                        made.append(draw.neuron_importance_figure(table, **of))
        return made


def run_name(kind: str, mode: str) -> str:
    """Name of the settings of one kind and mode."""
    return f"{kind}, {mode}"


Result = KnockoutResult
