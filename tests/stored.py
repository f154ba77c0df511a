"""Stored documents as earlier versions wrote them: without checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_unsealed(path: Path) -> dict[str, Any]:
    """What a document says, without checksums of it and of the tables beside it."""
    found = json.loads(path.read_text())
    return {name: said for name, said in found.items() if name not in ("checksum", "sha256")}


def unseal(path: Path, **changed: Any) -> None:
    """Take the checksums away, and change what else is named."""
    path.write_text(json.dumps(read_unsealed(path) | changed))
