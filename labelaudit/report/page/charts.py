"""The numbers behind a page's charts.

Shapes: N samples, G bins or grid points, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.detect.curves import SUSPICIOUS_WHEN_LOW
from labelaudit.detect.mixture import GaussianMixture
from labelaudit.report.page.curves import LossCurves
from labelaudit.report.page.findings import Findings, damaged

FloatArray = npt.NDArray[np.float64]

_BINS = 72
_GRID = 240
_TAIL = 0.0005
_MOST_PAIRS = 2000


def charts(findings: Findings, curves: LossCurves) -> dict[str, Any]:
    """The numbers of all charts, by their names.

    Raises:
        RunError: noise.json holds something else than figures.
    """
    try:
        return {
            "histograms": histograms(findings),
            "class_table": class_table(findings),
            "confusion": confusion(findings),
            "group_curves": group_curves(curves),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise damaged(findings, error) from error


def histograms(findings: Findings) -> list[dict[str, Any]]:
    """The histogram of the statistic that ranks, and that of the AUL, which the mixture was fitted to."""
    drawn = [histogram(findings, findings.statistic, findings.value_N)]
    if findings.statistic != "aul":
        drawn.append(histogram(findings, "aul", findings.aul_N))
    return [one for one in drawn if one is not None]


def histogram(findings: Findings, statistic: str, value_N: FloatArray) -> dict[str, Any] | None:
    """A statistic's histogram, and the components fitted to it as counts a bin; None without two values.

    The few values beyond the 0.05% quantile at either end count in the outermost bins.
    """
    finite_N = np.isfinite(value_N)
    value = value_N[finite_N]
    distinct = len(np.unique(value[:100_000]))
    if distinct < 2:
        return None
    low, high = np.quantile(value, [_TAIL, 1 - _TAIL])
    if high <= low:
        low, high = value.min(), value.max()
    if high <= low:
        return None
    bins = int(np.clip(distinct, 8, _BINS))
    clipped, suspicious = np.clip(value, low, high), findings.suspicious_N[finite_N]
    rest_G, edges = np.histogram(clipped[~suspicious], bins=bins, range=(low, high))
    suspicious_G, _ = np.histogram(clipped[suspicious], bins=bins, range=(low, high))
    return {
        "statistic": statistic,
        "suspicious_when_low": statistic in SUSPICIOUS_WHEN_LOW,
        "low": float(low),
        "high": float(high),
        "rest": rest_G.tolist(),
        "suspicious": suspicious_G.tolist(),
        "components": _components(findings, statistic, float(low), float(high), len(value) * (edges[1] - edges[0])),
    }


def class_table(findings: Findings) -> list[dict[str, Any]]:
    """Noise rate, size and suspicious samples of each class, by its number; the noisiest first."""
    number_of = {name: number for number, name in enumerate(findings.catalogue.classes)}
    rows = [
        {
            "class": number_of[entry["class"]],
            "rate": round(float(entry["noise_rate"]), 5),
            "samples": int(entry["samples"]),
            "suspicious": int(entry["suspicious"]),
        }
        for entry in findings.noise["classes"]
        if entry["class"] in number_of
    ]
    return sorted(rows, key=lambda row: (-row["rate"], row["class"]))


def confusion(findings: Findings) -> list[list[int]]:
    """[given, suggested, count] by class numbers, the most frequent pairs first."""
    number_of = {name: number for number, name in enumerate(findings.catalogue.classes)}
    pairs = [
        [number_of[entry["given"]], number_of[entry["suggested"]], int(entry["count"])]
        for entry in findings.noise["confusion"]
        if entry["given"] in number_of and entry["suggested"] in number_of
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:_MOST_PAIRS]


def group_curves(curves: LossCurves) -> dict[str, Any] | None:
    """Quartiles of the loss by epoch, of the suspicious samples and of the rest; None without records."""
    if not curves.quartiles_23E.shape[2]:
        return None
    groups = zip(("suspicious", "rest"), curves.quartiles_23E, strict=True)
    return {name: [_rounded(line) for line in quartiles_3E] for name, quartiles_3E in groups}


def _components(
    findings: Findings, statistic: str, low: float, high: float, scale: float
) -> list[list[float | None]] | None:
    fitted = findings.noise["estimators"].get("gmm") or {}
    mixture = fitted.get("mixture") if fitted.get("rank_by") == statistic else None
    if not isinstance(mixture, dict) or not {"weight", "mean", "std"} <= set(mixture):
        return None
    weight_2, mean_2, std_2 = (np.array(mixture[name], dtype=np.float64) for name in ("weight", "mean", "std"))
    if not all(array.shape == (2,) and np.isfinite(array).all() for array in (weight_2, mean_2, std_2)):
        return None
    if (std_2 <= 0).any() or (weight_2 <= 0).any():
        return None
    grid_G = np.linspace(low, high, _GRID)
    gaussians = GaussianMixture(weight_2=weight_2, mean_2=mean_2, std_2=std_2, log_likelihood=0.0)
    # The mixture is fitted to the suspicion: the statistic, turned so that higher is more suspicious.
    density_G2 = gaussians.component_density(-grid_G if statistic in SUSPICIOUS_WHEN_LOW else grid_G)
    return [_rounded(density_G2[:, component] * scale) for component in (0, 1)]


def _rounded(line: FloatArray) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in line.tolist()]
