"""What the text branch says of the test images: computed once, kept beside the activations."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from lakeviz.activations import Loading, TokenBatches, store_key, token_grid
from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.data import Dataset
from lakeviz.errors import StoreError
from lakeviz.files import read_arrays, write_arrays
from lakeviz.lake import TextBranch
from lakeviz.lake.provenance import as_plain

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

_BATCH = 64  # images projected at a time
_FOLDER = "text"


@dataclass(frozen=True)
class TextMaps:
    """Probability of "anomalous" of each patch, and of the image embedding, of the test images."""

    patch: Float[np.ndarray, "image row column"]
    image: Float[np.ndarray, " image"]


def text_maps(
    model: VisionModel,
    text: TextBranch,
    tokens: CapturedTokens,
    test: Dataset,
    *,
    cache: str | Path | None = None,
    loading: Loading | None = None,
) -> TextMaps:
    """Score the test images with the text branch, from stored tokens where they suffice.

    ``tokens`` are of the test images, at the branch's point and after the last block. In ``cache``,
    a folder of activation stores, the maps are kept bound to the model, the images, the class name
    and the settings of the branch.
    """
    if cache is None:
        return _score(model, text, tokens, test, loading)
    key = store_key(model, test, [text.point], tokens="all").as_json()
    asked = [key, text.class_name, as_plain(text.options), text.logit_scale]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    path = Path(cache) / _FOLDER / f"{digest[:16]}.safetensors"
    with suppress(StoreError, KeyError):  # missing or damaged: made again
        kept = read_arrays(path)
        return TextMaps(kept["patch"], kept["image"])
    made = _score(model, text, tokens, test, loading)
    write_arrays(path, {"patch": made.patch, "image": made.image})
    return made


def _score(
    model: VisionModel,
    text: TextBranch,
    tokens: CapturedTokens,
    test: Dataset,
    loading: Loading | None,
) -> TextMaps:
    last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
    grid = token_grid(model.tower, text.point)
    patch, image = [], []
    with torch.inference_mode():
        for start in range(0, len(tokens), _BATCH):
            rows = slice(start, start + _BATCH)
            output, _ = model.tower.run_from(last, tokens.all(last, rows))
            output = output[0] if isinstance(output, tuple) else output
            image.append(text.probability(output).cpu().numpy())
            if text.options.attention == "plain":
                projected = model.project_patches(tokens.patches(text.point, rows))
                patch.append(text.probability(projected).cpu().numpy())
        if text.options.attention != "plain":  # a parallel path, which starts from the images
            for batch in TokenBatches(model, test, [text.point], loading=loading):
                scores = text.score_patches(model, batch.tokens[text.point], batch.images)
                patch.append(scores.cpu().numpy())
    maps = np.concatenate(patch)
    return TextMaps(maps.reshape(len(maps), *grid), np.concatenate(image))
