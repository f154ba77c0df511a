"""``Lake``: the detector. Fit on a few normal images, score others, evaluate on a labelled set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import Loading, RunningStatistics, TokenBatch, TokenBatches, token_grid
from lakeviz.data import FewShotDraw
from lakeviz.errors import ConfigError, NotFittedError, TextBranchError
from lakeviz.lake.layers import layer_points
from lakeviz.lake.maps import ImageScoreRule, ScoreMaps, stack_parts
from lakeviz.lake.selectors import get_selector
from lakeviz.lake.text import TextBranch, TextOptions, fit_text
from lakeviz.lake.visual import BranchSpec, VisualBranch, VisualOptions, fit_branches

if TYPE_CHECKING:
    from lakeviz.activations.capture import Images
    from lakeviz.data import Dataset
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.models import VisionModel

# Normal tokens up to this size are kept between the two passes of a fit; above it, the images go
# through the tower twice and memory stays flat.
_KEEP_BYTES = 2**30


@dataclass(frozen=True)
class LakeOptions:
    """All settings of a detector but the model; plain data, saved with every result.

    Parameters
    ----------
    k : int
        Neurons selected per hook point.
    layers : tuple of int or str, optional
        Blocks (their ``hook_resid_post``) or hook points; by default those measured best for the
        architecture, see :func:`lakeviz.lake.layers.default_layers`.
    selector : str
        A registered selector.
    text_weight : float, optional
        Share ``w`` of the text branch in ``(1 - w) visual + w text``; by default 0.3, and 0 where
        the tower has no text.
    visual : VisualOptions
    text : TextOptions
    image_score : ImageScoreRule
    smoothing : float
        Gaussian standard deviation on pixel maps, in pixels.
    map_size : (height, width), optional
        Size of pixel maps; the image's own by default.
    seed : int
        Seed of random selectors and of the coreset.
    """

    k: int = 100
    layers: tuple[int | str, ...] | None = None
    selector: str = "variance"
    text_weight: float | None = None
    visual: VisualOptions = field(default_factory=VisualOptions)
    text: TextOptions = field(default_factory=TextOptions)
    image_score: ImageScoreRule = field(default_factory=ImageScoreRule)
    smoothing: float = 0.0
    map_size: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.text_weight is not None and not 0 <= self.text_weight <= 1:
            raise ConfigError(f"the text weight must be between 0 and 1, not {self.text_weight}")
        if self.smoothing < 0:
            raise ConfigError(f"smoothing must be 0 or more pixels, not {self.smoothing}")


DEFAULT_TEXT_WEIGHT = 0.3


class Lake:
    """LAKE on a model: high-variance neurons, a gallery of their normal values, a text check.

    Parameters
    ----------
    model : VisionModel
    k, layers, selector, text_weight, visual, text, image_score, smoothing, map_size, seed
        See :class:`LakeOptions`.

    Raises
    ------
    TextBranchError
        If ``text_weight`` > 0 is asked for on a model without text.

    Examples
    --------
    >>> from lakeviz import Lake, load_model  # doctest: +SKIP
    >>> lake = Lake(load_model("tiny"), k=100)  # doctest: +SKIP
    >>> lake.fit(["normal/1.png"], class_name="wood").score(["test/1.png"])  # doctest: +SKIP
    """

    def __init__(self, model: VisionModel, **options: object):
        self.model = model
        self.options = LakeOptions(**options)  # type: ignore[arg-type]
        self.points = layer_points(model, self.options.layers)
        get_selector(self.options.selector)
        self.text_weight = self._resolve_text_weight()
        self.statistics: RunningStatistics | None = None
        self.normal_ids: list[str] = []
        self.branches: dict[str, VisualBranch] = {}
        self.text: TextBranch | None = None
        self._description: dict[str, Any] | None = None

    @classmethod
    def from_options(cls, model: VisionModel, options: LakeOptions) -> Lake:
        """Build a detector from its settings."""
        return cls(model, **{name: getattr(options, name) for name in options.__dataclass_fields__})

    def _resolve_text_weight(self) -> float:
        wanted = self.options.text_weight
        if wanted is None:
            return DEFAULT_TEXT_WEIGHT if self.model.text is not None else 0.0
        if wanted > 0 and self.model.text is None:
            raise TextBranchError(
                f"text_weight is {wanted}, but {self.model.name} has no text encoder; use "
                "text_weight=0 or a CLIP model"
            )
        return wanted

    @property
    def visual(self) -> VisualBranch:
        """The detector's own visual branch.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        if "lake" not in self.branches:
            raise NotFittedError("this detector is not fitted; call fit(normal images) first")
        return self.branches["lake"]

    def fit(
        self,
        images: Images | FewShotDraw,
        class_name: str | None = None,
        *,
        controls: Sequence[tuple[str, int]] = (),
        loading: Loading | None = None,
    ) -> Lake:
        """Select neurons and remember their normal values.

        Parameters
        ----------
        images : Dataset, paths, few-shot draw, or Tensor [image, 3, height, width]
            At least one normal image.
        class_name : str, optional
            What the prompts call the thing; the draw's category, or "object", by default.
        controls : sequence of (selector, seed)
            Further selections of the same size, fitted in the same pass and scored beside the
            detector's own by :meth:`score`.
        loading : Loading, optional

        Returns
        -------
        Lake
            Itself.
        """
        if isinstance(images, FewShotDraw):
            class_name = class_name or images.category.replace("_", " ")
            images = images.paths
        o = self.options
        specs = {"lake": BranchSpec(o.selector, o.k, o.seed)}
        specs |= {f"{name}#{seed}": BranchSpec(name, o.k, seed) for name, seed in controls}
        covariance = any(get_selector(s.selector).needs_covariance for s in specs.values())
        batches = TokenBatches(self.model, images, self.points, loading=loading, label="fit")
        keep = batches.bytes_per_image() * len(images) <= _KEEP_BYTES
        statistics = RunningStatistics(batches.points, with_covariance=covariance)
        kept, self.normal_ids = [], []
        for batch in batches:
            statistics.update_tokens(batch.tokens)
            self.normal_ids.extend(batch.sample_ids)
            if keep:
                kept.append(batch.tokens)
        normal = kept if keep else (batch.tokens for batch in batches)
        fitted = fit_branches(normal, statistics, list(specs.values()), o.visual)
        self.branches = dict(zip(specs, fitted, strict=True))
        self.statistics = statistics
        if self.model.text is not None:
            self.text = fit_text(self.model, class_name or "object", o.text)
        return self

    def score(self, images: Images, *, loading: Loading | None = None) -> ScoreMaps:
        """Score images: patch maps, image scores, and the parts they are made of.

        Parameters
        ----------
        images : Dataset, paths, or Tensor [image, 3, height, width]
        loading : Loading, optional

        Returns
        -------
        ScoreMaps

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        self.visual  # noqa: B018 - raises if not fitted
        points = list(self.points)
        if self.text is not None and self.text.point not in points:
            points.append(self.text.point)
        batches = TokenBatches(
            self.model,
            images,
            points,
            loading=loading,
            run_on=self.text is not None,
            label="score",
        )
        maps, image_text = [], []
        ids: list[str] = []
        sizes: list[tuple[int, int]] = []
        for batch in batches:
            maps.append(self._score_batch(batch))
            ids.extend(batch.sample_ids)
            sizes.extend(batch.sizes)
            if self.text is not None and batch.output is not None:
                image_text.append(self.text.probability(batch.output).cpu().numpy())
        parts = stack_parts(maps)
        fused = self.fuse(parts["visual"], parts.get("text"))
        rule = self.options.image_score
        image_parts = {name: rule(part) for name, part in parts.items()}
        if image_text:
            image_parts["text_image"] = np.concatenate(image_text)
        return ScoreMaps(
            patch=fused,
            parts=parts,
            image_scores=rule(fused),
            image_parts=image_parts,
            sample_ids=ids,
            sizes=sizes,
            smoothing=self.options.smoothing,
            map_size=self.options.map_size,
            skipped=batches.skipped,
        )

    def fuse(self, visual: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        """``(1 - w) visual + w text``, the method's fusion."""
        if text is None or self.text_weight == 0:
            return visual
        return (1 - self.text_weight) * visual + self.text_weight * text

    def _score_batch(self, batch: TokenBatch) -> dict[str, np.ndarray]:
        """Maps of one batch: the visual branch and its layers, the text branch, the controls."""
        maps: dict[str, np.ndarray] = {}
        for name, branch in self.branches.items():
            layers = {
                point: self._to_grid(scores, point)
                for point, scores in branch.score(batch.tokens).items()
            }
            grid = max(_grid_of(m) for m in layers.values())
            mean = torch.stack([_resize(m, grid) for m in layers.values()]).mean(0)
            if name == "lake":
                maps["visual"] = mean.cpu().numpy()
                maps |= {f"visual/{p}": _resize(m, grid).cpu().numpy() for p, m in layers.items()}
            else:
                maps[f"control/{name}"] = mean.cpu().numpy()
        if self.text is not None:
            resid = batch.tokens[self.text.point]
            scores = self.text.score_patches(self.model, resid, batch.images)
            grid = _grid_of(maps["visual"])
            maps["text"] = _resize(self._to_grid(scores, self.text.point), grid).cpu().numpy()
        return maps

    def _to_grid(
        self, scores: Float[Tensor, "image patch"], point: str
    ) -> Float[Tensor, "image row column"]:
        return scores.reshape(len(scores), *token_grid(self.model.tower, point))

    def describe_model(self) -> dict[str, Any]:
        """Describe the model once; hashing the weights of a large model takes seconds."""
        if self._description is None:
            self._description = self.model.describe()
        return self._description

    def evaluate(self, dataset: Dataset, *, loading: Loading | None = None) -> Evaluation:
        """Score a labelled data set and measure detection and localisation.

        See :func:`lakeviz.lake.evaluation.evaluate`.
        """
        from lakeviz.lake.evaluation import evaluate

        return evaluate(self, dataset, loading=loading)


def _grid_of(maps: Tensor | np.ndarray) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]


def _resize(
    maps: Float[Tensor, "image row column"], grid: tuple[int, int]
) -> Float[Tensor, "image row column"]:
    """Bring maps of a coarser stage (ResNet) to the finest grid; a no-op for ViTs."""
    if maps.shape[-2:] == grid:
        return maps.float()
    return torch.nn.functional.interpolate(maps.float()[:, None], size=grid, mode="bilinear")[:, 0]
