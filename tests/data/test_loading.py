"""Batches of images: order, workers, bad files, interruption."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from lakeviz.data import ImageBatches, read_dataset
from lakeviz.data.loading import default_workers
from lakeviz.errors import ConfigError, DataError, ImageReadError


def to_tensor(image):
    """Resize to 2 x 3 and scale to [0, 1]."""
    array = np.asarray(image.resize((3, 2))).copy()
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255


def keep_size(image):
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def die(image):
    os._exit(1)


def fail(image):
    raise RuntimeError("bug in the transform")


@pytest.fixture
def paths(tmp_path):
    """Seven images; image i has the colour 30 i, height 4 + i and width 6."""
    made = []
    for i in range(7):
        made.append(tmp_path / f"{i}.png")
        Image.new("RGB", (6, 4 + i), (30 * i, 0, 0)).save(made[-1])
    return made


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_with_sizes(paths, workers):
    batches = ImageBatches(paths, to_tensor, 3, workers=workers)
    assert len(batches) == 3
    for _ in range(2):  # can be iterated again
        got = list(batches)
        assert [b.indices for b in got] == [(0, 1, 2), (3, 4, 5), (6,)]
        assert [b.sample_ids for b in got] == [
            tuple(p.as_posix() for p in part) for part in (paths[:3], paths[3:6], paths[6:])
        ]
        assert [s for b in got for s in b.sizes] == [(4 + i, 6) for i in range(7)]
        images = torch.cat([b.images for b in got])
        assert images.shape == (7, 3, 2, 3)
        expected = torch.arange(7) * 30 / 255
        torch.testing.assert_close(images[:, 0], expected[:, None, None].expand(7, 2, 3))
        assert not images[:, 1:].any()


@pytest.mark.slow
def test_spawned_workers_give_the_same(paths):
    # With a transform that a fresh interpreter can import by name.
    batches = ImageBatches(paths, pil_to_tensor, 1, workers=1, start_method="spawn")
    for batch, path in zip(batches, paths, strict=True):
        torch.testing.assert_close(batch.images[0], pil_to_tensor(Image.open(path)))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_state_is_left_alone(paths, workers):
    before = torch.get_rng_state()
    list(ImageBatches(paths, to_tensor, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_data_set_gives_its_sample_ids(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "cable")
    data = read_dataset("mvtec", tmp_path).anomalous()
    (batch,) = ImageBatches(data, to_tensor)
    assert list(batch.sample_ids) == data.sample_ids
    assert len(batch) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named_or_skipped(paths, workers):
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    paths[6].unlink()
    with pytest.raises(ImageReadError, match=r"1\.png") as raised:
        list(ImageBatches(paths, to_tensor, 3, workers=workers))
    assert "Traceback" not in str(raised.value)
    batches = ImageBatches(paths, to_tensor, 3, workers=workers, skip_bad=True)
    for _ in range(2):
        assert [b.indices for b in batches] == [(0, 2), (3, 4, 5)]
        assert [p for p, _ in batches.skipped] == [str(paths[1]), str(paths[6])]
        assert "6.png does not exist" in batches.skipped[1][1]


def test_no_images(tmp_path):
    batches = ImageBatches([], to_tensor)
    assert len(batches) == 0
    assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform_must_give_equal_shapes(paths, workers):
    with pytest.raises(DataError, match=r"\[3, 5, 6\] of .*1\.png and \[3, 4, 6\] of .*0\.png"):
        list(ImageBatches(paths, keep_size, 3, workers=workers))
    sizes = [b.images.shape[2] for b in ImageBatches(paths, keep_size, 1, workers=workers)]
    assert sizes == [4, 5, 6, 7, 8, 9, 10]


def test_a_transform_must_give_colour_tensors(paths):
    with pytest.raises(DataError, match="made ndarray, not a tensor"):
        list(ImageBatches(paths, np.asarray))
    with pytest.raises(DataError, match=r"made \[4, 6, 3\], not \[3, height, width\]"):
        list(ImageBatches(paths, lambda image: keep_size(image).permute(1, 2, 0)))


def test_a_dead_worker_is_one_clear_error(paths):
    with pytest.raises(DataError, match=r"worker process died.*workers=0"):
        list(ImageBatches(paths, die, 1, workers=2))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failing_transform_names_the_image_and_is_never_skipped(paths, workers):
    reason = r"failed on .*0\.png: RuntimeError: bug in the transform \(.*test_loading\.py, line"
    with pytest.raises(DataError, match=reason):
        list(ImageBatches(paths, fail, workers=workers, skip_bad=True))
    assert multiprocessing.active_children() == []


def test_progress_counts_images_and_skipped_ones(paths, capsys):
    paths[2].unlink()
    list(ImageBatches(paths, to_tensor, 3, skip_bad=True, progress="reading"))
    assert "reading: 100%" in capsys.readouterr().err
    list(ImageBatches(paths, to_tensor, 3, skip_bad=True))
    assert capsys.readouterr().err == ""


def test_a_handful_of_images_starts_no_workers():
    assert default_workers(63) == 0
    assert 1 <= default_workers(64) <= 4


def test_options_out_of_range(paths):
    with pytest.raises(ConfigError, match="batch_size"):
        ImageBatches(paths, to_tensor, 0)
    with pytest.raises(ConfigError, match="workers"):
        ImageBatches(paths, to_tensor, workers=-1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupt_ends_the_process_and_its_workers(paths):
    script = textwrap.dedent(
        f"""
        import time, torch
        from lakeviz.data import ImageBatches

        def slow(image):
            time.sleep(0.2)
            return torch.zeros(3, 2, 2)

        paths = {[str(p) for p in paths]!r} * 50
        try:
            for batch in ImageBatches(paths, slow, 1, workers=2):
                print("running", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    for _ in range(3):  # Python drops an interrupt that arrives in a destructor; one presses again
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to the parent and its workers
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=30)
            break
    else:
        pytest.fail("the process goes on after three interrupts")
    assert process.returncode == 0
    assert out.endswith("interrupted\n")
    # A worker that dies while it hands over a tensor can make a thread of multiprocessing complain;
    # neither the interrupt nor anything of ours may surface.
    assert "KeyboardInterrupt" not in err
    assert "lakeviz" not in err
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):  # nobody is left in the group
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def test_breaking_off_stops_the_workers(paths):
    for batch in ImageBatches(paths * 20, to_tensor, 1, workers=2):
        assert batch.indices == (0,)
        assert len(multiprocessing.active_children()) == 2
        break
    assert multiprocessing.active_children() == []


def test_decoding_here_leaves_torchs_threads_alone(paths):
    before = torch.get_num_threads()
    seen = []

    def watch(image):
        seen.append(torch.get_num_threads())
        return to_tensor(image)

    try:
        torch.set_num_threads(2)
        for _ in ImageBatches(paths, watch, 3, workers=0):
            assert torch.get_num_threads() == 2
        assert set(seen) == {1}
    finally:
        torch.set_num_threads(before)


def test_a_clip_whose_frames_change_their_size_is_named(tmp_path, put_image):
    sizes = {"a": [(6, 4), (6, 4)], "b": [(8, 4), (8, 5)]}
    for clip, of_clip in sizes.items():
        for i, size in enumerate(of_clip):
            put_image(tmp_path / f"train/{clip}/{i}.png", size=size)
            put_image(tmp_path / f"test/{clip}/{i}.png")
    rows = [f"{clip},{i},0" for clip in sizes for i in (0, 1)]
    (tmp_path / "labels.csv").write_text("\n".join(["clip,frame,label", *rows]))
    data = read_dataset("clips", tmp_path)
    batches = ImageBatches(data.split("train"), lambda image: torch.zeros(3, 2, 2), batch_size=1)
    with pytest.raises(
        DataError, match=r"b/1\.png is 8x5 .* and train/b/0\.png of the same clip 8x4"
    ):
        list(batches)
    (tmp_path / "train/b/1.png").unlink()
    data = read_dataset("clips", tmp_path)
    batches = ImageBatches(data.split("train"), lambda image: torch.zeros(3, 2, 2), batch_size=2)
    assert len(list(batches)) == 2  # of different size from clip to clip
