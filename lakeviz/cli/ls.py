"""``lakeviz ls``: what the folder of a run holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.settings import PATH
from lakeviz.cli.terminal import say

if TYPE_CHECKING:
    from lakeviz.runs.run_folder import RunFolder


@click.command()
@click.argument("run", type=PATH)
def ls(run: Path) -> None:
    """Show what the folder of a run holds.

    Model, data, settings, categories, tables, figures, studies with the settings that differ from
    the defaults, unfinished work, and the size of each on disk.
    """
    from lakeviz.runs.run_folder import RunFolder

    for head, text in _parts(RunFolder.open(run)):
        say(f"{head:15} {text}".rstrip())


def _parts(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield what is said: a heading and a line, or a heading of the lines that follow."""
    from lakeviz.lake.evaluation_files import CLIPS, EVALUATION, STREAMS, TABLES
    from lakeviz.locks import is_locked
    from lakeviz.report.figures import kinds_of
    from lakeviz.runs.manifest import CATEGORIES, JOURNALS, STUDIES

    folder = run.folder
    yield "folder", f"{folder}, {size_of(folder)}"
    if is_locked(folder):
        yield "lock", "another lakeviz command writes to it now"
    if run.manifest:
        yield from _of_manifest(run)
    begun = {path.parent for path in (folder / CATEGORIES).glob("*/few_shot.txt")}
    missing = sorted(path.name for path in begun if not (path / EVALUATION).is_file())
    done = sorted(path.name for path in begun if path.name not in missing) or list(run.finished)
    if done:
        yield "categories", f"{len(done)} of {len(done) + len(missing)}: {', '.join(done)}"
    names = (*TABLES, CLIPS, STREAMS)
    if tables := [name for name in names if (folder / f"{name}.parquet").is_file()]:
        yield "tables", f"{', '.join(tables)} (.parquet, most as .csv too)"
    if (folder / "report.html").is_file():
        yield "report", f"report.html, {size_of(folder / 'report.html')}"
    if run.finished:
        yield (
            "figures",
            f"{', '.join(kinds_of(run))}, and those of the studies (lakeviz figure --list)",
        )
    for name in (CATEGORIES, "activations", STUDIES, JOURNALS):
        if (folder / name).is_dir():
            yield f"{name}/", size_of(folder / name)
    journals = sorted(path.name for path in (folder / JOURNALS).glob("*"))
    if left := [*missing, *(name for name in journals if name not in missing)]:
        yield "unfinished", f"{', '.join(left)}; the same command goes on"
    if run.studies:
        yield "studies", f"of {len(run.studies)} kinds:"
        for name, path in run.studies.items():
            yield f"  {name}", _study(path)


def _of_manifest(run: RunFolder) -> Iterator[tuple[str, str]]:
    made, spec = run.manifest, run.spec
    model = made["model"]
    size = "x".join(map(str, model.get("image_size") or ())) or "unknown"
    weights = model["weights_hash"][:12]
    yield "model", f"{spec.model}, {spec.precision}, input {size}, weights {weights}"
    yield "data", f"{spec.dataset} in {spec.root}"
    fits = [entry["few_shot"] for entry in made.get("categories", {}).values()]
    n_draws = max((len(fit.get("draws") or "1") for fit in fits), default=spec.draws)
    k = made.get("k") or spec.options.k
    yield (
        "settings",
        f"shots {spec.shots}, draws {n_draws or 'up to 5'}, k {k}, "
        f"selector {spec.options.selector}, "
        f"controls {', '.join(spec.controls) or 'none'}, seed {spec.seed}",
    )
    yield "made with", f"lakeviz {made.get('versions', {}).get('lakeviz', 'unknown')}"


def _study(path: Path) -> str:
    """Categories, settings that differ from the defaults, and size of a study."""
    from lakeviz.studies import get_study, study_names
    from lakeviz.studies.base.result import read_description

    described = read_description(path)
    made, name = described["provenance"], described["study"]
    categories = list(made.get("categories", {}))
    few = ", ".join(categories) if len(categories) < 4 else f"{len(categories)} categories"
    if name not in study_names():
        return f"{few}; of a version with other studies; {size_of(path)}"
    own = get_study(name).settings
    defaults = {n: _plain(own.default(n)) for n, option in own.options().items() if option.command}
    changed = [
        f"{setting}={value}"
        for setting, value in dict.fromkeys(_leaves(made.get("settings", {}), defaults))
    ]
    return f"{few}; {', '.join(changed) or 'default settings'}; {size_of(path)}"


def _leaves(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that are not the defaults; some studies keep them by kind or host."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and name != "grid":
            yield from _leaves(value, defaults)
        elif name in defaults and value != defaults[name]:
            yield name, ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def size_of(path: Path) -> str:
    """Size of a file or of a folder on disk, as people say it."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    size = float(sum(file.stat().st_size for file in files))
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
