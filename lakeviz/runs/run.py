"""A run: one or more categories of a data set, evaluated, written, resumable and repeatable."""

from __future__ import annotations

import hashlib
import html
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lakeviz.activations import Loading
from lakeviz.data import Dataset, FewShotDraw, read_dataset
from lakeviz.errors import ConfigError, OutputError
from lakeviz.files import read_json, write_csv, write_json, write_parquet
from lakeviz.lake.detector import Lake, LakeOptions
from lakeviz.lake.evaluation import Evaluation
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.metrics import Bootstrap
from lakeviz.notebook import NotebookView, table_html
from lakeviz.runs.storage import (
    load_evaluation,
    save_evaluation,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.models import VisionModel

_log = logging.getLogger(__name__)
PROTOCOL = "lakeviz-run/1"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunSpec:
    """Everything a run depends on, as plain data; the manifest is this plus what came out.

    Parameters
    ----------
    dataset : str
        Reader.
    root : str or path
        Folder; kept as text.
    model : str
        Model name.
    pretrained : str or bool, optional
        Tag, weights file, or ``True`` for timm's own.
    image_size : (height, width), optional
        The model's own by default.
    precision, device : str
    categories : tuple of str, optional
        All by default.
    shots : int or "all"
        Normal images per category.
    seed : int
        Seed of the few-shot draw; also of selectors unless the options say otherwise.
    few_shot_lists : dict of category to tuple of str
        Images given by hand instead of drawn.
    options : LakeOptions
    random_controls : int
        Draws of each random control.
    controls : tuple of str
        Selectors the detector's own neurons are compared with, at the same size.
    reader_options : dict
        Further options of the reader.
    """

    dataset: str
    root: str | Path
    model: str = "tiny"
    pretrained: str | bool | None = None
    image_size: tuple[int, int] | None = None
    precision: str = "fp32"
    device: str = "cpu"
    categories: tuple[str, ...] | None = None
    shots: int | str = 4
    seed: int = 0
    few_shot_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    options: LakeOptions = field(default_factory=LakeOptions)
    random_controls: int = 5
    controls: tuple[str, ...] = ("random", "bottom_variance", "variance_matched", "pca", "all")
    reader_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A Path is taken too; a manifest holds text.
        object.__setattr__(self, "root", str(self.root))

    def to_plain(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        return as_plain(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> RunSpec:
        """Restore what :meth:`to_plain` gave.

        Raises
        ------
        ConfigError
            If a setting is unknown or missing.
        """
        data = dict(data)
        try:
            data["options"] = LakeOptions.from_plain(data["options"])
            for name in ("image_size", "categories", "controls"):
                data[name] = None if data[name] is None else tuple(data[name])
            data["few_shot_lists"] = {c: tuple(p) for c, p in data["few_shot_lists"].items()}
            return cls(**data)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"this manifest's settings cannot be read: {error}") from error

    def control_specs(self) -> list[tuple[str, int]]:
        """(selector, seed) of every control member."""
        from lakeviz.lake.selectors import get_selector

        specs = []
        for name in self.controls:
            draws = self.random_controls if get_selector(name).is_random else 1
            specs += [(name, self.seed + i) for i in range(draws)]
        return specs

    @property
    def digest(self) -> str:
        """SHA-256 of the settings that numbers depend on (where the data lie is not one)."""
        plain = self.to_plain()
        for name in ("root", "categories", "device"):
            plain.pop(name)
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@dataclass
class RunResult(NotebookView):
    """What a run found.

    Attributes
    ----------
    evaluations : list of Evaluation
        One per category.
    manifest : dict
        Settings, versions, model, data fingerprints and few-shot draws.
    folder : Path
        Where it was written.
    """

    evaluations: list[Evaluation]
    manifest: dict[str, Any]
    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        """Join one table (metrics, scores, controls, neurons, spectrum) over categories."""
        parts = []
        for evaluation in self.evaluations:
            frame = getattr(evaluation, name)
            if "category" not in frame:
                frame = frame.assign(category=evaluation.category)
            if not frame.empty:
                parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def overview(self) -> pd.DataFrame:
        """One row per category and a mean row: the fused score's metrics."""
        metrics = self.table("metrics")
        chosen = metrics[metrics["part"] == "lake"]
        wide = chosen.pivot(index="category", columns=["level", "metric"], values="value")
        wide.columns = pd.Index([f"{level} {metric}" for level, metric in wide.columns])
        if len(wide) > 1:
            wide.loc["mean"] = wide.mean()
        return wide

    def _table_html(self) -> str:
        said = f"LAKE on {len(self.evaluations)} categories, written to {self.folder}."
        overview = self.overview().rename_axis("category").reset_index()
        return f"<p>{html.escape(said)}</p>" + table_html(overview, ".overview()")

    def _figure(self) -> go.Figure:
        from lakeviz.plots.overview import metrics_figure

        bootstrap = Bootstrap.from_plain(self.evaluations[0].provenance.get("bootstrap"))
        return metrics_figure(self.table("metrics"), confidence=bootstrap.confidence)


def folder_name(category: str) -> str:
    """Safe folder name of a category: its letters and digits, plus a hash where some were lost."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", category).strip("_")[:60]
    if safe == category:
        return safe
    return f"{safe or 'category'}-{hashlib.sha256(category.encode()).hexdigest()[:8]}"


def draw_normals(spec: RunSpec, dataset: Dataset, category: str) -> FewShotDraw:
    """Draw the normal images of one category, or take the ones listed."""
    own = dataset.category(category)
    listed = spec.few_shot_lists.get(category)
    if listed is None:
        return own.few_shot(spec.shots, spec.seed)
    return FewShotDraw.from_listed(listed, own)


def load_run_model(spec: RunSpec) -> VisionModel:
    """Load the model a run names."""
    from lakeviz.models import load_model

    return load_model(
        spec.model,
        spec.pretrained,
        device=spec.device,
        precision=spec.precision,
        image_size=spec.image_size,
    )


def execute(
    spec: RunSpec,
    out: str | Path,
    *,
    model: VisionModel | None = None,
    loading: Loading | None = None,
    announce: Callable[[str], None] | None = None,
) -> RunResult:
    """Run, or go on with a run that was cut off.

    Parameters
    ----------
    spec : RunSpec
    out : path
        Folder for results. If it holds a run of the same settings, its finished categories are
        read back instead of computed again.
    model : VisionModel, optional
        Already loaded; else it is loaded as the spec says.
    loading : Loading, optional
        How images are read; does not change results.
    announce : callable, optional
        Called with the name of each category as it begins.

    Raises
    ------
    OutputError
        If ``out`` holds a run of other settings, or other files.
    """
    out = Path(out)
    dataset = read_dataset(spec.dataset, spec.root, **spec.reader_options)
    categories = list(spec.categories or dataset.categories)
    draws = {category: draw_normals(spec, dataset, category) for category in categories}
    model = model or load_run_model(spec)
    Lake.from_options(model, spec.options)  # settings that do not fit the model end the run here
    manifest = _claim(out, spec, model)
    evaluations = []
    for category in categories:
        if announce:
            announce(category)
        own = dataset.category(category)
        folder = out / "categories" / folder_name(category)
        evaluation = _read_finished(folder, own)
        if evaluation is None:
            evaluation = _evaluate(spec, model, own, draws[category], loading)
            save_evaluation(evaluation, folder)
            draws[category].to_manifest(folder / "few_shot.txt")
        evaluations.append(evaluation)
    manifest["categories"] = {
        e.category: {
            "folder": f"categories/{folder_name(e.category)}",
            "few_shot": e.provenance["fit"],
            "test": e.provenance["test"],
            "skipped": e.maps.skipped,
        }
        for e in evaluations
    }
    write_json(out / MANIFEST, manifest)
    result = RunResult(evaluations, manifest, out)
    _write_tables(result)
    return result


def _claim(out: Path, spec: RunSpec, model: VisionModel) -> dict[str, Any]:
    """Mark the folder as this run's, or refuse."""
    path = out / MANIFEST
    description = model.describe()
    if path.exists():
        manifest = read_json(path)
        same = manifest.get("digest") == spec.digest
        if not same or manifest["model"]["weights_hash"] != description["weights_hash"]:
            raise OutputError(
                f"{out} holds a run of other settings or weights; choose another folder, "
                "with --out, or delete it"
            )
        return manifest | {"spec": spec.to_plain()}
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty and holds no run; choose another folder with --out")
    manifest = {
        "protocol": PROTOCOL,
        "digest": spec.digest,
        "spec": spec.to_plain(),
        "model": description,
        "versions": versions(),
    }
    write_json(path, manifest)
    return manifest


def _read_finished(folder: Path, dataset: Dataset) -> Evaluation | None:
    if not (folder / "evaluation.json").exists():
        return None
    _log.info("%s is finished; reading it back", folder)
    evaluation = load_evaluation(folder, dataset)
    if evaluation.provenance["test"]["fingerprint"] != evaluation.dataset.fingerprint:
        raise OutputError(f"the images of {folder} have changed since; choose another folder")
    return evaluation


def _evaluate(
    spec: RunSpec, model: VisionModel, own: Dataset, draw: FewShotDraw, loading: Loading | None
) -> Evaluation:
    lake = Lake.from_options(model, spec.options)
    lake.fit(draw, controls=spec.control_specs(), loading=loading)
    evaluation = lake.evaluate(own, loading=loading)
    used = set(lake.normal_ids)
    pairs = zip(draw.sample_ids, draw.paths, strict=True)
    evaluation.provenance["fit"] |= {
        "seed": draw.seed,
        "pool_size": draw.pool_size,
        "sample_ids": [name for name, path in pairs if path.as_posix() in used],
        "skipped": [list(entry) for entry in lake.skipped],
    }
    return evaluation


def _write_tables(result: RunResult) -> None:
    """Write the joined tables: CSV and Parquet for people and programs."""
    for name in ("metrics", "scores", "controls", "neurons", "spectrum"):
        table = result.table(name)
        if name != "spectrum":
            write_csv(result.folder / f"{name}.csv", table)
        write_parquet(result.folder / f"{name}.parquet", table)


def spec_from_manifest(path: str | Path) -> RunSpec:
    """Read the settings of a run from its manifest, with the very images it was fitted on.

    Raises
    ------
    ConfigError
        If the file is not a manifest of a run.
    """
    manifest = read_json(Path(path))
    if manifest.get("protocol") != PROTOCOL:
        raise ConfigError(f"{path} is not the manifest of a lakeviz run")
    spec = RunSpec.from_plain(manifest["spec"])
    lists = {
        c: tuple(d["few_shot"]["sample_ids"]) for c, d in manifest.get("categories", {}).items()
    }
    own = {f.name: getattr(spec, f.name) for f in fields(spec)}
    return RunSpec(
        **(own | {"few_shot_lists": lists, "categories": tuple(lists) or spec.categories})
    )
