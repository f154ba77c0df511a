"""Few-shot draws and their manifests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeviz.data import Dataset, FewShotDraw, read_dataset
from lakeviz.data.table import Sample, build_frame
from lakeviz.errors import FewShotError, OutputError

ROOT = Path("/nowhere")


def made(pool: int, category: str = "cable") -> Dataset:
    """Make a table of ``pool`` training images, one test image and one defective training image."""
    samples = [Sample(ROOT / f"train/{i:04d}.png", category, "train") for i in range(pool)]
    samples += [
        Sample(ROOT / "test/0000.png", category, "test"),
        Sample(ROOT / "train/zzz.png", category, "train", "dent"),
    ]
    return Dataset("made", ROOT, build_frame(samples, ROOT))


@settings(deadline=None)
@given(pool=st.integers(1, 40), seed=st.integers(0, 2**32), data=st.data())
def test_draws_are_nested_seeded_and_without_repeats(pool, seed, data):
    few = data.draw(st.integers(1, pool))
    more = data.draw(st.integers(few, pool))
    dataset = made(pool)
    small, large = dataset.few_shot(few, seed), dataset.few_shot(more, seed)
    assert large.sample_ids[:few] == small.sample_ids
    assert dataset.few_shot(few, seed) == small
    assert len(set(large.sample_ids)) == more == large.shots
    assert set(large.sample_ids) <= {f"train/{i:04d}.png" for i in range(pool)}
    assert large.paths == tuple(ROOT / s for s in large.sample_ids)
    assert (large.seed, large.pool_size, large.category) == (seed, pool, "cable")


@settings(deadline=None)
@given(order=st.permutations(range(12)))
def test_order_of_the_table_does_not_matter(order):
    dataset = made(10)
    shuffled = Dataset("made", ROOT, dataset.frame.iloc[list(order)])
    assert shuffled.few_shot(4, 7) == dataset.few_shot(4, 7)


def test_other_categories_do_not_matter():
    alone = made(10)
    frame = pd.concat([made(6, "other").frame, alone.frame])
    both = Dataset("made", ROOT, frame)
    assert both.category("cable").few_shot(4, 3) == alone.few_shot(4, 3)


def test_draw_is_the_permutation_of_numpys_generator():
    expected = [f"train/{i:04d}.png" for i in np.random.default_rng(5).permutation(9)]
    assert list(made(9).few_shot(None, 5).sample_ids) == expected
    assert list(made(9).few_shot("all", 5).sample_ids) == expected
    assert list(made(9).few_shot(2, 5).sample_ids) == expected[:2]


def test_every_image_is_equally_likely():
    # 400 draws of 1 of 4: each image 100 times; 5 standard deviations are 43.
    dataset = made(4)
    drawn = [dataset.few_shot(1, seed).sample_ids[0] for seed in range(400)]
    counts = pd.Series(drawn).value_counts()
    assert len(counts) == 4
    assert counts.between(57, 143).all()


@pytest.mark.parametrize("shots", [0, -1, 1.5, "four", True])
def test_shots_must_be_a_positive_integer(shots):
    with pytest.raises(FewShotError, match="positive integer"):
        made(3).few_shot(shots)


def test_impossible_draws_say_why():
    with pytest.raises(FewShotError, match="4 shots asked of made/cable, which has 3 normal"):
        made(3).few_shot(4)
    with pytest.raises(FewShotError, match="no normal image in its train split"):
        made(0).few_shot(1)
    both = Dataset("made", ROOT, pd.concat([made(2, "a").frame, made(2, "b").frame]))
    with pytest.raises(FewShotError, match="of one category; made has 2"):
        both.few_shot(1)


@pytest.fixture
def data(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "set/cable")
    mvtec_category(tmp_path / "set/screw")
    return read_dataset("mvtec", tmp_path / "set")


def test_manifest_reads_back_equal(data, tmp_path):
    drawn = data.category("screw").few_shot(3, 11)
    path = drawn.to_manifest(tmp_path / "k3.txt")
    assert path.read_text().splitlines() == [
        "# lakeviz few-shot manifest: normal images, one a line, relative to the root",
        "# dataset: mvtec",
        "# category: screw",
        "# seed: 11",
        "# shots: 3",
        "# pool_size: 5",
        *drawn.sample_ids,
    ]
    assert FewShotDraw.from_manifest(path, data) == drawn
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k3.txt", "set"]


def test_manifest_by_hand(data, tmp_path, put_image):
    outside = put_image(tmp_path / "mine/extra.png")
    inside = data.root / "cable/train/good/002.png"
    path = tmp_path / "hand.txt"
    path.write_text(
        f"\ufeff# my images\r\n\r\n  ./cable/train/good/001.png  \r\n{inside}\r\n{outside}\r\n",
        encoding="utf-8",
    )
    drawn = FewShotDraw.from_manifest(path, data)
    assert drawn.sample_ids == (
        "cable/train/good/001.png",
        "cable/train/good/002.png",
        outside.as_posix(),
    )
    assert drawn.paths == (data.root / "cable/train/good/001.png", inside, outside)
    assert (drawn.category, drawn.seed, drawn.pool_size) == ("cable", None, None)


def test_manifest_of_outside_images_needs_a_category(data, tmp_path, put_image):
    outside = put_image(tmp_path / "mine/extra.png")
    path = tmp_path / "hand.txt"
    path.write_text(f"{outside}\n")
    with pytest.raises(FewShotError, match="category: NAME"):
        FewShotDraw.from_manifest(path, data)
    assert FewShotDraw.from_manifest(path, data.category("cable")).category == "cable"
    path.write_text(f"# category: screw\n{outside}\n")
    assert FewShotDraw.from_manifest(path, data).category == "screw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "lists no image"),
        ("\ncable/train/good/9.png\n", r"line 2: .*good/9\.png does not exist"),
        ("cable/train/good/001.png\n./cable/train/good/001.png\n", "line 2: .* listed twice"),
        ("cable/test/bent/000.png\n", r"line 1: cable/test/bent/000\.png is anomalous \(bent\)"),
        ("cable/test/good/000.png\n", "line 1: .* is a test image"),
        ("cable/train/good/001.png\nscrew/train/good/001.png\n", "line 2: an image of screw"),
        ("# seed: none\ncable/train/good/001.png\n", "seed must be an integer"),
    ],
)
def test_manifest_errors_name_the_line(data, tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(FewShotError, match=message):
        FewShotDraw.from_manifest(path, data)


def test_unreadable_manifests(data, tmp_path):
    with pytest.raises(FewShotError, match="cannot read the manifest"):
        FewShotDraw.from_manifest(tmp_path / "absent.txt", data)
    (tmp_path / "image.png").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(FewShotError, match="UTF-8"):
        FewShotDraw.from_manifest(tmp_path / "image.png", data)


def test_names_that_look_like_comments_survive(tmp_path, put_image):
    root = tmp_path / "set"
    put_image(root / "#1.png")
    samples = [Sample(root / "#1.png", "c", "train")]
    data = Dataset("odd", root, build_frame(samples, root))
    path = data.few_shot(1).to_manifest(tmp_path / "m.txt")
    assert FewShotDraw.from_manifest(path, data) == data.few_shot(1)


def test_manifest_that_cannot_be_written_leaves_nothing(data, tmp_path):
    drawn = data.category("screw").few_shot(1)
    (tmp_path / "k.txt").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*k\.txt"):
        drawn.to_manifest(tmp_path / "k.txt")
    assert not list(tmp_path.glob("*.tmp"))


@settings(deadline=None)
@given(pool=st.integers(1, 40), shots=st.integers(1, 8), seed=st.integers(0, 99))
def test_draws_of_one_seed_share_no_image(pool, shots, seed):
    dataset = made(pool)
    if shots > pool:
        return
    draws = dataset.few_shot_draws(shots, seed)
    assert len(draws) == min(5, pool // shots)
    assert draws[0] == dataset.few_shot(shots, seed)
    names = [name for one in draws for name in one.sample_ids]
    assert len(set(names)) == len(names) == shots * len(draws)


def test_more_draws_than_the_images_allow():
    said = "the 2 that share no image, with 9 normal training images"
    with pytest.raises(FewShotError, match=said):
        made(9).few_shot_draws(4, 0, 3)
    assert len(made(9).few_shot_draws("all")) == 1


def of_clips(*lengths: int) -> Dataset:
    """Make a table of training clips of so many frames, whose names sort unlike their numbers."""
    samples = [
        Sample(ROOT / f"train/{clip}/{i}.png", "belt", "train", clip=f"c{clip}", frame=i)
        for clip, n in enumerate(lengths)
        for i in range(n)
    ]
    bad = [
        Sample(ROOT / f"train/x/{i}.png", "belt", "train", kind, clip="x", frame=i)
        for i, kind in enumerate(("good", "stop"))
    ]
    return Dataset("made", ROOT, build_frame([*samples, *bad], ROOT))


def test_shots_of_clips_are_whole_clips_in_order():
    dataset = of_clips(12, 3, 4, 11)
    order = np.random.default_rng(5).permutation(4)
    first, second = dataset.few_shot_draws(2, 5)
    expected = [(f"train/c{c}", i) for c in order[:2] for i in range((12, 3, 4, 11)[c])]
    assert list(first.frames) == expected
    assert first.sample_ids == tuple(f"train/{name[-1]}/{i}.png" for name, i in expected)
    assert {c for c, _ in second.frames} == {f"train/c{c}" for c in order[2:]}
    assert first.pool_size == 4
    everything = dataset.few_shot("all", 5)
    assert len(everything) == 30
    with pytest.raises(FewShotError, match=r"5 shots .* has 4 normal training clips"):
        dataset.few_shot(5)
    with pytest.raises(FewShotError, match="than the 1 that share no clip"):
        dataset.few_shot(3, number=1)


def test_a_manifest_of_clips_lists_frames(tmp_path):
    dataset = of_clips(12, 3)
    drawn = dataset.few_shot(1, 0)
    assert FewShotDraw.from_manifest(drawn.to_manifest(tmp_path / "m.txt"), dataset) == drawn
