"""``score_maps``: another detector's maps under lakeviz' metrics, with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from lakeviz.data.files import file_sha256
from lakeviz.errors import ConfigError, DataError, MaskError
from lakeviz.lake import ImageScoreRule, upsample
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import image_rows, pixel_tables
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.metrics import Bootstrap, Conventions, RegionMask
from lakeviz.settings import check_pixels
from lakeviz.studies.score_maps.reading import LazyMaps, Pair, find_maps, match, read_scores
from lakeviz.studies.score_maps.result import ScoredMaps, Settings

Size = tuple[int, int]
OWN = "of the CSV file"


@dataclass(frozen=True)
class ScoreStudy:
    """Measures maps on disk: there is no run, and nothing is captured."""

    settings: type[Settings]
    result: type[ScoredMaps]

    def __call__(
        self,
        maps: str | Path,
        masks: str | Path,
        settings: Settings | None = None,
        *,
        scores: str | Path | None = None,
        map_size: Size | Literal["mask"] | None = None,
        image_score: ImageScoreRule | None = None,
        bootstrap: Bootstrap | None = None,
        **changes: Any,
    ) -> ScoredMaps:
        """Measure the score maps of any detector, exactly as lakeviz measures its own.

        Parameters
        ----------
        maps : path
            Folder with one ``.npy``, ``.npz``, grey ``.png`` or ``.tif`` per image, sub-folders
            included; or one ``.npz`` whose arrays are named by image. Higher is more anomalous.
        masks : path
            Folder with one mask per defective image (not zero: defect; also ``NAME_mask``); maps
            and masks are matched by relative path without suffix. An empty mask is a normal image.
        settings, changes
            See :class:`~lakeviz.studies.score_maps.result.Settings`.
        scores : path, optional
            CSV file with ``sample_id`` and ``score`` of every image; by default a rule on the map.
        map_size : (height, width) or "mask", optional
            Measure at this size: maps are brought to it by bilinear interpolation, masks as
            :class:`~lakeviz.metrics.RegionMask` does. ``"mask"``: at each mask's own size. By
            default maps and masks must agree.
        image_score : ImageScoreRule, optional
            From map to image score: the maximum by default, of the map as it was given.
        bootstrap : Bootstrap, optional

        Raises
        ------
        DataError, MaskError
            Files that are missing, doubled, unreadable, NaN, or of unequal sizes; the message names
            one.
        ConfigError
            If a setting is out of range.
        """
        chosen = Settings.of(settings, changes)
        if isinstance(map_size, tuple):
            check_pixels(map_size, "map size")
        bootstrap = bootstrap or Bootstrap()
        rule = image_score or ImageScoreRule()
        found = find_maps(maps)
        pairs = match(found, masks, normal_without_mask=chosen.normal_without_mask)
        keys = list(found)
        given = None if scores is None else read_scores(scores, keys)
        sizes, truths, of_images = _read_all(pairs, map_size, rule)
        labels = np.array([mask.n_regions > 0 for mask in truths], dtype=np.int64)
        image = of_images if given is None else given
        conventions = Conventions(image_score=rule.describe() if given is None else OWN)

        def at_size(index: int, one: np.ndarray) -> np.ndarray:
            if one.shape == sizes[index] and chosen.smoothing == 0:
                return one
            return upsample(one, sizes[index], chosen.smoothing)

        lazy = LazyMaps([pair.map for pair in pairs], at_size)
        truth = Truth.of_masks(labels, truths)
        rows = [
            *image_rows({"maps": [image]}, labels, conventions, bootstrap)[0],
            *pixel_tables({"maps": [lazy]}, truth, conventions, bootstrap, curves_too=False)[0],
        ]
        name = chosen.name
        metrics = pd.DataFrame([{"category": name, **row} for row in rows])
        metrics["n_regions"] = truth.n_regions
        kinds = [
            Path(key).parent.name or ("good", "defect")[label] for key, label in zip(keys, labels)
        ]
        table = pd.DataFrame(
            {
                "category": name,
                "sample_id": keys,
                "label": labels,
                "defect_type": kinds,
                "score": image,
            }
        )
        made = {
            "study": "score",
            "settings": {
                "map_size": as_plain(map_size),
                "normal_without_mask": chosen.normal_without_mask,
                "image_score": conventions.image_score,
                "smoothing": chosen.smoothing,
            },
            "versions": versions(),
            "bootstrap": as_plain(bootstrap),
            "conventions": conventions.to_dict(),
            "categories": {name: {"test": {"n_images": len(pairs), "fingerprint": _digest(pairs)}}},
        }
        return ScoredMaps(metrics=metrics, scores=table, provenance=made, notes=_notes(pairs))


STUDY = ScoreStudy(Settings, ScoredMaps)


def _read_all(
    pairs: Sequence[Pair], map_size: Size | Literal["mask"] | None, rule: ImageScoreRule
) -> tuple[list[Size], list[RegionMask], np.ndarray]:
    """Read everything once: final sizes, masks at them, and image scores of the maps as given."""
    sizes, masks, scores = [], [], []
    for pair in pairs:
        one, mask = pair.map.read(), pair.read_mask()
        if mask is not None and mask.ndim != 2:
            raise MaskError(f"the mask {pair.mask} has shape {mask.shape}, not [height, width]")
        size = _size(pair, one, mask, map_size)
        sizes.append(size)
        masks.append(RegionMask.of_mask(np.zeros(size, bool) if mask is None else mask, size))
        scores.append(float(rule(one[None].astype(np.float64))[0]))
    return sizes, masks, np.array(scores)


def _size(
    pair: Pair, one: np.ndarray, mask: np.ndarray | None, map_size: Size | Literal["mask"] | None
) -> Size:
    own: Size = (one.shape[0], one.shape[1])
    if map_size is None:
        if mask is not None and mask.shape != own:
            raise DataError(
                f"the map {pair.map} is {own[0]} x {own[1]} and its mask {pair.mask} "
                f"{mask.shape[0]} x {mask.shape[1]} (height x width); choose a size to measure at "
                "(--map-size)"
            )
        return own
    if map_size == "mask":
        return own if mask is None else (mask.shape[0], mask.shape[1])
    if len(map_size) != 2 or min(map_size) < 1:
        raise ConfigError(f'the map size is (height, width) or "mask", not {map_size!r}')
    return map_size


def _digest(pairs: Sequence[Pair]) -> str:
    """SHA-256 over the names and contents of all maps and masks."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(pair.map.key.encode())
        digest.update(file_sha256(pair.map.path).encode())
        digest.update(b"normal" if pair.mask is None else file_sha256(pair.mask).encode())
    return digest.hexdigest()


def _notes(pairs: Sequence[Pair]) -> list[str]:
    eight = sum(pair.map.is_eight_bit for pair in pairs)
    if not eight:
        return []
    return [
        f"{eight} of {len(pairs)} maps are 8-bit pictures: they hold at most 256 different scores, "
        "which ties pixels; and if each was stretched to its own range, scores of different images "
        "do not compare"
    ]
