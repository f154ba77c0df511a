"""The paper's claims as hypotheses with verdicts, by rules fixed before looking."""

from lakeviz.studies.claims.case import Case, ClaimSettings
from lakeviz.studies.claims.claim import Claim, Part
from lakeviz.studies.claims.hypotheses import CLAIMS
from lakeviz.studies.claims.result import ClaimsResult
from lakeviz.studies.claims.study import judge_claims

__all__ = ["CLAIMS", "Case", "Claim", "ClaimSettings", "ClaimsResult", "Part", "judge_claims"]
