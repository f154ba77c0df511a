"""What the run shows and does not show, and how to make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.captions import joined
from lakeviz.plots.overview import DEFAULT_METRICS
from lakeviz.plots.template import counted
from lakeviz.report.page_model import Group, Page, Section
from lakeviz.report.sections.controls import control_finding, n_draws
from lakeviz.report.sections.studies import anchor
from lakeviz.selector_names import selector_order
from lakeviz.studies.base.findings import HEADLINE_METRICS
from lakeviz.tables import numbers, where


def closing(page: Page) -> list[Section]:
    """Make the closing section from the evaluations' own summaries and conventions."""
    context = {
        "groups": [_of_group(group) for group in page.groups if len(group.evaluations) > 1],
        "summaries": [e.summary() for e in page.ordered],
        "comparisons": list(_comparisons(page)),
        "studies": [(anchor(s), s.title, s.summary()) for s in page.studies],
        "conventions": conventions(page),
        "limits": list(_limits(page)),
    }
    return [Section("shows", "What this run shows and does not show", "closing.html", context)]


def provenance(page: Page) -> list[Section]:
    """Make the section on settings, data, versions and the command."""
    context = {
        "facts": facts(page),
        "command": command(page.manifest),
        "versions": page.manifest.get("versions") or page.provenance.get("versions", {}),
        "fingerprints": [
            (e.category, e.provenance.get("test", {}).get("fingerprint", "not recorded"))
            for e in page.ordered
        ],
        "fits": [
            (e.category, [str(s) for s in e.provenance.get("fit", {}).get("sample_ids", [])])
            for e in page.ordered
        ],
        "manifest": json.dumps(_plain(page.manifest), indent=1, ensure_ascii=False, default=str),
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


def dataset_name(page: Page) -> str:
    """Name of the data, as the manifest or else the evaluations have it."""
    spec = page.manifest.get("spec") or {}
    return str(page.manifest.get("dataset") or spec.get("dataset") or _test_name(page))


def facts(page: Page) -> list[tuple[str, str]]:
    """What was run, in a few lines."""
    spec = page.manifest.get("spec") or {}
    own, settings = page.provenance, page.settings
    model = page.manifest.get("model")
    model = model if isinstance(model, Mapping) else own.get("model", {})
    fit = own.get("fit", {})
    shots = spec.get("shots", fit.get("n_images"))
    seed = spec.get("seed", fit.get("seed", settings.get("seed")))
    visual = settings.get("visual", {})
    neighbours = visual.get("neighbours", 1)
    grid = page.evaluations[0].maps.grid
    return [
        ("Data", dataset_name(page)),
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


def conventions(page: Page) -> list[tuple[str, str]]:
    """What the numbers mean: the choices a metric's name leaves open."""
    given = page.provenance.get("conventions", {})
    bootstrap = Bootstrap.from_plain(page.provenance.get("bootstrap"))
    bounds = given.get("aupimo_bounds", ("?", "?"))
    resolutions = sorted({str(r) for r in page.table("metrics")["resolution"].dropna()})
    size = f"{', '.join(resolutions)} (height x width)" if resolutions else "not scored"
    # Runs of before have no such column.
    full_size = "n_regions" in page.table("metrics")
    labelled = "labelled on the masks at " + ("image size" if full_size else "the size of the maps")
    maps = page.evaluations[0].maps
    smoothing = f"Gaussian of {maps.smoothing:g} pixels" if maps.smoothing else "none"
    return [
        ("Image score", f"{given.get('image_score') or 'max'} over the patches"),
        ("Pixel maps", f"{size}; smoothing: {smoothing}"),
        ("Average precision", f"{given.get('ap_rule')} rule"),
        ("Ties", f"count {given.get('ties')}"),
        ("Regions (AUPRO)", f"{given.get('connectivity')}-connected, {labelled}"),
        ("AUPRO limit", f"false-positive rate {given.get('aupro_limit')}, normalised by it"),
        ("AUPIMO bounds", f"false-positive rate {bounds[0]} to {bounds[1]} on normal images"),
        (
            "Intervals",
            f"{given.get('interval')}; {100 * bootstrap.confidence:g} %, "
            f"{bootstrap.n_resamples} resamples, seed {bootstrap.seed}",
        ),
    ]


def _of_group(group: Group) -> str:
    """Mean metrics of a group of categories, and where it does worst."""
    said, worst = [], ""
    for level, name in DEFAULT_METRICS:
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


def _comparisons(page: Page) -> Iterator[str]:
    """One sentence per metric: controls by what the interval of the difference says."""
    table = page.table("controls")
    for metric in HEADLINE_METRICS:
        said: dict[str, list[str]] = {}
        for control in selector_order(table["control"]):
            found = control_finding(table, control, metric)
            if found is not None:
                link = "than" if found.verdict in ("higher", "lower") else "for"
                counts = f" ({found.counts})" if found.counts else ""
                said.setdefault(f"{found.short} {link}", []).append(f"{found.control}{counts}")
        if said:
            groups = "; ".join(f"{verdict} {joined(names)}" for verdict, names in said.items())
            yield f"{metric_title(*metric)} of LAKE's neurons: {groups}."


def _limits(page: Page) -> Iterator[str]:
    """What a reader should not conclude, as far as the run itself tells."""
    yield _sources(n_draws(page.table("controls")))
    yield (
        "The threshold of F1-max is chosen on the test images themselves. It bounds what a "
        "threshold fixed beforehand would reach."
    )
    few = [e for e in page.ordered if 0 < _fewest(e) < 20]
    if few:
        yield (
            f"{_listed([e.category for e in few])}: fewer than 20 test images of one class. "
            "What intervals cover there is in the table of coverage in the docs; an interval that "
            "ends at 1.000 is no certainty."
        )
    if page.table("controls").empty:
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
    unmasked = [e for e in page.ordered if e.dataset.labels.any() and not e.dataset.has_masks]
    if unmasked:
        names = _listed([e.category for e in unmasked])
        yield f"{names}: without masks, nothing is said about localisation."


def _sources(draws: int) -> str:
    """What the intervals of the controls are over."""
    if draws > 1:
        return (
            f"Intervals of differences are over test images and {draws} draws of the normal images "
            "(and one more random set of a control); another category is in none of them."
        )
    return (
        "Intervals are over test images (and one more random set of a control). They do not "
        "include the spread between draws of the normal images: that takes a run with --draws."
    )


def _fewest(evaluation: Any) -> int:
    labels = evaluation.dataset.labels
    return int(min((labels == 0).sum(), (labels == 1).sum()))


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _model_name(model: Mapping[str, Any]) -> str:
    name, pretrained = str(model.get("name", "not recorded")), model.get("pretrained")
    return f"{name}, {pretrained}" if pretrained else name


def _test_name(page: Page) -> str:
    return str(page.provenance.get("test", {}).get("name", "not recorded"))


def _text_weight(own: Mapping[str, Any]) -> str:
    weight = own.get("text_weight")
    return "none (vision alone)" if not weight else f"{weight:g}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
