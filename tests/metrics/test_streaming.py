"""The streamed metrics equal those in memory, and leave nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError, MetricError, OutputError
from lakeviz.metrics import Conventions, PixelScorer, pixel_metrics

WIDE = Conventions(aupimo_bounds=(1e-3, 0.2))
NAMES = ("auroc", "average_precision", "f1_max", "f1_threshold", "aupro", "aupimo")


def assert_equal(streamed, whole):
    for name in NAMES:
        assert getattr(streamed, name) == pytest.approx(getattr(whole, name), abs=1e-12, rel=0)
    np.testing.assert_allclose(streamed.aupimo_per_image, whole.aupimo_per_image, atol=1e-12)
    assert streamed.n_regions == whole.n_regions
    assert streamed.conventions == whole.conventions


@pytest.mark.parametrize("buffer_pixels", [1, 700, 10**6])
@pytest.mark.parametrize("levels", [None, 3])
def test_equals_in_memory(smooth_set, tmp_path, buffer_pixels, levels):
    maps, masks = smooth_set(0, n=9, levels=levels)
    with PixelScorer(WIDE, buffer_pixels=buffer_pixels, directory=tmp_path) as scorer:
        for start in range(0, 9, 2):
            scorer.update(maps[start : start + 2], masks[start : start + 2])
        assert any(tmp_path.rglob("*.npy")) == (buffer_pixels < 10**6)
        assert_equal(scorer.compute(), pixel_metrics(maps, masks, WIDE))
    assert not list(tmp_path.iterdir())


def test_sizes_and_dtypes_may_change_between_batches(tmp_path):
    rng = np.random.default_rng(1)
    shapes = [(20, 30), (25, 25), (20, 30), (10, 40)]
    dtypes = [np.float32, np.float64, np.float16, np.float32]
    maps = [rng.normal(size=s).astype(d) for s, d in zip(shapes, dtypes)]
    masks = [rng.random(s) < p for s, p in zip(shapes, (0.0, 0.1, 0.1, 0.0))]
    with PixelScorer(WIDE, buffer_pixels=800, directory=tmp_path) as scorer:
        for score_map, mask in zip(maps, masks):
            scorer.update([torch.tensor(score_map)], [torch.tensor(mask)])
        assert_equal(scorer.compute(), pixel_metrics(maps, masks, WIDE))


def test_compute_may_be_called_in_between(smooth_set):
    maps, masks = smooth_set(2)
    with PixelScorer(WIDE, buffer_pixels=1000) as scorer:
        scorer.update(maps[:3], masks[:3])
        assert_equal(scorer.compute(), pixel_metrics(maps[:3], masks[:3], WIDE))
        scorer.update(maps[3:], masks[3:])
        assert_equal(scorer.compute(), pixel_metrics(maps, masks, WIDE))


def test_the_caller_may_reuse_the_batch_memory(smooth_set):
    maps, masks = smooth_set(3)
    buffer = np.empty_like(maps[:1])
    with PixelScorer(WIDE) as scorer:
        for score_map, mask in zip(maps, masks):
            buffer[0] = score_map
            scorer.update(buffer, mask[None])
        assert_equal(scorer.compute(), pixel_metrics(maps, masks, WIDE))


def test_a_bad_batch_is_numbered_and_adds_nothing(smooth_set):
    maps, masks = smooth_set(4)
    broken = maps[:2].copy()
    broken[1, 0, 0] = np.nan
    with PixelScorer(WIDE) as scorer:
        scorer.update(maps, masks)
        with pytest.raises(MetricError, match="map 7 hold NaN"):
            scorer.update(broken, masks[:2])
        assert_equal(scorer.compute(), pixel_metrics(maps, masks, WIDE))


def test_files_go_on_an_error(smooth_set, tmp_path):
    maps, masks = smooth_set(5)

    def fail():
        with PixelScorer(WIDE, buffer_pixels=1, directory=tmp_path) as scorer:
            scorer.update(maps, masks)
            assert list(tmp_path.iterdir())
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named_and_cleaned_up(smooth_set, tmp_path, monkeypatch):
    maps, masks = smooth_set(6)
    scorer = PixelScorer(WIDE, buffer_pixels=1, directory=tmp_path)
    scorer.update(maps[:1], masks[:1])

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        scorer.update(maps[1:], masks[1:])
    assert not list(tmp_path.iterdir())
    with pytest.raises(MetricError, match="closed"):
        scorer.compute()


def test_a_missing_directory_is_named(smooth_set, tmp_path):
    scorer = PixelScorer(buffer_pixels=1, directory=tmp_path / "missing")
    with pytest.raises(OutputError, match="missing"):
        scorer.update(*smooth_set(7))


def test_empty_and_undefined(smooth_set):
    maps, masks = smooth_set(8)
    scorer = PixelScorer()
    with pytest.raises(MetricError, match="no maps"):
        scorer.compute()
    scorer.update(maps, np.zeros_like(masks))
    assert "no mask of the 6 images" in scorer.compute().reasons["auroc"]
    scorer.close()
    with pytest.raises(MetricError, match="closed"):
        scorer.update(maps, masks)
    with pytest.raises(ConfigError, match="buffer_pixels"):
        PixelScorer(buffer_pixels=0)
