"""Whether the images of a run are still what they were, by their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.dataset import contents, contents_of, require_unchanged
from lakeviz.errors import DataError
from lakeviz.runs.spec import RunSpec


def normal_contents(draws: Sequence[FewShotDraw]) -> dict[str, str]:
    """Content of the normal images of all draws, by sample id."""
    found: dict[str, str] = {}
    for draw in draws:
        found |= contents_of(draw.sample_ids, draw.paths)
    return found


def unread_normals(fit: Mapping[str, Any]) -> list[str]:
    """Sample ids of normal images that were drawn, and could not be read."""
    used = {name for draw in fit.get("draws", ()) for name in draw}
    return [name for name in fit.get("contents", ()) if name not in used]


def require_images_of(manifest: Mapping[str, Any], spec: RunSpec) -> None:
    """Refuse to repeat a run on images that have changed since."""
    dataset = spec.read_data()
    for category, entry in manifest.get("categories", {}).items():
        provenance = {"fit": entry["few_shot"], "test": entry["test"]}
        own = dataset.category(category)
        draws = spec.draw_normals(dataset, category)
        test_ids = list(entry["test"].get("contents", {}))
        require_same_images(provenance, own, test_ids, draws)


def require_same_images(
    provenance: Mapping[str, Any],
    own: Dataset,
    test_ids: Sequence[str],
    draws: Sequence[FewShotDraw],
) -> None:
    """Refuse normal or test images that have changed since an evaluation was made.

    ``provenance`` and ``test_ids`` are those of the evaluation; ``own`` is the category and
    ``draws`` are its normal images as they are now.
    """
    fit, recorded = provenance.get("fit", {}), provenance["test"]
    was = fit.get("contents")
    if was is not None:
        left_out = own.where(np.isin(own.sample_ids, unread_normals(fit)))
        now = normal_contents(draws) | contents_of(left_out.sample_ids, left_out.paths)
        require_unchanged(was, now, "normal images")
    test = own.evaluated()
    if "contents" in recorded:
        skipped = recorded.get("skipped_contents", {})
        unknown = set(recorded.get("skipped", ())) - skipped.keys()
        kept = test.where([name not in unknown for name in test.sample_ids])
        require_unchanged(recorded["contents"] | skipped, contents(kept), "test images")
    elif not test_ids:
        return  # the manifest of an earlier version does not name them
    elif test.where(np.isin(test.sample_ids, test_ids)).fingerprint != recorded["fingerprint"]:
        # A run of an earlier version: which image it is was not recorded.
        raise DataError(
            f"the test images of {own.name} have changed since the run; run again into another "
            "folder"
        )
