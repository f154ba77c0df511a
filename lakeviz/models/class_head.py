"""The classifier that a timm model was trained with: a row of weights and a name per class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, nearest


@dataclass(frozen=True)
class ClassHead:
    """A linear classifier on the pooled, normalised token. The tower itself runs without it."""

    weight: Float[Tensor, "class d_model"] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)  # one per class; empty where they are not known
    source: str  # whose names they are

    @classmethod
    def of_state(cls, state: Mapping[str, Any], classifier: object) -> ClassHead | None:
        """Head of a checkpoint, whose parameters are called ``classifier``; None without one."""
        weight = state.get(f"{classifier}.weight")
        if not isinstance(weight, Tensor) or weight.ndim != 2 or len(weight) < 2:
            return None
        names, source = class_names(len(weight))
        return cls(weight.detach().float().cpu(), names, source)

    def vectors(self, names: Sequence[str]) -> Float[Tensor, "name d_model"]:
        """Unit vector of each class: its row minus the mean row, which moves no probability."""
        index = {name: i for i, name in enumerate(self.names)}
        for name in names:
            if name not in index:
                raise ConfigError(
                    f"the class head has no class {name!r}{nearest(name, list(index))}"
                )
        rows = (self.weight - self.weight.mean(0))[[index[name] for name in names]]
        return F.normalize(rows, dim=-1)


def class_names(n_classes: int) -> tuple[tuple[str, ...], str]:
    """Names of the classes of ImageNet, by their number, from the lists that timm carries.

    The first word of each; where two classes have it, with the identifier of WordNet.
    """
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": n_classes})
    if subset is None:
        return (), f"{n_classes} classes of no list that timm has"
    info = ImageNetInfo(subset)
    ids, said = info.label_names(), info.label_descriptions()
    first = [str(one).partition(",")[0] for one in said]
    seen = Counter(first)
    names = [f"{one} ({wn})" if seen[one] > 1 else one for one, wn in zip(first, ids, strict=True)]
    return tuple(names), subset
