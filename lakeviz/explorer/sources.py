"""``explore``: from study data, an evaluation with its detector, or the folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakeviz.data import FewShotDraw
from lakeviz.data.table import sample_id
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import Evaluation, Lake
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.result import STUDIES, STUDY_FILE
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.dossier import DossierResult

if TYPE_CHECKING:
    from lakeviz.explorer.widget import ExplorerWidget

Source = StudyData | Sequence[StudyData] | Evaluation | str | Path


def explore(
    source: Source,
    lake: Lake | None = None,
    *,
    category: str | Sequence[str] | None = None,
    n_controls: int = 5,
    seed: int = 0,
) -> ExplorerWidget:
    """Inspect a detector in a notebook: images, patches, their nearest normal patches, neurons.

    Parameters
    ----------
    source : StudyData, sequence of StudyData, Evaluation, or path
        Captured tokens of one or more categories; an evaluation (with its ``lake``); or the folder
        of a run. The latter two capture what is missing: each image passes the tower once. Where
        the run has dossiers, a neuron is shown with its own.
    lake : Lake, optional
        The fitted detector that made the evaluation.
    category : str or sequence of str, optional
        Which categories of a run's folder; needed where it has more than one.
    n_controls : int
        Random sets of neurons that every set you switch off is compared with.
    seed : int
        Draws them.

    Returns
    -------
    ExplorerWidget
        Runs in JupyterLab and VS Code; without a kernel it is a still view. Its ``explorer`` gives
        the same answers as arrays and tables.

    Raises
    ------
    ConfigError
        If arguments do not go with the source.
    DataError
        If a category is unknown, or the images the detector was fitted on cannot be found.
    SelectionError
        If the selector gives a subspace instead of neurons.
    """
    from lakeviz.explorer.state import Explorer
    from lakeviz.explorer.widget import ExplorerWidget

    data = study_data_of(source, lake, category)
    dossiers = None
    if isinstance(source, (str, Path)):
        folder = Path(source) / STUDIES / DossierResult.name
        if (folder / STUDY_FILE).is_file():
            dossiers = DossierResult.from_parquet(folder)
    return ExplorerWidget(Explorer(data, n_controls=n_controls, seed=seed, dossiers=dossiers))


def study_data_of(
    source: Source, lake: Lake | None = None, category: str | Sequence[str] | None = None
) -> list[StudyData]:
    """Bring any source to study data; see :func:`explore`."""
    if lake is not None and not isinstance(source, Evaluation):
        raise ConfigError("a lake goes with an evaluation only: explore(evaluation, lake)")
    if category is not None and not isinstance(source, (str, Path)):
        raise ConfigError("category goes with the folder of a run only")
    if isinstance(source, StudyData):
        return [source]
    if isinstance(source, Evaluation):
        if lake is None:
            raise ConfigError(
                "an evaluation holds maps but no tokens: call explore(evaluation, lake) with the "
                "fitted detector, or explore the folder of a run"
            )
        return [_of_evaluation(source, lake)]
    if isinstance(source, (str, Path)):
        return _of_run(source, category)
    if isinstance(source, Sequence) and all(isinstance(one, StudyData) for one in source):
        return list(source)
    raise ConfigError(
        "explore takes study data, an evaluation with its lake, or the folder of a run, not "
        f"{type(source).__name__}"
    )


def _of_run(folder: str | Path, category: str | Sequence[str] | None) -> list[StudyData]:
    run = StudyRun.open(folder)
    wanted = [category] if isinstance(category, str) else category
    if wanted is None and len(run.categories) > 1:
        raise ConfigError(
            f"{folder} has {len(run.categories)} categories, each of which has to be captured; "
            f"name those to explore with category=...: {', '.join(run.categories)}"
        )
    return [run.data(name) for name in run.chosen(wanted)]


def _of_evaluation(evaluation: Evaluation, lake: Lake) -> StudyData:
    lake.visual  # noqa: B018 - raises if not fitted
    test = evaluation.dataset
    paths = [_normal_path(name, test.root) for name in lake.normal_ids]
    draw = FewShotDraw(
        dataset=test.name,
        category=evaluation.category,
        seed=None,
        pool_size=None,
        sample_ids=tuple(sample_id(path, test.root) for path in paths),
        paths=tuple(paths),
    )
    return capture_study(
        lake.model,
        draw,
        test,
        options=lake.options,
        points=lake.points,
        class_name=lake.text.class_name if lake.text else None,
        units=list(lake.units.values()) or None,
    )


def _normal_path(name: str, root: Path) -> Path:
    """Find an image the detector was fitted on: its name is a path, perhaps under the root."""
    for path in (root / name, Path(name)):
        if path.is_file():
            return path.absolute()
    raise DataError(
        f"the detector was fitted on {name!r}, which is not a file (looked in {root}); explore "
        "study data instead, see capture_study"
    )
