"""Hosts that read whole images: anomalib's WinCLIP, and zero-shot CLIP with the prompt ensemble.

WinCLIP runs on the CLIP that is loaded already: anomalib's constructor always fetches one fixed
CLIP; here its model is given ours. Two more things differ, and both are needed with the open_clip
that lakeviz uses: the prompts are tokenised by the model's own tokenizer, and windows are handed to
the transformer in the order it expects (anomalib 2.7 hands them over with images and tokens
exchanged, which open_clip from 2.24 on would read as one attention over all windows). A test holds
that a window over the whole image is the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.activations import select_tokens
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError, HostError
from lakeviz.lake import fit_text
from lakeviz.lake.text import text_obstacle
from lakeviz.studies.base.unit_data import class_name_of
from lakeviz.studies.hosts.detectors.protocol import Adapter, HostScores, require

if TYPE_CHECKING:
    from pathlib import Path

    from lakeviz.lake import TextBranch
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.captured import StudyData

_BATCH = 8  # images; each is some hundred windows


class WinClipHost(Adapter):
    """anomalib's WinCLIP: prompts and normal images against windows of several sizes.

    It reads whole images and embeddings, so it cannot be restricted to channels.

    Parameters
    ----------
    few_shot : bool
        Compare with the normal images too (WinCLIP+); else the prompts alone.
    scales : tuple of int
        Sizes of the windows, in patches.

    Raises
    ------
    HostError
        If anomalib is not installed.
    ConfigError
        If a scale is below 1.
    """

    name = "winclip"
    settings = ("few_shot", "scales")
    wraps = "anomalib.models.image.winclip.torch_model.WinClipModel"

    def __init__(self, few_shot: bool = True, scales: Sequence[int] = (2, 3)) -> None:
        require("anomalib", self.name)
        if not scales or min(scales) < 1:
            raise ConfigError(f"winclip needs windows of 1 patch or more, not {tuple(scales)}")
        self.few_shot, self.scales = few_shot, list(scales)
        self.model: Any = None

    def prepare(self, data: StudyData, images: Sequence[int]) -> WinClipHost:
        """Encode the prompts of the category, and some of its normal images.

        Raises
        ------
        HostError
            If the study has no model, or one that WinCLIP cannot work with; the message says why.
        """
        model = model_of(data, self.name)
        obstacle = _obstacle(model, self.scales)
        if obstacle:
            raise HostError(f"winclip: {obstacle}")
        self.model = _given_clip(model, tuple(self.scales))
        reference = None
        if self.few_shot:
            paths = [data.normal_paths[i] for i in images]
            reference = torch.cat(list(batches(model, paths)))
        with self._tokens_out(), torch.no_grad():
            self.model.setup(class_name_of(data), reference)
        return self

    def score_images(
        self, data: StudyData, images: Sequence[int], *, normal: bool = False
    ) -> HostScores:
        """Score some of the test images, or of the normal ones."""
        model = model_of(data, self.name)
        paths = data.normal_paths if normal else _test_paths(data, self.name)
        patch, whole = [], []
        with self._tokens_out(), torch.inference_mode():
            for batch in batches(model, [paths[i] for i in images]):
                maps, scores = self._score(batch)
                patch.append(maps.flatten(1).double().cpu().numpy())
                whole.append(scores.double().cpu().numpy())
        return HostScores(np.concatenate(patch), np.concatenate(whole))

    def _score(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """As anomalib's forward pass, before it brings the map to the size of the image."""
        utils = import_module("anomalib.models.image.winclip.utils")
        model = self.model
        whole, windows, patches = model.encode_image(batch)
        image = utils.class_scores(whole, model.text_embeddings, model.temperature, target_class=1)
        maps = model._compute_zero_shot_scores(image, windows)
        if model.k_shot:
            compared = model._compute_few_shot_scores(patches, windows)
            maps, image = (maps + compared) / 2, (image + compared.amax(dim=(-2, -1))) / 2
        return maps, image

    @contextmanager
    def _tokens_out(self) -> Iterator[None]:
        """Have the tower return its tokens too, for as long as WinCLIP runs, and no longer."""
        visual = self.model.clip.visual
        before = visual.output_tokens
        visual.output_tokens = True
        try:
            yield
        finally:
            visual.output_tokens = before


def _given_clip(model: VisionModel, scales: tuple[int, ...]) -> Any:
    """Make anomalib's model around a CLIP that is loaded, without its constructor's download."""
    source = import_module("anomalib.models.image.winclip.torch_model")
    ensemble = import_module("anomalib.models.image.winclip.prompting").create_prompt_ensemble

    class GivenClip(source.WinClipModel):  # type: ignore[misc, name-defined]
        clip: Any

        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.clip = model.module
            self.temperature, self.scales = source.TEMPERATURE, scales
            self.class_name, self.reference_images, self.k_shot = None, None, 0
            self.apply_transform = False
            self.grid_size = self.clip.visual.grid_size
            self.register_buffer_list("masks", self._generate_masks(), persistent=False)
            self.register_buffer("_text_embeddings", torch.empty(0))
            empty = [torch.empty(0) for _ in scales]
            self.register_buffer_list("_visual_embeddings", empty)
            self.register_buffer("_patch_embeddings", torch.empty(0))

        def _collect_text_embeddings(self, class_name: str) -> None:
            assert model.text is not None
            means = []
            for prompts in ensemble(class_name):
                tokens = model.text.tokenizer(list(prompts)).to(model.device)
                means.append(self.clip.encode_text(tokens).mean(0, keepdim=True))
            self._text_embeddings = torch.cat(means)

        def _get_window_embeddings(self, feature_map: Tensor, masks: Tensor) -> Tensor:
            transformer = self.clip.visual.transformer
            before = transformer.batch_first
            # The tokens come with the image axis second; told so, the transformer exchanges them.
            transformer.batch_first = not before
            try:
                return super()._get_window_embeddings(feature_map, masks)
            finally:
                transformer.batch_first = before

    return GivenClip().to(model.device).eval()


def _obstacle(model: VisionModel, scales: Sequence[int]) -> str | None:
    """Say why WinCLIP cannot work with a model, or return None if it can."""
    if model.text is None:
        return f"{model.name} has no text encoder, and WinCLIP compares with prompts"
    if model.architecture != "open_clip_vit":
        return (
            f"{model.name} is of architecture {model.architecture}; its windows need open_clip's "
            "own vision transformer"
        )
    visual: Any = getattr(model.module, "visual", None)
    if visual is None or visual.attn_pool is not None or visual.final_ln_after_pool:
        return f"{model.name} pools in a way that WinCLIP's windows do not"
    if min(visual.grid_size) < max(scales):
        rows, columns = visual.grid_size
        return (
            f"the grid of {model.name} is {rows} x {columns} patches, smaller than a window of "
            f"{max(scales)}; choose smaller scales or a larger image size"
        )
    return None


# --- what hosts that read images share ---


def model_of(data: StudyData, host: str) -> VisionModel:
    """The model of a study.

    Raises
    ------
    HostError
        If the study has none: it was made from arrays.
    """
    if data.model is None or not data.normal_paths:
        raise HostError(
            f"{host} reads images, and {data.category} holds tokens alone; make the study with "
            "capture_study"
        )
    return data.model


def _test_paths(data: StudyData, host: str) -> list[Path]:
    if data.dataset is None:
        raise HostError(f"{host} reads images, and {data.category} has no test images on disk")
    return list(data.dataset.paths)


def batches(
    model: VisionModel, paths: Sequence[Path]
) -> Iterator[Float[Tensor, "image 3 height width"]]:
    """Read and preprocess images, some at a time, on the model's device."""
    for batch in ImageBatches(list(paths), model.preprocess, _BATCH, workers=0):
        yield batch.images.to(model.device, model.dtype)


_RULES = ("embedding", "map")


class ZeroShotHost(Adapter):
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
    settings = ("image",)
    wraps = "lakeviz.lake.text.TextBranch"

    def __init__(self, image: str = "embedding") -> None:
        if image not in _RULES:
            raise ConfigError(f"image scores come from {' or '.join(_RULES)}, not {image!r}")
        self.image = image
        self.text: TextBranch | None = None

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
