"""Evaluations made by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lakeviz.data import Dataset
from lakeviz.lake import Evaluation, ScoreMaps
from lakeviz.metrics import IMAGE_METRICS, PIXEL_METRICS, Conventions


@dataclass
class Made:
    """Ingredients of an evaluation made by hand."""

    category: str = "nut"
    labels: tuple[int, ...] = (0, 0, 0, 1, 1, 1)
    masks: bool = True
    text: bool = False
    controls: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def _files(made: Made, root: Path) -> pd.DataFrame:
    """Write images and masks: a bright square on grey, in another place in each image."""
    rows = []
    for number, label in enumerate(made.labels):
        name = made.names[number] if made.names else f"{number}.png"
        pixels = np.full((24, 32, 3), 90, dtype=np.uint8)
        mask = np.zeros((24, 32), dtype=np.uint8)
        if label:
            mask[6:12, 2 + number : 12 + number] = 255
            pixels[mask > 0] = 220
        file = root / f"{number}.png"
        Image.fromarray(pixels).save(file)
        Image.fromarray(mask).save(root / f"{number}_mask.png")
        rows.append(
            {
                "path": str(file),
                "label": label,
                "defect_type": "scratch" if label else "good",
                "mask_path": str(root / f"{number}_mask.png") if label and made.masks else None,
                "category": made.category,
                "split": "test",
                "sample_id": name,
            }
        )
    return pd.DataFrame(rows)


def _metrics(made: Made) -> pd.DataFrame:
    parts = ("lake", "visual", "text", "text_image") if made.text else ("lake",)
    rows = []
    for place, branch in enumerate(parts):
        for level, names in (("image", IMAGE_METRICS), ("pixel", PIXEL_METRICS)):
            if level == "pixel" and branch == "text_image":
                continue
            for number, name in enumerate(names):
                reason = made.missing.get((level, name), "")
                value = np.nan if reason else 0.9 - 0.1 * place - 0.01 * number
                rows.append(
                    {
                        "category": made.category,
                        "branch": branch,
                        "level": level,
                        "metric": name,
                        "value": value,
                        "low": value - 0.05,
                        "high": value + 0.05,
                        "confidence": 0.95,
                        "threshold": 2.0 if name == "f1_max" else np.nan,
                        "n_images": len(made.labels),
                        "n_anomalous": sum(made.labels),
                        "resolution": "24x32" if level == "pixel" else None,
                        "reason": reason,
                    }
                )
    return pd.DataFrame(rows)


def _controls(made: Made) -> pd.DataFrame:
    rows = [
        {
            "category": made.category,
            "control": control,
            "level": level,
            "metric": metric,
            "value": 0.9,
            "control_mean": 0.9 - gap,
            "control_min": 0.8 - gap,
            "control_max": 0.95 - gap,
            "n_members": 3 if control == "random" else 1,
            "difference": gap,
            "difference_low": gap - 0.1,
            "difference_high": gap + 0.1,
            "share_above_zero": 0.9,
            "n_images": len(made.labels),
        }
        for control, gap in (("random", 0.2), ("all", 0.0), ("pca", -0.2))
        for level, metric in (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
    ]
    return pd.DataFrame(rows) if made.controls else pd.DataFrame(rows).iloc[:0]


def evaluation_of(made: Made, root: Path) -> Evaluation:
    """Put an evaluation together; scores rise with the position of the image."""
    root.mkdir(parents=True, exist_ok=True)
    frame = _files(made, root)
    n = len(made.labels)
    patch = np.arange(n * 12, dtype=np.float64).reshape(n, 3, 4) / 12
    columns = ["visual", "text", "text_image"] if made.text else []
    maps = ScoreMaps(
        patch=patch,
        parts={"visual": patch},
        image_scores=patch.max(axis=(1, 2)),
        image_parts={name: patch.max(axis=(1, 2)) for name in columns},
        sample_ids=frame["sample_id"].tolist(),
        sizes=[(24, 32)] * n,
        skipped=list(made.skipped),
    )
    scores = frame[["category", "sample_id", "label", "defect_type"]].assign(
        score=maps.image_scores, **maps.image_parts
    )
    spectrum = pd.DataFrame(
        {
            "point": "blocks.1.hook_resid_post",
            "channel": range(6),
            "mean": 0.0,
            "variance": [3.0, 1.0, 2.0, 0.5, 0.2, 0.1],
            "selected": [True, False, True, False, False, False],
        }
    )
    neurons = pd.DataFrame(
        {
            "point": "blocks.1.hook_resid_post",
            "rank": [1, 2],
            "channel": [0, 2],
            "score": [3.0, 2.0],
            "selector": "variance",
        }
    )
    provenance = {
        "versions": {"lakeviz": "0.0"},
        "model": {"name": "tiny", "pretrained": None, "weights_hash": "abc123"},
        "options": {"k": 2, "selector": "variance", "seed": 0, "visual": {"distance": "cosine"}},
        "points": ["blocks.1.hook_resid_post"],
        "text_weight": 0.3 if made.text else 0.0,
        "fit": {"n_images": 4, "sample_ids": ["train/0.png"], "seed": 0},
        "test": {"name": "folder", "n_images": n, "fingerprint": "f1" * 32},
        "conventions": Conventions(image_score="max").to_dict(),
        "bootstrap": {"confidence": 0.95, "n_resamples": 50, "seed": 0},
        "notes": list(made.notes),
    }
    return Evaluation(
        category=made.category,
        metrics=_metrics(made),
        scores=scores,
        controls=_controls(made),
        neurons=neurons,
        spectrum=spectrum,
        curves=pd.DataFrame(),
        draws=pd.DataFrame(),
        maps=maps,
        dataset=Dataset("folder", root, frame),
        provenance=provenance,
    )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Evaluation]:
    """Make an evaluation: ``make(category=..., labels=..., masks=..., ...)``."""
    counter = itertools.count()
    return lambda **made: evaluation_of(Made(**made), tmp_path / f"data{next(counter)}")
