"""How far a neuron is from what it does on normal images: its own, one-dimensional detector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError
from lakeviz.lake.normalisation import standardiser
from lakeviz.studies.base.captured import StudyData

DEVIATIONS = ("zscore", "nearest")


@dataclass(frozen=True)
class Deviation:
    """Deviation of every channel of one hook point from the normal tokens it was fitted on.

    ``"zscore"`` is ``|x - mean| / sd`` with mean and population standard deviation of the normal
    patch tokens; a channel that is constant on them has none, and its deviation is ``|x - mean|``
    in units of the activation. ``"nearest"`` is ``|x - v|`` for the nearest normal value ``v``:
    the structural score of a gallery of this one channel, in units of the activation.

    Attributes
    ----------
    kind : str
    mean, scale : tensors [channel]
    sorted_values : tensor [channel, token], optional
        For ``"nearest"``.
    constant : bool tensor [channel]
        Channels that do not vary on the normal tokens.
    """

    kind: str
    mean: Float[Tensor, " channel"]
    scale: Float[Tensor, " channel"]
    constant: Tensor
    sorted_values: Float[Tensor, "channel token"] | None = None

    @classmethod
    def fit(cls, data: StudyData, point: str, kind: str) -> Deviation:
        """Fit on the normal images of a study.

        Raises
        ------
        ConfigError
            On an unknown kind.
        """
        check_deviation(kind)
        mean, scale = standardiser(data.statistics[point])
        constant = torch.from_numpy(data.statistics[point].variance <= 0)
        if kind == "zscore":
            return cls(kind, mean, scale, constant)
        tokens = data.normal.patches(point).flatten(0, 1)
        ordered = tokens.T.contiguous().sort(dim=1).values
        return cls(kind, mean, scale, constant, ordered)

    def __call__(
        self, tokens: Float[Tensor, "*token channel"], channels: Tensor | None = None
    ) -> Float[Tensor, "*token channel"]:
        """Deviation of tokens, of all channels or of those the tokens have been cut to."""
        keep = slice(None) if channels is None else channels
        if self.sorted_values is None:
            return (tokens - self.mean[keep]).abs() / self.scale[keep]
        values = self.sorted_values[keep]
        flat = tokens.reshape(-1, tokens.shape[-1]).T.contiguous()
        above = torch.searchsorted(values, flat).clamp(max=values.shape[1] - 1)
        below = (above - 1).clamp(min=0)
        gaps = [(flat - values.gather(1, index)).abs() for index in (above, below)]
        return torch.minimum(*gaps).T.reshape(tokens.shape)


def check_deviation(kind: str) -> None:
    """Refuse an unknown kind of deviation.

    Raises
    ------
    ConfigError
        Names the known ones.
    """
    if kind not in DEVIATIONS:
        raise ConfigError(f"deviation must be one of {', '.join(DEVIATIONS)}, not {kind!r}")
