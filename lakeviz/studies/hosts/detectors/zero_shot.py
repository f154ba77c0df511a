"""The text-only host: CLIP with the prompt ensemble, without a single normal image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lakeviz.activations import select_tokens
from lakeviz.errors import ConfigError, HostError
from lakeviz.lake import fit_text
from lakeviz.lake.text import text_obstacle
from lakeviz.studies.base.unit_data import class_name_of
from lakeviz.studies.hosts.detectors.protocol import HostScores
from lakeviz.studies.hosts.detectors.winclip import batches, model_of

if TYPE_CHECKING:
    from lakeviz.lake import TextBranch
    from lakeviz.studies.base.captured import StudyData

_RULES = ("embedding", "map")


class ZeroShotHost:
    """Zero-shot CLIP: how much more a patch resembles the anomalous prompts than the normal ones.

    It is the text branch of lakeviz alone, with the settings of the study.

    Parameters
    ----------
    image : str
        Image scores: ``"embedding"``, the probability of "anomalous" of the image embedding, or
        ``"map"``, the detector's rule on the patch map.

    Raises
    ------
    ConfigError
        On another image rule.
    """

    name = "zero_shot"

    def __init__(self, image: str = "embedding") -> None:
        if image not in _RULES:
            raise ConfigError(f"image scores come from {' or '.join(_RULES)}, not {image!r}")
        self.image = image
        self.text: TextBranch | None = None

    def describe(self) -> dict[str, Any]:
        """Settings as plain values."""
        return {"name": self.name, "image": self.image, "wraps": "lakeviz.lake.text.TextBranch"}

    def prepare(self, data: StudyData, images: Sequence[int]) -> ZeroShotHost:
        """Encode the prompts of the category; normal images play no part.

        Raises
        ------
        HostError
            If the study was captured without a text branch, or its model cannot have one.
        """
        model = model_of(data, self.name)
        obstacle = text_obstacle(model)
        if obstacle:
            raise HostError(f"zero_shot: {obstacle}")
        if data.text is None:
            raise HostError(
                f"zero_shot: {data.category} was captured with text_weight=0, so without the text "
                "branch; capture it with another weight"
            )
        self.text = fit_text(model, class_name_of(data), data.options.text)
        return self

    def score_images(
        self, data: StudyData, images: Sequence[int], *, normal: bool = False
    ) -> HostScores:
        """Score some of the test images (captured already), or of the normal ones."""
        chosen = list(images)
        if not normal:
            assert data.text is not None
            maps = data.text.patch[chosen]
            return self._scores(maps.reshape(len(maps), -1), data.text.image[chosen])
        model, text = model_of(data, self.name), self.text
        assert text is not None
        patch, whole = [], []
        with torch.inference_mode():
            for batch in batches(model, [data.normal_paths[i] for i in chosen]):
                output, cache = model.tower.run_with_cache(
                    batch, names_filter=[text.point], stop_at=None
                )
                tokens = select_tokens(model.tower, text.point, cache[text.point])
                patch.append(text.score_patches(model, tokens, batch).cpu().numpy())
                output = output[0] if isinstance(output, tuple) else output
                whole.append(text.probability(output).cpu().numpy())
        return self._scores(np.concatenate(patch), np.concatenate(whole))

    def _scores(self, patch: np.ndarray, image: np.ndarray) -> HostScores:
        of_image = image.astype(np.float64) if self.image == "embedding" else None
        return HostScores(patch.astype(np.float64), of_image)
