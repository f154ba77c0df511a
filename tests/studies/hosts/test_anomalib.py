"""anomalib's models on our features and our CLIP, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis

from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError, HostError
from lakeviz.lake import fit_text
from lakeviz.metrics import Bootstrap
from lakeviz.studies.hosts import compare_host
from lakeviz.studies.hosts.conditions import kept_bytes
from lakeviz.studies.hosts.detectors import PadimHost, PatchCoreHost, WinClipHost, ZeroShotHost

pytest.importorskip("anomalib")

GRID = (4, 4)


def features(n_images: int, n_channels: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_images, 16, n_channels, generator=generator)


def pooled(tokens: torch.Tensor) -> np.ndarray:
    maps = tokens.mT.reshape(len(tokens), -1, *GRID)
    return torch.nn.functional.avg_pool2d(maps, 3, 1, 1).flatten(2).mT.numpy()


@pytest.mark.slow
def test_patchcore_of_all_patches_is_the_nearest_pooled_patch():
    normal, test = features(3), features(2, seed=1)
    found = PatchCoreHost(coreset=1, neighbours=1).fit(normal, GRID).score(test)
    near = cdist(pooled(test).reshape(-1, 6), pooled(normal).reshape(-1, 6)).min(1).reshape(2, 16)
    assert found.patch == pytest.approx(near, abs=1e-4)
    assert found.image == pytest.approx(near.max(1), abs=1e-4)


def test_patchcore_keeps_a_share_and_leaves_the_global_generators():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    hosts = [PatchCoreHost(coreset=0.25, seed=s).fit(features(4), GRID) for s in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    banks = [host.model.memory_bank for host in hosts]
    assert banks[0].shape == (16, 6)
    assert torch.equal(banks[0], banks[1])
    assert not torch.equal(banks[0], banks[2])
    assert {tuple(b) for b in banks[0].tolist()} <= {
        tuple(p) for p in torch.from_numpy(pooled(features(4))).reshape(-1, 6).tolist()
    }
    assert kept_bytes(hosts[0]) >= 16 * 6 * 4
    assert kept_bytes(hosts[0]) < 16 * 6 * 4 + 8
    few = PatchCoreHost(coreset=0.001).fit(features(1), GRID)
    assert few.model.memory_bank.shape == (1, 6)


def test_padim_is_mahalanobis_at_each_position():
    normal, test = features(9), features(2, seed=1)
    found = PadimHost().fit(normal, GRID).score(test)
    assert found.image is None
    for position in (0, 7, 15):
        own = normal[:, position].double().numpy()
        inverse = np.linalg.inv(np.cov(own.T) + (0.01 + 1e-5) * np.eye(6))
        for image in (0, 1):
            wanted = mahalanobis(test[image, position].double().numpy(), own.mean(0), inverse)
            assert found.patch[image, position] == pytest.approx(wanted, rel=1e-3)


def test_padim_draws_channels_and_needs_two_images():
    host = PadimHost(features=2, seed=3).fit(features(4), GRID)
    assert host.model.gaussian.mean.shape == (2, 16)
    assert len(set(host.model.idx.tolist())) == 2
    assert PadimHost(features=99).fit(features(4), GRID).model.gaussian.mean.shape == (6, 16)
    with pytest.raises(ConfigError, match="there is one"):
        PadimHost().fit(features(1), GRID)
    with pytest.raises(ConfigError, match="features must be at least 1, not 0"):
        PadimHost(features=0)
    with pytest.raises(ConfigError, match=r"in \(0, 1\], not 0"):
        PatchCoreHost(coreset=0)


@pytest.fixture
def study(captured, tiny_model):
    return captured(tiny_model("clip"), [1, 2], text_weight=0.3)


def test_a_window_over_the_whole_image_is_the_image(study):
    model = study.model
    host = WinClipHost(scales=(4,)).prepare(study, [0, 1, 2])
    images = next(iter(ImageBatches(study.dataset, model.preprocess))).images
    with host._tokens_out(), torch.no_grad():
        whole, (windows,), _ = host.model.encode_image(images)
    assert windows.shape[1] == 1
    assert torch.allclose(windows[:, 0], whole, atol=1e-5)


def test_winclip_image_scores_are_its_formula_and_images_do_not_mix(study):
    model = study.model
    host = WinClipHost(few_shot=False).prepare(study, [0])
    everyone = host.score_images(study, range(len(study.test)))
    one = host.score_images(study, [5])
    assert one.patch[0] == pytest.approx(everyone.patch[5], abs=1e-5)
    batch = torch.cat([b.images for b in ImageBatches(study.dataset, model.preprocess)])
    embedding = model.encode_image(batch, normalize=True)
    text = torch.nn.functional.normalize(host.model.text_embeddings, dim=-1)
    wanted = (embedding @ text.T / 0.07).softmax(-1)[:, 1].numpy()
    assert everyone.image == pytest.approx(wanted, abs=1e-5)
    # The tower is left as it was: its output is an embedding alone.
    assert model.module.visual.output_tokens is False
    assert model.module.visual.transformer.batch_first is True
    assert isinstance(model.tower(batch[:1]), torch.Tensor)


def test_winclip_with_normal_images_knows_them_again(study):
    host = WinClipHost().prepare(study, [0, 1, 2])
    bare = WinClipHost(few_shot=False).prepare(study, [0, 1, 2])
    own = host.score_images(study, [1], normal=True)
    # An image that is remembered adds nothing: half of the score by prompts is left.
    assert own.patch == pytest.approx(
        bare.score_images(study, [1], normal=True).patch / 2, abs=1e-5
    )
    assert kept_bytes(host) > kept_bytes(bare)


def test_winclip_and_zero_shot_gain_or_lose_on_the_tiles(study):
    quick = {"n_random_sets": 2, "bootstrap": Bootstrap(n_resamples=50), "n_repeats": 1}
    for host in ("winclip", "zero_shot"):
        result = compare_host(host, study, **quick)
        assert set(result.metrics["mode"]) == {"alone", "add", "lake"}
        assert host in result.summary()
        with pytest.raises(HostError, match="cannot be restricted"):
            compare_host(host, study, modes=["restrict"], **quick)


def test_zero_shot_is_the_text_branch(study):
    host = ZeroShotHost().prepare(study, [0])
    found = host.score_images(study, [2, 0])
    assert found.patch == pytest.approx(study.text.patch[[2, 0]].reshape(2, -1))
    assert found.image == pytest.approx(study.text.image[[2, 0]])
    assert ZeroShotHost(image="map").prepare(study, [0]).score_images(study, [0]).image is None
    normal = host.score_images(study, [1], normal=True)
    model = study.model
    batch = next(iter(ImageBatches(study.normal_paths[1:2], model.preprocess))).images
    text = fit_text(model, "tile", study.options.text)
    assert normal.image == pytest.approx(text.probability(model.encode_image(batch)).numpy())


def test_towers_that_text_hosts_cannot_work_with(captured, tiny_model, planted):
    timm = captured(tiny_model("timm"), [1])
    resnet = captured(tiny_model("resnet"), ["layer3.0.hook_resid_post"], text_weight=0)
    clip = captured(tiny_model("clip"), [1], text_weight=0)
    with pytest.raises(HostError, match="tiny-timm has no text encoder"):
        WinClipHost().prepare(timm, [0])
    with pytest.raises(HostError, match="open_clip_resnet; its windows need"):
        WinClipHost().prepare(resnet, [0])
    with pytest.raises(
        HostError, match="grid of tiny-clip is 4 x 4 patches, smaller than a window"
    ):
        WinClipHost(scales=(2, 5)).prepare(clip, [0])
    with pytest.raises(ConfigError, match="windows of 1 patch or more"):
        WinClipHost(scales=(0,))
    with pytest.raises(HostError, match="zero_shot: tiny-timm has no text encoder"):
        ZeroShotHost().prepare(timm, [0])
    with pytest.raises(HostError, match="captured with text_weight=0"):
        ZeroShotHost().prepare(clip, [0])
    with pytest.raises(HostError, match="winclip reads images, and planted holds tokens alone"):
        WinClipHost().prepare(planted(), [0])
