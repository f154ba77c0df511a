"""Print the tables of docs/studies.md from the folders of studies.

``python scripts/study_table.py RUN/studies/NAME [...]``
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from lakeviz.studies import load_study


def main() -> None:
    """Print summary, notes and headline table of each study as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path, nargs="+")
    args = parser.parse_args()
    for folder in args.studies:
        result = load_study(folder)
        shown = import_module(f"lakeviz.report.sections.studies.{result.name}")
        headline = shown.headline(result)
        print(f"\n### {result.title}\n\n{result.summary()}\n")
        for note in result.notes:
            print(f"* {note}")
        print()
        print("| " + " | ".join(map(str, headline.columns)) + " |")
        print("|" + "---|" * len(headline.columns))
        for row in headline.to_numpy().tolist():
            print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
