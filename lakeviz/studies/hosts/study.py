"""The study ``hosts``: a detector alone, with LAKE's neurons, and with controls of that size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from lakeviz.data import Dataset
from lakeviz.errors import ConfigError
from lakeviz.lake import LakeOptions, get_selector
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.measurement import Metric
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.hosts.conditions import (
    ADD,
    ALONE,
    LAKE,
    MODES,
    NO_SELECTOR,
    Conditions,
    Plan,
    run_conditions,
)
from lakeviz.studies.hosts.costs import kept_bytes, median_seconds
from lakeviz.studies.hosts.detectors.protocol import Host, ImageDetector, name_of
from lakeviz.studies.hosts.detectors.registry import get_host
from lakeviz.studies.hosts.features import features_of
from lakeviz.studies.hosts.result import HostResult
from lakeviz.studies.hosts.rows import contrast_rows, metric_rows

if TYPE_CHECKING:
    from lakeviz.data import FewShotDraw
    from lakeviz.models import VisionModel

SELECTIONS = ("variance", "random", "bottom_variance", "variance_matched", "pca")
METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
_TIMED = 16  # images
_FEATURES, _IMAGES = "captured features", "reading, tower and score"


def compare_host(
    host: str | Host,
    data: StudyData | Dataset,
    *,
    model: VisionModel | None = None,
    normal: FewShotDraw | Dataset | None = None,
    options: LakeOptions | None = None,
    selections: Sequence[str] = SELECTIONS,
    k: int | None = None,
    modes: Sequence[str] | None = None,
    n_draws: int = 5,
    weight: float = 0.5,
    metrics: Sequence[Metric] = METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    repeats: int = 5,
    seed: int = 0,
) -> HostResult:
    """Plug selections into a host: the host alone, with LAKE's neurons, and with the controls.

    Parameters
    ----------
    host : str or Host
        A name of :data:`~lakeviz.studies.hosts.detectors.registry.HOSTS`, or an object with the
        methods of
        :class:`~lakeviz.studies.hosts.detectors.protocol.PatchFeatureDetector` or
        :class:`~lakeviz.studies.hosts.detectors.protocol.ImageDetector`. It is copied before each
        fit.
    data : StudyData or Dataset
        Captured tokens of one category; or its images, with ``model``.
    model, normal, options
        With a data set: as for :func:`~lakeviz.studies.base.capture.capture_study`. ``normal`` is
        a draw of four images by ``seed`` by default.
    selections : sequence of str
        Registered selectors: the one in question, then its controls.
    k : int, optional
        Neurons (or dimensions) per hook point; the detector's own by default.
    modes : sequence of str, optional
        ``"restrict"``: the host sees the selected channels alone. ``"add"``: the host's score plus
        LAKE's structural score in these channels, both in standard units of the patch scores of
        normal images that were not fitted on. Both by default; for a host that reads images, add.
    n_draws : int
        Draws of each random selector, at least 2.
    weight : float
        Share ``w`` of LAKE's score in ``(1 - w) host + w lake``.
    metrics : sequence of (level, metric)
    bootstrap : Bootstrap
        Over images.
    repeats : int
        Of the timings, whose median is kept.
    seed : int
        Of the random selectors.

    Returns
    -------
    HostResult

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
    made = get_host(host)
    if isinstance(data, Dataset):
        data = _capture(data, model, normal, options, seed)
    chosen = _modes(made, modes)
    names = tuple(dict.fromkeys(selections))
    _check(names, n_draws, weight, repeats)
    plan = Plan(made, names, data.options.k if k is None else k, n_draws, seed, weight)
    evaluator = data.evaluator(metrics, bootstrap)
    evaluator.require_some()
    found = run_conditions(data, plan, chosen, evaluator)
    name = name_of(made)
    settings = {
        "k": plan.k,
        "selections": list(names),
        "modes": list(chosen),
        "n_draws": n_draws,
        "weight": weight,
        "metrics": [list(m) for m in metrics],
        "repeats": repeats,
        "seed": seed,
    }

    def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame([{"category": data.category, "host": name, **row} for row in rows])

    return HostResult(
        metrics=table(metric_rows(found.members, evaluator)),
        contrasts=table(contrast_rows(found.members, names, evaluator)),
        costs=table(_cost_rows(data, found, repeats)),
        scales=table(found.scales),
        provenance=data.describe(
            "hosts", {"hosts": {name: {**made.describe(), **settings}}}, evaluator
        ),
        notes=data.absences(evaluator),
    )


def _capture(
    dataset: Dataset,
    model: VisionModel | None,
    normal: FewShotDraw | Dataset | None,
    options: LakeOptions | None,
    seed: int,
) -> StudyData:
    if model is None:
        raise ConfigError("a data set needs a model to capture it with: model=load_model(...)")
    drawn = normal if normal is not None else dataset.few_shot(4, seed)
    return capture_study(model, drawn, dataset, options=options)


def _modes(host: Host, modes: Sequence[str] | None) -> tuple[str, ...]:
    if modes is None:
        return (ADD,) if isinstance(host, ImageDetector) else MODES
    unknown = [m for m in modes if m not in MODES]
    if unknown or not modes:
        raise ConfigError(f"modes are {' and '.join(MODES)}, not {list(modes)}")
    return tuple(dict.fromkeys(modes))


def _check(selections: Sequence[str], n_draws: int, weight: float, repeats: int) -> None:
    if not selections:
        raise ConfigError("name the selection in question, such as variance, and its controls")
    if n_draws < 2 and any(get_selector(name).is_random for name in selections):
        raise ConfigError(f"a random control needs at least 2 draws, not {n_draws}")
    if not 0 < weight < 1:
        raise ConfigError(f"the weight of the added score lies between 0 and 1, not {weight}")
    if repeats < 1:
        raise ConfigError(f"timings need at least 1 repeat, not {repeats}")


# --- costs ---


def _cost_rows(data: StudyData, found: Conditions, repeats: int) -> list[dict[str, Any]]:
    """Bytes and seconds of one member of each group; of added scores, the sum of both."""
    n_images = min(_TIMED, len(data.test))
    tokens = {p: data.test.patches(p, range(n_images)) for p in data.points}
    of_host = _IMAGES if isinstance(found.fitted[ALONE, NO_SELECTOR][0], ImageDetector) else ""
    n_normal = min(_TIMED, len(data.normal))

    def run(mode: str, fitted: Any, selections: Any) -> Callable[[], object]:
        if mode == ADD:
            return lambda: fitted.score(tokens)
        if of_host:
            return lambda: fitted.score_images(data, range(n_normal), normal=True)
        return lambda: fitted.score(features_of(data, tokens, selections))

    runs = {group: run(group[0], *fitted) for group, fitted in found.fitted.items()}
    seconds = median_seconds(runs, repeats)
    alone = (ALONE, NO_SELECTOR)
    rows = []
    for (mode, selector), (fitted, _) in found.fitted.items():
        n = n_normal if of_host and mode == ALONE else n_images
        own = kept_bytes(fitted), seconds[mode, selector] / n
        told = [(mode, *own)]
        if mode == ADD:
            host, first = rows[0], next(s for m, s in found.fitted if m == ADD)
            told = [(ADD, host["bytes"] + own[0], host["seconds_per_image"] + own[1])]
            if selector == first:
                told.insert(0, (LAKE, *own))
        for what, kept, took in told:
            rows.append(
                {
                    "mode": what,
                    "selector": selector,
                    "bytes": kept,
                    "seconds_per_image": took,
                    "timed": of_host if of_host and what in (ALONE, ADD) else _FEATURES,
                    "n_repeats": repeats,
                    "n_images": n,
                }
            )
    assert (rows[0]["mode"], rows[0]["selector"]) == alone
    return rows
