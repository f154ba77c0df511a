"""First phase of a sweep: everything its cells read, captured once per model and category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lakeviz.activations import Loading
from lakeviz.activations.changes import have_tokens
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.lake import layer_points
from lakeviz.lake.text import text_obstacle
from lakeviz.runs.spec import RunSpec
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.sweep.grid import Cell

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

Layers = tuple[int | str, ...] | None
Key = tuple[str, str]
"""Model and category, as the grid names them."""


def failure(error: Exception) -> str:
    """What a table says of an error."""
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class CaptureJob:
    """What is captured of one category by one model: the union of what the cells need."""

    key: Key
    spec: RunSpec  # of any of the cells: all have its model, map size and text branch
    dataset: Dataset = field(repr=False)  # of the category
    normal: FewShotDraw = field(repr=False)  # of all cells
    layers: tuple[Layers, ...]
    with_text: bool  # whether a cell may have a text branch
    cache: Path  # folder of the activation stores
    loading: Loading


@dataclass(frozen=True)
class Captured:
    """What came of a :class:`CaptureJob`: data, or the reason why there are none."""

    key: Key
    data: StudyData | str  # without its model: cells need none
    points: dict[Layers, tuple[str, ...] | str] = field(default_factory=dict)
    no_text: str = ""  # why there is no text branch, where one was asked for

    def view(self, cell: Cell, draw: FewShotDraw) -> StudyData | str:
        """What a cell reads of this, or why it cannot be measured."""
        options = cell.spec.options
        points = self.points.get(options.layers, "")
        if isinstance(points, str) or isinstance(self.data, str):
            return str(points or self.data)
        if options.text_weight and self.no_text:
            return (
                f"TextBranchError: text_weight is {options.text_weight}, but {self.no_text}, so "
                "there is no text branch; use text_weight=0"
            )
        row = {name: i for i, name in enumerate(self.data.provenance["fit"]["sample_ids"])}
        # The first frames of clips have no token on streams over time, and were left out.
        have = have_tokens(self.data.points, draw.frames, len(draw))
        images = [row[name] for name, kept in zip(draw.sample_ids, have, strict=True) if kept]
        return self.data.view(images=images, points=points, options=options)


class Draws:
    """The normal images of cells, drawn once for each category, number and seed."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._known: dict[tuple[object, ...], FewShotDraw | str] = {}

    def of(self, cell: Cell) -> FewShotDraw | str:
        """Draw the images of a cell, or say why they cannot be drawn."""
        spec = cell.spec
        key = (cell.category, spec.shots, spec.seed, spec.few_shot_lists.get(cell.category))
        if key not in self._known:
            try:
                self._known[key] = replace(spec, draws=1).draw_normals(
                    self._dataset, cell.category
                )[0]
            except Exception as error:
                self._known[key] = failure(error)
        return self._known[key]


def capture_jobs(
    cells: Sequence[Cell], draws: Draws, dataset: Dataset, cache: Path, loading: Loading
) -> list[CaptureJob]:
    """One job per model and category: all normal images and layers of their cells."""
    by_key: dict[Key, list[Cell]] = {}
    for cell in cells:
        by_key.setdefault(key_of(cell), []).append(cell)
    jobs = []
    for key, own in by_key.items():
        drawn = [draw for draw in map(draws.of, own) if isinstance(draw, FewShotDraw)]
        wanted = {name for draw in drawn for name in draw.sample_ids}
        if not wanted:
            continue  # no cell of it can be fitted; each says why
        category = dataset.category(key[1])
        known = category.sample_ids  # frames of a clip in their order
        ids = [*(n for n in known if n in wanted), *sorted(wanted.difference(known))]
        weights = {cell.spec.options.text_weight for cell in own}
        jobs.append(
            CaptureJob(
                key=key,
                spec=own[0].spec,
                dataset=category,
                normal=FewShotDraw.from_listed(ids, category),
                layers=tuple(dict.fromkeys(cell.spec.options.layers for cell in own)),
                with_text=any(weight is None or weight > 0 for weight in weights),
                cache=cache,
                loading=loading,
            )
        )
    return jobs


def key_of(cell: Cell) -> Key:
    """Model and category of a cell, as the grid names them."""
    return str(cell.values["model"]), cell.category


def capture(job: CaptureJob) -> Captured:
    """Capture what a job names; a failure is a result too, so that other jobs go on."""
    try:
        return _capture(job)
    except Exception as error:
        return Captured(job.key, failure(error))


def _capture(job: CaptureJob) -> Captured:
    spec = job.spec
    model = _load(
        spec.model, spec.pretrained, spec.device, spec.precision, spec.image_size, spec.aspect
    )
    points: dict[Layers, tuple[str, ...] | str] = {}
    for layers in job.layers:
        try:
            points[layers] = layer_points(model, layers, spec.options.streams)
        except Exception as error:
            points[layers] = failure(error)
    found = [own for own in points.values() if not isinstance(own, str)]
    if not found:
        return Captured(job.key, "no layer", points)
    no_text = (text_obstacle(model) or "") if job.with_text else ""
    with_text = job.with_text and not no_text
    data = capture_study(
        model,
        job.normal,
        job.dataset,
        options=replace(spec.options, text_weight=None if with_text else 0),
        points=list(dict.fromkeys(point for own in found for point in own)),
        cache=job.cache,
        loading=job.loading,
    )
    return Captured(job.key, replace(data, model=None), points, no_text)


@lru_cache(maxsize=1)
def _load(
    name: str,
    pretrained: str | bool | None,
    device: str,
    precision: str,
    image_size: tuple[int, int] | None,
    aspect: str,
) -> VisionModel:
    """Keep the model between the categories of one process: they come one after the other."""
    spec = RunSpec("", "", name, pretrained, image_size, precision, device, aspect=aspect)
    return spec.load_model()


def forget_models() -> None:
    """Let go of the model that this process captured with."""
    _load.cache_clear()
