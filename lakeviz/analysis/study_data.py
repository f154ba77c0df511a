"""``StudyData``: one category as every study reads it. Images go through the tower once, here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ChannelStatistics, Loading, token_grid
from lakeviz.analysis.text_maps import TextMaps, text_maps
from lakeviz.analysis.tokens import StudyTokens, capture_tokens
from lakeviz.analysis.yardstick import DEFAULT_BOOTSTRAP, DEFAULT_METRICS, Metric, Yardstick
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.images import image_size
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.lake import (
    LakeOptions,
    Selection,
    VisualBranch,
    fit_text,
    get_selector,
    layer_points,
    select,
)
from lakeviz.lake.maps import join_layers
from lakeviz.lake.options import DEFAULT_TEXT_WEIGHT
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.lake.text import text_obstacle
from lakeviz.lake.truth import Size, Truth
from lakeviz.lake.visual import fit_selections
from lakeviz.metrics import Bootstrap

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

STUDY_MAP_SIZE = (128, 128)
_BATCH = 64  # images restricted and searched at a time


@dataclass(frozen=True)
class StudyData:
    """Captured tokens of one category, its truth, and the settings of the detector under study.

    Make one with :func:`capture_study`, or :meth:`of_arrays` from tokens that are at hand.

    Attributes
    ----------
    category : str
    points : tuple of str
        Hook points of the visual branch.
    normal, test : StudyTokens
        Normal images to fit on, and labelled test images.
    grids : dict of hook point to (rows, columns)
    truth : Truth
        Labels of the test images, and masks at ``map_size``.
    sizes : list of (height, width)
        Of the test images, in pixels.
    options : LakeOptions
        Settings of the detector.
    text : TextMaps, optional
        Where the model has a text branch.
    text_weight : float
        Weight of the text branch in the fused score; 0 without one.
    model : VisionModel, optional
        Needed by forward and weight knock-outs only.
    dataset : Dataset, optional
        The test images, where there are files.
    provenance : dict
        Model, images and fingerprint.
    """

    category: str
    points: tuple[str, ...]
    normal: StudyTokens
    test: StudyTokens
    grids: Mapping[str, tuple[int, int]]
    truth: Truth
    sizes: Sequence[Size]
    options: LakeOptions
    text: TextMaps | None = None
    text_weight: float = 0.0
    model: VisionModel | None = field(default=None, repr=False)
    dataset: Dataset | None = field(default=None, repr=False)
    normal_paths: tuple[Path, ...] = field(default=(), repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        labels = len(self.truth.labels)
        if labels != len(self.test):
            raise DataError(f"{self.category}: {len(self.test)} test images and {labels} labels")
        if len(self.normal) == 0:
            raise DataError(f"{self.category}: there is no normal image to fit on")

    @classmethod
    def of_arrays(
        cls,
        normal: Mapping[str, Float[Tensor, "image patch channel"]],
        test: Mapping[str, Float[Tensor, "image patch channel"]],
        labels: np.ndarray,
        masks: Sequence[np.ndarray] | None = None,
        *,
        grid: tuple[int, int],
        options: LakeOptions | None = None,
        category: str = "category",
        text: TextMaps | None = None,
    ) -> StudyData:
        """Take patch tokens that are at hand, with labels and masks of the test images.

        ``masks`` are at the size of the pixel maps. ``options.k`` is cut to the channels there are.
        """
        n_normal, n_test = (len(next(iter(t.values()))) for t in (normal, test))
        sizes: list[Size] = [(m.shape[0], m.shape[1]) for m in masks] if masks is not None else []
        channels = min(t.shape[-1] for t in normal.values())
        options = options or LakeOptions(k=min(100, channels), text_weight=0)
        ids = [
            [f"{what} {i}" for i in range(n)]
            for what, n in zip(("normal", "test"), (n_normal, n_test))
        ]
        return cls(
            category=category,
            points=tuple(normal),
            normal=StudyTokens.of_patches(normal, ids[0]),
            test=StudyTokens.of_patches(test, ids[1]),
            grids=dict.fromkeys(normal, grid),
            truth=Truth.of_masks(labels, masks),
            sizes=sizes or [grid] * n_test,
            options=options,
            text=text,
            text_weight=0.0 if text is None else _weight(options),
            provenance={"fit": {"sample_ids": ids[0]}, "test": {"n_images": n_test}},
        )

    def view(
        self,
        *,
        images: Sequence[int] | None = None,
        points: Sequence[str] | None = None,
        options: LakeOptions | None = None,
    ) -> StudyData:
        """See the same captured tokens under other settings; nothing is captured or copied.

        Parameters
        ----------
        images : sequence of int, optional
            Normal images to fit on, in this order; all by default.
        points : sequence of str, optional
            Hook points, of those captured; all by default.
        options : LakeOptions, optional
            Other settings, of the same text branch and map size.

        Raises
        ------
        StoreError
            If an image is out of range.
        ConfigError
            If a point was not captured, or the options need another text branch or map size.
        """
        changes: dict[str, Any] = {}
        if images is not None:
            changes["normal"] = self.normal.some(images)
            changes["normal_paths"] = tuple(
                self.normal_paths[i] for i in images if self.normal_paths
            )
            known = self.provenance.get("fit", {}).get("sample_ids", self.normal.sample_ids)
            fit = {"n_images": len(images), "sample_ids": [known[i] for i in images]}
            changes["provenance"] = {**self.provenance, "fit": fit}
        if points is not None:
            missing = [p for p in points if p not in self.points]
            if missing or not points:
                raise ConfigError(
                    f"{self.category}: {missing[0] if missing else 'no point'} was not captured; "
                    f"there are {', '.join(self.points)}"
                )
            changes["points"] = tuple(points)
        if options is not None:
            if (options.map_size, options.text) != (self.options.map_size, self.options.text):
                raise ConfigError(
                    f"{self.category}: a view has the map size and text branch of its capture"
                )
            none = options.text_weight is None and self.text is None
            changes |= {"options": options, "text_weight": 0.0 if none else _weight(options)}
        return replace(self, **changes)

    # --- selections and branches ---

    def n_channels(self, point: str) -> int:
        """Number of channels of a hook point."""
        return self.statistics[point].n_channels

    @cached_property
    def statistics(self) -> dict[str, ChannelStatistics]:
        """Statistics, with covariance, of the normal patch tokens at each point."""
        return self.statistics_of(None)

    @cached_property
    def _statistics_with_tokens(self) -> dict[str, ChannelStatistics]:
        return self.statistics_of(None, with_tokens=True)

    def statistics_of(
        self, images: Sequence[int] | None, *, with_tokens: bool = False
    ) -> dict[str, ChannelStatistics]:
        """Statistics, with covariance, of some of the normal images (all: None).

        ``with_tokens`` keeps the tokens too, for selectors that need them.
        """
        return {
            p: ChannelStatistics(p, with_covariance=True, with_tokens=with_tokens).update(
                self.normal.patches(p, images)
            )
            for p in self.points
        }

    def select(
        self,
        k: int,
        selector: str = "variance",
        seed: int = 0,
        statistics: Mapping[str, ChannelStatistics] | None = None,
    ) -> dict[str, Selection]:
        """Select ``k`` neurons (or dimensions) at each point, from the normal images.

        Raises
        ------
        SelectionError
            If ``k`` is out of range or the selector is unknown.
        ActivationError
            If statistics are given without the tokens a selector needs.
        """
        if statistics is None and get_selector(selector).needs_tokens:
            statistics = self._statistics_with_tokens
        found = statistics or self.statistics
        return {p: select(found[p], k, selector, seed=seed) for p in self.points}

    def branches(
        self,
        selections: Sequence[Mapping[str, Selection]],
        images: Sequence[int] | None = None,
        statistics: Mapping[str, ChannelStatistics] | None = None,
    ) -> list[VisualBranch]:
        """Remember normal tokens (of some images, or all) in the channels of each selection."""
        if not selections:
            raise SelectionError(f"{self.category}: no selection was given")
        tokens = {p: self.normal.patches(p, images) for p in self.points}
        # As in a detector, the seed of the options is that of the coresets too.
        names = [(next(iter(s.values())).selector, self.options.seed) for s in selections]
        return fit_selections(
            [tokens], statistics or self.statistics, selections, self.options.visual, names
        )

    def batches(self) -> Iterator[tuple[slice, dict[str, Float[Tensor, "image patch channel"]]]]:
        """Yield the test tokens of all points, some images at a time."""
        for start in range(0, len(self.test), _BATCH):
            rows = slice(start, min(start + _BATCH, len(self.test)))
            yield rows, {p: self.test.patches(p, rows) for p in self.points}

    def visual_maps(
        self, branches: Sequence[VisualBranch]
    ) -> list[Float[np.ndarray, "image row column"]]:
        """Score the test images with each branch: patch maps, averaged over the points.

        The test tokens are read once for all branches.
        """
        parts: list[list[np.ndarray]] = [[] for _ in branches]
        with torch.inference_mode():
            for _, tokens in self.batches():
                for branch, maps in zip(branches, parts, strict=True):
                    scores = branch.score({p: tokens[p] for p in branch.points})
                    maps.append(join_layers(scores, self.grids)[0].cpu().numpy())
        return [np.concatenate(maps) for maps in parts]

    def fuse(
        self, visual: Float[np.ndarray, "image row column"], text_weight: float | None = None
    ) -> Float[np.ndarray, "image row column"]:
        """``(1 - w) visual + w text``; the visual maps themselves where ``w`` is 0.

        Raises
        ------
        ConfigError
            If there is no text branch and the weight is not 0.
        """
        w = self.text_weight if text_weight is None else text_weight
        if w == 0:
            return visual
        if self.text is None:
            raise ConfigError(
                f"{self.category}: a text weight of {w} needs a text branch, and there is none"
            )
        return (1 - w) * visual + w * self.text.patch

    # --- measuring ---

    def yardstick(
        self,
        metrics: Sequence[Metric] = DEFAULT_METRICS,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    ) -> Yardstick:
        """Make the yardstick of this category's test images, by the detector's settings."""
        return Yardstick(
            truth=self.truth,
            map_size=self.options.map_size,
            sizes=self.sizes,
            metrics=tuple(metrics),
            bootstrap=bootstrap,
            image_score=self.options.image_score,
            smoothing=self.options.smoothing,
        )

    def describe(
        self, study: str, settings: Mapping[str, Any], yardstick: Yardstick | None = None
    ) -> dict[str, Any]:
        """Provenance of a result of this data: what :class:`StudyResult` carries."""
        shared = {n: v for n, v in self.provenance.items() if n not in ("fit", "test")}
        own = {n: v for n, v in self.provenance.items() if n in ("fit", "test")}
        made = {
            "study": study,
            "settings": as_plain(dict(settings)),
            "versions": versions(),
            "options": as_plain(self.options),
            "points": list(self.points),
            "text_weight": self.text_weight,
            **as_plain(shared),
            "categories": {self.category: as_plain(own)},
        }
        if yardstick is not None:
            made["bootstrap"] = as_plain(yardstick.bootstrap)
            made["conventions"] = yardstick.conventions.to_dict()
        return made

    def absences(self, yardstick: Yardstick) -> list[str]:
        """Notes on what cannot be measured here, for a result to show."""
        return [
            f"{self.category}: no {level}-level metrics, because {reason}"
            for level, reason in yardstick.reasons.items()
        ]


def capture_study(
    model: VisionModel,
    normal: FewShotDraw | Dataset,
    dataset: Dataset,
    *,
    options: LakeOptions | None = None,
    points: Sequence[int | str] | None = None,
    class_name: str | None = None,
    cache: str | Path | None = None,
    loading: Loading | None = None,
) -> StudyData:
    """Capture what the studies of one category need: each image passes the tower once.

    Parameters
    ----------
    model : VisionModel
    normal : FewShotDraw or Dataset
        Normal images to fit on.
    dataset : Dataset
        Labelled images of one category; its test split where it has splits.
    options : LakeOptions, optional
        Settings of the detector under study. Where ``map_size`` is None, pixel maps are 128 x 128:
        a study measures hundreds of conditions.
    points : sequence of int or str, optional
        Hook points to capture; those of ``options.layers`` by default.
    class_name : str, optional
        What prompts call the thing; the category by default.
    cache : path, optional
        Folder of activation stores, shared by all studies; in memory without it.
    loading : Loading, optional

    Raises
    ------
    DataError
        If there is no image, more than one category, or a normal image that is anomalous or a
        test image.
    StoreError, CaptureTooLargeError
        As :func:`lakeviz.activations.capture_to_store`.
    """
    options = options or LakeOptions()
    if options.map_size is None:
        options = replace(options, map_size=STUDY_MAP_SIZE)
    test = dataset.split("test") if "test" in set(dataset.frame["split"]) else dataset
    _check(normal, test, dataset)
    category = test.categories[0]
    layers = layer_points(model, points if points is not None else options.layers)
    weight = _text_weight(model, options)
    wanted = list(layers)
    text = None
    if weight > 0:
        name = class_name or category.replace("_", " ")
        text = fit_text(model, name, options.text)
        last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
        wanted = list(dict.fromkeys([*wanted, text.point, last]))
    normal_images = normal.paths if isinstance(normal, FewShotDraw) else normal
    fitted = capture_tokens(model, normal_images, layers, cache=cache, loading=loading)
    captured = capture_tokens(model, test, wanted, cache=cache, loading=loading)
    scored = None
    if text is not None:
        scored = text_maps(model, text, captured, test, cache=cache, loading=loading)
    sizes = [image_size(path) for path in test.paths]
    grids = {p: token_grid(model.tower, p) for p in layers}
    ids = list(normal.sample_ids)
    return StudyData(
        category=category,
        points=layers,
        normal=fitted,
        test=captured,
        grids=grids,
        truth=Truth.of_dataset(test, sizes, options.map_size),
        sizes=sizes,
        options=options,
        text=scored,
        text_weight=weight,
        model=model,
        dataset=test,
        normal_paths=tuple(normal.paths),
        provenance={
            "model": model.describe(),
            "class_name": None if text is None else text.class_name,
            "fit": {"n_images": len(ids), "sample_ids": ids, "seed": getattr(normal, "seed", None)},
            "test": {"name": test.name, "n_images": len(test), "fingerprint": test.fingerprint},
        },
    )


def _check(normal: FewShotDraw | Dataset, test: Dataset, dataset: Dataset) -> None:
    if len(test) == 0:
        raise DataError(f"{dataset.name} has no test image")
    if len(test.categories) != 1:
        raise DataError(
            f"a study is of one category; {dataset.name} has {len(test.categories)}: choose one "
            "with .category(name)"
        )
    if isinstance(normal, Dataset) and normal.labels.any():
        raise DataError(
            f"{int(normal.labels.sum())} of the {len(normal)} images to fit on are anomalous; pass "
            "dataset.normal() or a few-shot draw"
        )
    both = set(normal.sample_ids) & set(test.sample_ids)
    if both:
        raise DataError(f"{sorted(both)[0]} is a test image, which fitting must not see")


def _weight(options: LakeOptions) -> float:
    return DEFAULT_TEXT_WEIGHT if options.text_weight is None else options.text_weight


def _text_weight(model: VisionModel, options: LakeOptions) -> float:
    """Weight of the text branch: 0 where none was named and the model cannot have one."""
    if options.text_weight is None and text_obstacle(model):
        return 0.0
    return _weight(options)
