"""A run's folder as the studies read it: its captures, shared by all of them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from lakeviz.activations import Loading
from lakeviz.activations.changes import have_tokens
from lakeviz.data import FewShotDraw
from lakeviz.data.streams import IMAGE
from lakeviz.files import remove_scratch
from lakeviz.journal import Journal, fingerprint
from lakeviz.lake import layer_points
from lakeviz.lake.ground_truth import Size
from lakeviz.lake.provenance import versions
from lakeviz.locks import locked
from lakeviz.runs.category import MOST_OTHERS
from lakeviz.runs.manifest import JOURNALS
from lakeviz.runs.run_folder import RunFolder, require_run
from lakeviz.studies.base.capture import STUDY_MAP_SIZE, capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.result import STUDIES, StudyResult
from lakeviz.studies.base.unit_data import require_pictures

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

ACTIVATIONS = "activations"


@dataclass
class StudyRun(RunFolder):
    """The folder of a run (``lakeviz run ... --out FOLDER``), ready for studies.

    Make one with :meth:`open`.

    Attributes
    ----------
    map_size : (height, width), optional
        Of the pixel maps of studies; each image's own size where None.
    loading : Loading
    journal : Journal, optional
        Where a study keeps what it has measured; see :meth:`begin`.
    """

    map_size: Size | None = STUDY_MAP_SIZE
    loading: Loading = field(default_factory=Loading)
    journal: Journal | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        root: str | Path | None = None,
        device: str | None = None,
        map_size: Size | None = STUDY_MAP_SIZE,
        loading: Loading | None = None,
    ) -> Self:
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
        StoreError
            If there is no manifest of a run.
        """
        require_run(folder)
        run = super().open(folder, root=root, device=device)
        return replace(run, map_size=map_size, loading=loading or Loading())

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
        if shots is None:
            return self.draws_of(category, points=points)[0]
        self.require_unchanged(category)
        own = self.dataset.category(category)
        return self._captured(category, own.few_shot(shots, self.spec.seed), points)

    def draws_of(
        self,
        category: str,
        *,
        points: Sequence[int | str] | None = None,
        model: VisionModel | None = None,
    ) -> list[StudyData]:
        """Capture (or read back) one category on every draw of the run's normal images.

        The images pass the tower once; the draws are views of one capture.

        Parameters
        ----------
        category, points
            As for :meth:`data`.
        model : VisionModel, optional
            Another tower than the run's, such as an untrained one; its visual branch alone.

        Raises
        ------
        DataError
            If normal or test images have changed since the run; it names them.
        """
        draws = self.draws(category)
        self.require_unchanged(category)
        whole = self._captured(category, joined(draws), points, model)
        kept = [have_tokens(whole.points, draw.frames, len(draw)).sum() for draw in draws]
        starts = np.cumsum([0, *kept])
        return [whole.view(images=range(start, stop)) for start, stop in itertools.pairwise(starts)]

    def with_others(self, draws: Sequence[StudyData]) -> list[StudyData]:
        """Give every draw of a category those of other categories, as a control to select on.

        A category that has fewer draws gives its last one to the rest.
        """
        own = draws[0].category
        names = [name for name in self.categories if name != own][:MOST_OTHERS]
        others = [self.draws_of(name) for name in names]
        return [
            replace(draw, others=tuple(other[min(n, len(other) - 1)] for other in others))
            for n, draw in enumerate(draws)
        ]

    def _captured(
        self,
        category: str,
        normal: FewShotDraw,
        points: Sequence[int | str] | None,
        model: VisionModel | None = None,
    ) -> StudyData:
        own = self.dataset.category(category)
        options = replace(self.spec.options, map_size=self.map_size)
        if model is not None:
            options = replace(options, text_weight=0.0)
        captured = capture_study(
            model or self.model,
            normal,
            own,
            options=options,
            points=points,
            full_size=self.map_size is None,
            cache=self.cache,
            loading=self.loading,
        )
        return replace(captured, journal=self.journal)

    def require_pictures(self, what: str) -> None:
        """Refuse a run on streams, for a study that runs the model; ``what`` of it does.

        Raises
        ------
        ConfigError
            Names the first such hook point.
        """
        options = self.spec.options
        if set(options.streams) != {IMAGE}:
            points = layer_points(self.model, options.layers, options.streams)
            require_pictures(str(self.folder), points, what)

    # --- what a study makes, finished and not ---

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that measurements on this run depend on, but for their settings."""
        own = [self.manifest.get(name) for name in ("spec", "model", "categories")]
        return fingerprint(own, self.map_size, versions())

    def unfinished(self, study: str) -> Path:
        """Folder of what a study has measured so far."""
        return self.folder / JOURNALS / study

    def begin(self, study: str) -> None:
        """Keep all that is measured from now on until the study is saved."""
        remove_scratch(self.folder)
        remove_scratch(self.folder, f"{STUDIES}/{study}/*")
        remove_scratch(self.cache, "text/*")
        self.journal = Journal(self.unfinished(study) / "measured", self.identity)

    def save(self, result: StudyResult) -> Path:
        """Write a result into the run's folder, where its report finds it."""
        with locked(self.folder):
            folder = result.to_parquet(self.folder / STUDIES / result.name)
            shutil.rmtree(self.unfinished(result.name), ignore_errors=True)
            with suppress(OSError):  # not empty where other studies are unfinished
                (self.folder / JOURNALS).rmdir()
        return folder


def joined(draws: Sequence[FewShotDraw]) -> FewShotDraw:
    """All images of some draws, one after the other."""
    return replace(
        draws[0],
        sample_ids=tuple(name for draw in draws for name in draw.sample_ids),
        paths=tuple(path for draw in draws for path in draw.paths),
        frames=tuple(frame for draw in draws for frame in draw.frames),
        depths=tuple(path for draw in draws for path in draw.depths),
    )
