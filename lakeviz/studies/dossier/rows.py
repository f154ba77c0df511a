"""Columns that tables of dossiers share: the neuron, and the random ones it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.studies.neurons.tested_neurons import Choice

ONE_RANDOM = "there is no other random neuron to compare with"


def tested_rows(choice: Choice) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each tested neuron of a point and the columns that name it."""
    for number, channel in enumerate(choice.tested.tolist()):
        group = "selected" if number < len(choice.selected) else "random"
        yield number, {"point": choice.point, "channel": channel, "group": group}


def control_columns(values: Float[np.ndarray, " neuron"]) -> dict[str, Any]:
    """Mean and range of a number of the random neurons of a point, and how many these are."""
    ends = (values.mean(), values.min(), values.max()) if len(values) else (np.nan,) * 3
    names = ("control_mean", "control_min", "control_max")
    return {**dict(zip(names, map(float, ends))), "n_random": len(values)}
