"""Files of a run's folder, and its protocol."""

from __future__ import annotations

PROTOCOL = "lakeviz-run/2"
PROTOCOLS = ("lakeviz-run/1", PROTOCOL)
"""Protocols of runs that can be read."""
MANIFEST, STUDY = "manifest.json", "study.json"
CATEGORIES, STUDIES = "categories", "studies"
