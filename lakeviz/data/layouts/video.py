"""Clips of frames: UCSD Ped1 and Ped2, ShanghaiTech, CUHK Avenue, and any folder of clips.

They differ in where the clips and the labels or masks of their frames lie; what these hold is read
by one rule (:mod:`lakeviz.data.clips`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lakeviz.data.clips import (
    ANOMALY,
    Clip,
    LabelTable,
    clip_folders,
    clip_key,
    clip_name,
    is_video,
    read_clip,
    read_truth,
    short_clips,
    truth_files,
    unused_truths,
)
from lakeviz.data.files import child_folder, list_folders, require_root
from lakeviz.data.masks import is_mask_folder
from lakeviz.data.registry import (
    Reading,
    category_folders,
    choose,
    not_a_folder_of,
    register_reader,
)
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.text_tables import is_normal_word
from lakeviz.errors import DatasetLayoutError, MaskError

_FREE = "free for research; cite"
_TABLE = "labels.csv"


@dataclass(frozen=True)
class Scene:
    """Where the clips of one scene lie, and what labels them.

    Files of labels and masks are named by :func:`lakeviz.data.clips.clip_key`; ``kinds`` says the
    kinds of defect of the frames of a clip where something else than such a file does.
    """

    name: str  # of the category
    train: Sequence[Path]
    test: Sequence[Path]
    truths: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    kinds: Callable[[Clip], list[str] | None] = lambda clip: None


def _read_scenes(
    root: Path, scenes: Sequence[Scene], looked_for: str, notes: Sequence[str] = ()
) -> Reading:
    """Read the clips of the scenes; frames of clips that are not for training are labelled."""
    samples: list[Sample] = []
    clips: list[Clip] = []
    said = list(notes)
    for scene in scenes:
        if not scene.train or not scene.test:
            missing = "test" if scene.train else "train"
            raise DatasetLayoutError(f"{scene.name} has no {missing} clip in {root}")
        train = [read_clip(folder, "train") for folder in scene.train]
        test = [read_clip(folder, "test") for folder in scene.test]
        samples += [sample for clip in train for sample in clip.samples(scene.name)]
        for clip in test:
            files = scene.truths.get(clip_key(clip.folder), ())
            truth = read_truth(clip, files, scene.kinds(clip))
            if truth is None:
                raise MaskError(f"nothing labels the frames of {clip.folder}: {looked_for}")
            samples += clip.samples(scene.name, truth.kinds, truth.masks)
            if truth.contradicted:
                said.append(
                    f"{truth.contradicted} frames of {clip.name} are labelled normal and have a "
                    "mask that is not empty, which is not read"
                )
        clips += [*train, *test]
        said += unused_truths(scene.truths, test)
    return Reading(root, samples, (*said, *short_clips(clips)), looked_for)


# --- UCSD ---

_UCSD = "Train/TrainNNN/, Test/TestNNN/, and Test/TestNNN_gt/ or Test/UCSDpedN.m"


def _ucsd_clips(folder: Path, split: str) -> list[Path]:
    parent = child_folder(folder, split)
    found = list_folders(parent) if parent else []
    return [f for f in found if re.fullmatch(rf"{split}\d+", f.name, re.IGNORECASE)]


def _is_ucsd(folder: Path) -> bool:
    return bool(_ucsd_clips(folder, "Train") and _ucsd_clips(folder, "Test"))


@register_reader(
    "ucsd",
    title="UCSD pedestrians (Ped1, Ped2)",
    layout="[UCSDpedN/]{Train/TrainNNN,Test/TestNNN,Test/TestNNN_gt}/NNN.*",
    license=_FREE,
    homepage="http://www.svcl.ucsd.edu/projects/anomaly/dataset.htm",
    citation="Mahadevan et al., Anomaly detection in crowded scenes, CVPR 2010",
    detect=lambda root: any(_is_ucsd(f) for f in (root, *list_folders(root))),
)
def read_ucsd(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read UCSD Ped1 and Ped2; a frame is anomalous where its mask is not empty.

    The intervals of frames in ``Test/*.m``, where it is there, label the clips without masks.
    """
    path = require_root(root, _UCSD)
    found = category_folders(path, _is_ucsd, None, "ucsd", _UCSD)
    folders = {name.lower().removeprefix("ucsd"): folder for name, folder in found.items()}
    chosen = choose(list(folders), categories, "ucsd")
    scenes = [_ucsd_scene(name, folders[name]) for name in chosen]
    return _read_scenes(path, scenes, _UCSD)


def _ucsd_scene(name: str, folder: Path) -> Scene:
    test = _ucsd_clips(folder, "Test")
    masks = {clip_key(f): [f] for f in list_folders(test[0].parent) if f.name.endswith("_gt")}
    anomalous: dict[Path, set[int]] = {}
    for listed in test[0].parent.glob("*.m"):
        lines = re.findall(r"gt_frame\s*=\s*\[([\d\s:,;]*)\]", listed.read_text("latin-1"))
        if len(lines) != len(test):
            raise MaskError(f"{listed} labels {len(lines)} clips, and there are {len(test)}")
        for clip, line in zip(test, lines):
            spans = re.findall(r"(\d+)(?:\s*:\s*(\d+))?", line)
            anomalous[clip] = {n for a, b in spans for n in range(int(a), int(b or a) + 1)}

    def kinds(clip: Clip) -> list[str] | None:
        if clip.folder not in anomalous or clip_key(clip.folder) in masks:
            return None
        of_clip = anomalous[clip.folder]  # counted from 1
        if max(of_clip, default=0) > len(clip.frames):
            raise MaskError(
                f"frame {max(of_clip)} of {clip.folder} is labelled, and it has {len(clip.frames)}"
            )
        return [ANOMALY if i + 1 in of_clip else GOOD for i in range(len(clip.frames))]

    return Scene(name, _ucsd_clips(folder, "Train"), test, masks, kinds)


# --- ShanghaiTech ---

_SHANGHAI = (
    "training/frames/SS_NNN/, testing/frames/SS_NNNN/, and testing/test_frame_mask/SS_NNNN.npy "
    "or testing/test_pixel_mask/SS_NNNN.npy"
)
_SHANGHAI_TRUTHS = ("test_frame_mask", "test_pixel_mask")


def _below(root: Path, *names: str) -> list[Path]:
    """Folders with one of the names, in ``root`` or one of its folders."""
    places = [root, *list_folders(root)]
    found = [child_folder(place, name) for name in names for place in places]
    return [f for f in found if f is not None]


@register_reader(
    "shanghaitech",
    title="ShanghaiTech Campus",
    layout="{training,testing}/frames/SS_NNNN/*.jpg, testing/test_{frame,pixel}_mask/SS_NNNN.npy",
    license=_FREE,
    homepage="https://svip-lab.github.io/dataset/campus_dataset.html",
    citation="Liu et al., Future frame prediction for anomaly detection, CVPR 2018",
    detect=lambda root: (
        child_folder(root, "testing/frames") is not None and bool(_below(root, *_SHANGHAI_TRUTHS))
    ),
)
def read_shanghaitech(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read ShanghaiTech Campus; every camera (``SS`` of a clip's name) is a category."""
    path = require_root(root, _SHANGHAI)
    train = _by_camera(child_folder(path, "training/frames", "training/videos"))
    test = _by_camera(child_folder(path, "testing/frames"))
    if not train or not test:
        raise not_a_folder_of("shanghaitech", _SHANGHAI, path)
    truths = truth_files(_below(path, *_SHANGHAI_TRUTHS))
    both = [name for name in train if name in test]
    notes = [f"{name} has no test clip and is left out" for name in train if name not in test]
    chosen = choose(both, categories, "shanghaitech")
    scenes = []
    for name in chosen:
        own = {key: truths[key] for key in map(clip_key, test[name]) if key in truths}
        scenes.append(Scene(name, train[name], test[name], own))
    return _read_scenes(path, scenes, _SHANGHAI, notes)


def _by_camera(parent: Path | None) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in clip_folders(parent):
        found.setdefault(f"camera_{clip_name(folder).partition('_')[0]}", []).append(folder)
    return found


# --- CUHK Avenue ---

_AVENUE = "training/frames/NN/, testing/frames/NN/, and testing_label_mask/N_label.mat"
_FRAMES = ("{0}/frames", "{0}", "{0}_frames", "{0}_videos")


@register_reader(
    "avenue",
    title="CUHK Avenue",
    layout="{training,testing}/[frames/]NN/*.jpg, testing_label_mask/N_label.mat",
    license=_FREE,
    homepage="http://www.cse.cuhk.edu.hk/leojia/projects/detectabnormal/dataset.html",
    citation="Lu et al., Abnormal event detection at 150 FPS in MATLAB, ICCV 2013",
    detect=lambda root: bool(_below(root, "testing_label_mask")),
)
def read_avenue(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read CUHK Avenue, its videos or folders of their frames."""
    path = require_root(root, _AVENUE)
    train, test = (
        clip_folders(child_folder(path, *(f.format(split) for f in _FRAMES)))
        for split in ("training", "testing")
    )
    if not train or not test:
        raise not_a_folder_of("avenue", _AVENUE, path)
    choose(["avenue"], categories, "avenue")
    truths = truth_files(_below(path, "testing_label_mask"))
    return _read_scenes(path, [Scene("avenue", train, test, truths)], _AVENUE)


# --- any folder of clips ---

_CLIPS = (
    "train/CLIP/ or train/CLIP.mp4, test/ likewise, and labels.csv (clip, frame, label), "
    "labels/CLIP.npy, masks/CLIP/ or masks/CLIP.npy"
)


def _is_scene(folder: Path) -> bool:
    train, test = child_folder(folder, "train"), child_folder(folder, "test")
    if train is None or test is None or not _truth_places(folder):
        return False
    clips = list_folders(test) or [f for f in test.iterdir() if is_video(f)]
    return bool(clips) and not any(is_normal_word(f.name) for f in list_folders(train))


def _truth_places(folder: Path) -> list[Path]:
    """Table, and folders of labels or masks, which lie beside the clips or beside ``test``."""
    table = folder / _TABLE
    found = [table] if table.is_file() else []
    return found + [f for f in list_folders(folder) if is_mask_folder(f.name)]


@register_reader(
    "clips",
    title="Any folder of clips",
    layout="[CAT/]{train,test}/CLIP/N.*, [CAT/]{labels.csv,labels/CLIP.npy,masks/CLIP[.npy]}",
    license="your own",
    detect=lambda root: any(_is_scene(f) for f in (root, *list_folders(root))),
)
def read_clips(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read clips, folders of frames or video files, of one scene or of several in a folder each.

    The training clips are normal. A frame of a test clip is anomalous where ``labels.csv`` (with
    the columns clip, frame and label) or ``labels/CLIP.npy`` (a 0 or 1 per frame) says so, or else
    where its mask is not empty. ``frame`` is the number in the name of the file, and any label that
    is no word for normal or anomalous is the kind of defect.
    """
    path = require_root(root, _CLIPS)
    folders = category_folders(path, _is_scene, categories, "clips", _CLIPS)
    scenes = []
    for name, folder in folders.items():
        train, test = (clip_folders(child_folder(folder, split)) for split in ("train", "test"))
        places = _truth_places(folder)
        truths = truth_files([place for place in places if place.is_dir()])
        scene = Scene(name, train, test, truths)
        for place in places:
            if place.is_file():
                table = LabelTable(place)
                table.require_clips([clip_name(f) for f in test])
                scene = replace(scene, kinds=table.kinds)
        scenes.append(scene)
    return _read_scenes(path, scenes, _CLIPS)
