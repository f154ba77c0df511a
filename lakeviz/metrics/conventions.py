"""What a number means: the choices that a metric's name leaves open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from lakeviz.errors import ConfigError
from lakeviz.settings import check_choice

PrecisionRule = Literal["step", "trapezoid"]


@dataclass(frozen=True)
class Conventions:
    """The conventions a result was computed under; every result carries them.

    Parameters
    ----------
    connectivity
        8 or 4: which neighbours of a defect pixel belong to the same region (AUPRO).
    aupro_limit
        False-positive rate up to which the PRO curve is integrated, in (0, 1].
    aupimo_bounds
        False-positive rates of normal images between which AUPIMO averages;
        ``0 < low < high <= 1``.
    ap_rule
        ``"step"``: average precision as scikit-learn computes it. ``"trapezoid"``: the area under
        the straight lines through the precision-recall points, which is optimistic.
    ties
        Always ``"half"``: equal scores are one threshold, and the ROC and PRO curves cross it in a
        straight line, so that a tied pair counts one half.
    resolution
        Size of the maps scored, ``"256x256"`` or ``"mixed"``; filled in by the pixel metrics.
    image_score
        How the image score was made from the map ("max", "mean of the top 1 %", ...). Only the
        caller knows it; it moves image AUROC by more than most published differences.
    interval
        How intervals are made.
    interval_grid
        Pixel metrics are resampled on at most this many thresholds, quantiles of the scores of
        defect pixels. Estimates themselves never use a grid.

    Raises
    ------
    ConfigError
        A value is outside its range.
    """

    connectivity: int = 8
    aupro_limit: float = 0.3
    aupimo_bounds: tuple[float, float] = (1e-5, 1e-4)
    ap_rule: PrecisionRule = "step"
    ties: Literal["half"] = "half"
    resolution: str | None = None
    image_score: str | None = None
    interval: str = "score interval over images, normal and anomalous images resampled apart"
    interval_grid: int = 1024

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise ConfigError(f"connectivity is {self.connectivity}; it must be 4 or 8")
        if not 0 < self.aupro_limit <= 1:
            raise ConfigError(f"aupro_limit is {self.aupro_limit}; it must lie in (0, 1]")
        low, high = self.aupimo_bounds
        if not 0 < low < high <= 1:
            raise ConfigError(f"aupimo_bounds are ({low}, {high}); need 0 < low < high <= 1")
        check_choice("ap_rule", self.ap_rule, get_args(PrecisionRule))
        check_choice("ties", self.ties, ("half",))
        if self.interval_grid < 2:
            raise ConfigError(f"interval_grid is {self.interval_grid}; it must be at least 2")

    def to_dict(self) -> dict[str, Any]:
        """Return the conventions as plain values that JSON can hold."""
        return asdict(self) | {"aupimo_bounds": list(self.aupimo_bounds)}


DEFAULT = Conventions()
