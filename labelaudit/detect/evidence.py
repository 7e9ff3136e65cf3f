"""What an audit knows of its samples before it judges them.

Shapes: N samples, P planted controls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from labelaudit.detect.controls import Controls, same_place
from labelaudit.detect.curves import STATISTICS, CurveAccumulator, CurveStatistics, FloatArray
from labelaudit.names import ControlKind, StatisticName

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an audit knows of its N samples.

    Attributes:
        label_N: Given labels.
        statistics: Of the losses against the given labels.
        last_wrong_N: True where the last epoch predicted another class than the given one.
        controls: Which samples were trained with another label, or None.
        taught: Statistics of the losses against the labels that were taught; None without controls.
    """

    label_N: IntArray
    statistics: CurveStatistics
    last_wrong_N: npt.NDArray[np.bool_]
    controls: Controls | None = None
    taught: CurveStatistics | None = None

    @property
    def own_N(self) -> npt.NDArray[np.bool_]:
        """True for samples with a record that are no controls."""
        seen_N: npt.NDArray[np.bool_] = np.isfinite(self.statistics.aul_N)
        return seen_N if self.controls is None else seen_N & ~self.controls.planted_N

    def planted(self, kind: ControlKind, rank_by: StatisticName) -> FloatArray:
        """The suspicion of the wrong labels of this kind that were planted."""
        if self.controls is None or self.taught is None:
            return np.empty(0)
        suspicion_N = self.taught.suspicion(rank_by)
        return suspicion_N[self.controls.of_kind(kind) & np.isfinite(suspicion_N)]


def gather(
    label_N: IntArray,
    curves: CurveAccumulator,
    *,
    controls: Controls | None = None,
    pilot: CurveAccumulator | None = None,
) -> Evidence:
    """From recorded curves to evidence.

    The given labels of controls are judged by the pilot, which was trained on them: their statistics are those of the
    samples that stand where they stand among the others in the pilot.

    Args:
        label_N: Given labels.
        curves: Of the labels that were taught.
        controls: Which of those are not the given ones; needs ``pilot``.
        pilot: Curves of the given labels from the training before.
    """
    statistics, last_wrong_N = curves.result(), curves.last_wrong_N
    if controls is None or pilot is None:
        return Evidence(label_N=label_N, statistics=statistics, last_wrong_N=last_wrong_N)
    return Evidence(
        label_N=label_N,
        statistics=_judged_by_pilot(statistics, pilot.result(), controls.planted_N),
        last_wrong_N=np.where(controls.planted_N, pilot.last_wrong_N, last_wrong_N),
        controls=controls,
        taught=statistics,
    )


def _judged_by_pilot(statistics: CurveStatistics, pilot: CurveStatistics, planted_N: BoolArray) -> CurveStatistics:
    own_N = ~planted_N & np.isfinite(statistics.aul_N)
    carried = {}
    for name in STATISTICS:
        value_N, before_N = getattr(statistics, f"{name}_N").copy(), getattr(pilot, f"{name}_N")
        value_N[planted_N] = same_place(before_N[planted_N], before_N[own_N], value_N[own_N])
        carried[f"{name}_N"] = value_N
    beliefs, joint = statistics.beliefs, statistics.joint
    return replace(
        statistics,
        **carried,
        beliefs=replace(
            beliefs,
            given_N=np.where(planted_N, pilot.beliefs.given_N, beliefs.given_N),
            class_MN=np.where(planted_N, pilot.beliefs.class_MN, beliefs.class_MN),
            other_MN=np.where(planted_N, pilot.beliefs.other_MN, beliefs.other_MN),
            rest_N=_chosen(planted_N, pilot.beliefs.rest_N, beliefs.rest_N),
        ),
        joint=replace(joint, class_N=np.where(planted_N, pilot.joint.class_N, joint.class_N)),
    )


def _chosen(here_N: BoolArray, one_N: FloatArray | None, other_N: FloatArray | None) -> FloatArray | None:
    """Of each sample the one or the other, where there are both."""
    return other_N if one_N is None or other_N is None else np.where(here_N, one_N, other_N)
