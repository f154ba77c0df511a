"""Captured tokens that a function changes as they are read: into unit activations, or back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.token_subsets import TokenSource
from lakeviz.errors import StoreError


@dataclass(frozen=True)
class MappedTokens:
    """A source of tokens whose hook points each have a function; a source itself.

    Attributes
    ----------
    source : TokenSource
    functions : mapping of hook point to function of tokens
        Applied whenever tokens are read; nothing is kept.
    """

    source: TokenSource
    functions: Mapping[str, Callable[[Tensor], Tensor]]

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points that have a function."""
        return tuple(self.functions)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images."""
        return self.source.sample_ids

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token unit"]:
        """Tokens of some images, changed.

        Raises
        ------
        StoreError
            If the hook point has no function, or the source cannot be read.
        """
        if point not in self.functions:
            raise StoreError(f"{point!r} was not captured; there are {', '.join(self.points)}")
        return self.functions[point](self.source.read(point, images).float())
