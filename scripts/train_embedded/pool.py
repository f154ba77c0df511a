"""The training pictures: a pool rendered once, held in memory as bytes, augmented by symmetry."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from captions import NORMAL

from lakeviz.data.synthetic.benchmark import DEFECT_TYPES, TRAINED, render_sample


@dataclass(frozen=True)
class Pool:
    """Rendered pictures with masks, category index and state."""

    images: np.ndarray  # uint8 [picture, height, width, 3]
    masks: np.ndarray  # bool [picture, height, width]
    category: np.ndarray
    state: np.ndarray


def _render(index: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    category = index % len(TRAINED)
    turn = index // len(TRAINED)
    state = NORMAL if turn % 2 == 0 else (turn // 2) % len(DEFECT_TYPES)
    kind = "good" if state == NORMAL else DEFECT_TYPES[state]
    sample = render_sample(TRAINED[category], "pretraining", index, kind, size=size, seed=seed)
    return sample.image, sample.mask, category, state


def render_pool(n: int, size: int, seed: int, workers: int) -> Pool:
    """Render ``n`` pictures of the trained categories, half of them defective."""
    with ProcessPoolExecutor(workers) as executor:
        rendered = list(
            executor.map(partial(_render, size=size, seed=seed), range(n), chunksize=256)
        )
    images, masks, category, state = zip(*rendered, strict=True)
    return Pool(np.stack(images), np.stack(masks), np.array(category), np.array(state))


def symmetries(
    rng: np.random.Generator, images: np.ndarray, masks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn and flip a whole batch by one random symmetry of the square."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    images, masks = np.rot90(images, turns, (1, 2)), np.rot90(masks, turns, (1, 2))
    if flip:
        images, masks = images[:, :, ::-1], masks[:, :, ::-1]
    return np.ascontiguousarray(images), np.ascontiguousarray(masks)


def windows(
    rng: np.random.Generator, images: np.ndarray, masks: np.ndarray, side: int, patch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a window of ``side`` x ``side`` patches from each picture, over its defect if it has one.

    Most of the training sees such windows only: less than half the tokens, hence half the time.

    Returns
    -------
    images, masks : arrays [picture, side * patch, side * patch, ...]
    token : int array [picture, side * side]
        Where each patch of the window lies among the patches of the whole picture.
    """
    b, pixels = masks.shape[:2]
    grid = pixels // patch
    corner = rng.integers(0, grid - side + 1, size=(b, 2))
    for i in np.flatnonzero(masks.any((1, 2))):
        middle = np.argwhere(masks[i]).mean(0) // patch
        corner[i] = np.clip(middle - rng.integers(0, side, 2), 0, grid - side)
    reach = np.arange(side * patch)
    rows, columns = corner[:, 0, None] * patch + reach, corner[:, 1, None] * patch + reach
    picture = np.arange(b)[:, None, None]
    row, column = corner[:, 0, None] + np.arange(side), corner[:, 1, None] + np.arange(side)
    token = (row[:, :, None] * grid + column[:, None, :]).reshape(b, -1)
    cut = (picture, rows[:, :, None], columns[:, None, :])
    return images[cut], masks[cut], token
