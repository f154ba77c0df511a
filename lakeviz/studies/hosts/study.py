"""The study ``hosts``: a detector alone, with LAKE's neurons, and with controls of that size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeviz.data import Dataset
from lakeviz.errors import ConfigError
from lakeviz.lake import LakeOptions, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.selectors import expand_selectors
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.comparison import compare_with
from lakeviz.metrics.contrasts import Replicates, mean_estimate, n_below
from lakeviz.metrics.measurement import metric_columns
from lakeviz.progress import expect
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import (
    Draws,
    absence,
    not_measured,
    replicates,
    servable,
)
from lakeviz.studies.base.study import DEFAULT_BOOTSTRAP, Measured, OnRun, Study
from lakeviz.studies.hosts.conditions import Group, Plan, cost_rows, run_conditions
from lakeviz.studies.hosts.detectors.protocol import Host, ImageDetector, name_of
from lakeviz.studies.hosts.detectors.registry import get_host
from lakeviz.studies.hosts.result import (
    ADD,
    ALONE,
    MODES,
    NO_SELECTOR,
    RESTRICT,
    HostResult,
    Settings,
)

if TYPE_CHECKING:
    from lakeviz.data import FewShotDraw
    from lakeviz.models import VisionModel


class HostStudy(Study):
    """Compares one host on one category; a run with several hosts is joined."""

    def __call__(  # type: ignore[override]  # the host comes first
        self,
        host: str | Host,
        data: StudyData | Draws | Dataset,
        settings: Settings | None = None,
        *,
        model: VisionModel | None = None,
        normal: FewShotDraw | Dataset | None = None,
        options: LakeOptions | None = None,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        **changes: Any,
    ) -> HostResult:
        """Plug selections into a host: the host alone, with LAKE's neurons, and with the controls.

        Parameters
        ----------
        host : str or Host
            A name of :data:`~lakeviz.studies.hosts.detectors.registry.HOSTS`, or an object with the
            methods of :class:`~lakeviz.studies.hosts.detectors.protocol.PatchFeatureDetector` or
            :class:`~lakeviz.studies.hosts.detectors.protocol.ImageDetector`. It is copied before
            each fit.
        data : StudyData, sequence of StudyData or Dataset
            Captured tokens of one category, of one draw of the normal images or of several; or its
            images, with ``model``.
        settings, bootstrap, changes
            As for every study; see :class:`~lakeviz.studies.hosts.result.Settings`.
        model, normal, options
            With a data set: as for :func:`~lakeviz.studies.base.capture.capture_study`. ``normal``
            is a draw of four images by the seed by default.

        Raises
        ------
        HostError
            If the host is unknown, not installed, or cannot work with these features or this tower.
        ConfigError
            If a setting is out of range, or scores are to be added with one normal image alone.
        SelectionError
            If ``k`` is out of range or a selector unknown.
        MetricError
            If no metric is defined for the test images.
        """
        chosen, made = Settings.of(settings, changes), get_host(host)
        if isinstance(data, Dataset):
            if model is None:
                raise ConfigError(
                    "a data set needs a model to capture it with: model=load_model(...)"
                )
            drawn = normal if normal is not None else data.few_shot(4, chosen.seed)
            data = capture_study(model, drawn, data, options=options)
        random = [name for name in chosen.selections if get_selector(name).is_random]
        if random and chosen.n_random_sets < 2:
            raise ConfigError(
                f"n_random_sets is {chosen.n_random_sets}; a random control needs at least 2"
            )
        return self._measured(partial(measure, made), data, chosen, bootstrap)

    def measure_runs(self, on: OnRun, settings: Any) -> HostResult:
        """Compare every host on every chosen category."""
        # Made before anything is captured, so that a missing library is told at once.
        hosts = [get_host(name, **own) for name, own in settings.of_hosts().items()]
        return HostResult.join(
            [
                self(host, data, settings, bootstrap=on.bootstrap)
                for category in on.each_category(self.name)
                for data in [self.data(on.run, category, settings)]
                for host in hosts
            ]
        )


def measure(
    host: Host, draws: Draws, settings: Settings, evaluator: PairedEvaluator, /
) -> Measured:
    """Measure the host on every draw, alone and with each selection plugged in."""
    data = draws[0]
    first, *controls = expand_selectors(settings.selections)
    name = name_of(host)
    modes = settings.modes or ((ADD,) if isinstance(host, ImageDetector) else MODES)
    k = data.options.k if settings.k is None else settings.k
    able, missing = servable(draws, controls, k)
    names = (first, *able)
    plan = Plan(host, names, k, settings.n_random_sets, settings.seed, settings.weight)
    modes = tuple(dict.fromkeys(modes))
    expect(plan.n_conditions(modes), len(draws))
    found = [run_conditions(draw, plan, modes, evaluator) for draw in draws]
    members = replicates([of_draw.members for of_draw in found])
    notes = [absence(data, control, why) for control, why in missing.items()]
    own = settings.to_plain() | {"k": k, "selections": list(names), "modes": list(modes)}
    del own["hosts"], own["host_settings"]
    tables = {
        "metrics": metric_rows(members, evaluator),
        "contrasts": contrast_rows(members, names, missing, evaluator),
        "costs": cost_rows(data, found[0], settings.n_repeats),
        "scales": [{"draw": n} | row for n, part in enumerate(found) for row in part.scales],
    }
    return Measured(
        {table: [{"host": name, **row} for row in rows] for table, rows in tables.items()},
        notes,
        settings={"hosts": {name: {**host.describe(), **own}}},
    )


STUDY = HostStudy(Settings, HostResult, over_draws=True)


Members = Mapping[Group, Replicates]
Rows = list[dict[str, Any]]


def metric_rows(members: Members, evaluator: PairedEvaluator) -> Rows:
    """Each condition with its value, and what it gains over the host alone."""
    bootstrap = evaluator.bootstrap
    alone = members[ALONE, NO_SELECTOR]
    rows = []
    for (mode, selector), group in members.items():
        for metric, columns in metric_columns(evaluator.measured):
            gain = compare_with(alone, group, metric, bootstrap).gain_columns()
            if mode == ALONE:
                gain |= {name: np.nan for name in gain if name != "n_draws"} | {"estimand": ""}
            rows.append(
                {
                    "mode": mode,
                    "selector": selector,
                    **columns,
                    **mean_estimate(group, metric, bootstrap).columns(),
                    **gain,
                    "n_random_sets": group.n_members,
                    **evaluator.counts,
                    "reason": "the others are compared with it" if mode == ALONE else "",
                }
            )
    return rows


def contrast_rows(
    members: Members,
    selectors: Sequence[str],
    missing: Mapping[str, str],
    evaluator: PairedEvaluator,
) -> Rows:
    """The selection in question against each control, with the host around both.

    A control of ``missing`` has rows with the reason why it could not be made.
    """
    reference, *controls = selectors
    rows, absent = [], []
    for mode in (RESTRICT, ADD):
        if (mode, reference) not in members:
            continue
        own = members[mode, reference]
        said = {"mode": mode, "selector": reference}
        for control in controls:
            others = members[mode, control]
            for metric, columns in metric_columns(evaluator.measured):
                gap = compare_with(own, others, metric, evaluator.bootstrap)
                rows.append(
                    {
                        **said,
                        "control": control,
                        **columns,
                        "value": gap.value.value,
                        "control_mean": gap.control_mean,
                        **gap.difference_columns(),
                        "n_random_sets": others.n_members,
                        "n_below": n_below(own, others, metric),
                        **evaluator.counts,
                        "reason": "",
                    }
                )
        for control, why in missing.items():
            said = said | {"control": control, "n_random_sets": 0, "n_below": 0}
            said |= {"n_draws": own.n_draws}
            absent += not_measured(why, evaluator, **said)
    return rows + absent
