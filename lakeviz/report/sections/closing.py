"""What the run shows and does not show, and how to make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.plots.difference_plot import CONTROL_NAMES, control_order, metric_title
from lakeviz.plots.template import counted
from lakeviz.report.page_model import Group, Run, Section
from lakeviz.report.sections.studies import anchor
from lakeviz.tables import numbers, where

_COMPARED = (("image", "auroc"), ("pixel", "aupro"))
_MEASURED = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))


def closing(run: Run) -> list[Section]:
    """Make the closing section from the evaluations' own summaries and conventions."""
    context = {
        "groups": [_of_group(group) for group in run.groups if len(group.evaluations) > 1],
        "summaries": [e.summary() for e in run.ordered],
        "comparisons": list(_comparisons(run)),
        "studies": [(anchor(s), s.title, s.summary()) for s in run.studies],
        "conventions": conventions(run),
        "limits": list(_limits(run)),
    }
    return [Section("shows", "What this run shows and does not show", "closing.html", context)]


def provenance(run: Run) -> list[Section]:
    """Make the section on settings, data, versions and the command."""
    context = {
        "facts": facts(run),
        "command": command(run.manifest),
        "versions": run.manifest.get("versions") or run.provenance.get("versions", {}),
        "fingerprints": [
            (e.category, e.provenance.get("test", {}).get("fingerprint", "not recorded"))
            for e in run.ordered
        ],
        "fits": [
            (e.category, [str(s) for s in e.provenance.get("fit", {}).get("sample_ids", [])])
            for e in run.ordered
        ],
        "manifest": json.dumps(_plain(run.manifest), indent=1, ensure_ascii=False, default=str),
    }
    return [Section("provenance", "Settings and provenance", "provenance.html", context)]


def command(manifest: Mapping[str, Any]) -> str:
    """Command that makes the run again."""
    given = manifest.get("command")
    if isinstance(given, str):
        return given
    if given:
        return shlex.join(str(word) for word in given)
    return "lakeviz run --from manifest.json"


def dataset_name(run: Run) -> str:
    """Name of the data, as the manifest or else the evaluations have it."""
    spec = run.manifest.get("spec") or {}
    return str(run.manifest.get("dataset") or spec.get("dataset") or _test_name(run))


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, in a few lines."""
    spec = run.manifest.get("spec") or {}
    own, settings = run.provenance, run.settings
    model = run.manifest.get("model")
    model = model if isinstance(model, Mapping) else own.get("model", {})
    fit = own.get("fit", {})
    shots = spec.get("shots", fit.get("n_images"))
    seed = spec.get("seed", fit.get("seed", settings.get("seed")))
    visual = settings.get("visual", {})
    neighbours = visual.get("neighbours", 1)
    grid = run.evaluations[0].maps.grid
    return [
        ("Data", dataset_name(run)),
        *([("Folder", str(spec["root"]))] if spec.get("root") else []),
        ("Model", _model_name(model)),
        ("Weights (SHA-256)", str(model.get("weights_hash", "not recorded"))),
        ("Normal images per category", f"{shots} (seed {seed})"),
        ("Hook points", ", ".join(own.get("points", [])) or "not recorded"),
        ("Neurons per hook point", f"{settings.get('k')} by {settings.get('selector')}"),
        ("Patch grid", f"{grid[0]} x {grid[1]}"),
        ("Gallery", f"{visual.get('distance')} distance, {counted(neighbours, 'neighbour')}"),
        ("Text weight", _text_weight(own)),
    ]


def conventions(run: Run) -> list[tuple[str, str]]:
    """What the numbers mean: the choices a metric's name leaves open."""
    given = run.provenance.get("conventions", {})
    bootstrap = Bootstrap.from_plain(run.provenance.get("bootstrap"))
    bounds = given.get("aupimo_bounds", ("?", "?"))
    resolutions = sorted({str(r) for r in run.table("metrics")["resolution"].dropna()})
    size = f"{', '.join(resolutions)} (height x width)" if resolutions else "not scored"
    maps = run.evaluations[0].maps
    smoothing = f"Gaussian of {maps.smoothing:g} pixels" if maps.smoothing else "none"
    return [
        ("Image score", f"{given.get('image_score') or 'max'} over the patches"),
        ("Pixel maps", f"{size}; smoothing: {smoothing}"),
        ("Average precision", f"{given.get('ap_rule')} rule"),
        ("Ties", f"count {given.get('ties')}"),
        ("Regions (AUPRO)", f"{given.get('connectivity')}-connected"),
        ("AUPRO limit", f"false-positive rate {given.get('aupro_limit')}, normalised by it"),
        ("AUPIMO bounds", f"false-positive rate {bounds[0]} to {bounds[1]} on normal images"),
        (
            "Intervals",
            f"{given.get('interval')}; {100 * bootstrap.confidence:g} %, "
            f"{bootstrap.n_resamples} draws, seed {bootstrap.seed}",
        ),
    ]


def _of_group(group: Group) -> str:
    """Mean metrics of a group of categories, and where it does worst."""
    said, worst = [], ""
    for level, name in _MEASURED:
        tables = [
            where(e.metrics, branch="lake", level=level, metric=name) for e in group.evaluations
        ]
        values = np.array([numbers(t, "value")[0] if len(t) else np.nan for t in tables])
        if not np.isfinite(values).any():
            continue
        said.append(f"{metric_title(level, name)} {np.nanmean(values):.3f}")
        if not worst:
            lowest = int(np.nanargmin(values))
            category = group.evaluations[lowest].category
            worst = f"; lowest {metric_title(level, name)} {values[lowest]:.3f}, {category}"
    name = f"{group.name}, " if group.name else ""
    return (
        f"{name}mean over {len(group.evaluations)} categories: "
        f"{', '.join(said) or 'no metric is defined'}{worst}."
    )


def _comparisons(run: Run) -> Iterator[str]:
    """One sentence per metric: LAKE's neurons against every control."""
    table = run.table("controls")
    for level, name in _COMPARED:
        found = where(table, level=level, metric=name)
        if found.empty:
            continue
        rows = [(control, where(found, control=control)) for control in control_order(found)]
        said = _of_one(rows) if len(set(found["category"])) == 1 else _of_many(rows)
        yield f"{metric_title(level, name)}: {said}."


def _of_one(rows: list[tuple[str, pd.DataFrame]]) -> str:
    """Controls by what the interval of the difference says, in one category."""
    verdicts: dict[str, list[str]] = {"better than": [], "worse than": [], "undecided against": []}
    for control, table in rows:
        low, high = numbers(table, "difference_low")[0], numbers(table, "difference_high")[0]
        verdict = "better than" if low > 0 else "worse than" if high < 0 else "undecided against"
        verdicts[verdict].append(CONTROL_NAMES.get(control, control))
    return "; ".join(f"{verdict} {_joined(names)}" for verdict, names in verdicts.items() if names)


def _of_many(rows: list[tuple[str, pd.DataFrame]]) -> str:
    """Number of categories in which the interval lies above or below zero, per control."""
    said = []
    for control, table in rows:
        better = int(np.count_nonzero(numbers(table, "difference_low") > 0))
        worse = int(np.count_nonzero(numbers(table, "difference_high") < 0))
        name = CONTROL_NAMES.get(control, control)
        said.append(f"against {name} better in {better}, worse in {worse} of {len(table)}")
    return "; ".join(said)


def _limits(run: Run) -> Iterator[str]:
    """What a reader should not conclude, as far as the run itself tells."""
    yield (
        "Intervals are over test images (and over draws of random controls). They do not hold the "
        "spread between draws of the normal images: that takes runs with other seeds."
    )
    yield (
        "The threshold of F1-max is chosen on the test images themselves. It bounds what a "
        "threshold fixed beforehand would reach."
    )
    few = [e for e in run.ordered if 0 < _fewest(e) < 20]
    if few:
        yield (
            f"{_listed([e.category for e in few])}: fewer than 20 test images of one class. "
            "Percentile intervals are too narrow there, and an interval at 1.000 is no certainty."
        )
    if run.table("controls").empty:
        yield (
            "No control was run. Nothing here says that these neurons do better than as many "
            "others would."
        )
    else:
        yield (
            "Controls compare the visual branch alone. A higher score shows that the chosen "
            "neurons serve this detector on these images, not that they cause the model's "
            "knowledge of defects."
        )
    yield (
        "Heat maps show distance to normal patches, not a reason; a strange background lights up "
        "too."
    )
    unmasked = [e for e in run.ordered if e.dataset.labels.any() and not e.dataset.has_masks]
    if unmasked:
        names = _listed([e.category for e in unmasked])
        yield f"{names}: without masks, nothing is said about localisation."


def _fewest(evaluation: Any) -> int:
    labels = evaluation.dataset.labels
    return int(min((labels == 0).sum(), (labels == 1).sum()))


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _joined(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _model_name(model: Mapping[str, Any]) -> str:
    name, pretrained = str(model.get("name", "not recorded")), model.get("pretrained")
    return f"{name}, {pretrained}" if pretrained else name


def _test_name(run: Run) -> str:
    return str(run.provenance.get("test", {}).get("name", "not recorded"))


def _text_weight(own: Mapping[str, Any]) -> str:
    weight = own.get("text_weight")
    return "none (vision alone)" if not weight else f"{weight:g}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
