"""Settings and reading of tables, for tests of the study ``knockout``."""

from __future__ import annotations

import pandas as pd

from lakeviz.metrics import Bootstrap

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=200)
AUROC = (("image", "auroc"),)
MARGIN = (("image", "cohens_d"),)


def rows(table: pd.DataFrame, **equals) -> pd.DataFrame:
    for column, value in equals.items():
        table = table[table[column] == value]
    return table
