"""Where only the position of defects is special, matched measures see nothing, and others do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from lakeviz.lake import LakeOptions
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons import neurons
from lakeviz.studies.neurons.group_comparison import NULL_RATES
from lakeviz.studies.neurons.measures import PatchSample
from lakeviz.studies.neurons.patch_labels import PatchTruth

POINT = "blocks.0.hook_resid_post"
GRID, CHANNELS, IMAGES = 5, 16, 20
MATCHED = ("image_auroc", "matched_auroc", "abs_matched_d", "deviation_matched_d")


def position_world(seed: int) -> StudyData:
    """Channels depend on the position to different degrees; defects lie in the middle, no more."""
    generator = np.random.default_rng(seed)
    noise = generator.uniform(0.5, 1.5, CHANNELS)
    slope = generator.exponential(1.0, CHANNELS) * generator.choice([-1, 1], CHANNELS)
    y, x = np.mgrid[:GRID, :GRID] - GRID // 2
    middle = np.exp(-(x**2 + y**2) / 4).ravel()
    middle = (middle - middle.mean()) / middle.std()

    def tokens(n: int) -> dict[str, torch.Tensor]:
        free = generator.normal(size=(n, GRID**2, CHANNELS))
        image = 0.5 * generator.normal(size=(n, 1, CHANNELS))
        found = (free + image) * noise + middle[:, None] * slope
        return {POINT: torch.tensor(found, dtype=torch.float32)}

    labels = np.repeat([0, 1], IMAGES)
    masks = np.zeros((2 * IMAGES, GRID**2), bool)
    odds = np.exp(1.5 * middle)
    for mask in masks[IMAGES:]:
        mask[generator.choice(GRID**2, 3, replace=False, p=odds / odds.sum())] = True
    masks = list(masks.reshape(-1, GRID, GRID))
    size = (GRID, GRID)
    options = LakeOptions(k=CHANNELS // 2, text_weight=0, map_size=size)
    normal, test = tokens(6), tokens(2 * IMAGES)
    return StudyData.of_arrays(normal, test, labels, masks, grid=size, options=options)


def differs(row: pd.Series) -> bool:
    return bool(row["difference_low"] > 0 or row["difference_high"] < 0)


@pytest.mark.slow
def test_matched_rows_differ_as_rarely_as_stated_and_the_others_as_often_as_stated():
    n, groups, single = 60, [], []
    for seed in range(n):
        # Other worlds than those of the rates that are stated.
        bootstrap = Bootstrap(n_resamples=300, seed=seed)
        data = position_world(1000 + seed)
        result = neurons(data, crops=False, bootstrap=bootstrap)
        table = result.groups.set_index("measure")
        groups.append({name: differs(table.loc[name]) for name in NULL_RATES})
        own = result.neurons
        single.append(
            {
                "auroc": ((own["matched_auroc_low"] > 0.5) | (own["matched_auroc_high"] < 0.5)),
                "d": (own["direction"] != "undecided"),
                "p": own["p_value"] < 0.05,
                "deviation p": own["deviation_p_value"] < 0.05,
                "unmatched": ((own["patch_auroc_low"] > 0.5) | (own["patch_auroc_high"] < 0.5)),
            }
        )
    found = pd.DataFrame(groups).sum()
    for name in MATCHED:
        assert found[name] <= binom.ppf(0.999, n, 0.05), name
    for name, rate in NULL_RATES.items():
        low, high = binom.ppf([0.001, 0.999], n, rate)
        assert low <= found[name] <= high, name
        assert (rate <= 0.05) == (name in MATCHED)
    rates = pd.concat([pd.DataFrame(one) for one in single]).mean()
    # Percentile intervals of 20 images are a little too short.
    for name in ("auroc", "d", "p", "deviation p"):
        assert rates[name] <= 0.08, name
    assert rates["unmatched"] > 0.3


def test_unmatched_rows_stand_last_and_say_so():
    result = neurons(position_world(0), crops=False, bootstrap=Bootstrap(n_resamples=50))
    table = result.headline()
    marked = table["measure"].str.contains("positions not matched")
    assert list(marked) == sorted(marked)
    assert marked.sum() == 4
    assert table["reading"][marked].str.contains(r"differs in \d+ % of worlds").all()
    assert not table["reading"][~marked].str.contains("worlds").any()
    said = " ".join(one.quantity for one in result.findings())
    assert "patch AUROC at matched positions" in said
    assert "not matched" not in said + result.summary()
    rates = result.groups.set_index("measure")["null_rate"]
    assert rates["patch_auroc"] == NULL_RATES["patch_auroc"]
    assert np.isnan(rates["share_q_value_below_0.05"])


def test_matched_auroc_by_hand():
    # Two normal and two defective images of three patches.
    x = np.array([[1, 5, 9], [3, 5, 7], [2, 0, 8], [0, 5, 0]], dtype=float)
    defect = np.zeros((4, 3), dtype=bool)
    defect[2, [0, 2]] = defect[3, 1] = True
    truth = PatchTruth(np.array([0, 0, 1, 1]), defect.astype(float), defect, 0.25)
    sample = PatchSample.of(truth, Bootstrap(n_resamples=3))
    # (2, 8) against (1, 9): one of two; against (3, 7): one of two; 5 against 5, twice: a tie.
    assert sample.matched_auroc(x).value == 0.5
    x[3, 1] = 6
    assert sample.matched_auroc(x).value == 0.75
