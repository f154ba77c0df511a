"""Fixtures shared by all floors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the public data sets and weights, or skip: named by LAKEVIZ_TEST_DATA."""
    root = os.environ.get("LAKEVIZ_TEST_DATA")
    if not root:
        pytest.skip("LAKEVIZ_TEST_DATA does not name a data folder")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"LAKEVIZ_TEST_DATA names {path}, which is not a folder")
    return path
