"""Names of ``transformer_lens.patching``, on pairs of images instead of prompts.

A corrupted prompt is the defect image and the clean one its twin; the metric is the share of the
score that goes. All return the tidy table ``heatmap`` of the study: block or head, group of tokens,
read-out, ``share`` with its interval over pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.patching import patching
from lakeviz.studies.patching.words import DENOISING, EVERY, HEAD
from lakeviz.tables import where

Data = StudyData | Sequence[StudyData]


def get_act_patch_resid_pre(data: Data, **settings: Any) -> pd.DataFrame:
    """Residual stream before each block, by group of tokens; settings as of the study."""
    return _heatmap(data, ("resid_pre",), settings)


def get_act_patch_attn_out(data: Data, **settings: Any) -> pd.DataFrame:
    """What the attention of each block writes, by group of tokens."""
    return _heatmap(data, ("attn_out",), settings)


def get_act_patch_mlp_out(data: Data, **settings: Any) -> pd.DataFrame:
    """What the MLP of each block writes, by group of tokens."""
    return _heatmap(data, ("mlp_out",), settings)


def get_act_patch_block_every(data: Data, **settings: Any) -> pd.DataFrame:
    """Residual stream, attention and MLP of each block together."""
    return _heatmap(data, ("resid_pre", "attn_out", "mlp_out"), settings)


def get_act_patch_attn_head_out_all_pos(data: Data, **settings: Any) -> pd.DataFrame:
    """What each head gives all tokens."""
    table = _heatmap(data, (HEAD,), settings)
    return where(table, tokens=EVERY)


def _heatmap(data: Data, kinds: tuple[str, ...], settings: dict[str, Any]) -> pd.DataFrame:
    alone = {"controls": (), "curves": False, "attribution": False, "doses": ()}
    asked = {"directions": (DENOISING,), **alone, **settings, "kinds": kinds, "heatmap": True}
    return patching(data, **asked).heatmap
