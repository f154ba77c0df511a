"""Writing a category in the layout of MVTec AD, so that it is read like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from lakeviz.data.table import GOOD
from lakeviz.errors import DataError, OutputError


@dataclass(frozen=True)
class MVTecSample:
    """One image to write; normal exactly if ``defect_type`` is ``"good"``.

    Attributes
    ----------
    image
        8-bit RGB [height, width, 3] or grey [height, width], or a PIL image.
    split
        ``"train"``, ``"valid"`` or ``"test"``; defective images are test images.
    defect_type
        Name of the kind of defect.
    mask
        True at defective pixels; None for a normal image.
    """

    image: UInt8[np.ndarray, "height width *channel"] | Image.Image
    split: str = "test"
    defect_type: str = GOOD
    mask: Bool[np.ndarray, "height width"] | None = None


_FOLDERS = {"train": "train", "valid": "validation", "test": "test"}


def write_mvtec_category(root: str | Path, category: str, samples: Iterable[MVTecSample]) -> Path:
    """Write images and masks as PNG files, numbered within each folder from 000.

    Parameters
    ----------
    root
        Folder of the data set; ``root/category`` must not exist yet or be empty.
    category
        Name of the category.
    samples
        The images, in order; they are written one by one as they come.

    Returns
    -------
    Path
        The folder of the category.

    Raises
    ------
    DataError
        A sample contradicts itself: an unknown split, a defective image outside the test split or
        without mask, or a mask of another size.
    OutputError
        The folder holds files already, or cannot be written.
    """
    folder = Path(root) / category
    numbers: Counter[tuple[str, str]] = Counter()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; give another folder or delete it")
        for part in ("train/good", "test/good", "ground_truth"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for sample in samples:
            _check(sample)
            key = (_FOLDERS[sample.split], sample.defect_type)
            _write(folder, key, numbers[key], sample)
            numbers[key] += 1
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def _write(folder: Path, key: tuple[str, str], number: int, sample: MVTecSample) -> None:
    target = folder.joinpath(*key)
    target.mkdir(parents=True, exist_ok=True)
    _pil(sample.image).save(target / f"{number:03d}.png")
    if sample.mask is not None and sample.defect_type != GOOD:
        masks = folder / "ground_truth" / sample.defect_type
        masks.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.mask.astype(np.uint8) * 255).save(masks / f"{number:03d}_mask.png")


def _pil(image: np.ndarray | Image.Image) -> Image.Image:
    return image if isinstance(image, Image.Image) else Image.fromarray(image)


def _check(sample: MVTecSample) -> None:
    if sample.split not in _FOLDERS:
        raise DataError(f"unknown split {sample.split!r}")
    if sample.defect_type == GOOD:
        return
    if sample.split != "test" or sample.mask is None:
        raise DataError(f"a {sample.defect_type} image must be a test image with a mask")
    size = _pil(sample.image).size
    if sample.mask.shape != (size[1], size[0]):
        raise DataError(f"the mask has shape {sample.mask.shape}, the image {(size[1], size[0])}")
