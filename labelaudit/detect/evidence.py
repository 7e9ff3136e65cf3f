"""What an audit knows of its samples before it judges them.

Shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelaudit.detect import BoolArray, IntArray
from labelaudit.detect.curves import CurveStatistics


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an audit knows of its N samples.

    Attributes:
        label_N: Given labels.
        statistics: Of the losses against them.
        last_wrong_N: True where the last epoch predicted another class than the given one.
    """

    label_N: IntArray
    statistics: CurveStatistics
    last_wrong_N: BoolArray

    @property
    def seen_N(self) -> BoolArray:
        """True for samples with a record."""
        seen_N: BoolArray = np.isfinite(self.statistics.aul_N)
        return seen_N
