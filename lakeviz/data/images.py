"""Decoding of images and masks: every mode to 8-bit RGB by one fixed rule, never per-image ranges.

See ``docs/data.md`` for the table of rules and their reasons.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageOps

from lakeviz.data.files import list_images
from lakeviz.errors import ImageReadError, LakevizError, MaskError

_FULL_RANGE_16 = 65535
_ORIENTATION, _FIRST_TURNED = 0x0112, 5  # EXIF: from 5 on, width and height change places
# What Pillow's decoders raise on damaged files, besides OSError.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def load_image(path: str | Path) -> Image.Image:
    """Read an image as 8-bit RGB, upright.

    EXIF orientation is applied. 16-bit grey is scaled by the full range of 16 bit (65535 becomes
    255), 32-bit integers likewise, and floats must lie in [0, 1]: the scale never depends on the
    image. Transparent pixels are laid on white, as the web images that CLIP was trained on were.
    Grey, palette and CMYK images are converted; colour profiles are ignored; of an animation the
    first frame is read.

    Raises
    ------
    ImageReadError
        The file is missing, truncated, not an image, or has values outside its range.
    """
    with _naming(path, ImageReadError, "image"), Image.open(path) as opened:
        return _to_rgb(ImageOps.exif_transpose(opened))


def rgb_image(image: Image.Image, name: str) -> Image.Image:
    """Convert an image in memory as :func:`load_image` converts files; ``name`` is for errors."""
    with _naming(name, ImageReadError, "image"):
        return _to_rgb(ImageOps.exif_transpose(image))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image as :func:`load_image` gives it, from its header alone.

    Raises
    ------
    ImageReadError
        The file is missing or not an image.
    """
    with _naming(path, ImageReadError, "image"), Image.open(path) as opened:
        width, height = opened.size
        turned = opened.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
    return (width, height) if turned else (height, width)


def load_mask(
    path: str | Path, image_size: tuple[int, int], *, image_path: str | Path | None = None
) -> Bool[np.ndarray, "height width"]:
    """Read a mask; true where any colour channel is not zero.

    A folder is read as several masks of one image, and their union is returned. An EXIF
    orientation of the mask itself is applied. The mask belongs to the upright image.

    Parameters
    ----------
    path
        Mask file, or folder of mask files.
    image_size
        Height and width of the upright image, in pixels.
    image_path
        The image, for the error message.

    Raises
    ------
    MaskError
        The mask is missing or unreadable, has another size than the image, has NaN values, or has
        a palette in which zero and black are not the same.
    """
    path = Path(path)
    parts = list_images(path) if path.is_dir() else [path]
    if not parts:
        raise MaskError(f"the mask folder {path} holds no image")
    mask = np.zeros(image_size, dtype=bool)
    for part in parts:
        mask |= _sized(_read_mask(part), part, image_size, image_path)
    return mask


def mask_is_empty(path: str | Path) -> bool:
    """Whether a mask file has no defective pixel.

    Raises
    ------
    MaskError
        The mask is missing or unreadable.
    """
    return not _read_mask(Path(path)).any()


@contextmanager
def _naming(path: str | Path, kind: type[LakevizError], what: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one error that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"the {what} {path} does not exist") from error
    except _DECODE_ERRORS as error:
        raise kind(f"cannot read the {what} {path}: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > _FULL_RANGE_16):
        raise ValueError(
            f"its integers span {values.min()} to {values.max()}, outside 0 to {_FULL_RANGE_16}"
        )
    return _grey_to_rgb(values / _FULL_RANGE_16)


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError("its floats are not all within 0 and 1")
    return _grey_to_rgb(values)


def _grey_to_rgb(unit: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _read_mask(path: Path) -> Bool[np.ndarray, "height width"]:
    with _naming(path, MaskError, "mask"), Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "P":
            return _palette_mask(image)
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
            image = image.convert("RGB")  # opacity says nothing about defects
        values = np.asarray(image)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise ValueError("it has NaN values")
        return values.astype(bool) if values.ndim == 2 else (values != 0).any(axis=2)


def _palette_mask(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    by_index = np.asarray(image) != 0
    by_colour = np.asarray(image.convert("RGB")).any(axis=2)
    if not np.array_equal(by_index, by_colour):
        raise ValueError("in its palette, index 0 and black are not the same; save it as grey")
    return by_index


def _sized(
    mask: Bool[np.ndarray, "height width"],
    path: Path,
    image_size: tuple[int, int],
    image_path: str | Path | None,
) -> Bool[np.ndarray, "height width"]:
    if mask.shape == tuple(image_size):
        return mask
    height, width = image_size
    hint = ""
    if mask.shape == (width, height):
        hint = "; they are each other's transpose: one of the two lacks the EXIF rotation"
    raise MaskError(
        f"the mask {path} is {mask.shape[1]}x{mask.shape[0]} (width x height) and its image"
        f"{f' {image_path}' if image_path else ''} {width}x{height}{hint}"
    )
