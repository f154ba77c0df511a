"""Reading of single neurons, for tests of the study ``neurons``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons.result import NeuronsResult

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=120)


def activations(data: StudyData, channel: int) -> np.ndarray:
    return data.test.patches(POINT)[:, :, channel].numpy()


def deviations(data: StudyData, channel: int) -> np.ndarray:
    normal = data.normal.patches(POINT)[:, :, channel].double().numpy()
    return np.abs(activations(data, channel) - normal.mean()) / normal.std()


def row_of(result: NeuronsResult, channel: int) -> pd.Series:
    return result.neurons.set_index("channel").loc[channel]
