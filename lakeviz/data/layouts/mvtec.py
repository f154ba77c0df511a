"""MVTec AD and the data sets laid out like it: LOCO, AD 2, MPDD, BTAD and VisA.

They differ in the names of folders only, which a :class:`Shape` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakeviz.data.files import (
    child_folder,
    describe,
    holds_images,
    is_file,
    list_folders,
    require_root,
)
from lakeviz.data.masks import (
    images_and_masks,
    is_mask_folder,
    mask_folder,
    masks_of_kinds,
)
from lakeviz.data.registry import (
    Reading,
    category_folders,
    choose,
    get_layout,
    not_a_folder_of,
    register_reader,
)
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.text_tables import is_normal_word, read_table, split_of
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


def is_category(folder: Path) -> bool:
    """Whether ``folder`` is a category of such a layout (its training folder tells)."""
    return bool(_folders(child_folder(folder, "train"), normal=True))


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
        for normal in _folders(parent, normal=True):
            samples += [Sample(image, category, split) for image in images_and_masks(normal)[0]]
    where = _mask_folder(folder, test, shape)
    kinds = [f for f in _folders(test, normal=False) if f != where]
    found, unused = masks_of_kinds(kinds, where, [s.path for s in samples])
    for kind, masks in found.items():
        samples += [Sample(p, category, "test", kind.name, mask) for p, mask in masks.items()]
    others = [*_folders(train, normal=False), *_folders(valid, normal=False)]
    unread = [f for f in others if holds_images(f)]
    unread += [f for f in kinds if not found[f] and holds_images(f)]
    notes = [f"{category}: the images of {f.relative_to(folder)} are not read" for f in unread]
    return Reading(folder, samples, tuple(notes), unused_masks={category: unused})


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


def _folders(parent: Path | None, normal: bool) -> list[Path]:
    """Folders of a split that are, or are not, named as those of normal images."""
    found = list_folders(parent) if parent else []
    return [f for f in found if is_normal_word(f.name) == normal]


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


def _register(name: str, shape: Shape = MVTEC, **said: Any) -> None:
    """Register a data set that is laid out like MVTec AD; further arguments describe it."""

    def read(root: str | Path, categories: Sequence[str] | None) -> Reading:
        return read_mvtec_like(root, categories, name, shape)

    register_reader(name, **said)(read)


_register(
    "mvtec",
    title="MVTec AD",
    layout="CAT/train/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN[_mask].png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    citation="Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021",
    detect=_is_mvtec,
)
_register(  # the masks of an image are a folder, whose union is taken
    "mvtec_loco",
    title="MVTec LOCO AD",
    layout="CAT/{train,validation}/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN/*.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    citation="Bergmann et al., Beyond Dents and Scratches, IJCV 2022",
    detect=lambda root: _any_category(root, "train/good", "test/logical_anomalies"),
)
_register(  # its private test sets have no public labels
    "mvtec_ad2",
    Shape(test="test_public", masks="test_public/ground_truth"),
    title="MVTec AD 2",
    layout="CAT/{train,validation}/good, CAT/test_public/{good,bad}, "
    "CAT/test_public/ground_truth/bad/*_mask.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    citation="Heckler-Kram et al., The MVTec AD 2 Dataset, 2025",
    detect=lambda root: _any_category(root, "train/good", "test_public/ground_truth"),
)
_register(
    "mpdd",
    title="MPDD (metal parts)",
    layout="as MVTec AD",
    license="none stated by the authors; cite",
    homepage="https://github.com/stepanje/MPDD",
    citation="Jezek et al., Deep learning-based defect detection of metal parts, ICUMT 2021",
)
_register(  # images and masks may be .png or .bmp
    "btad",
    Shape(normal="ok"),
    title="BTAD (beanTech)",
    layout="CAT/train/ok, CAT/test/{ok,ko}, CAT/ground_truth/ko/STEM.{png,bmp}",
    license=_CC_BY_NC_SA,
    homepage="http://avires.dimi.uniud.it/papers/btad/btad.zip",
    citation="Mishra et al., VT-ADL, ISIE 2021",
    detect=lambda root: _any_category(root, "train/ok", "test/ko"),
)


# --- VisA: as published, with a split file beside the images, or converted to such folders ---

_VISA_COLUMNS = ("object", "split", "label", "image", "mask")
# Where the publishers' conversion script leaves its result, seen from the root.
_CONVERTED = ("", "1cls", "visa_pytorch", "visa_pytorch/1cls")


def _converted(root: Path) -> Path | None:
    folders = (root / part for part in _CONVERTED)
    found = (f for f in folders if any(is_category(c) for c in list_folders(f)))
    return next(found, root if is_category(root) else None)


def _is_visa(root: Path) -> bool:
    """Whether the split file is there, or a conversion in a folder of its name."""
    return (root / "split_csv" / "1cls.csv").is_file() or _converted(root) not in (None, root)


@register_reader(
    "visa",
    title="VisA",
    layout="split_csv/1cls.csv and CAT/Data/{Images,Masks}; or as MVTec AD with defects in bad/",
    license="CC BY 4.0",
    homepage="https://github.com/amazon-science/spot-diff",
    citation="Zou et al., SPot-the-Difference Self-Supervised Pre-training, ECCV 2022",
    detect=_is_visa,
)
def read_visa(
    root: str | Path, categories: Sequence[str] | None, *, protocol: str = "1cls"
) -> Reading:
    """Read VisA; the split file ``split_csv/PROTOCOL.csv`` is preferred where it is there.

    The kind of defect is ``"anomaly"`` (published form) or ``"bad"`` (converted form): VisA's
    splits do not distinguish kinds.

    Parameters
    ----------
    protocol
        Name of the split file, such as 2cls_fewshot.
    """
    looked_for = f"split_csv/{protocol}.csv, or {MVTEC.looked_for}"
    path = require_root(root, looked_for)
    table = path / "split_csv" / f"{protocol}.csv"
    if table.is_file():
        rows = _rows(table)
        chosen = choose(sorted({r["object"] for r in rows}), categories, "visa")
        samples = list(_listed(path, [r for r in rows if r["object"] in chosen], table))
        return Reading(path, samples, masks_looked_for="the column mask of the split file")
    converted = _converted(path)
    if converted is None:
        raise not_a_folder_of("visa", looked_for, path)
    return read_mvtec_like(converted, categories, "visa")


def _rows(table: Path) -> list[dict[str, str]]:
    frame = read_table(table)
    missing = [c for c in _VISA_COLUMNS if c not in frame]
    if missing:
        raise DatasetLayoutError(f"{table} lacks the columns {', '.join(missing)}")
    return frame.to_dict("records")


def _listed(root: Path, rows: list[dict[str, str]], table: Path) -> Iterator[Sample]:
    for row in rows:
        image = root / row["image"]
        if not is_file(image):
            raise DatasetLayoutError(f"{image} does not exist, though {table} names it")
        mask = root / row["mask"] if row["mask"] else None
        kind = GOOD if is_normal_word(row["label"]) else row["label"]
        found = mask if mask is not None and is_file(mask) else None
        yield Sample(image, row["object"], split_of(row["split"]) or row["split"], kind, found)
