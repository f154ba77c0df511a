"""Pairs of a defect image and its twin without the defect, ready for the tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lakeviz.data import Dataset, load_image
from lakeviz.data.inpainting import inpaint
from lakeviz.data.synthetic.benchmark import twin_of
from lakeviz.errors import ConfigError, DataError
from lakeviz.models.preprocess import Preprocess
from lakeviz.studies.patching.words import INPAINTED, NEAREST, RENDERED

SHARE = 0.05
"""Of the patches of an image without a mask, those of the highest score stand for its defect."""


@dataclass
class NearestPatches:
    """Cuts the pixels of nearest normal patches into an image.

    ``normal`` are the tokens of the normal images at one hook point; ``tokens`` gives those of a
    test image by its number.
    """

    paths: Sequence[Path]
    normal: Float[Tensor, "image patch channel"]
    tokens: Callable[[int], Float[Tensor, "patch channel"]]
    grid: tuple[int, int]
    preprocess: Preprocess
    notes: tuple[str, ...] = ()

    @cached_property
    def _pictures(self) -> Float[Tensor, "image 3 height width"]:
        return torch.stack([self.preprocess(load_image(path)) for path in self.paths])

    def twin(
        self, number: int, image: Float[Tensor, "3 height width"], is_defect: Bool[Tensor, " patch"]
    ) -> Float[Tensor, "3 height width"]:
        """Image whose defect patches show the normal patches of the largest cosine similarity."""
        height, width = self._cell(image)
        known = F.normalize(self.normal.float().flatten(0, 1), dim=-1)
        seen = F.normalize(self.tokens(number).float(), dim=-1)
        made, columns = image.clone(), self.grid[1]
        for patch in is_defect.nonzero().flatten().tolist():
            found = int((known @ seen[patch]).argmax())
            source, other = divmod(found, self.grid[0] * columns)
            (y, x), (v, u) = divmod(patch, columns), divmod(other, columns)
            cut = self._pictures[
                source, :, v * height : (v + 1) * height, u * width : (u + 1) * width
            ]
            made[:, y * height : (y + 1) * height, x * width : (x + 1) * width] = cut
        return made

    def _cell(self, image: Tensor) -> tuple[int, int]:
        sides = list(zip(image.shape[-2:], self.grid, strict=True))
        if any(side % n for side, n in sides):
            raise ConfigError(
                f"twins of nearest patches need patches that divide the picture, and {self.grid} "
                f"of {tuple(image.shape[-2:])} pixels do not; use inpainted twins"
            )
        (height, width) = (side // n for side, n in sides)
        return height, width


@dataclass(frozen=True)
class Pairs:
    """Defect images and their twins, preprocessed, and the patches that the mask covers.

    ``kind`` is ``"rendered"``: the twin is the same picture without its defect; ``"inpainted"``:
    approximate, the masked region filled from a normal image; or ``"nearest"``: approximate, each
    defect patch replaced by the normal patch whose token is nearest.
    """

    names: tuple[str, ...]
    kind: str
    defects: Float[Tensor, "pair 3 height width"]
    twins: Float[Tensor, "pair 3 height width"]
    is_defect: Bool[Tensor, "pair patch"]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = [tuple(one.shape[2:]) for one in (self.defects, self.twins)]
        if sizes[0] != sizes[1]:
            raise DataError(
                f"defect images are {sizes[0]} and their twins {sizes[1]}; a pair has one size"
            )

    def __len__(self) -> int:
        return len(self.names)


def make_pairs(
    dataset: Dataset,
    normal_paths: Sequence,
    preprocess: Preprocess,
    is_defect: Bool[np.ndarray, "image patch"],
    *,
    n_pairs: int,
    twins: str = "auto",
    nearest: NearestPatches | None = None,
    seed: int = 0,
) -> Pairs:
    """Make at most ``n_pairs`` pairs, drawn by the seed, of the anomalous images that have a mask.

    ``is_defect`` are the patches that a mask covers, see
    :class:`~lakeviz.studies.neurons.patch_labels.PatchTruth`; inpainting takes pixels from
    ``normal_paths``. ``twins`` is one of :data:`TWINS`; ``"auto"`` renders where the images are
    those of the synthetic benchmark, and inpaints elsewhere.
    """
    rows = np.flatnonzero(is_defect.any(axis=1))
    if not len(rows):
        raise DataError(
            f"{dataset.name} has no anomalous image with a mask that the tower sees, and a pair is "
            "of a known defect"
        )
    left_out = int(dataset.labels.sum()) - len(rows)
    rows = sorted(np.random.default_rng(seed).permutation(rows)[:n_pairs].tolist())
    if twins == NEAREST:
        assert nearest is not None
        return _of_nearest(dataset, rows, is_defect, preprocess, nearest)
    normal, made, kinds = [load_image(path) for path in normal_paths], [], set()
    for row in rows:
        path = dataset.paths[row]
        image = np.asarray(load_image(path))
        mask = dataset.mask(row, image.shape[:2])
        twin = None if twins == INPAINTED else twin_of(path, image)
        if twin is None and twins == RENDERED:
            raise ConfigError(
                f"{path} is no picture of the synthetic benchmark; use inpainted twins"
            )
        kinds.add(INPAINTED if twin is None else RENDERED)
        made.append((image, inpaint(image, mask, normal) if twin is None else twin))
    names = dataset.sample_ids
    notes = (
        (f"{left_out} anomalous images have no mask that the tower sees, and no pair",)
        if left_out
        else ()
    )
    defects, shown = (
        torch.stack([preprocess(Image.fromarray(one[side])) for one in made]) for side in (0, 1)
    )
    return Pairs(
        tuple(names[row] for row in rows),
        "rendered and inpainted" if len(kinds) > 1 else kinds.pop(),
        defects,
        shown,
        torch.from_numpy(is_defect[rows]),
        notes,
    )


def _of_nearest(
    dataset: Dataset,
    rows: Sequence[int],
    is_defect: Bool[np.ndarray, "image patch"],
    preprocess: Preprocess,
    nearest: NearestPatches,
) -> Pairs:
    defects = torch.stack([preprocess(load_image(dataset.paths[row])) for row in rows])
    chosen = torch.from_numpy(is_defect[list(rows)])
    made = zip(rows, defects, chosen, strict=True)
    shown = torch.stack([nearest.twin(row, image, where) for row, image, where in made])
    names = tuple(dataset.sample_ids[row] for row in rows)
    return Pairs(names, NEAREST, defects, shown, chosen, nearest.notes)
