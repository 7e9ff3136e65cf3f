"""Scores and statistics that the tests of `labelaudit.detect` share."""

import numpy as np

from labelaudit.detect.curves import CurveStatistics


def two_groups(clean=6000, wrong=4000, *, gap=6.0, wrong_std=1.5, seed=0):
    """Scores N(0, 1) of clean samples, followed by N(gap, wrong_std²) of mislabeled ones."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.normal(0, 1, clean), generator.normal(gap, wrong_std, wrong)])


def statistics_of(aul_N, **others):
    """Statistics with these AULs; the rest follows from them unless it is given."""
    aul_N = np.asarray(aul_N, dtype=np.float64)
    values = {
        "aul_N": aul_N,
        "aum_N": -aul_N,
        "mean_probability_N": -aul_N,
        "misprediction_rate_N": aul_N,
        "forgetting_count_N": aul_N,
        "alternative_N": np.zeros(len(aul_N), dtype=np.int32),
        "belief_N": np.zeros(len(aul_N)),
        "epochs": 1,
    }
    return CurveStatistics(**{**values, **others})
