"""The paper's claims as hypotheses with verdicts, by rules fixed before looking."""

from lakeviz.claims.case import Case, ClaimSettings
from lakeviz.claims.claim import Claim, Part
from lakeviz.claims.hypotheses import CLAIMS
from lakeviz.claims.result import ClaimsResult
from lakeviz.claims.study import judge_claims

__all__ = ["CLAIMS", "Case", "Claim", "ClaimSettings", "ClaimsResult", "Part", "judge_claims"]
