"""How the claims are shown in a report."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.studies.claims import ClaimsResult
from lakeviz.studies.claims.figures import claims_by_point_figure, claims_figure, short_points
from lakeviz.tables import where


def figures(result: ClaimsResult) -> list[go.Figure]:
    """Verdicts by hook point where there are several, then the effects at each."""
    made = [claims_by_point_figure(result.verdicts)] if len(result.points) > 1 else []
    return made + [
        claims_figure(
            where(result.parts, points=points),
            where(result.effects, points=points),
            confidence=result.confidence,
        )
        for points in result.points
    ]


def headline(result: ClaimsResult) -> pd.DataFrame:
    """Verdict of every claim with what was found, or its verdicts at each hook point."""
    first = where(result.verdicts, points=result.points[0])
    rows = []
    columns = ("claim", "name", "statement")
    for claim, name, statement in zip(*(first[column] for column in columns), strict=True):
        own = where(result.verdicts, claim=claim).set_index("points")
        several = len(result.points) > 1
        row = {"claim": f"{claim}. {str(name).replace('_', ' ') if several else statement}"}
        if len(result.points) == 1:
            told = own.loc[result.points[0]]
            said = [str(told["finding"]), str(told["reason"])]
            row |= {"verdict": str(told["verdict"]), "finding": "; ".join(s for s in said if s)}
        else:
            row |= {short_points(p): str(own.loc[p, "verdict"]) for p in result.points}
        rows.append(row)
    return pd.DataFrame(rows)
