"""Running: categories of a data set evaluated one by one, written, resumable and repeatable."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.data import Dataset, FewShotDraw, file_sha256
from lakeviz.data.streams import require_data
from lakeviz.errors import OutputError
from lakeviz.files import (
    read_json,
    remove,
    remove_scratch,
    settle,
    write_csv,
    write_json,
    write_parquet,
)
from lakeviz.lake.evaluation_files import CLIPS, EVALUATION, STREAMS, TABLES, read_description
from lakeviz.lake.provenance import environment, versions
from lakeviz.locks import is_free, locked
from lakeviz.progress import Progress
from lakeviz.runs.images import require_same_images
from lakeviz.runs.manifest import CATEGORIES, JOURNALS, MANIFEST, PROTOCOL
from lakeviz.runs.run_folder import RunFolder, read_manifest
from lakeviz.runs.spec import RunSpec

if TYPE_CHECKING:
    from lakeviz.activations import Loading
    from lakeviz.models import VisionModel

_log = logging.getLogger(__name__)


def execute(
    spec: RunSpec,
    out: str | Path,
    *,
    model: VisionModel | None = None,
    loading: Loading | None = None,
    announce: Callable[[str], None] | None = None,
) -> RunFolder:
    """Run, or go on with a run that was cut off.

    Parameters
    ----------
    spec : RunSpec
    out : path
        Folder for results. If it holds a run of the same settings, its finished categories are
        taken as they are, and so are the batches that were scored of an unfinished one. Where all
        are finished, the model is not loaded if its weights are known to be the same, see
        :func:`same_weights`. While another command writes there, it is waited for.
    model : VisionModel, optional
        Already loaded; else it is loaded as the spec says.
    loading : Loading, optional
        How images are read; does not change results.
    announce : callable, optional
        Told how far the run is, as each category begins.

    Returns
    -------
    RunFolder
        The results, read as they are needed.

    Raises
    ------
    OutputError
        If ``out`` holds a run of other settings or weights, or other files.
    DataError
        If normal or test images of a finished category have changed; it names them.
    """
    out = Path(out)
    if model is None:
        spec.require_files()
    dataset = spec.read_data()
    require_data(
        spec.options.streams, frames=bool(dataset.frames), depths=bool(dataset.depths)
    )  # before anything is written
    spec.control_specs()
    categories = list(spec.categories or dataset.categories)
    draws = {category: spec.draw_normals(dataset, category) for category in categories}
    with locked(out):
        for pattern in ("*", f"{CATEGORIES}/*/*"):
            remove_scratch(out, pattern)
        return _execute(spec, out, dataset, draws, model, loading, announce)


def _execute(
    spec: RunSpec,
    out: Path,
    dataset: Dataset,
    draws: dict[str, list[FewShotDraw]],
    model: VisionModel | None,
    loading: Loading | None,
    announce: Callable[[str], None] | None,
) -> RunFolder:
    folders = {category: out / CATEGORIES / folder_name(category) for category in draws}
    manifest = _manifest_of(out, spec)
    missing = [c for c, folder in folders.items() if not _is_finished(folder)]
    if missing or model is not None or not same_weights(manifest, spec):
        model = model or spec.load_model()
        manifest = _claim(out, spec, model, manifest, dataset)
    for category, folder in folders.items():  # first: a name that cannot be listed costs no work
        for number, draw in enumerate(draws[category]):
            path = folder / (f"few_shot_{number}.txt" if number else "few_shot.txt")
            if category in missing or not path.is_file():
                draw.to_manifest(path)
    entries = {}
    category_run = None
    for category in Progress("run", list(draws), announce, bar=False):
        own = dataset.category(category)
        if category in missing:
            assert model is not None
            if category_run is None:
                from lakeviz.runs.category import CategoryRun  # loads torch

                category_run = CategoryRun(spec, model, dataset, draws, loading)
            journal = category_run.journal(category, out / JOURNALS / folders[category].name)
            category_run.evaluate(category, journal).save(folders[category])
            journal.remove()
        check = None if category in missing else draws[category]
        entries[category] = _entry(folders[category], own, check)
    _write(out, manifest | {"protocol": PROTOCOL, "spec": spec.to_plain(), "categories": entries})
    for folder in folders.values():  # a kill may have come right before it was removed
        remove(out / JOURNALS / folder.name)
    with suppress(OSError):  # not empty where studies are unfinished
        (out / JOURNALS).rmdir()
    run = RunFolder.open(out)
    run._all_images = dataset
    return run


def same_weights(manifest: dict[str, Any], spec: RunSpec) -> bool:
    """Whether the weights are known to be those of a run, without loading the model.

    A weights file must have the content that it had, by its SHA-256. Weights that a name stands
    for (embedded, tag of a release, random) are the same under the same versions of lakeviz, torch,
    open_clip and timm. Folders, repositories and runs of older versions give no such guarantee.
    """
    if "weights_file" not in manifest:
        return False
    if manifest["weights_file"] is not None or _weights_file(spec) is not None:
        return manifest["weights_file"] == _weights_file(spec)
    return manifest["versions"] == versions() and not spec.model.startswith(
        ("local-dir:", "hf-hub:")
    )


def _weights_file(spec: RunSpec) -> str | None:
    """SHA-256 of the file of weights, if one was named."""
    path = Path(spec.pretrained).expanduser() if isinstance(spec.pretrained, str) else None
    return file_sha256(path) if path is not None and path.is_file() else None


def folder_name(category: str) -> str:
    """Safe folder name of a category: its letters and digits, plus a hash where some were lost."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", category).strip("_")[:60]
    if safe == category:
        return safe
    return f"{safe or 'category'}-{hashlib.sha256(category.encode()).hexdigest()[:8]}"


def _manifest_of(out: Path, spec: RunSpec) -> dict[str, Any]:
    """Manifest of the run in a folder, empty where the folder is free; else refuse it."""
    if (out / MANIFEST).exists():
        manifest = read_manifest(out / MANIFEST)
        if manifest.get("digest") != spec.digest:
            raise _other(out)
        return manifest
    if not is_free(out):
        raise OutputError(f"{out} is not empty and holds no run; choose another folder with --out")
    return {}


def _is_finished(folder: Path) -> bool:
    settle(folder)
    return (folder / EVALUATION).is_file()


def _other(out: Path) -> OutputError:
    return OutputError(
        f"{out} holds a run of other settings or weights; choose another folder, "
        "with --out, or delete it"
    )


def _claim(
    out: Path, spec: RunSpec, model: VisionModel, manifest: dict[str, Any], dataset: Dataset
) -> dict[str, Any]:
    """Check the settings and the weights, and mark the folder as this run's."""
    from lakeviz.lake.detector import Lake

    # Settings that do not fit the model end the run here.
    k = Lake.from_options(model, spec.options).options.k
    described = model.describe()
    if manifest and manifest["model"]["weights_hash"] != described["weights_hash"]:
        raise _other(out)
    if not manifest:
        manifest = {"protocol": PROTOCOL, "digest": spec.digest, "spec": spec.to_plain()}
        manifest |= {"model": described, "versions": versions()}
        manifest |= {"environment": environment(), "seeds": spec.seeds(dataset)}
    manifest |= {"weights_file": _weights_file(spec), "k": k}
    write_json(out / MANIFEST, manifest)
    return manifest


def _entry(folder: Path, own: Dataset, check: Sequence[FewShotDraw] | None) -> dict[str, Any]:
    """What the manifest says of a category; one that was finished before is checked for changes."""
    described = read_description(folder)
    provenance, maps = described["provenance"], described["maps"]
    if check is not None:
        _log.info("%s is finished", folder)
        require_same_images(provenance, own, maps["sample_ids"], check)
    return {
        "folder": f"{CATEGORIES}/{folder.name}",
        "few_shot": provenance["fit"],
        "test": provenance["test"],
        "skipped": maps["skipped"],
    }


def _write(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest and the joined tables, unless they are there already."""
    manifest = json.loads(json.dumps(manifest))
    files = [out / f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "parquet")]
    files.remove(out / "spectrum.csv")  # too long to be read by people
    if manifest == read_json(out / MANIFEST) and all(file.is_file() for file in files):
        return
    write_json(out / MANIFEST, manifest)
    run = RunFolder.open(out)
    for name in (CLIPS, STREAMS):
        if not run.table(name).empty:
            files += [out / f"{name}.csv", out / f"{name}.parquet"]
    for file in files:
        write = write_csv if file.suffix == ".csv" else write_parquet
        write(file, run.table(file.stem))
