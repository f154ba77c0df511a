"""Train the embedded CLIP from scratch on captioned synthetic pictures.

Run ``python scripts/train_embedded --out lakeviz/models/embedded``. It saves a checkpoint every few
minutes and goes on from it when started again; ``--export-only`` writes the folder from the last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

# Rendering is many small matrix products in parallel processes: one thread each is far faster.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from captions import NORMAL, caption, matches
from folder import IMAGE_SIZE, PREPROCESS, model_config, write_folder, write_weights
from loss import patch_loss, picture_loss, sample_patches
from pool import render_pool, symmetries, windows

from lakeviz.data.synthetic.benchmark import DEFECT_TYPES, TRAINED

PATCH = model_config()["vision_cfg"]["patch_size"]
GRID = IMAGE_SIZE // PATCH
# Side, in patches, of the windows seen in the first part of the training.
WINDOW = 8
# A window that shows fewer defect pixels than this is called normal.
VISIBLE_PIXELS = 10


def build(folder: Path) -> tuple[open_clip.model.CLIP, Any]:
    """Build the model with open_clip's own classes and the folder's tokenizer."""
    model = open_clip.model.CLIP(**model_config())
    return model, open_clip.get_tokenizer(f"local-dir:{folder}")


def embed(visual: Any, images: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Embed windows of pictures, each patch with the position it has in the whole picture."""
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    position = visual.positional_embedding
    prefix = (visual.class_embedding + position[0]).expand(len(x), 1, -1)
    return visual.ln_pre(torch.cat([prefix, x + position[1:][token]], dim=1))


def towers(
    model: open_clip.model.CLIP, images: torch.Tensor, token: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return picture, patch and caption embeddings; the picture is the mean of its patches."""
    visual: Any = model.visual
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = visual.transformer(embed(visual, images, token))
        text = model.encode_text(tokens)
    patches = visual.ln_post(hidden.float())[:, 1:] @ visual.proj
    return F.normalize(patches.mean(1), dim=-1), patches, F.normalize(text.float(), dim=-1)


def optimizer_for(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; gains, biases and embeddings are not decayed."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def batch(rng: np.random.Generator, pool, n: int, side: int, tokenizer):
    """Draw pictures and two captions each: a true one, and one of the other state."""
    pick = rng.integers(len(pool.images), size=n)
    images, masks = symmetries(rng, pool.images[pick], pool.masks[pick])
    images, masks, token = windows(rng, images, masks, side, PATCH)
    category = pool.category[pick]
    state = np.where(masks.sum((1, 2)) >= VISIBLE_PIXELS, pool.state[pick], NORMAL)
    texts = [caption(rng, c, s) for c, s in zip(category, state, strict=True)]
    texts += [
        caption(rng, c, NORMAL if s != NORMAL else int(rng.integers(len(DEFECT_TYPES))))
        for c, s in zip(category, state, strict=True)
    ]
    mean, std = (torch.tensor(PREPROCESS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
    return (
        pixels,
        torch.from_numpy(token),
        masks,
        category,
        state,
        texts,
        tokenizer([t.text for t in texts]),
    )


def rate_at(step: int, steps: int, peak: float, warmup: int = 150) -> float:
    """Linear warm-up, then cosine to zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def train(args: argparse.Namespace) -> None:
    """Run or resume the training, then export."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    write_folder(args.out)
    model, tokenizer = build(args.out)
    optimizer = optimizer_for(model, args.rate)
    start = 0
    if args.checkpoint.exists():
        saved = torch.load(args.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    if not args.export_only:
        pool = render_pool(args.pool, IMAGE_SIZE, args.seed, args.threads)
        print(
            f"{len(pool.images)} pictures of {len(TRAINED)} categories; from step {start}",
            flush=True,
        )
        loop(args, model, tokenizer, optimizer, pool, start)
    write_weights(args.out, model.state_dict())


def loop(args, model, tokenizer, optimizer, pool, start: int) -> None:
    """Take the optimiser's steps from ``start``, each seeded by its own number."""
    began = saved_at = time.time()
    for step in range(start, args.steps):
        rng = np.random.default_rng([args.seed, 1, step])
        side = WINDOW if step < args.windowed * args.steps else GRID
        pixels, token, masks, category, state, texts, tokens = batch(
            rng, pool, args.batch, side, tokenizer
        )
        image, patches, text = towers(model, pixels, token, tokens)
        scale = model.logit_scale.exp()
        whole = picture_loss(image, text, scale, torch.from_numpy(matches(category, state, texts)))
        index, of_category, of_state = sample_patches(
            rng, masks, category, state, PATCH, args.patches
        )
        part = patch_loss(
            patches.flatten(0, 1)[torch.from_numpy(index)],
            text,
            scale,
            of_category,
            of_state,
            texts,
        )
        loss = whole + part
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, args.steps, args.rate)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0:
            pace = (time.time() - began) / (step - start + 1)
            line = {
                "step": step,
                "picture": whole.item(),
                "patch": part.item(),
                "scale": scale.item(),
                "s": pace,
            }
            print(json.dumps({k: round(v, 4) for k, v in line.items()}), flush=True)
        if time.time() - saved_at > 180 or step + 1 == args.steps:
            saved_at = time.time()
            scratch = args.checkpoint.with_suffix(".tmp")
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                scratch,
            )
            scratch.replace(args.checkpoint)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("lakeviz/models/embedded"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/embedded.pt"))
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--windowed", type=float, default=0.8, help="share of steps on windows")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--patches", type=int, default=1024)
    parser.add_argument("--pool", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true")
    args = parser.parse_args()
    args.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(args)


if __name__ == "__main__":
    main()
