"""The words of interventions on pairs: sides, groups of tokens, read-outs, twins, controls."""

from __future__ import annotations

from collections.abc import Mapping

from lakeviz.selector_names import selector_name

DENOISING, NOISING = "denoising", "noising"
DIRECTIONS: tuple[str, ...] = (DENOISING, NOISING)
"""Denoising puts the twin's values into the defect image, noising the defect's into the twin."""

DEFECTS, OTHERS, CLASS, EVERY = "defect patches", "other patches", "class token", "all tokens"
EXCHANGES = "exchanges"
GROUPS: tuple[str, ...] = (DEFECTS, OTHERS, CLASS, EVERY)
"""Groups of tokens that are exchanged; the class token goes with registers."""

HEAD = "head"
KINDS: tuple[str, ...] = ("resid_pre", "resid_post", "attn_out", "mlp_out", HEAD)
"""Hook points of a heat map: whole tokens, or what each head gives them."""

IMAGE, DEFECT, TEXT = "image score", "defect patches", "text margin"
READOUTS: Mapping[str, str] = {
    IMAGE: "the image score of the visual branch",
    DEFECT: "its mean over the defect patches",
    TEXT: "log-odds of the anomalous against the normal prompts, from the image embedding",
}

EMBEDDING = "image embedding"
"""Of path patching: how far the embedding is on its way from the twin's to the defect's."""

FAITHFULNESS, COMPLETENESS = "faithfulness", "completeness"

RENDERED, INPAINTED = "rendered", "inpainted"
TWINS: tuple[str, ...] = ("auto", RENDERED, INPAINTED)

CONTROL = "random"
TWIN_DIFFERENCE = "twin_difference"
"""Units that differ most within pairs, chosen on the other half of the pairs."""


def units_name(name: str) -> str:
    """Name of units for people."""
    if name == TWIN_DIFFERENCE:
        return "units of the largest difference within other pairs"
    return selector_name(name)
