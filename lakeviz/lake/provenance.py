"""What made a result: weights, data, settings, seeds, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lakeviz import __version__
from lakeviz.lake.prompts import PromptEnsemble

if TYPE_CHECKING:
    from lakeviz.data import Dataset
    from lakeviz.lake.detector import Lake
    from lakeviz.metrics import Bootstrap, Conventions

_PACKAGES = (
    "torch",
    "open_clip_torch",
    "timm",
    "transformer-lens",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
)


def versions() -> dict[str, str]:
    """Versions of lakeviz, Python and the packages that results depend on."""
    found = {"lakeviz": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def as_plain(value: Any) -> Any:
    """Turn (nested) option dataclasses into JSON types."""
    if isinstance(value, PromptEnsemble):
        return value.as_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v) for v in value]
    return value


def provenance_of(
    lake: Lake, test: Dataset, conventions: Conventions, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Everything needed to make an evaluation again."""
    return {
        "versions": versions(),
        "model": lake.describe_model(),
        "options": as_plain(lake.options),
        "points": list(lake.points),
        "text_weight": lake.text_weight,
        "class_name": lake.text.class_name if lake.text else None,
        "fit": {"n_images": len(lake.normal_ids), "sample_ids": lake.normal_ids},
        "test": {"name": test.name, "n_images": len(test), "fingerprint": test.fingerprint},
        "conventions": conventions.to_dict(),
        "bootstrap": asdict(bootstrap),
        "notes": list(test.notes),
    }
