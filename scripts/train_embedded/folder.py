"""The folder of the embedded model, as open_clip's ``local-dir:`` schema reads it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from captions import UNKNOWN, vocabulary
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

IMAGE_SIZE = 96
CONTEXT_LENGTH = 24
_SPECIAL = ("[PAD]", "[BOS]", UNKNOWN)
_END = "[EOS]"

PREPROCESS = {
    "size": IMAGE_SIZE,
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def model_config() -> dict:
    """Architecture in open_clip's terms.

    Average pooling makes the image embedding the mean of its projected patch tokens, so patch
    tokens share the joint space by construction.
    """
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": IMAGE_SIZE,
            "layers": 6,
            "width": 192,
            "head_width": 64,
            "patch_size": 8,
            "pool_type": "avg",
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": len(_SPECIAL) + len(vocabulary()) + 1,
            "hf_tokenizer_name": "tiny",
            "width": 128,
            "heads": 4,
            "layers": 2,
            "pool_type": "argmax",
        },
    }


def write_folder(folder: Path) -> None:
    """Write configuration and tokenizer; "argmax" pooling needs the end token to come last."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [*_SPECIAL, *vocabulary(), _END]
    ids = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([*_SPECIAL, _END])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"[BOS] $A {_END}", special_tokens=[("[BOS]", ids["[BOS]"]), (_END, ids[_END])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "[BOS]",
        "eos_token": _END,
        "pad_token": "[PAD]",
        "unk_token": UNKNOWN,
        "model_max_length": CONTEXT_LENGTH,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    config = {"model_cfg": model_config(), "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_weights(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Write half-precision weights; they are widened again when loaded at fp32."""
    half = {name: tensor.detach().half().contiguous() for name, tensor in state.items()}
    save_file(half, str(folder / "open_clip_model.safetensors"), metadata={"format": "pt"})
