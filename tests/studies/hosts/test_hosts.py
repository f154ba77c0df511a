"""The adapters against the libraries they wrap, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor
from torch import nn

from lakeviz.errors import ConfigError, HostError, NotFittedError
from lakeviz.studies.hosts.conditions import kept_bytes, median_seconds
from lakeviz.studies.hosts.detectors import (
    LocalOutlierFactorHost,
    NearestNeighboursHost,
    PatchFeatureDetector,
    PCAResidualHost,
    ZeroShotHost,
    get_host,
    protocol,
)
from lakeviz.studies.hosts.scoring import fit_host

GRID = (2, 3)
SKLEARN = (NearestNeighboursHost, LocalOutlierFactorHost, PCAResidualHost)


def features(n_images: int, n_channels: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_images, 6, n_channels, generator=generator)


@pytest.mark.parametrize("k", [1, 3])
def test_nearest_neighbours_are_the_kth_distances(k):
    normal, test = features(4), features(2, seed=1)
    found = NearestNeighboursHost(neighbours=k).fit(normal, GRID).score(test).patch
    distances = cdist(test.reshape(-1, 5), normal.reshape(-1, 5))
    assert found == pytest.approx(np.sort(distances, axis=1)[:, k - 1].reshape(2, 6), rel=1e-5)


def test_local_outlier_factor_is_sklearns():
    normal, test = features(6), features(2, seed=1)
    found = LocalOutlierFactorHost(neighbours=4).fit(normal, GRID).score(test).patch
    bare = LocalOutlierFactor(n_neighbors=4, novelty=True).fit(normal.reshape(-1, 5).numpy())
    wanted = -bare.score_samples(test.reshape(-1, 5).numpy())
    assert found == pytest.approx(wanted.reshape(2, 6), rel=1e-5)


def test_pca_residual_is_the_distance_from_a_planted_plane():
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.standard_normal((5, 5)))[0]
    inside = generator.standard_normal((4, 6, 2)) @ basis[:, :2].T
    away = generator.uniform(1, 2, size=(2, 6, 1))
    outside = generator.standard_normal((2, 6, 2)) @ basis[:, :2].T + away * basis[:, 3]
    host = PCAResidualHost(variance=0.999999).fit(torch.from_numpy(inside).float(), GRID)
    found = host.score(torch.from_numpy(outside).float()).patch
    assert found == pytest.approx(away[..., 0], rel=1e-4)


@pytest.mark.parametrize("make", SKLEARN)
def test_what_does_not_fit_is_refused(make):
    host = make() if make is PCAResidualHost else make(neighbours=2)
    assert isinstance(host, PatchFeatureDetector)
    with pytest.raises(NotFittedError, match="before it was fitted"):
        host.score(features(1))
    host.fit(features(3), GRID)
    with pytest.raises(HostError, match="fitted on 5 channels and was given 4"):
        host.score(features(1, n_channels=4))
    with pytest.raises(HostError, match="grid of 6 patches and was given 5"):
        host.score(features(1)[:, :5])
    with pytest.raises(HostError, match="6 patches per image do not fill a grid of 2 x 2"):
        host.fit(features(3), (2, 2))
    with pytest.raises(HostError, match="NaN or infinite"):
        host.score(features(1).fill_(np.nan))
    with pytest.raises(HostError, match=r"must be \[image, patch, channel\]"):
        host.score(features(1)[0])


def test_neighbours_and_shares_out_of_range():
    with pytest.raises(ConfigError, match="6 normal patches, 7 neighbours"):
        NearestNeighboursHost(neighbours=7).fit(features(1), GRID)
    with pytest.raises(ConfigError, match="neighbours must be at least 1, not 0"):
        LocalOutlierFactorHost(neighbours=0)
    with pytest.raises(ConfigError, match="between 0 and 1, not 1"):
        PCAResidualHost(variance=1)
    with pytest.raises(ConfigError, match="embedding or map, not 'text'"):
        ZeroShotHost(image="text")


@pytest.mark.parametrize(
    ("name", "extra"), [("lof", "sklearn"), ("patchcore", "anomalib"), ("winclip", "anomalib")]
)
def test_a_missing_library_names_its_extra(name, extra, monkeypatch):
    monkeypatch.setattr(protocol, "find_spec", lambda module: None)
    with pytest.raises(HostError, match=rf'not installed: pip install "lakeviz\[{extra}\]"'):
        get_host(name)


def test_get_host():
    assert get_host("lof", neighbours=3).describe()["neighbours"] == 3
    host = NearestNeighboursHost()
    assert get_host(host) is host
    with pytest.raises(HostError, match=r"no host 'patchcor'; known: .*nearest: patchcore"):
        get_host("patchcor")
    with pytest.raises(ConfigError, match="lof does not take depth"):
        get_host("lof", depth=3)
    with pytest.raises(HostError, match="int is no host: it needs fit, score and describe"):
        get_host(3)  # type: ignore[arg-type]


def test_a_host_that_reads_images_cannot_be_restricted(planted):
    data = planted()
    with pytest.raises(HostError, match=r"zero_shot reads whole images.*mode add"):
        fit_host(ZeroShotHost(), data, data.select(3))


def test_kept_bytes_counts_each_storage_once_and_no_network():
    host = NearestNeighboursHost().fit(features(4), GRID)
    assert kept_bytes(host) == 4 * 6 * 5 * 4  # images, patches, channels, float32
    array = np.zeros(100)
    module = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10))
    module.bank = torch.zeros(7, 3)  # type: ignore[assignment]
    holder = nn.Module()
    holder.register_buffer("memory", torch.zeros(50))
    held = {"a": array, "b": [array, array[:10]], "c": module, "d": holder}
    # The sequence has no parameters of its own, so its bank counts; its layers' do not.
    assert kept_bytes(held) == 100 * 8 + 7 * 3 * 4 + 50 * 4


def test_timings_are_medians_of_runs_in_turn(monkeypatch):
    order = []
    clock = iter([0, 1, 10, 12, 20, 25, 30, 31, 40, 43, 50, 59])
    monkeypatch.setattr("lakeviz.studies.hosts.conditions.perf_counter", lambda: next(clock))
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    assert median_seconds(runs, 3) == {"a": 3, "b": 2}
    assert order == list("abababab")
