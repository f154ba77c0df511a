"""Which mask belongs to which image: one rule for every reader, by name and never by a guess.

A mask has the name of its image, in upper or lower case, with or without one prefix or suffix that
says "mask". One mask belongs to one image; whatever else the names allow is an error.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakeviz.data.files import IMAGE_SUFFIXES, holds_images, list_files, list_folders, list_images
from lakeviz.data.polygons import POLYGON_SUFFIXES, coco_masks, is_coco, is_labelme
from lakeviz.data.text_tables import is_normal_word
from lakeviz.errors import DatasetLayoutError, MaskError
from lakeviz.wording import some

_MASK = (
    r"(?:(?:gt|binary|anomaly|defect|segmentation|pixel)[ _-]?)?masks?|gts?|ground[ _-]?truths?"
    r"|labels?|annotations?|seg|segmentations?"
)
_IMAGE = r"images?|imgs?|rgb|photo"
_SUFFIXES = IMAGE_SUFFIXES | POLYGON_SUFFIXES | {".npy"}
_NO_MASKS = ("classes", "readme", "license", "notes", "data")  # that YOLO's exports bring
_FILE = r"\.(?:png|jpe?g|bmp|tiff?)$"  # 001.jpg.png is a mask of 001.jpg


@dataclass(frozen=True)
class MaskMatch:
    """Masks by image (a file, or a folder with several), and those that belong to no image."""

    masks: dict[Path, Path] = field(default_factory=dict)
    unused: list[Path] = field(default_factory=list)


def is_mask_folder(name: str) -> bool:
    """Whether a folder is named as masks are: mask(s), gt, ground_truth, label(s), ..."""
    return re.fullmatch(_MASK, name.strip(), re.IGNORECASE) is not None


def mask_folder(parent: Path, taken: Iterable[Path] = ()) -> Path | None:
    """Return the one sub-folder of ``parent`` that is named as masks are, or None."""
    skip = set(taken)
    found = [f for f in list_folders(parent) if is_mask_folder(f.name) and f not in skip]
    if len(found) > 1:
        raise DatasetLayoutError(
            f"{parent} has several folders that may hold masks: {some([f.name for f in found])}; "
            "keep one, or rename the others"
        )
    return found[0] if found else None


def images_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the images of a folder, and the masks that lie among them.

    These are 001_mask.png beside 001.png, or labelme's 001.json.
    """
    files = list_images(folder)
    stems = {p.stem.casefold() for p in files}
    masks = [p for p in files if _bare(p) != p.stem.casefold() and _bare(p) in stems]
    images = [p for p in files if p not in set(masks)]
    drawn = list_files(folder, {".json"}) if images and not masks else []
    return images, masks or [p for p in drawn if _folded(p) in stems and is_labelme(p)]


def match_masks(
    images: Mapping[Path, Sequence[Path]], folder: Path | None, normal: Iterable[Path] = ()
) -> MaskMatch:
    """Match the defective images of one category, by the folder of their kind, with its masks.

    The folder holds images or polygons, in a sub-folder for each kind (named by the same rule) or
    in none. A sub-folder named as an image holds several masks of it. Masks of normal images are
    not counted as unused.
    """
    if folder is not None and is_coco(folder):
        return MaskMatch(coco_masks(folder, [p for members in images.values() for p in members]))
    if folder is None or not folder.is_dir():
        return MaskMatch()
    found = MaskMatch()

    def add(images: Sequence[Path], masks: Sequence[Path]) -> None:
        pairs, left = _paired(images, masks)
        found.masks.update(pairs)
        found.unused.extend(left)

    folders = [f for f in list_folders(folder) if not is_normal_word(f.name)]
    own, _ = pair(list(images), folders)
    flat: list[Path] = []
    for kind, members in images.items():
        if kind in own:
            add(members, [*_files(own[kind]), *_filled(list_folders(own[kind]))])
        else:
            flat += members
    others = [f for f in _filled(folders) if f not in set(own.values())]
    add(flat, [*_files(folder), *others])
    spare = {_bare(p) for p in normal}
    found.unused[:] = [m for m in found.unused if _bare(m) not in spare]
    return found


def masks_of_kinds(
    kinds: Iterable[Path], folder: Path | None, normal: Iterable[Path]
) -> tuple[dict[Path, dict[Path, Path | None]], list[Path]]:
    """Images of the folders of some kinds of defect, each with its mask, and the masks left.

    A mask lies in the folder of masks or beside its image, and never in both places.
    """
    images, beside = {}, {}
    for kind in kinds:
        images[kind], own = images_and_masks(kind)
        beside |= pair(images[kind], own)[0]
    match = match_masks(images, folder, normal)

    def mask_of(image: Path) -> Path | None:
        masks = [where[image] for where in (match.masks, beside) if image in where]
        _require_one([image], masks)
        return masks[0] if masks else None

    found = {kind: {p: mask_of(p) for p in members} for kind, members in images.items()}
    return found, match.unused


def pair(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """Pair images and masks one to one by their names; the rest of the masks comes second.

    Equal names go first, then equal but for case, then equal without what says "mask".
    """
    found: dict[Path, Path] = {}
    left = list(masks)
    for image_key, mask_key in _RULES:
        wanted = _by_key([p for p in images if p not in found], image_key)
        given = _by_key(left, mask_key)
        for key in wanted.keys() & given.keys():
            _require_one(wanted[key], given[key])
            found[wanted[key][0]] = given[key][0]
        taken = set(found.values())
        left = [p for p in left if p not in taken]
    paired = _by_key(found, _bare_image)
    for mask in left:
        if image := paired.get(_bare(mask)):
            _require_one(image, [found[image[0]], mask])
    return found, left


def require_own_masks(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse one mask file for several images, whoever paired them."""
    images: dict[Path, list[Path]] = defaultdict(list)
    for image, mask in pairs:
        images[mask].append(image)
    for mask, shared in images.items():
        if is_coco(mask):
            coco_masks(mask, shared)
        else:
            _require_one(shared, [mask])


def _require_one(images: Sequence[Path], masks: Sequence[Path]) -> None:
    if len(masks) > 1:
        raise MaskError(f"there are two masks of {images[0]}: {masks[0]} and {masks[1]}; keep one")
    if len(images) > 1:
        raise MaskError(
            f"{masks[0]} would be the mask of {len(images)} images: {some(images)}; give each kind "
            "of defect its own folder of masks, or each image its own name"
        )


def _files(folder: Path) -> list[Path]:
    """Masks directly in a folder: images or, where there are none, polygons."""
    drawn = (p for p in list_files(folder, POLYGON_SUFFIXES) if _folded(p) not in _NO_MASKS)
    return list_images(folder) or list(drawn)


def _paired(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """As :func:`pair`, and COCO tables, each of which is the mask of many images."""
    tables = [p for p in masks if is_coco(p)]
    found, left = pair(images, [p for p in masks if p not in tables])
    for table in tables:
        found |= (named := coco_masks(table, images))
        left += [] if named else [table]
    return found, left


def _filled(folders: Iterable[Path]) -> list[Path]:
    return [f for f in folders if holds_images(f, IMAGE_SUFFIXES | POLYGON_SUFFIXES)]


def _by_key(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups


def _stem(path: Path) -> str:
    known = path.suffix.lower() in _SUFFIXES
    return path.stem if known else path.name  # a folder "v1.0"


def _folded(path: Path) -> str:
    return _stem(path).casefold()


def _bare(path: Path) -> str:
    """Name of a mask without what says that it is one."""
    return _stripped(re.sub(_FILE, "", _folded(path)), _MASK)


def _bare_image(path: Path) -> str:
    return _stripped(_folded(path), _IMAGE)


def _stripped(stem: str, word: str) -> str:
    affix = rf"^(?:{word})[ _.-]+(?=.)|(?<=.)[ _.-]+(?:{word})$"
    return re.sub(affix, "", stem, count=1)


_RULES = (
    (_stem, _stem),
    (_folded, _folded),
    (_folded, _bare),
    (_bare_image, _bare),
)
