"""Where the noise rate lies."""

from __future__ import annotations

from collections.abc import Mapping

from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence
from labelaudit.names import EstimatorName


def noise_interval(
    evidence: Evidence, estimate: Estimate, estimates: Mapping[EstimatorName, Estimate]
) -> tuple[float, float]:
    """Draft."""
    return estimate.noise_rate, estimate.noise_rate
