"""Turn an RGB image into the tensor a model was trained on.

Size, interpolation, mean and standard deviation come from the model. By default the whole image is
resized to the model's size, without keeping the aspect ratio and without cropping: a score map must
cover every pixel of the image it belongs to. On square images this equals the model's own
transform. :mod:`lakeviz.data.aspect` has the other rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from lakeviz.data.aspect import Geometry
from lakeviz.errors import DataError

_EIGHT_BIT = ("RGB", "L", "P", "1", "LA", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Preprocess:
    """Resize to ``size``, scale to [0, 1], standardise.

    Attributes
    ----------
    size
        ``(height, width)`` in pixels, that the tower takes.
    mean, std
        Per RGB channel, on the [0, 1] scale.
    interpolation
        ``bicubic``, ``bilinear`` or another name of ``torchvision.transforms.InterpolationMode``.
    aspect
        ``squash``, ``letterbox`` (filled with the mean colour), ``crop`` or ``tile_RxC``.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    aspect: str = "squash"

    @property
    def geometry(self) -> Geometry:
        """Which part of an image the input shows."""
        return Geometry(self.aspect, self.input_size)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what is made: ``size``, or that of all tiles together."""
        rows, columns = Geometry(self.aspect).tiles
        return rows * self.size[0], columns * self.size[1]

    def __call__(self, image: Image.Image) -> Float[Tensor, "3 height width"]:
        """Preprocess one image.

        Raises
        ------
        DataError
            If the image has more than 8 bits per channel; scale it to 8 bits first.
        """
        if image.mode not in _EIGHT_BIT:
            raise DataError(
                f"preprocessing takes 8-bit images, got PIL mode {image.mode!r}; "
                "scale it to 8 bits first (reading it through lakeviz.data does)"
            )
        if image.mode != "RGB":
            image = image.convert("RGB")
        mode = InterpolationMode(self.interpolation)
        size, (top, left) = self.geometry.placement((image.height, image.width))
        resized: Any = transforms.resize(cast(Any, image), list(size), interpolation=mode)
        if not self.geometry.is_whole:
            fill = tuple(round(255 * value) for value in self.mean)
            laid = Image.new("RGB", (self.size[1], self.size[0]), fill)
            laid.paste(resized, (left, top))
            resized = laid
        return transforms.normalize(transforms.to_tensor(resized), list(self.mean), list(self.std))

    def undo(self, tensor: Float[Tensor, "3 height width"]) -> Image.Image:
        """Picture of a preprocessed image, for figures: its size and rounding stay."""
        mean, std = (tensor.new_tensor(one)[:, None, None] for one in (self.mean, self.std))
        return transforms.to_pil_image((tensor * std + mean).clamp(0, 1).cpu())

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result, in plain types, for manifests and cache keys."""
        described = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        mode = described.pop("aspect")
        return {**described, "resize_mode": mode}


def preprocess_of(cfg: Mapping[str, Any], size: tuple[int, int]) -> Preprocess:
    """Read the preprocessing configuration of an open_clip or timm model of an input size.

    Its resize modes and crops are left out on purpose, see the module's text.
    """
    # Training recipes name "random" interpolation; evaluation uses bicubic, as both libraries do.
    known = {mode.value for mode in InterpolationMode}
    interpolation = cfg["interpolation"] if cfg["interpolation"] in known else "bicubic"
    return Preprocess(size, tuple(cfg["mean"]), tuple(cfg["std"]), interpolation)
