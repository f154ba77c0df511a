"""Write the table of claims 13 to 15 in docs/claims.md, which runs with masks alone can answer.

``python scripts/causes_table.py RUN [RUN ...] --category NAME --sae FOLDER --out docs/tables``

RUNs are folders of runs with one model and one pair of hook points. The rules are those of
``lakeviz claims``; the other claims are not measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evidence_tables import markdown

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies import StudyRun
from lakeviz.studies.claims import CLAIMS, Case, ClaimSettings
from lakeviz.studies.claims.claim import CAUSES
from lakeviz.studies.claims.rules import corrected_confidence, joint_verdict
from lakeviz.studies.claims.study import n_parts


def main() -> None:
    """Judge the claims on all categories together, and say each category's own effects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--category", action="append", required=True)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--sae")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="claims_causes")
    args = parser.parse_args()
    settings = ClaimSettings(n_pairs=args.pairs, n_exchanged=args.sets, sae=args.sae)
    level = corrected_confidence(settings.confidence, n_parts(CAUSES))
    cases = []
    for run in map(StudyRun.open, args.run):
        for category in run.categories:
            if category in args.category:
                first, *further = run.draws_of(category)
                cases.append(Case(first, settings, None, further))
    names = [case.data.category for case in cases]
    rows = [["", "claim", "part", *names, "all", "verdict"]]
    for claim in CLAIMS:
        if claim.family != CAUSES:
            continue
        found = claim.measure(cases)
        verdicts = {part.name: part.judge(found[part.name], level) for part in claim.parts}
        joint = joint_verdict(list(verdicts.values()))
        print(claim.number, joint, flush=True)
        for part in claim.parts:
            pooled = found[part.name]
            own = [pooled.rows[name].at(settings.confidence) for name in names]
            texts = [one.text(2, signed=True) for one in own]
            both = Estimate(*pooled.at(level).columns().values()).text(2, signed=True)
            last = [both or pooled.reason, verdicts[part.name]]
            rows.append([str(claim.number), claim.name.replace("_", " "), part.name, *texts, *last])
    text = "\n".join(markdown(rows)) + "\n"
    (args.out / f"{args.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
