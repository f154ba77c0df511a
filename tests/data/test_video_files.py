"""Clips that are video files: their frames, read in any order, and what is wrong with a file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lakeviz.data import read_dataset
from lakeviz.data.clip_files import count_frames, read_frame
from lakeviz.data.files import file_sha256
from lakeviz.data.images import image_size, load_image
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError, DatasetLayoutError, ImageReadError, MaskError

av = pytest.importorskip("av")

N = 100


def write_video(path: Path, n: int = N, codec: str = "mpeg4", b_frames: int = 0) -> Path:
    """Frames whose left half is as bright as their number doubled, in red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size, stream.max_b_frames = 12, b_frames
        for number in range(n):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, :32, 0] = 2 * number
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def number_of(image) -> float:
    return float(np.asarray(image)[:, 4:28, 0].mean()) / 2


@pytest.mark.parametrize(("name", "b_frames"), [("a.mp4", 0), ("a.mp4", 2), ("a.avi", 0)])
def test_frames_are_the_same_in_any_order(tmp_path, name, b_frames):
    path = write_video(tmp_path / name, b_frames=b_frames)
    assert count_frames(path) == N
    assert image_size(f"{path}#3") == (48, 64)
    in_order = [np.asarray(read_frame(path, i)) for i in range(N)]
    numbers = [number_of(frame) for frame in in_order]
    assert numbers == pytest.approx(range(N), abs=6)  # as near as the codec keeps them
    assert (np.diff(numbers) >= 0).mean() > 0.9
    for number in np.random.default_rng(0).permutation(N):
        np.testing.assert_array_equal(load_image(f"{path}#{number}"), in_order[number])


def test_a_clip_may_be_a_video_file(tmp_path):
    for clip in ("train/a.mp4", "test/b.mp4"):
        write_video(tmp_path / clip, 20)
    labels = tmp_path / "labels"
    labels.mkdir()
    np.save(labels / "b.npy", np.arange(20) > 14)
    data = read_dataset("auto", tmp_path)
    assert (data.name, len(data)) == ("clips", 40)
    test = data.split("test")
    assert test.frames == [("test/b", i) for i in range(20)]
    assert test.labels.tolist() == 15 * [0] + 5 * [1]
    assert test.sample_ids[7] == "test/b.mp4#7"
    assert number_of(test[7]["image"]) == pytest.approx(7, abs=2.5)
    assert data.fingerprint == read_dataset("clips", tmp_path).fingerprint
    assert file_sha256(test.paths[0]) != file_sha256(test.paths[1])
    np.save(labels / "b.npy", np.arange(19) > 14)
    with pytest.raises(MaskError, match=r"19 labels and the clip .*b\.mp4 has 20 frames"):
        read_dataset("clips", tmp_path)
    (tmp_path / "test/b").mkdir()
    load_image(test.paths[0]).save(tmp_path / "test/b/0.png")
    with pytest.raises(DatasetLayoutError, match="two clips of one name"):
        read_dataset("clips", tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_one_file_each_by_itself(tmp_path, workers):
    path = write_video(tmp_path / "a.mp4")
    read_frame(path, 50)  # held open here, where workers must not go on from
    names = [f"{path}#{i}" for i in range(N)]

    def to_tensor(image):
        import torch

        return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy()).float()

    found = [b.images for b in ImageBatches(names, to_tensor, 8, workers=workers)]
    means = np.concatenate([images[:, 0, :, 4:28].mean((1, 2)).numpy() for images in found])
    assert means / 2 == pytest.approx(range(N), abs=2.5)


def test_few_files_and_no_frames_are_held(tmp_path):
    from lakeviz.data import clip_files

    for number in range(4):
        for frame in (0, 60, 99):
            read_frame(write_video(tmp_path / f"{number}.mp4"), frame)
    assert len(clip_files._readers) <= 2


def test_what_is_wrong_with_a_file_is_named(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 20)
    with pytest.raises(ImageReadError, match=r"a\.mp4 has 20 frames, and no frame 20"):
        load_image(f"{path}#20")
    with pytest.raises(ImageReadError, match=r"gone\.mp4"):
        load_image(tmp_path / "gone.mp4#0")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageReadError, match=r"cannot read the video .*broken\.mp4"):
        count_frames(broken)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'lakeviz\[video\]'"):
        load_image(f"{path}#0")


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
@pytest.mark.timeout(60)
def test_workers_do_not_wait_for_the_decoders_of_the_process_they_were_forked_from(tmp_path):
    clips = [write_video(tmp_path / f"{number}.mp4", n=40) for number in range(5)]
    for clip in clips[:2]:
        read_frame(clip, 30)  # its decoder's threads run in this process alone
    frames = [f"{clip}#{number}" for clip in clips[2:] for number in range(30)]
    batches = ImageBatches(frames, lambda image: torch.tensor(number_of(image)).expand(3, 4, 4))
    batches.workers = 2
    assert sum(len(batch) for batch in batches) == 90
