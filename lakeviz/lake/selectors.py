"""Selectors of the neurons of a hook point. LAKE's is :func:`variance`; the others are controls.

All are registered here, in the order in which figures and tables show them. Each is a function
``(statistics, k, generator) -> Selection``; :func:`register_selector` adds one.
"""

from __future__ import annotations

from lakeviz.lake.basic_selectors import (
    all_channels,
    bottom_variance,
    next_variance,
    pca,
    random,
    variance,
)
from lakeviz.lake.control_selectors import (
    N_DECILES,
    exchange,
    random_rotation,
    rescaled_random,
    rotated,
    variance_without_first,
)
from lakeviz.lake.named_neurons import NeuronNumbers, name_of, neurons_named
from lakeviz.lake.robust_selectors import TRIM, mad, trimmed_variance
from lakeviz.lake.selector_registry import (
    GROUPS,
    SELECTORS,
    Selector,
    SelectorFunction,
    check_k,
    expand_selectors,
    get_selector,
    register_selector,
    select,
    selector_of,
    variance_order,
)

__all__ = [
    "GROUPS",
    "N_DECILES",
    "SELECTORS",
    "TRIM",
    "NeuronNumbers",
    "Selector",
    "SelectorFunction",
    "all_channels",
    "bottom_variance",
    "check_k",
    "exchange",
    "expand_selectors",
    "get_selector",
    "mad",
    "name_of",
    "neurons_named",
    "next_variance",
    "pca",
    "random",
    "random_rotation",
    "register_selector",
    "rescaled_random",
    "rotated",
    "select",
    "selector_of",
    "trimmed_variance",
    "variance",
    "variance_order",
    "variance_without_first",
]
