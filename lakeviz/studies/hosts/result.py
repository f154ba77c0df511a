"""Settings and result of the study ``hosts``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.selector_names import selector_name, selector_short
from lakeviz.studies.base.findings import Finding, findings
from lakeviz.studies.base.result import Figures, StudyResult, joint_by
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.tables import mean_of, records

ALONE, RESTRICT, ADD, LAKE = "alone", "restrict", "add", "lake"
MODES = (RESTRICT, ADD)
NO_SELECTOR = "none"
_HOSTS = ("patch_nn", "lof", "pca_residual", "patchcore", "padim", "winclip", "zero_shot")


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Plug the selected neurons into other detectors.

    Each host alone, with the neurons of RUN's detector, and with controls of the same size:
    metrics, memory, time per image.
    """

    hosts: tuple[str, ...] = option(
        ("patch_nn",),
        "patch_nn, lof and pca_residual are scikit-learn's; patchcore, padim and winclip are "
        "anomalib's; zero_shot is CLIP with the prompt ensemble.",
        flag="--host",
        choices=_HOSTS,
    )
    modes: tuple[str, ...] | None = option(
        None,
        "restrict: the host sees the selected channels alone. add: LAKE's structural score in "
        "these channels is added to the host's, both in standard units of the patch scores of "
        "normal images that were not fitted on. Both by default; add alone for hosts that read "
        "images.",
        flag="--mode",
        choices=MODES,
    )
    selections: tuple[str, ...] = option(
        (
            *("variance", "variance_without_first", "random", "bottom_variance"),
            *("next_variance", "pca"),
        ),
        "The selector in question, then its controls.",
        flag="--selection",
    )
    k: int | None = option(None, "Neurons per hook point; the run's k by default.", least=1)
    n_random_sets: int = option(
        20,
        "Random sets of each random selection; with fewer than 19 the rank p-value cannot reach "
        "0.05.",
        least=1,
        was="n_draws",
    )
    weight: float = option(
        0.5, "Weight w of LAKE's score in (1 - w) host + w LAKE.", least=0, most=1
    )
    n_repeats: int = option(
        5, "Repeats of the timings, whose median is kept.", least=1, was="repeats"
    )
    host_settings: tuple[str, ...] = option(
        (), "Setting of a host as HOST.NAME=VALUE, such as lof.neighbours=10.", flag="--set"
    )
    metrics: tuple[tuple[str, str], ...] = option(
        (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro")),
        "Metrics measured: (level, name).",
        command=False,
    )

    def check(self) -> None:
        """Refuse weights that leave one score out, and a set without a selection in question."""
        if not 0 < self.weight < 1:
            raise ConfigError(f"weight is {self.weight:g}; it must lie between 0 and 1")
        if not self.selections:
            raise ConfigError("name the selection in question, such as variance, and its controls")
        if self.modes == ():
            raise ConfigError(f"modes are {' and '.join(MODES)}; none was named")

    def of_hosts(self) -> dict[str, dict[str, Any]]:
        """Settings of each host, read from ``host_settings``.

        Raises
        ------
        ConfigError
            If one is not written as HOST.NAME=VALUE, or of a host that is not used.
        """
        found: dict[str, dict[str, Any]] = {name: {} for name in self.hosts}
        for text in self.host_settings:
            name, equals, value = text.partition("=")
            host, dot, setting = name.partition(".")
            if not (equals and dot and setting):
                raise ConfigError(f"--set takes HOST.NAME=VALUE, got {text!r}")
            if host not in found:
                raise ConfigError(f"--set {text} is of a host that is not among {self.hosts}")
            try:
                found[host][setting] = json.loads(value)
            except ValueError:
                found[host][setting] = value
        return found


@dataclass
class HostResult(StudyResult):
    """Hosts alone, with LAKE's neurons, and with controls of the same size.

    Metrics are means over ``n_draws`` draws of the normal images; costs are of the first.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, host, mode, selector and metric. Modes: ``alone``; ``restrict``, the
        host sees the selected channels; ``add``, LAKE's structural score in these channels is
        added; ``lake``, that score without a host. ``value`` (mean over the members of a random
        selector) with interval, and ``difference``: this minus the host alone, with what its
        interval is of (``estimand``).
    contrasts : DataFrame
        One row per category, host, mode, control and metric: the selection in question minus a
        control of the same size, with the host around both; ``n_below`` of ``n_random_sets``
        members of the control lie below it. A control that could not be made has a ``reason``.
    costs : DataFrame
        ``bytes`` that the fitted detector keeps, and ``seconds_per_image`` (median of repeats
        measured in turn) for what ``timed`` says, on the machine at hand.
    scales : DataFrame
        Mean and deviation of patch scores of normal images not fitted on, for every draw of them
        and every random set (``member``): the units of ``add``.
    """

    name: ClassVar[str] = "hosts"
    title: ClassVar[str] = "Plugged into other detectors"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random_sets",
        "repeats": "n_repeats",
        "scales.draw": "member",
    }

    metrics: pd.DataFrame
    contrasts: pd.DataFrame
    costs: pd.DataFrame
    scales: pd.DataFrame

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> dict[str, Any]:
        """Settings by host: one result may hold several."""
        return {"hosts": joint_by(results, lambda result: result.settings["hosts"])}

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        """Settings of each host, by its name."""
        return self.settings["hosts"]

    def reference(self, host: str) -> str:
        """The selection in question."""
        return self.hosts[host]["selections"][0]

    def findings(self) -> Iterator[Finding]:
        """Yield for each host and mode: the gain over the host alone, and over random sets."""
        for host, made in self.hosts.items():
            reference = self.reference(host)
            for mode in made["modes"]:
                where = {"host": host, "mode": mode}
                subject = f"{host} {_WORDS[mode]} {selector_name(reference)} (k = {made['k']})"
                said: dict[str, Any] = {"confidence": self.confidence}
                yield from findings(
                    self.metrics,
                    subject,
                    where=where | {"selector": reference},
                    control="the host alone",
                    **said,
                )
                yield from findings(
                    self.contrasts,
                    subject,
                    where=where | {"control": "random"},
                    control="the host with random neurons",
                    value=None,
                    **said,
                )

    def summary(self) -> str:
        """Say what each host reaches alone, then the findings."""
        alone = [
            f"{host} alone: "
            + ", ".join(
                f"{found.quantity} {found.value.value:.3f}"
                for found in findings(self.metrics, host, where={"host": host, "mode": ALONE})
            )
            + "."
            for host in self.hosts
        ]
        return " ".join([*alone, super().summary()])

    def headline(self) -> pd.DataFrame:
        """Each host alone, with the selection in question and with random ones."""
        rows = []
        for host in self.hosts:
            for mode in (ALONE, RESTRICT, LAKE, ADD):
                for selector in (NO_SELECTOR, self.reference(host), "random"):
                    own = {"host": host, "mode": mode, "selector": selector}
                    if not records(self.metrics, **own):
                        continue
                    name = "" if selector == NO_SELECTOR else selector_short(selector)
                    row = {"host": host, "condition": f"{_WORDS[mode]} {name}".strip()}
                    for found in findings(self.metrics, "", where=own, confidence=self.confidence):
                        row[found.quantity] = found.value.text()
                        row[f"minus alone, {found.quantity}"] = found.difference.text(signed=True)
                    cost = records(self.costs, **own)
                    if cost:
                        row["memory"] = f"{mean_of(cost, 'bytes') / 2**20:.2f} MiB"
                        row["per image"] = f"{1e3 * mean_of(cost, 'seconds_per_image'):.2f} ms"
                    rows.append(row)
        return pd.DataFrame(rows)

    def figures(self) -> Figures:
        """Gains of each host, then what each costs."""
        from lakeviz.studies.hosts.figures import host_costs_figure, host_gains_figure

        made = [
            host_gains_figure(self.metrics, host=host, confidence=self.confidence)
            for host in self.hosts
            if records(self.metrics, host=host)
        ]
        return made + [host_costs_figure(self.costs, host=host) for host in self.hosts]


_WORDS = {
    ALONE: "alone",
    LAKE: "LAKE without it",
    RESTRICT: "restricted to",
    ADD: "with LAKE's score added in",
}
Result = HostResult
