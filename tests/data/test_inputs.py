"""Whatever holds images: each kind gives the pixels of the file it came from."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lakeviz.data.inputs import ImageItems, Preprocessed, as_images
from lakeviz.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)
TENSORS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


class Pairs(Dataset):
    """A data set of torch: (image, label); neither iterable by class nor a sequence."""

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int):
        return TENSORS[index].float() / 255, 0


class Stream(IterableDataset):
    def __iter__(self):
        return iter(TENSORS)


class Rows:
    """Rows as a data set of Hugging Face gives them: mappings with a decoded picture."""

    column_names = ("label", "image")

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int):
        return {"label": 1, "image": Image.fromarray(PIXELS[index])}


def encoded(pixels: np.ndarray) -> dict:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return {"image": {"bytes": buffer.getvalue(), "path": None}}


@pytest.fixture
def files(tmp_path):
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return sorted(tmp_path.iterdir())


IN_MEMORY = {
    "PIL": lambda: [Image.fromarray(p) for p in PIXELS],
    "NHWC": lambda: PIXELS,
    "floats": lambda: (PIXELS / 255).astype(np.float32),
    "list of HWC": lambda: list(PIXELS),
    "NCHW": lambda: TENSORS,
    "long": lambda: TENSORS.long(),
    "NCHW floats": lambda: TENSORS / 255,
    "list of CHW": lambda: list(TENSORS),
    "generator": lambda: (one for one in TENSORS),
    "torch data set": Pairs,
    "loader": lambda: DataLoader(Pairs(), batch_size=2),
    "loader without pairs": lambda: DataLoader(list(TENSORS), batch_size=2),
    "loader of mappings": lambda: DataLoader([{"image": t} for t in TENSORS], batch_size=2),
    "stream": Stream,
    "rows": Rows,
    "encoded rows": lambda: [encoded(p) for p in PIXELS],
    "objects": lambda: [SimpleNamespace(image=t, gt_label=None) for t in TENSORS],
    "mapping": lambda: {"image": TENSORS, "label": [0, 0, 0]},
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_pixels_of_images_in_memory(kind: str) -> None:
    found = as_images(IN_MEMORY[kind]())
    assert isinstance(found, ImageItems)
    assert found.in_memory
    assert found.sample_ids == ["image 0", "image 1", "image 2"]
    for index in range(3):
        np.testing.assert_array_equal(np.asarray(found.load(index)), PIXELS[index])


def test_one_image_and_grey_ones() -> None:
    for one in (PIXELS[0], TENSORS[0], Image.fromarray(PIXELS[0])):
        found = as_images(one)
        assert len(found) == 1
        np.testing.assert_array_equal(np.asarray(found.load(0)), PIXELS[0])
    grey = PIXELS[0, :, :, 0]
    for one in (grey, grey[..., None], torch.from_numpy(grey)[None], grey / 255):
        np.testing.assert_array_equal(np.asarray(as_images(one).load(0))[..., 1], grey)


def test_paths(files, monkeypatch) -> None:
    folder, names = files[0].parent, [path.as_posix() for path in files]
    table = pd.DataFrame({"path": names, "label": 0})
    for given in (folder, str(folder), files, names, tuple(names), table, (n for n in names)):
        found = as_images(given)
        assert (found.sample_ids, found.in_memory) == (names, False)
    assert as_images(names[1]).sample_ids == names[1:2]
    monkeypatch.chdir(folder)
    assert as_images("1.png").sample_ids == ["1.png"]
    np.testing.assert_array_equal(np.asarray(as_images("1.png").load(0)), PIXELS[1])


def test_a_folder_of_images_and_of_folders_is_refused(files) -> None:
    below = files[0].parent / "more" / "deep"
    below.mkdir(parents=True)
    assert len(as_images(files[0].parent)) == len(files)  # an empty folder is no matter
    files[0].rename(below / "0.png")
    with pytest.raises(DataError, match=r"images and folders with more \(more\); give a list"):
        as_images(below.parent.parent)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no images"),
        ("nowhere", "neither an image nor a folder"),
        (TENSORS / 128 - 1, "preprocessed=True"),
        (PIXELS.astype(np.float32), "floats from 0 to 1"),
        (np.full((4, 4, 3), np.nan), "floats from 0 to 1"),
        (PIXELS.astype(np.uint16) * 200, "integers from 0 to 255"),
        (np.zeros((3, 8, 10)), r"torch tensor is \[3, height, width\]"),
        (torch.zeros(8, 10, 3), r"NumPy array is \[height, width, 3\]"),
        (np.zeros((2, 2, 2, 3, 3)), "holds no images"),
        (7, "int"),
        ([7], "int, no image"),
        ([{"label": 1}], "image_path"),
        ({"train": [1], "test": [2]}, "train, test"),
        (pd.DataFrame({"name": ["a"]}), "no column of images"),
    ],
)
def test_what_is_no_image_is_named(given, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_images(given).load(0)


def test_preprocessed_images_are_taken_as_they_are() -> None:
    normalised = TENSORS / 128 - 1
    for given in (normalised, list(normalised), DataLoader(list(normalised), batch_size=2)):
        found = as_images(given, preprocessed=True)
        assert isinstance(found, Preprocessed)
        assert torch.equal(found.images, normalised)
        assert as_images(found) is found
    for bad, said in [
        (TENSORS, "floats, not torch.uint8"),
        (["a.png"], "Path"),
        ([normalised[0], normalised[1, :, :4]], "one shape"),
    ]:
        with pytest.raises(DataError, match=said):
            as_images(bad, preprocessed=True)
