"""A run's folder as the studies read it: its settings, data and model; its captures, shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.activations import Loading
from lakeviz.data import Dataset, read_dataset
from lakeviz.data.dataset import unknown_category
from lakeviz.errors import DataError, StoreError
from lakeviz.files import read_json
from lakeviz.lake.ground_truth import Size
from lakeviz.runs.run import MANIFEST, RunSpec, draw_normals, load_run_model, spec_from_manifest
from lakeviz.runs.storage import load_evaluation
from lakeviz.studies.base.capture import STUDY_MAP_SIZE, capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.result import STUDIES, StudyResult

if TYPE_CHECKING:
    from lakeviz.lake import Evaluation
    from lakeviz.models import VisionModel

ACTIVATIONS = "activations"


@dataclass(frozen=True)
class StudyRun:
    """The folder of a run (``lakeviz run ... --out FOLDER``), ready for studies.

    Make one with :meth:`open`.

    Attributes
    ----------
    folder : Path
    spec : RunSpec
        With the very images the run was fitted on.
    manifest : dict
    map_size : (height, width), optional
        Of the pixel maps of studies; each image's own size where None.
    loading : Loading
    """

    folder: Path
    spec: RunSpec
    manifest: dict[str, Any] = field(repr=False)
    map_size: Size | None = STUDY_MAP_SIZE
    loading: Loading = field(default_factory=Loading)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        root: str | Path | None = None,
        device: str | None = None,
        map_size: Size | None = STUDY_MAP_SIZE,
        loading: Loading | None = None,
    ) -> StudyRun:
        """Read the manifest of a run.

        Parameters
        ----------
        folder : path
        root : path, optional
            Where the data lie now, if they have moved.
        device : str, optional
            Another device than the run's.
        map_size, loading
            As attributes.

        Raises
        ------
        StoreError, ConfigError
            If there is no manifest of a run.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise StoreError(
                f"{folder} holds no run ({MANIFEST} is missing); make one with "
                f"lakeviz run ... --out {folder}"
            )
        spec = spec_from_manifest(folder / MANIFEST)
        if root is not None:
            spec = replace(spec, root=str(root))
        if device is not None:
            spec = replace(spec, device=device)
        manifest = read_json(folder / MANIFEST)
        return cls(folder, spec, manifest, map_size, loading or Loading())

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the run."""
        return read_dataset(self.spec.dataset, self.spec.root, **self.spec.reader_options)

    @cached_property
    def model(self) -> VisionModel:
        """The model of the run, checked by its weights' hash.

        Raises
        ------
        StoreError
            If the weights are not those of the run.
        """
        model = load_run_model(self.spec)
        was = self.manifest["model"]["weights_hash"]
        if model.weights_hash != was:
            raise StoreError(
                f"{self.folder} was made with other weights ({was[:12]}) than {model.name} has now "
                f"({model.weights_hash[:12]})"
            )
        return model

    @property
    def categories(self) -> list[str]:
        """Categories of the run."""
        return list(self.spec.categories or self.dataset.categories)

    def chosen(self, categories: Sequence[str] | None) -> list[str]:
        """Some of the categories, or all.

        Raises
        ------
        DataError
            If one is not of this run.
        """
        for name in categories or ():
            if name not in self.categories:
                raise DataError(unknown_category(name, self.categories, str(self.folder)))
        return list(categories or self.categories)

    @property
    def cache(self) -> Path:
        """Folder of the activation stores that all studies of this run share."""
        return self.folder / ACTIVATIONS

    def data(
        self,
        category: str,
        *,
        shots: int | str | None = None,
        points: Sequence[int | str] | None = None,
    ) -> StudyData:
        """Capture (or read back) one category.

        Parameters
        ----------
        category : str
        shots : int or "all", optional
            Normal images, drawn by the run's seed; the run's own images by default.
        points : sequence of int or str, optional
            Hook points; the run's own by default.
        """
        own = self.dataset.category(category)
        if shots is None:
            normal = draw_normals(self.spec, self.dataset, category)
        else:
            normal = own.few_shot(shots, self.spec.seed)
        return capture_study(
            self.model,
            normal,
            own,
            options=replace(self.spec.options, map_size=self.map_size),
            points=points,
            full_size=self.map_size is None,
            cache=self.cache,
            loading=self.loading,
        )

    # --- results ---

    def save(self, result: StudyResult) -> Path:
        """Write a result into the run's folder, where its report finds it."""
        return result.to_parquet(self.folder / STUDIES / result.name)

    def evaluations(self) -> list[Evaluation]:
        """The evaluations of the run that are finished."""
        found = []
        for category, entry in self.manifest.get("categories", {}).items():
            own = self.dataset.category(category)
            found.append(load_evaluation(self.folder / entry["folder"], own))
        return found
