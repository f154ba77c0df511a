"""The report of a run's folder, with the studies that were made there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lakeviz.data import file_sha256
from lakeviz.runs.manifest import CATEGORIES, MANIFEST, STUDIES
from lakeviz.runs.run_folder import RunFolder
from lakeviz.version import __version__

REPORT = "report.html"
_HEAD = 4096  # bytes of the page that hold its meta tags


def write_run_report(run: RunFolder) -> Path:
    """Write the report of a run, unless the one that is there was made from the same files.

    A report carries the SHA-256 of what it was made from: the version of lakeviz, and the manifest,
    the evaluations and the studies of the run. Delete it to have it drawn again.

    Raises
    ------
    LakevizError
        Something cannot be read or written.
    """
    path, inputs = run.folder / REPORT, inputs_of(run)
    if path.is_file():
        with path.open("rb") as file:
            if inputs.encode() in file.read(_HEAD):
                return path
    from lakeviz.report.build import write_report
    from lakeviz.studies import load_studies

    manifest = run.manifest | run.manifest.get("report", {})
    studies = load_studies(run.folder)
    return write_report(run.evaluations, manifest, path, studies=studies, inputs=inputs)


def inputs_of(run: RunFolder) -> str:
    """SHA-256 of all that a report shows."""
    digest = hashlib.sha256(__version__.encode())
    found = [run.folder / MANIFEST]
    for part in (CATEGORIES, STUDIES):
        found += sorted(path for path in (run.folder / part).rglob("*") if path.is_file())
    for path in found:
        digest.update(f"{path.relative_to(run.folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
