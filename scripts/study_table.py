"""Print what stored studies say, as the tables of the docs: summary, notes and headline.

``python scripts/study_table.py RUN/studies/NAME [RUN/studies/NAME ...]``

Folders of one study with the same settings are joined: their tables are over all their categories.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evidence_tables import markdown

from lakeviz.studies import load_study


def main() -> None:
    """Print one section for each study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path, nargs="+")
    by_name: dict[str, list] = {}
    for folder in parser.parse_args().studies:
        result = load_study(folder)
        by_name.setdefault(result.name, []).append(result)
    for results in by_name.values():
        result = type(results[0]).join(results) if len(results) > 1 else results[0]
        print(f"\n### {result.title}\n\n{result.summary()}\n")
        for note in result.notes:
            print(f"* {note}")
        headline = result.headline()
        print("", *markdown([list(headline), *headline.to_numpy().tolist()]), sep="\n")


if __name__ == "__main__":
    main()
