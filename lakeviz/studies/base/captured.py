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

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.data import Dataset
from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.journal import Journal, fingerprint
from lakeviz.lake import LakeOptions, Selection, VisualBranch, get_selector
from lakeviz.lake.dropping import drop_channels, gallery_tokens
from lakeviz.lake.ground_truth import Size, Truth
from lakeviz.lake.joint_selection import select_points
from lakeviz.lake.layers import with_k
from lakeviz.lake.outliers import Outliers, outlier_report
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP, DEFAULT_METRICS, PairedEvaluator
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import fit_selections
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.clips import over_clips
from lakeviz.metrics.measurement import Metric
from lakeviz.studies.base.text_maps import TextMaps

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.units import Units

_BATCH = 64  # images restricted and searched at a time


@dataclass(frozen=True)
class StudyData:
    """Captured tokens of one category, its truth, and the settings of the detector under study.

    Make one with :func:`.study_capture.capture_study`, or :meth:`of_arrays` from tokens that are at
    hand.

    Attributes
    ----------
    category : str
    points : tuple of str
        Hook points of the visual branch.
    normal, test : CapturedTokens
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
    behind : tuple of VisionModel and mapping of hook point to Units, optional
        The model and the units that the tokens are activations of; an exchange runs it.
    dataset : Dataset, optional
        The test images, where there are files.
    provenance : dict
        Model, images and fingerprint.
    geometry : Geometry
        Which part of each image the patches cover.
    others : tuple of StudyData
        Other categories, where selections on their normal images are a control.
    journal : Journal, optional
        Keeps what is measured, so that a kill loses none of it.
    """

    category: str
    points: tuple[str, ...]
    normal: CapturedTokens = field(repr=False)
    test: CapturedTokens = field(repr=False)
    grids: Mapping[str, tuple[int, int]] = field(repr=False)
    truth: Truth = field(repr=False)
    sizes: Sequence[Size] = field(repr=False)
    options: LakeOptions
    text: TextMaps | None = field(default=None, repr=False)
    text_weight: float = 0.0
    model: VisionModel | None = field(default=None, repr=False)
    behind: tuple[VisionModel, Mapping[str, Units]] | None = field(default=None, repr=False)
    dataset: Dataset | None = field(default=None, repr=False)
    normal_paths: tuple[Path, ...] = field(default=(), repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    geometry: Geometry = SQUASH
    others: tuple[StudyData, ...] = field(default=(), repr=False)
    journal: Journal | None = field(default=None, repr=False, compare=False)

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
        """Take patch tokens at hand, with labels, and masks of the size of the pixel maps."""
        n_normal, n_test = (len(next(iter(t.values()))) for t in (normal, test))
        sizes: list[Size] = [(m.shape[0], m.shape[1]) for m in masks] if masks is not None else []
        options = options or LakeOptions(text_weight=0)
        options = with_k(options, [t.shape[-1] for t in normal.values()])
        ids = [
            [f"{what} {i}" for i in range(n)]
            for what, n in zip(("normal", "test"), (n_normal, n_test))
        ]
        return cls(
            category=category,
            points=tuple(normal),
            normal=CapturedTokens.of_patches(normal, ids[0]),
            test=CapturedTokens.of_patches(test, ids[1]),
            grids=dict.fromkeys(normal, grid),
            truth=Truth.of_masks(labels, masks),
            sizes=sizes or [grid] * n_test,
            options=options,
            text=text,
            text_weight=0.0 if text is None else options.weight_with_text,
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
            paths = self.normal_paths
            changes["normal_paths"] = tuple(paths[i] for i in images if paths)
            fit = {"n_images": len(images), "sample_ids": [self.normal_names[i] for i in images]}
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
            changes |= {
                "options": options,
                "text_weight": 0.0 if none else options.weight_with_text,
            }
        return replace(self, **changes)

    @property
    def normal_names(self) -> list[str]:
        """Names of the normal images that do not depend on where the files lie, if there are."""
        known = self.provenance.get("fit", {}).get("sample_ids", ())
        return list(known if len(known) == len(self.normal) else self.normal.sample_ids)

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

        ``with_tokens`` keeps the tokens too, for selectors that need them. Massive tokens and
        channels are dropped as the options say.
        """
        found = RunningStatistics(
            self.points,
            with_covariance=True,
            with_tokens=with_tokens,
            ordinary=self.options.drops_from_selection,
        )
        for point in self.points:  # one at a time, so that only one is read into memory
            found.update_point(point, self.normal.patches(point, images))
        drop_channels(found, self.options)
        return found

    @cached_property
    def outliers(self) -> Outliers:
        """Report on massive channels and tokens among the normal images."""
        reports = [
            outlier_report({p: self.statistics[p]}, {p: self.normal.patches(p)}, self.grids)
            for p in self.points
        ]
        return Outliers(tuple(one for report in reports for one in report.points))

    def select(
        self,
        k: int,
        selector: str = "variance",
        seed: int = 0,
        statistics: Mapping[str, ChannelStatistics] | None = None,
    ) -> dict[str, Selection]:
        """Select ``k`` neurons (or dimensions) at each point, from the normal images.

        Where the detector selects jointly, ``k`` of all points together; a point that gets none is
        left out, and asking the selections for it is an error.

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
        return select_points(
            {p: found[p] for p in self.points},
            k,
            selector,
            seed=seed,
            scope=self.options.selection_scope,
        )

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
            gallery_tokens([tokens], self.options),
            statistics or self.statistics,
            selections,
            self.options.visual,
            names,
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

        The test tokens are read once for all branches; maps that the journal holds are taken.
        """
        if (journal := self.journal) is None:
            return self._visual_maps(branches)
        keys = [[self.identity, {p: v.identity for p, v in b.points.items()}] for b in branches]
        found = journal.keep_all(
            keys, lambda rows: [{"maps": m} for m in self._visual_maps([branches[i] for i in rows])]
        )
        return [one["maps"] for one in found]

    def _visual_maps(
        self, branches: Sequence[VisualBranch]
    ) -> list[Float[np.ndarray, "image row column"]]:
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

    def evaluator(
        self, metrics: Sequence[Metric] = DEFAULT_METRICS, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
    ) -> PairedEvaluator:
        """Make the evaluator of this category's test images, by the detector's settings."""
        return PairedEvaluator(
            truth=self.truth,
            map_size=self.options.map_size,
            sizes=self.sizes,
            metrics=tuple(metrics),
            bootstrap=over_clips(bootstrap, self.dataset.frames if self.dataset else ()),
            image_score=self.options.image_score,
            smoothing=self.options.smoothing,
            journal=self.journal,
            geometry=self.geometry,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of what scores of these data depend on, within one run."""
        own = [self.category, self.points, self.normal.sample_ids, self.test.sample_ids]
        own += [as_plain(self.options), self.text_weight, as_plain(dict(self.provenance))]
        return fingerprint(own)

    def describe(
        self, study: str, settings: Mapping[str, Any], evaluator: PairedEvaluator | None = None
    ) -> dict[str, Any]:
        """Provenance of a result of this data: what :class:`StudyResult` carries."""
        shared = dict(self.provenance)
        own = {name: shared.pop(name) for name in ("fit", "test") if name in shared}
        made = {
            "study": study,
            "settings": as_plain(dict(settings)),
            "versions": versions(),
            "options": as_plain(self.options),
            "points": list(self.points),
            "text_weight": self.text_weight,
            **as_plain(shared),
            "categories": {self.category: as_plain(own) | {"outliers": self.outliers.to_plain()}},
        }
        if evaluator is not None:
            made["bootstrap"] = as_plain(evaluator.bootstrap.settings)
            made["conventions"] = evaluator.conventions.to_dict()
        return made

    def absences(self, evaluator: PairedEvaluator) -> list[str]:
        """Notes of a result: what cannot be measured here, and a channel that dominates."""
        notes = [
            f"{self.category}: no {level}-level metrics, because {reason}"
            for level, reason in evaluator.reasons.items()
        ]
        warning = self.outliers.warning()
        return notes + ([f"{self.category}: {warning}"] if warning else [])
