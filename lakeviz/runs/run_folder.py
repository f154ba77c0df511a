"""The folder of a run: its tables, settings, data, model, evaluations and studies, as needed.

Manifest and tables are read without torch.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

import lakeviz.lake.selectors  # noqa: F401 - gives selectors the names that figures show
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.dataset import unknown_category
from lakeviz.documents import of_file
from lakeviz.errors import ConfigError, DataError, StoreError
from lakeviz.files import read_json
from lakeviz.lake.evaluation_files import EVALUATION, read_description, read_table
from lakeviz.notebook import NotebookView, table_html
from lakeviz.runs.images import require_same_images, unread_normals
from lakeviz.runs.manifest import MANIFEST, PROTOCOLS, STUDIES, STUDY, Manifest
from lakeviz.runs.spec import RunSpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.models import VisionModel


@dataclass
class RunFolder(NotebookView):
    """A folder with results: of a run, of one category of it, or of a study.

    Make one with :meth:`open`, or by running (:func:`lakeviz.runs.run.execute`).

    Attributes
    ----------
    folder : Path
    manifest : dict
        Settings, versions, model, data fingerprints and few-shot draws; empty outside a run.
    finished : dict of str to Path
        Folder of every category that was evaluated.
    root : path, optional
        Where the data lie now, if they have moved.
    device : str, optional
        Another device than the run's.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)
    finished: dict[str, Path] = field(repr=False)
    root: str | Path | None = None
    device: str | None = None
    _unchanged: set[str] = field(default_factory=set, repr=False, kw_only=True)

    @classmethod
    def open(
        cls, folder: str | Path, *, root: str | Path | None = None, device: str | None = None
    ) -> Self:
        """Look at what a folder holds.

        Parameters
        ----------
        folder : path
            Of a run, of one category in it, or of a study.
        root, device
            As attributes.

        Raises
        ------
        StoreError
            If it holds none of these, or its description is damaged.
        """
        folder = Path(folder)
        manifest: dict[str, Any] = {}
        finished: dict[str, Path] = {}
        if (folder / EVALUATION).is_file():
            finished[read_description(folder)["category"]] = folder
            run = folder.resolve().parents[1]
            if (run / MANIFEST).is_file():
                manifest = read_manifest(run / MANIFEST)
        elif (folder / MANIFEST).is_file():
            manifest = read_manifest(folder / MANIFEST)
            entries = manifest.get("categories", {})
            finished = {name: folder / entry["folder"] for name, entry in entries.items()}
        elif not (folder / STUDY).is_file():
            raise StoreError(
                f"{folder} holds no result: it should be the folder of a run ({MANIFEST}), of one "
                f"of its categories ({EVALUATION}) or of a study ({STUDY})"
            )
        return cls(folder, manifest, finished, root, device)

    # --- categories and their tables ---

    @property
    def categories(self) -> list[str]:
        """Categories that were evaluated; before the first, those that will be."""
        if self.finished or not self.manifest:
            return list(self.finished)
        return list(self.spec.categories or self.dataset.categories)

    def chosen(self, categories: Sequence[str] | None = None) -> list[str]:
        """Some of the categories, in the order named, or all.

        Raises
        ------
        DataError
            If one is not of this run.
        """
        for name in categories or ():
            if name not in self.categories:
                raise DataError(unknown_category(name, self.categories, str(self.folder)))
        return list(categories or self.categories)

    def one(self, categories: Sequence[str]) -> str:
        """Return the only category, or the one named.

        Raises
        ------
        ConfigError
            If there are several.
        """
        found = self.chosen(categories)
        if len(found) != 1:
            raise ConfigError(
                f"this shows one category: name it with --category, of {', '.join(found)}"
            )
        return found[0]

    def path(self, category: str) -> Path:
        """Folder of a category that was evaluated.

        Raises
        ------
        StoreError
            If it is not finished.
        """
        if category not in self.finished:
            raise StoreError(
                f"the run in {self.folder} has not finished {category}; run the same command again"
            )
        return self.finished[category]

    def table(self, name: str, categories: Sequence[str] | None = None) -> pd.DataFrame:
        """Join one table over categories, without reading images or maps.

        Parameters
        ----------
        name : str
            ``"metrics"``, ``"scores"``, ``"controls"``, ``"neurons"``, ``"spectrum"`` or
            ``"curves"`` (of pixels; runs of protocol 1 have none).
        categories : sequence of str, optional
            Only these, in this order.

        Raises
        ------
        StoreError
            If it is missing or damaged.
        """
        found = [read_table(self.path(c), name).assign(category=c) for c in self.chosen(categories)]
        if not found:
            raise StoreError(f"{self.folder} has no evaluated category")
        filled = [table for table in found if not table.empty]
        return pd.concat(filled, ignore_index=True) if filled else found[0]

    def overview(self) -> pd.DataFrame:
        """One row per category and, of several, a mean row: metrics of the fused score."""
        metrics = self.table("metrics")
        chosen = metrics[metrics["branch"] == "lake"]
        wide = chosen.pivot(index="category", columns=["level", "metric"], values="value")
        wide.columns = pd.Index([f"{level} {metric}" for level, metric in wide.columns])
        if len(wide) > 1:
            wide.loc["mean"] = wide.mean()
        return wide

    def provenance(self, category: str) -> dict[str, Any]:
        """What made the evaluation of a category: weights, data, settings, versions."""
        return read_description(self.path(category))["provenance"]

    @property
    def groups(self) -> dict[str, Sequence[str]]:
        """Categories that the report shows apart, by the name of their group."""
        return self.manifest.get("report", {}).get("groups") or {}

    # --- settings, data, model ---

    @cached_property
    def spec(self) -> RunSpec:
        """Settings, with the very images the run was fitted on.

        Raises
        ------
        StoreError
            If the folder lies in no run.
        """
        if not self.manifest:
            raise StoreError(
                f"{self.folder} lies in no run, so its data and model are not known; leave it in "
                "the folder of its run"
            )
        spec = RunSpec.from_manifest(self.manifest)
        return replace(
            spec,
            root=spec.root if self.root is None else self.root,
            device=self.device or spec.device,
        )

    @cached_property
    def _all_images(self) -> Dataset:
        return self.spec.read_data()

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the run, without images that it could not read and left out."""
        out: set[str] = set()
        for entry in self.manifest.get("categories", {}).values():
            out |= {*entry["test"].get("skipped", ()), *unread_normals(entry["few_shot"])}
        whole = self._all_images
        return whole.where([name not in out for name in whole.sample_ids]) if out else whole

    def draws(self, category: str) -> list[FewShotDraw]:
        """Normal images of a category that the run was fitted on, draw by draw."""
        return self.spec.draw_normals(self.dataset, category)

    def draw(self, category: str) -> FewShotDraw:
        """Normal images of the first draw."""
        return self.draws(category)[0]

    @cached_property
    def model(self) -> VisionModel:
        """The model of the run, checked by its weights' hash.

        Raises
        ------
        StoreError
            If the weights are not those of the run.
        """
        model = self.spec.load_model()
        was, now = self.manifest["model"]["weights_hash"], model.weights_hash
        if now != was:
            raise StoreError(
                f"{self.folder} was made with other weights ({was[:12]}) than {model.name} has now "
                f"({now[:12]})"
            )
        return model

    def evaluation(self, category: str) -> Evaluation:
        """Read all of a category, with the data it was made on.

        Raises
        ------
        StoreError
            If something is missing or damaged, or the data have other images.
        """
        from lakeviz.lake.evaluation import Evaluation

        self.require_unchanged(category)
        return Evaluation.load(self.path(category), self.dataset.category(category))

    def require_unchanged(self, category: str) -> None:
        """Refuse images or masks of a category that have changed since it was evaluated.

        Raises
        ------
        DataError
            Names what has changed, is gone or is new, and says what to do.
        """
        if category in self._unchanged:
            return
        described = read_description(self.path(category))
        ids = described["maps"]["sample_ids"]
        own = self._all_images.category(category)
        require_same_images(described["provenance"], own, ids, self.draws(category))
        self._unchanged.add(category)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations that are finished."""
        return [self.evaluation(category) for category in self.finished]

    # --- studies ---

    @property
    def studies(self) -> dict[str, Path]:
        """Folders of the studies that were run, by name."""
        if (self.folder / STUDY).is_file():
            return {str(read_json(self.folder / STUDY).get("study")): self.folder}
        found = sorted((self.folder / STUDIES).glob(f"*/{STUDY}"))
        return {path.parent.name: path.parent for path in found}

    def study(self, name: str) -> Path:
        """Folder of a study.

        Raises
        ------
        StoreError
            If it was not run.
        """
        if name not in self.studies:
            raise StoreError(
                f"{self.folder} holds no study {name!r}; it has {', '.join(self.studies) or 'none'}"
            )
        return self.studies[name]

    def _figure(self) -> go.Figure:
        from lakeviz.plots.difference_plot import metrics_figure

        confidence = float(self.table("metrics")["confidence"].dropna().iloc[0])
        return metrics_figure(self.table("metrics"), confidence=confidence)

    def _table_html(self) -> str:
        said = f"LAKE on {len(self.finished)} categories, written to {self.folder}."
        overview = self.overview().rename_axis("category").reset_index()
        return f"<p>{html.escape(said)}</p>" + table_html(overview, ".overview()")


RunResult = RunFolder
"""Its name in the version before."""
_REMEDY = "restore the file, or delete the folder and run again"


def require_run(folder: str | Path) -> None:
    """Refuse a folder that holds no run.

    Raises
    ------
    StoreError
        Says how to make one.
    """
    if not (Path(folder) / MANIFEST).is_file():
        raise StoreError(
            f"{folder} holds no run ({MANIFEST} is missing); make one with "
            f"lakeviz run ... --out {folder}"
        )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read the manifest of a run.

    Raises
    ------
    StoreError
        If it is missing or damaged, or the manifest of something else.
    """
    manifest = read_json(path)
    if manifest.get("protocol") not in PROTOCOLS:
        raise StoreError(f"{path} is not the manifest of a lakeviz run ({' or '.join(PROTOCOLS)})")
    of_file(path, Manifest, manifest, _REMEDY)
    of_file(path, RunSpec, manifest["spec"], _REMEDY)
    return manifest
