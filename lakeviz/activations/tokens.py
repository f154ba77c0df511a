"""From the tensor at a hook point to tokens with one channel axis: [image, token, channel]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ActivationError

if TYPE_CHECKING:
    from lakeviz.models import HookedTower

WHICH: tuple[str, ...] = ("patch", "prefix", "all")


def neurons_of(tower: HookedTower, point: str) -> int:
    """Number of channels (neurons) per token at a hook point.

    Raises
    ------
    UnknownHookPointError
        If the tower has no such point.
    ActivationError
        If the point has no tokens, such as an attention pattern or a pooled embedding.
    """
    (name,) = tower.resolve(point)
    axes, sizes = tower.points[name].axes[1:], tower.points[name].sizes
    if axes[-2:] == ("height", "width"):
        return sizes[0]
    if axes[0] != "token":
        raise ActivationError(
            f"{name} has axes {', '.join(axes)} and so no neurons per patch token; choose a point "
            "with a token axis, such as blocks.L.hook_resid_post"
        )
    n = 1
    for size in sizes[1:]:
        n *= size
    return n


def select_tokens(
    tower: HookedTower, point: str, tensor: Tensor, which: str = "patch"
) -> Float[Tensor, "image token channel"]:
    """Arrange the tensor of a hook point as tokens and keep the ones wanted.

    Heads are laid side by side (channel = head x d_head + index); the rows and columns of a
    convolutional map become its tokens, row by row.

    Parameters
    ----------
    tower : HookedTower
    point : str
        Exact name of the point.
    tensor : Tensor
        Its value, batch first.
    which : str
        ``"patch"``, ``"prefix"`` (class token and registers) or ``"all"``.
    """
    if which not in WHICH:
        raise ActivationError(f"tokens must be one of {', '.join(WHICH)}, not {which!r}")
    if tower.points[point].axes[-2:] == ("height", "width"):
        return tensor.flatten(2).transpose(1, 2)
    tokens = tensor.flatten(2)
    prefix = tower.adapter.n_prefix_tokens
    if which == "patch":
        return tokens[:, prefix:]
    return tokens[:, :prefix] if which == "prefix" else tokens


def token_grid(tower: HookedTower, point: str) -> tuple[int, int]:
    """Rows and columns in which a point's patch tokens lie."""
    found = tower.points[point]
    if found.axes[-2:] == ("height", "width"):
        return found.sizes[-2], found.sizes[-1]
    return tower.adapter.grid()
