"""Images that a detector is fitted on, and what is known of them."""

from __future__ import annotations

from lakeviz.activations import Images
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.errors import DataError


def normal_images(images: Images | FewShotDraw) -> tuple[Images, str | None]:
    """Images to fit on, and their category where it is known."""
    if isinstance(images, FewShotDraw):
        return images, images.category.replace("_", " ")
    if not isinstance(images, Dataset):
        return images, None
    anomalous = int(images.labels.sum())
    if anomalous:
        raise DataError(
            f"{anomalous} of the {len(images)} images of {images.name} to fit on are anomalous; "
            "pass dataset.normal() or a few-shot draw (or bare paths, to contaminate on purpose)"
        )
    one = images.categories[0] if len(images.categories) == 1 else None
    return images, one and one.replace("_", " ")
