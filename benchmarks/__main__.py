"""All benchmarks, one after the other, each in a process of its own: ``python benchmarks``.

Every number is a ratio of two sides measured side by side in one run, but for ``patching.py``,
whose are seconds. ``layers.py`` and ``coverage.py`` are not among them: they measure detection and
intervals, not time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = (
    "hooks.py",
    "metrics.py",
    "gallery.py",
    "memory.py",
    "forward.py",
    "knockout.py",
    "patching.py",
)


def main() -> None:
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / name)]).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
