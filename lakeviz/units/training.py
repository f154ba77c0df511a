"""Training of a small sparse autoencoder on captured tokens, and how well one reconstructs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lakeviz.activations.statistics import check_finite
from lakeviz.errors import ConfigError
from lakeviz.files import write_arrays, write_json, written_together
from lakeviz.settings import check_choice
from lakeviz.units.autoencoder import AutoencoderUnits
from lakeviz.units.settings import ARCHITECTURES

_CALIBRATED = 16384  # tokens that the threshold of BatchTopK is set on
_BLOCK = 8192
_AUX_WEIGHT, _AUX_LATENTS, _DEAD_AFTER = 1 / 32, 64, 100  # Gao et al., arXiv 2406.04093


class _Autoencoder(nn.Module):
    """Tied at the start, with decoder rows of length 1; latents by the k largest."""

    def __init__(self, n: int, latents: int, generator: torch.Generator) -> None:
        super().__init__()
        rows = F.normalize(torch.randn(latents, n, generator=generator), dim=1)
        self.w_dec, self.w_enc = nn.Parameter(rows), nn.Parameter(rows.T.clone())
        self.b_enc, self.b_dec = nn.Parameter(torch.zeros(latents)), nn.Parameter(torch.zeros(n))

    def before(self, x: Tensor) -> Tensor:
        return F.relu((x - self.b_dec) @ self.w_enc + self.b_enc)

    def decode(self, latents: Tensor) -> Tensor:
        return latents @ self.w_dec + self.b_dec


def _largest(before: Tensor, k: int, by_batch: bool) -> Tensor:
    """Keep the k largest of each token, or as many of the batch."""
    flat = before.reshape(1, -1) if by_batch else before
    values, index = flat.topk(k * len(before) if by_batch else k, dim=1)
    return torch.zeros_like(flat).scatter(1, index, values).reshape(before.shape)


def train_sae(
    tokens: Float[Tensor, "*token channel"],
    point: str,
    *,
    latents: int,
    k: int,
    steps: int = 2000,
    architecture: str = "batchtopk",
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
    seed: int = 0,
    made: Mapping[str, Any] | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> AutoencoderUnits:
    """Train a sparse autoencoder of k active latents on tokens.

    Latents that have not been active for a while are trained on what the others leave (Gao et al.,
    2024). BatchTopK gets a threshold after training, at which ``k`` latents are active on average.

    Parameters
    ----------
    tokens : float tensor [..., channel]
    point : str
        Hook point that they are of.
    latents, k : int
        Number of latents, and how many are active.
    steps : int
        0 gives an untrained autoencoder, as a control.
    architecture : str
        ``"batchtopk"`` (k per token on average) or ``"topk"`` (k of each token).
    batch_size : int
    learning_rate : float
    seed : int
        Of weights and batches.
    made : mapping, optional
        ``model_name`` and ``weights_hash`` of the model.
    progress : callable, optional
        Told the step and the share of variance that is not explained.

    Raises
    ------
    ConfigError
        If a number is out of range, or there are no tokens.
    ActivationError
        On NaN or infinite tokens.
    """
    flat = tokens.detach().reshape(-1, tokens.shape[-1]).float()
    _check(len(flat), latents, k, steps, architecture, batch_size, learning_rate)
    check_finite(flat, point)
    centre = flat.double().mean(0).float()
    scale = (flat - centre).square().mean().sqrt().clamp(min=1e-12)
    generator = torch.Generator().manual_seed(seed)
    net = _Autoencoder(flat.shape[1], latents, generator)
    optimiser = torch.optim.Adam(net.parameters(), lr=learning_rate)
    idle = torch.zeros(latents)  # steps since a latent was active
    for step in range(steps):
        rows = torch.randint(len(flat), (min(batch_size, len(flat)),), generator=generator)
        x = (flat[rows] - centre) / scale
        before = net.before(x)
        active = _largest(before, k, architecture == "batchtopk")
        left = x - net.decode(active)
        lost = left.square().mean()
        loss = lost + _AUX_WEIGHT * _of_idle(net, x, left.detach(), idle > _DEAD_AFTER)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            net.w_dec.copy_(F.normalize(net.w_dec, dim=1))
        idle = torch.where((active > 0).any(0), 0.0, idle + 1)
        progress(step, float(lost.detach()))
    return _finished(net, flat, centre, scale, point, k, architecture, seed, made or {})


def _of_idle(net: _Autoencoder, x: Tensor, left: Tensor, dead: Tensor) -> Tensor:
    """Share of what is left that dead latents would not explain."""
    n = min(_AUX_LATENTS, int(dead.sum()))
    if n == 0:
        return left.new_zeros(())
    raw = ((x - net.b_dec) @ net.w_enc + net.b_enc)[:, dead]
    values, index = raw.topk(n, dim=1)
    found = torch.zeros_like(raw).scatter(1, index, values) @ net.w_dec[dead]
    return (left - found).square().mean() / left.square().mean().clamp(min=1e-12)


@torch.no_grad()
def _finished(
    net: _Autoencoder,
    flat: Tensor,
    centre: Tensor,
    scale: Tensor,
    point: str,
    k: int,
    architecture: str,
    seed: int,
    made: Mapping[str, Any],
) -> AutoencoderUnits:
    """Weights for tokens as they are: latents are in units of the activation."""
    units = AutoencoderUnits(
        point=point,
        w_enc=net.w_enc.detach().clone(),
        b_enc=net.b_enc.detach() * scale,
        w_dec=net.w_dec.detach().clone(),
        b_dec=net.b_dec.detach() * scale + centre,
        activation="topk" if architecture == "topk" else "relu",
        k=k if architecture == "topk" else None,
        source=f"trained here, seed {seed}",
        made=made,
    )
    if architecture == "topk":
        return units
    before = units.encode(flat[torch.linspace(0, len(flat) - 1, _CALIBRATED).long().unique()])
    kept = min(k * len(before), before.numel() - 1)
    threshold = before.flatten().topk(kept + 1).values[-1]
    return replace(units, activation="threshold", threshold=threshold.expand(before.shape[1]))


def _check(
    n: int, latents: int, k: int, steps: int, architecture: str, batch: int, rate: float
) -> None:
    if n == 0:
        raise ConfigError("there is no token to train on")
    if not 1 <= k <= latents:
        raise ConfigError(f"k must be 1 to the {latents} latents, not {k}")
    if steps < 0 or batch < 1 or not rate > 0:
        raise ConfigError(
            f"steps ({steps}) must be 0 or more, and batch size ({batch}) and learning rate "
            f"({rate}) above 0"
        )
    check_choice("architecture", architecture, ARCHITECTURES)


@torch.no_grad()
def reconstruction(
    units: AutoencoderUnits, tokens: Float[Tensor, "*token channel"]
) -> dict[str, float]:
    """How well tokens are reconstructed.

    Returns
    -------
    dict
        ``explained_variance``, of all channels together; ``explained_by_channel``, the mean over
        channels, each in its own variance, which a single large channel does not decide; ``l0``,
        active latents per token; ``dead``, the share of latents that no token activates.
    """
    flat = tokens.reshape(-1, tokens.shape[-1]).float()
    lost, active = flat.new_zeros(flat.shape[1]).double(), flat.new_zeros(units.n_units).double()
    for block in flat.split(_BLOCK):
        lost += (block - units.reconstruct(block)).double().square().sum(0)
        active += (units.encode(block) != 0).sum(0)
    spread = (flat.double() - flat.double().mean(0)).square().sum(0)
    varies = spread > 0
    return {
        "explained_variance": float(1 - lost.sum() / spread.sum()),
        "explained_by_channel": float((1 - lost[varies] / spread[varies]).mean()),
        "l0": float(active.sum() / len(flat)),
        "dead": float((active == 0).double().mean()),
    }


def save_sae(units: AutoencoderUnits, folder: str | Path) -> Path:
    """Write an autoencoder as SAELens does: ``cfg.json`` and ``sae_weights.safetensors``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    tensors = {
        "W_enc": units.w_enc,
        "b_enc": units.b_enc,
        "W_dec": units.w_dec,
        "b_dec": units.b_dec,
        **({} if units.threshold is None else {"threshold": units.threshold}),
    }
    kinds = {"relu": "standard", "topk": "topk", "threshold": "jumprelu"}
    config = {
        "architecture": kinds[units.activation],
        "d_in": units.n_channels,
        "d_sae": units.n_units,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": units.subtract,
        "normalize_activations": units.normalisation,
        **({"k": units.k} if units.activation == "topk" else {}),
        "metadata": {"model_name": units.made.get("model_name"), "hook_name": units.point},
        "lakeviz": {
            "weights_hash": units.made.get("weights_hash"),
            "signed": units.signed,
            "out_point": units.out_point,
            "report": dict(units.report),
        },
    }
    with written_together(folder) as scratch:
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        write_arrays(scratch / "sae_weights.safetensors", arrays)
        write_json(scratch / "cfg.json", config)
    return Path(folder)
