"""Provenance of a result: versions of the packages, and settings as JSON types."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lakeviz.version import __version__

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
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v) for v in value]
    return value
