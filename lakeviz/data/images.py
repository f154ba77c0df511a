"""Decoding of images and masks: every mode to 8-bit RGB by one fixed rule, never per-image ranges.

See ``docs/data-decoding.md`` for the table of rules and their reasons.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, UnidentifiedImageError

from lakeviz.data.clip_files import frame_size, mask_of_frame, read_frame
from lakeviz.data.files import (
    IMAGE_FORMATS,
    list_images,
    printable,
    video_frame,
    volume_frame,
    why_unreadable,
)
from lakeviz.data.polygons import POLYGON_SUFFIXES, polygon_mask
from lakeviz.errors import ImageReadError, LakevizError, MaskError

_FULL_RANGE_16 = 65535
_ORIENTATION = 0x0112  # EXIF; anything else than these values means upright
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_TURNED = 5  # from here on, width and height change places
_STRIP = 2**22  # pixels that are scaled at once
_DARK = 2**14  # 12- and 14-bit cameras stay below this
_LOOKED_AT = 3
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
    AssertionError,  # Pillow's, on a palette that is missing
)


_GREY = ("1", "L", "F")
_WITH_OPACITY = ("LA", "La", "PA", "RGBA", "RGBa")


def load_image(path: str | Path) -> Image.Image:
    """Read an image, or a frame ``FILE.mp4#12`` of a video, as 8-bit RGB, upright.

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
    if part := video_frame(path):
        return read_frame(*part)
    with _opened(path, ImageReadError, "image") as opened:
        return _to_rgb(_upright(opened))


def rgb_image(image: Image.Image, name: str) -> Image.Image:
    """Convert an image in memory as :func:`load_image` converts files; ``name`` is for errors."""
    with _naming(f"the image {name}", ImageReadError):
        return _to_rgb(_upright(image))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image as :func:`load_image` gives it, from its header alone.

    Raises
    ------
    ImageReadError
        The file is missing or not an image.
    """
    if part := video_frame(path):
        return frame_size(part[0])
    with _opened(path, ImageReadError, "image") as opened:
        width, height = opened.size
        turned = _orientation(opened) >= _FIRST_TURNED
    return (width, height) if turned else (height, width)


def dark_images(paths: Mapping[str, Sequence[Path]]) -> list[str]:
    """Say which categories hold 16-bit images whose values fill a small part of the range.

    Parameters
    ----------
    paths
        Images by category; the first few of each are looked at.
    """
    notes = []
    for category, members in paths.items():
        brightest = [b for p in members[:_LOOKED_AT] if (b := _brightest(p)) is not None]
        if brightest and max(brightest) < _DARK:
            notes.append(
                f"{category}: the brightest grey of its first 16-bit images is {max(brightest)} of "
                f"65535, and becomes {round(max(brightest) / 257)} of 255: data of 12 or 14 bits "
                "must be scaled to the full range to be seen"
            )
    return notes


def load_mask(
    path: str | Path, image_size: tuple[int, int], *, image_path: str | Path | None = None
) -> Bool[np.ndarray, "height width"]:
    """Read a mask; true where any colour channel is not zero, once it is RGB or grey.

    A mask whose colours are all the same is read from its opacity, if that varies. A folder is read
    as several masks of one image, and their union is returned. An EXIF
    orientation of the mask itself is applied. The mask belongs to the upright image.

    Parameters
    ----------
    path
        Mask file, file of polygons (:mod:`lakeviz.data.polygons`), folder of mask files, or a
        frame of a volume of masks (:mod:`lakeviz.data.clip_files`).
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
    if part := volume_frame(path):
        return _sized(mask_of_frame(*part), path, image_size, image_path)
    parts = list_images(path) if path.is_dir() else [path]
    if not parts:
        raise MaskError(f"the mask folder {path} holds no image")
    mask = np.zeros(image_size, dtype=bool)
    for part in parts:
        if part.suffix.lower() in POLYGON_SUFFIXES:
            mask |= polygon_mask(part, image_size, image_path)
            continue
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
def _opened(path: str | Path, kind: type[LakevizError], what: str) -> Iterator[Image.Image]:
    """Open an image file, which must not be a pipe or a device."""
    named = f"the {what} {printable(path)}"
    if reason := why_unreadable(Path(path)):
        raise kind(f"{named} is {reason}")
    # A file, not its name: by the name Pillow 12 maps raw TIFF into memory, and turns it wrongly.
    with (
        _naming(named, kind),
        Path(path).open("rb") as file,
        Image.open(file, formats=IMAGE_FORMATS) as image,
    ):
        yield image


@contextmanager
def _naming(named: str, kind: type[LakevizError]) -> Iterator[None]:
    """Turn whatever a decoder raises into one error that names the image."""
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"{named} does not exist") from error
    except Image.DecompressionBombError as error:
        size = str(error).partition(" exceeds")[0].removeprefix("Image size ").strip("()")
        raise kind(
            f"{named} is too large ({size}); scale it down, cut it into tiles, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except UnidentifiedImageError as error:
        raise kind(f"cannot read {named}: it is no image of a known format") from error
    except MemoryError as error:
        raise kind(f"{named} needs more memory than there is; scale it down") from error
    except _DECODE_ERRORS as error:
        raise kind(f"cannot read {named}: {error}") from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) where it is damaged or none of the eight values.

    Pillow turns TIFF files itself, and gives their size upright.
    """
    if image.format == "TIFF":
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on damaged metadata
            value = image.getexif().get(_ORIENTATION, 1)
    except _DECODE_ERRORS:
        return 1
    return value if value in _TO_UPRIGHT else 1


def _upright(image: Image.Image) -> Image.Image:
    turn = _TO_UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _brightest(path: Path) -> int | None:
    """Largest value of a 16-bit grey image, None for any other or an unreadable one."""
    try:
        with _opened(path, ImageReadError, "image") as image:
            return int(_span(image)[1]) if image.mode.startswith("I") else None
    except ImageReadError:
        return None  # said when it is read


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    low, high = _span(image)
    if low < 0 or high > _FULL_RANGE_16:
        raise ValueError(f"its integers span {low} to {high}, outside 0 to {_FULL_RANGE_16}")
    # 65535 = 257 x 255: value / 257, rounded; a tie cannot occur.
    return _in_strips(image, lambda values: (values.astype(np.uint32) + 128) // 257)


def _from_floats(image: Image.Image) -> Image.Image:
    def scaled(values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ValueError("its floats are not all within 0 and 1")
        return np.rint(values.astype(np.float64) * 255)

    return _in_strips(image, scaled)


def _in_strips(image: Image.Image, to_eight_bit: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Scale a grey image strip by strip: a large one must not stand in memory several times."""
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    rows = max(_STRIP // max(width, 1), 1)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        grey[top : top + rows] = to_eight_bit(np.asarray(strip))
    return Image.fromarray(grey).convert("RGB")


def _read_mask(path: Path) -> Bool[np.ndarray, "height width"]:
    with _opened(path, MaskError, "mask") as opened:
        image = _upright(opened)
        if image.mode == "P":
            return _palette_mask(image)
        if image.mode in _GREY or image.mode.startswith("I"):
            values = np.asarray(image)
            if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
                raise ValueError("it has NaN values")
            return values.astype(bool)
        if image.mode in _WITH_OPACITY:
            *colours, opacity = image.convert("RGBA").split()
            # Drawn in the opacity alone; beside colours, opacity says nothing about defects.
            if not any(map(_varies, colours)) and _varies(opacity):
                return np.asarray(opacity) != 0
        return _not_black(image)


def _span(grey: Image.Image) -> tuple[float, float]:
    """Smallest and largest value of one channel."""
    low, high = grey.getextrema()
    assert not isinstance(low, tuple) and not isinstance(high, tuple)
    return low, high


def _varies(channel: Image.Image) -> bool:
    low, high = _span(channel)
    return low != high


def _not_black(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    # Through RGBA, for Pillow warns of palettes with transparency; CMYK has no way to RGBA.
    if image.mode in _WITH_OPACITY or image.mode == "P":
        image = image.convert("RGBA")
    red, green, blue = image.convert("RGB").split()
    return (np.asarray(red) != 0) | (np.asarray(green) != 0) | (np.asarray(blue) != 0)


def _palette_mask(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    by_index = np.asarray(image) != 0
    if not np.array_equal(by_index, _not_black(image)):
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
