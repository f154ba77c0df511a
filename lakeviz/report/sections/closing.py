"""What the run does not show, what its numbers mean, and what made it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.report.numbers import map_size
from lakeviz.report.page_model import Page, Section
from lakeviz.report.sections.categories import common_notes
from lakeviz.report.sections.controls import measured_rows
from lakeviz.tables import n_draws
from lakeviz.wording import counted, some


def closing(page: Page) -> list[Section]:
    """Make the closing section: limits, and the conventions of the numbers."""
    context = {"conventions": conventions(page), "limits": list(_limits(page))}
    return [Section("shows", "What this run does not show", "closing.html", context)]


def conventions(page: Page) -> list[tuple[str, str]]:
    """What the numbers mean: the choices a metric's name leaves open."""
    given = page.provenance.get("conventions", {})
    bootstrap = Bootstrap.from_plain(page.provenance.get("bootstrap"))
    bounds = given.get("aupimo_bounds", ("?", "?"))
    size = f"{map_size(page)} (height x width)" if map_size(page) else "not scored"
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


def _limits(page: Page) -> Iterator[str]:
    """What a reader should not conclude, as far as the run itself tells."""
    yield _sources(n_draws(measured_rows(page.table("controls"))))
    yield (
        "The threshold of F1-max is chosen on the test images themselves. It bounds what a "
        "threshold fixed beforehand would reach."
    )
    sizes = [(e, int(e.dataset.labels.sum()), len(e.dataset.labels)) for e in page.ordered]
    few = [e for e, anomalous, n in sizes if 0 < min(anomalous, n - anomalous) < 20]
    if few:
        yield (
            f"{some([e.category for e in few], 6)}: fewer than 20 test images of one class. "
            "What intervals cover there is in the table of coverage in the docs; an interval that "
            "ends at 1.000 is no certainty."
        )
    for note in common_notes(page):
        yield f"Every category: {note}."
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
        names = some([e.category for e in unmasked], 6)
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
        "n_draws": _n_draws(page),
        "settings": _settings(page),
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
    named = page.manifest.get("dataset") or (page.manifest.get("spec") or {}).get("dataset")
    return str(named or page.provenance.get("test", {}).get("name", "not recorded"))


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
    name = model.get("name", "not recorded")
    n, weight = _n_draws(page), own.get("text_weight")
    drawn = f", {n} draws" if n > 1 else ""  # a category may have too few for all
    grid = page.evaluations[0].maps.grid
    return [
        ("Data", dataset_name(page)),
        *([("Folder", str(spec["root"]))] if spec.get("root") else []),
        ("Model", ", ".join(str(one) for one in (name, model.get("pretrained")) if one)),
        ("Weights (SHA-256)", str(model.get("weights_hash", "not recorded"))),
        ("Normal images per category", f"{shots}{drawn} (seed {seed})"),
        ("Hook points", ", ".join(own.get("points", [])) or "not recorded"),
        ("Neurons per hook point", f"{settings.get('k')} by {settings.get('selector')}"),
        ("Patch grid", f"{grid[0]} x {grid[1]}"),
        ("Gallery", f"{visual.get('distance')} distance, {counted(neighbours, 'neighbour')}"),
        ("Text weight", f"{weight:g}" if weight else "none (vision alone)"),
    ]


def _n_draws(page: Page) -> int:
    return max(n_draws(e.metrics) for e in page.evaluations)


def _settings(page: Page) -> str:
    """All settings; the rest of the manifest is shown above."""
    given = page.manifest.get("spec") or {"options": dict(page.settings)}
    return json.dumps(given, indent=1, ensure_ascii=False, default=str)
