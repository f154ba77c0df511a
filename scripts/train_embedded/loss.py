"""Contrastive losses with many positives: picture against caption, patch against caption."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from captions import NORMAL, Caption, matches

# A patch that a defect barely touches is neither normal nor defective: it is left out.
_COVERED, _UNTOUCHED = 0.12, 0.0


def multi_positive(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence from a uniform target over all true captions, 0 at best.

    Rows without a true caption are skipped.
    """
    total = positive.sum(1)
    keep = total > 0
    target = positive[keep] / total[keep, None]
    entropy = total[keep].log()
    return (-(target * logits[keep].log_softmax(1)).sum(1) - entropy).mean()


def picture_loss(
    image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, positive: torch.Tensor
) -> torch.Tensor:
    """Symmetric picture-caption loss; embeddings are unit vectors [n, joint]."""
    logits = scale * image @ text.T
    return 0.5 * (multi_positive(logits, positive) + multi_positive(logits.T, positive.T))


def sample_patches(
    rng: np.random.Generator,
    masks: np.ndarray,
    category: np.ndarray,
    state: np.ndarray,
    patch: int,
    n: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pick up to ``n`` patches, half of them defective where there are enough.

    Returns
    -------
    index : int array
        Into the flattened [picture, patch] axis.
    category, state : int arrays
        What is true of each.
    """
    b, h, w = masks.shape
    share = masks.reshape(b, h // patch, patch, w // patch, patch).mean((2, 4)).reshape(b, -1)
    defective = np.flatnonzero(share > _COVERED)
    normal = np.flatnonzero(share <= _UNTOUCHED)
    defective = rng.permutation(defective)[: n // 2]
    normal = rng.permutation(normal)[: n - len(defective)]
    index = np.concatenate([defective, normal])
    picture = index // share.shape[1]
    patch_state = np.where(np.arange(len(index)) < len(defective), state[picture], NORMAL)
    return index, category[picture], patch_state


def patch_loss(
    patches: torch.Tensor,
    text: torch.Tensor,
    scale: torch.Tensor,
    category: np.ndarray,
    state: np.ndarray,
    captions: list[Caption],
) -> torch.Tensor:
    """Patch against caption; captions that say nothing of the state are left out of the contest."""
    positive = torch.from_numpy(matches(category, state, captions))
    logits = scale * F.normalize(patches, dim=-1) @ text.T
    return multi_positive(logits, positive)
