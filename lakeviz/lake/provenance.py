"""Provenance of a result: versions of the packages, the machine, and settings as JSON types."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
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


def environment() -> dict[str, Any]:
    """Where a result was made: commit of lakeviz, threads, processor."""
    import torch

    return {
        "commit": _commit(),
        "threads": torch.get_num_threads(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _commit() -> str | None:
    """Commit of a checkout of lakeviz, or of the repository that it was installed from."""
    git = Path(__file__).resolve().parents[2] / ".git"
    try:
        if git.is_dir():
            head = (git / "HEAD").read_text(encoding="utf-8").strip()
            return _resolved(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
        installed = distribution("lakeviz").read_text("direct_url.json")
        return json.loads(installed or "{}").get("vcs_info", {}).get("commit_id")
    except (OSError, PackageNotFoundError, ValueError):
        return None


def _resolved(git: Path, name: str) -> str | None:
    """Commit of a branch, from its own file or from the packed ones."""
    if (git / name).is_file():
        return (git / name).read_text(encoding="utf-8").strip()
    lines = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)


def _processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"


def as_plain(value: Any) -> Any:
    """Turn (nested) option dataclasses into JSON types."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v) for v in value]
    return value
