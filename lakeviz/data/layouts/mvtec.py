"""MVTec AD and the data sets laid out like it: LOCO, AD 2, MPDD and BTAD.

They differ in the names of folders only, which a :class:`Shape` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lakeviz.data.files import (
    child_folder,
    describe,
    holds_images,
    list_folders,
    require_root,
)
from lakeviz.data.masks import (
    images_and_masks,
    is_mask_folder,
    mask_folder,
    match_masks,
    one_mask,
    pair,
)
from lakeviz.data.registry import Reading, category_folders, get_layout, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.words import is_normal_word
from lakeviz.errors import DatasetLayoutError

_CC_BY_NC_SA = "CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class Shape:
    """Folder names of an MVTec-like layout.

    ``normal`` is the usual folder of normal images in each split (any word for normal is read),
    every other folder of the test split is a kind of defect, and ``masks`` (or the one folder
    named as masks are) has a sub-folder for each kind.
    """

    normal: str = GOOD
    test: str = "test"
    valid: str = "validation"
    masks: str = "ground_truth"

    @property
    def looked_for(self) -> str:
        """The folders of a category, in words."""
        return f"CATEGORY/train/{self.normal}/ and CATEGORY/{self.test}/"


MVTEC = Shape()
BTAD = Shape(normal="ok")
AD2 = Shape(test="test_public", masks="test_public/ground_truth")


def is_category(folder: Path) -> bool:
    """Whether ``folder`` is a category of such a layout (its training folder tells)."""
    return bool(_normal_folders(child_folder(folder, "train")))


def read_mvtec_like(
    root: str | Path, categories: Sequence[str] | None, name: str, shape: Shape = MVTEC
) -> Reading:
    """Read the categories below ``root``, or ``root`` as one category."""
    path = require_root(root, shape.looked_for)
    folders = category_folders(path, is_category, categories, name, shape.looked_for)
    parts = [_category(f, category, shape) for category, f in folders.items()]
    where = f"{shape.masks}/DEFECT/STEM_mask.* or STEM.* or the folder STEM/"
    return Reading(
        path,
        [s for part in parts for s in part.samples],
        tuple(note for part in parts for note in part.notes),
        where,
        {category: p.unused_masks[category] for category, p in zip(folders, parts)},
    )


def _category(folder: Path, category: str, shape: Shape) -> Reading:
    test = child_folder(folder, shape.test)
    if test is None:
        raise DatasetLayoutError(f"{category} has no {shape.test}/ folder; {describe(folder)}")
    samples = []
    train, valid = child_folder(folder, "train"), child_folder(folder, shape.valid)
    for split, parent in (("train", train), ("valid", valid), ("test", test)):
        for normal in _normal_folders(parent):
            samples += [Sample(image, category, split) for image in images_and_masks(normal)[0]]
    where = _mask_folder(folder, test, shape)
    kinds = [f for f in list_folders(test) if not is_normal_word(f.name) and f != where]
    images, beside = {}, {}
    for kind in kinds:
        images[kind], masks = images_and_masks(kind)
        beside |= pair(images[kind], masks)[0]
    match = match_masks(images, where, [s.path for s in samples])
    for kind, members in images.items():
        masks = {p: one_mask(p, match.masks, beside) for p in members}
        samples += [Sample(p, category, "test", kind.name, masks[p]) for p in members]
    unread = [f for f in [*_others(train), *_others(valid)] if holds_images(f)]
    unread += [f for f in kinds if not images[f] and holds_images(f)]
    notes = [f"{category}: the images of {f.relative_to(folder)} are not read" for f in unread]
    return Reading(folder, samples, tuple(notes), unused_masks={category: match.unused})


def _mask_folder(folder: Path, test: Path, shape: Shape) -> Path | None:
    """Folder of masks: the usual one, or the one named as masks are; never two."""
    usual = child_folder(folder, shape.masks)
    found = usual or mask_folder(folder) or mask_folder(test)
    for other in list_folders(test):
        own_masks = found is not None and child_folder(found, other.name)
        if is_mask_folder(other.name) and other != found and not own_masks:
            raise DatasetLayoutError(
                f"{found} and {other} may both hold masks; keep one, or rename a kind of defect"
            )
    return found


def _normal_folders(parent: Path | None) -> list[Path]:
    return [f for f in list_folders(parent) if is_normal_word(f.name)] if parent else []


def _others(parent: Path | None) -> list[Path]:
    return [f for f in list_folders(parent) if not is_normal_word(f.name)] if parent else []


def _any_category(root: Path, *inside: str) -> bool:
    """Whether ``root`` or one of its sub-folders has all of these folders."""
    return any(all(child_folder(f, x) for x in inside) for f in [root, *list_folders(root)])


def _is_mvtec(root: Path) -> bool:
    """Whether a category has normal training images and a test split, and nothing says more."""
    more = ("mvtec_loco", "mvtec_ad2", "btad", "bmad", "mvtec_3d", "rgbd")
    others = (get_layout(name).detect for name in more)
    return any(
        is_category(f) and child_folder(f, "test") for f in [root, *list_folders(root)]
    ) and not any(detect and detect(root) for detect in others)


def _is_loco(root: Path) -> bool:
    return _any_category(root, "train/good", "test/logical_anomalies")


@register_reader(
    "mvtec",
    title="MVTec AD",
    layout="CAT/train/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN[_mask].png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    citation="Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021",
    detect=_is_mvtec,
)
def read_mvtec(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MVTec AD, or any folder laid out like it."""
    return read_mvtec_like(root, categories, "mvtec")


@register_reader(
    "mvtec_loco",
    title="MVTec LOCO AD",
    layout="CAT/{train,validation}/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN/*.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    citation="Bergmann et al., Beyond Dents and Scratches, IJCV 2022",
    detect=_is_loco,
)
def read_mvtec_loco(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MVTec LOCO AD; the masks of an image are a folder, whose union is taken."""
    return read_mvtec_like(root, categories, "mvtec_loco")


@register_reader(
    "mvtec_ad2",
    title="MVTec AD 2",
    layout="CAT/{train,validation}/good, CAT/test_public/{good,bad}, "
    "CAT/test_public/ground_truth/bad/*_mask.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    citation="Heckler-Kram et al., The MVTec AD 2 Dataset, 2025",
    detect=lambda root: _any_category(root, "train/good", "test_public/ground_truth"),
)
def read_mvtec_ad2(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read the labelled part of MVTec AD 2; its private test sets have no public labels."""
    return read_mvtec_like(root, categories, "mvtec_ad2", AD2)


@register_reader(
    "mpdd",
    title="MPDD (metal parts)",
    layout="as MVTec AD",
    license="none stated by the authors; cite",
    homepage="https://github.com/stepanje/MPDD",
    citation="Jezek et al., Deep learning-based defect detection of metal parts, ICUMT 2021",
)
def read_mpdd(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MPDD."""
    return read_mvtec_like(root, categories, "mpdd")


@register_reader(
    "btad",
    title="BTAD (beanTech)",
    layout="CAT/train/ok, CAT/test/{ok,ko}, CAT/ground_truth/ko/STEM.{png,bmp}",
    license=_CC_BY_NC_SA,
    homepage="http://avires.dimi.uniud.it/papers/btad/btad.zip",
    citation="Mishra et al., VT-ADL, ISIE 2021",
    detect=lambda root: _any_category(root, "train/ok", "test/ko"),
)
def read_btad(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read BTAD; images and masks may be .png or .bmp."""
    return read_mvtec_like(root, categories, "btad", BTAD)
