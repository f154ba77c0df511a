"""Scoring images with one detector, or with several of one tower in a single pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lakeviz.activations import Images, Loading, TokenBatch, TokenBatches, token_grid
from lakeviz.lake.fitted import FittedLake
from lakeviz.lake.score_maps import ScoreMaps, join_layers, stack_parts, to_grid

CONTROL_PREFIX = "control/"


def score_together(
    lakes: Sequence[FittedLake],
    images: Images,
    *,
    loading: Loading | None = None,
    preprocessed: bool = False,
) -> list[ScoreMaps]:
    """Score images with several detectors of one tower: each image passes it once.

    Parameters
    ----------
    lakes : sequence of Lake
        Fitted, of one model and equal settings but for the normal images. The maps of single hook
        points are kept of the first alone.
    images, loading, preprocessed
        See :class:`lakeviz.activations.TokenBatches`.

    Returns
    -------
    list of ScoreMaps
        In the order of ``lakes``.

    Raises
    ------
    NotFittedError
        Before one was fitted.
    DataError
        If there is no image.
    ActivationError
        On NaN or infinite activations.
    """
    first = lakes[0]
    for lake in lakes:
        lake.visual  # noqa: B018 - raises if not fitted
    points = list(first.points)
    if first.text is not None and first.text.point not in points:
        points.append(first.text.point)
    batches = TokenBatches(
        first.model,
        images,
        points,
        loading=loading,
        run_on=first.text is not None,
        label="score",
        preprocessed=preprocessed,
    )
    found = [_Scored(lake) for lake in lakes]
    ids: list[str] = []
    sizes: list[tuple[int, int]] = []
    text_maps, text_images = [], []
    for batch in batches:
        ids.extend(batch.sample_ids)
        sizes.extend(batch.sizes)
        for number, one in enumerate(found):
            one.add(batch, layers=number == 0)
        if first.text is not None:
            text_maps.append(_text_maps(first, batch, found[0].grid))
            if batch.output is not None:
                text_images.append(first.text.probability(batch.output).cpu().numpy())
    # Prompts know nothing of the normal images: the text branch is the same for all detectors.
    text = np.concatenate(text_maps) if text_maps else None
    text_image = np.concatenate(text_images) if text_images else None
    made = [one.maps(ids, sizes, text, text_image, batches.skipped) for one in found]
    for maps in made:
        maps.picture = batches.picture
    return made


def fuse(lake: FittedLake, visual: np.ndarray, text: np.ndarray | None) -> np.ndarray:
    """``(1 - w) visual + w text``, the method's fusion."""
    if text is None or lake.text_weight == 0:
        return visual
    return (1 - lake.text_weight) * visual + lake.text_weight * text


@dataclass
class _Scored:
    """What one detector made of the batches so far."""

    lake: FittedLake
    parts: list[dict[str, np.ndarray]] = field(default_factory=list)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of its patch maps."""
        return self.parts[-1]["visual"].shape[-2:]

    def add(self, batch: TokenBatch, *, layers: bool) -> None:
        """Maps of one batch: the visual branch, its layers, the controls."""
        lake = self.lake
        maps: dict[str, np.ndarray] = {}
        grids = {p: token_grid(lake.model.tower, p) for p in lake.points}
        for name, branch in lake.branches.items():
            mean, own = join_layers(branch.score(batch.tokens), grids)
            if name != "lake":
                maps[f"{CONTROL_PREFIX}{name}"] = mean.cpu().numpy()
                continue
            maps["visual"] = mean.cpu().numpy()
            if layers:
                maps |= {f"visual/{p}": layer.cpu().numpy() for p, layer in own.items()}
        self.parts.append(maps)

    def maps(
        self,
        ids: list[str],
        sizes: list[tuple[int, int]],
        text: np.ndarray | None,
        text_image: np.ndarray | None,
        skipped: list[tuple[str, str]],
    ) -> ScoreMaps:
        """Put the batches together and fuse them with the text branch."""
        parts = stack_parts(self.parts)
        if text is not None:
            parts["text"] = text
        fused = fuse(self.lake, parts["visual"], text)
        rule = self.lake.options.image_score
        image_parts = {name: rule(part) for name, part in parts.items()}
        if text_image is not None:
            image_parts["text_image"] = text_image
        return ScoreMaps(
            patch=fused,
            parts=parts,
            image_scores=rule(fused),
            image_parts=image_parts,
            sample_ids=ids,
            sizes=sizes,
            smoothing=self.lake.options.smoothing,
            map_size=self.lake.options.map_size,
            skipped=skipped,
        )


def _text_maps(lake: FittedLake, batch: TokenBatch, grid: tuple[int, int]) -> np.ndarray:
    assert lake.text is not None
    point = lake.text.point
    scores = lake.text.score_patches(lake.model, batch.tokens[point], batch.images)
    text = scores.reshape(len(scores), *token_grid(lake.model.tower, point))
    return to_grid(text, grid).cpu().numpy()
