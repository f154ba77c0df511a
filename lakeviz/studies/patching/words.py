"""The words of interventions on pairs: sides, groups of tokens, read-outs, twins, controls."""

from __future__ import annotations

from lakeviz.selector_names import selector_name, selector_short

DENOISING, NOISING = "denoising", "noising"
DIRECTIONS: tuple[str, ...] = (DENOISING, NOISING)
"""Denoising puts the twin's values into the defect image, noising the defect's into the twin."""

DEFECTS, OTHERS, CLASS, EVERY = "defect patches", "other patches", "class token", "all tokens"
RUNS_THE_MODEL = "interventions run"
EXCHANGES = "exchanges"
GROUPS: tuple[str, ...] = (DEFECTS, OTHERS, CLASS, EVERY)
"""Groups of tokens that are exchanged; the class token goes with registers."""

HEAD = "head"
KINDS: tuple[str, ...] = ("resid_pre", "resid_post", "attn_out", "mlp_out", HEAD)
"""Hook points of a heat map: whole tokens, or what each head gives them."""

IMAGE, DEFECT, TEXT, LOGIT = "image score", "defect patches", "text margin", "class logit"
"""Read-outs: the score of the visual branch for the image, and its mean over the defect patches;
the log-odds of the anomalous prompts, and the logit of the class that defects raise most.
"""

EMBEDDING = "image embedding"
"""Of path patching: how far the embedding is on its way from the twin's to the defect's."""

FAITHFULNESS, COMPLETENESS, MINIMALITY = "faithfulness", "completeness", "minimality"
MEASURES: tuple[str, ...] = (FAITHFULNESS, COMPLETENESS, MINIMALITY)

RENDERED, INPAINTED, NEAREST = "rendered", "inpainted", "nearest"
TWINS: tuple[str, ...] = ("auto", RENDERED, INPAINTED, NEAREST)

SCALE, ADD = "scale", "add"
STEERS: tuple[str, ...] = (SCALE, ADD)

CONTROL = "random"
TWIN_DIFFERENCE = "twin_difference"
"""Units that differ most within pairs, chosen on the other half of the pairs."""

GREEDY, ORACLE = "greedy", "oracle"
"""Units chosen one by one for what they move: on the other half of the pairs, or on these pairs."""

NEURONS, UNTRAINED, ROTATED, COMPONENTS = "neurons", "untrained tower", "rotated", "pca"
"""Bases: what units are; the folder of an SAE names another."""

_OF_PAIRS = {
    TWIN_DIFFERENCE: "units of the largest difference within other pairs",
    GREEDY: "units chosen one by one on other pairs",
    ORACLE: "units chosen one by one on these pairs",
}
OF_PAIRS = frozenset(_OF_PAIRS)
"""Units that are chosen on pairs, and not by statistics of normal images."""


def units_name(name: str) -> str:
    """Name of units for people."""
    return _OF_PAIRS.get(name) or selector_name(name)


def named(basis: str, units: str) -> str:
    """Name of units, with their basis where they are no neurons."""
    if basis == NEURONS:
        return units_name(units)
    return f"{basis}: {_OF_PAIRS.get(units, selector_short(units)).removeprefix('units ')}"
