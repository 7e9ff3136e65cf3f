"""Kinds and advice as noise.json has them; their form is in `labelaudit.recipes.noise_shape`.

Shapes: N samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.detect.kinds import Kinds
from labelaudit.detect.prioritization import Advice
from labelaudit.detect.verdicts import Verdicts
from labelaudit.names import KINDS


def kinds_entry(kinds: Kinds, flagged_N: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The entry ``kinds``: how many of each there are, and what planted controls are called."""
    seen_N = np.isfinite(kinds.p_corrupted_N)
    return {
        "samples": {kind: int(kinds.of(kind).sum()) for kind in KINDS},
        "suspicious": {kind: int((kinds.of(kind) & flagged_N).sum()) for kind in KINDS},
        "corrupted_rate": float(kinds.p_corrupted_N[seen_N].mean()) if seen_N.any() else None,
        "ambiguous_below": kinds.ambiguous_below,
        "planted": [
            {"planted": row.planted, "expected": row.expected, "count": row.count, "called": dict(row.called)}
            for row in kinds.matrix
        ],
    }


def advice_entry(advice: Advice) -> dict[str, Any]:
    """The entry ``advice``: how much noise each selector would back-propagate, and which is safe."""
    return {
        "base_rate": advice.base_rate,
        "selectors": [
            {"selector": row.selector, "selectivity": row.selectivity, "noise_share": row.noise_share}
            for row in advice.selected
        ],
        "safe": advice.safe,
    }


def noise_probability(verdicts: Verdicts, kinds: Kinds) -> npt.NDArray[np.float64]:
    """P(the label is wrong or the picture corrupted), taken as independent; 0 without a record: [N]."""
    wrong_N = np.nan_to_num(verdicts.p_mislabeled_N)
    corrupted_N = np.nan_to_num(kinds.p_corrupted_N)
    noise_N: npt.NDArray[np.float64] = 1.0 - (1.0 - wrong_N) * (1.0 - corrupted_N)
    return noise_N
