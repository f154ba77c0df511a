"""What made the run: settings, data, versions and the command, each once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from lakeviz.report.page_model import Page, Section
from lakeviz.tables import n_draws
from lakeviz.wording import counted


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
        ("Normal images per category", f"{shots}{_draws(page)} (seed {seed})"),
        ("Hook points", ", ".join(own.get("points", [])) or "not recorded"),
        ("Neurons per hook point", f"{settings.get('k')} by {settings.get('selector')}"),
        ("Patch grid", f"{grid[0]} x {grid[1]}"),
        ("Gallery", f"{visual.get('distance')} distance, {counted(neighbours, 'neighbour')}"),
        ("Text weight", _text_weight(own)),
    ]


def _model_name(model: Mapping[str, Any]) -> str:
    name, pretrained = str(model.get("name", "not recorded")), model.get("pretrained")
    return f"{name}, {pretrained}" if pretrained else name


def _draws(page: Page) -> str:
    """How often they were drawn; a category may have too few for all."""
    n = _n_draws(page)
    return f", {n} draws" if n > 1 else ""


def _n_draws(page: Page) -> int:
    return max(n_draws(e.metrics) for e in page.evaluations)


def _test_name(page: Page) -> str:
    return str(page.provenance.get("test", {}).get("name", "not recorded"))


def _text_weight(own: Mapping[str, Any]) -> str:
    weight = own.get("text_weight")
    return "none (vision alone)" if not weight else f"{weight:g}"


def _settings(page: Page) -> str:
    """All settings; the rest of the manifest is shown above."""
    given = page.manifest.get("spec") or {"options": dict(page.settings)}
    return json.dumps(given, indent=1, ensure_ascii=False, default=str)
