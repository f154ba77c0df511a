"""Selections: some channels of a hook point, or a subspace of them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.errors import SelectionError
from lakeviz.notebook import NotebookView, table_html

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from torch import Tensor


@dataclass(frozen=True)
class NeuronSelection(NotebookView):
    """Neurons (channels) of one hook point, best first.

    Parameters
    ----------
    point : str
        Hook point.
    channels : int array [k]
        Channel indices, in the selector's order.
    scores : float array [k]
        The selector's score of each, in units of the activation squared for variances.
    n_channels : int
        How many channels the point has.
    selector : str
        Name of the selector.
    provenance : dict
        What the selection was made from: tokens, seed, options.
    scale : float array [k], optional
        Factor by which each channel is multiplied in :meth:`project`; none by default.
    """

    point: str
    channels: Int[np.ndarray, " k"]
    scores: Float[np.ndarray, " k"]
    n_channels: int
    selector: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    scale: Float[np.ndarray, " k"] | None = None

    def __post_init__(self) -> None:
        channels = np.asarray(self.channels)
        if channels.size == 0:
            raise SelectionError(f"{self.point}: {self.selector} selected no channel")
        if len(set(channels.tolist())) != channels.size:
            raise SelectionError(f"{self.point}: {self.selector} selected a channel twice")
        if channels.min() < 0 or channels.max() >= self.n_channels:
            raise SelectionError(
                f"{self.point}: {self.selector} selected a channel outside 0..{self.n_channels - 1}"
            )

    @property
    def k(self) -> int:
        """Number of channels selected."""
        return len(self.channels)

    def project(self, tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "*token k"]:
        """Keep the selected channels of tokens, rescaled where the selection has a scale."""
        import torch

        # A copy: a single channel taken from behind has a negative stride, which torch refuses.
        index = torch.as_tensor(self.channels.copy(), device=tokens.device)
        found = tokens.index_select(-1, index)
        if self.scale is None:
            return found
        return found * torch.as_tensor(self.scale, dtype=tokens.dtype, device=tokens.device)

    def within(self, kept: Int[np.ndarray, " channel"], n_channels: int) -> NeuronSelection:
        """Selection among all channels, where this one is of some: ``kept`` are their indices."""
        return replace(self, channels=kept[self.channels], n_channels=n_channels)

    def frame(self) -> pd.DataFrame:
        """One row per neuron: point, rank, channel, score, selector."""
        return pd.DataFrame(
            {
                "point": self.point,
                "rank": np.arange(1, self.k + 1),
                "channel": self.channels,
                "score": self.scores,
                "selector": self.selector,
            }
        )

    def _table_html(self) -> str:
        said = f"{self.k} of {self.n_channels} neurons of {self.point}, by {self.selector}."
        return f"<p>{html.escape(said)}</p>" + table_html(self.frame(), ".frame()")

    def _figure(self) -> go.Figure:
        from lakeviz.plots.spectrum import selection_figure

        return selection_figure(self.frame(), n_channels=self.n_channels)


@dataclass(frozen=True)
class SubspaceSelection:
    """A ``k``-dimensional subspace of the channels of one hook point, for comparison with neurons.

    Tokens are projected as they are, not centred, as a channel selection does not centre either.

    Parameters
    ----------
    point : str
        Hook point.
    basis : float array [channel, k]
        Orthonormal columns.
    scores : float array [k]
        The variance along each column.
    selector : str
        Name of the selector.
    provenance : dict
        What the subspace was made from.
    """

    point: str
    basis: Float[np.ndarray, "channel k"]
    scores: Float[np.ndarray, " k"]
    selector: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Dimension of the subspace."""
        return self.basis.shape[1]

    @property
    def n_channels(self) -> int:
        """How many channels the point has."""
        return self.basis.shape[0]

    def project(self, tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "*token k"]:
        """Coordinates of tokens along the columns of the basis."""
        import torch

        basis = torch.as_tensor(self.basis, dtype=tokens.dtype, device=tokens.device)
        return tokens @ basis

    def within(self, kept: Int[np.ndarray, " channel"], n_channels: int) -> SubspaceSelection:
        """Subspace of all channels, where this one is of some: ``kept`` are their indices."""
        basis = np.zeros((n_channels, self.k))
        basis[kept] = self.basis
        return replace(self, basis=basis)


Selection = NeuronSelection | SubspaceSelection

SAME_DETECTOR = "both take every channel, so they are one detector"


def take_all(*selections: Mapping[str, Selection]) -> bool:
    """Whether selections, by hook point, all take every channel there is."""
    return all(
        isinstance(one, NeuronSelection) and one.k == one.n_channels
        for by_point in selections
        for one in by_point.values()
    )
