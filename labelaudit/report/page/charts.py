"""Compute the numbers behind a page's charts.

Shapes: N samples, S samples of the gallery, E epochs, P points of a small curve, G bins or grid points, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.auditing.model import Audit
from labelaudit.detect import BoolArray, Float32Array, FloatArray
from labelaudit.detect.curves import SUSPICIOUS_WHEN_LOW
from labelaudit.detect.mixture import GaussianMixture
from labelaudit.run.losses import EpochLosses

MAX_POINTS = 48  # of a small curve, which is about a hundred pixels wide
MISSING = 255  # the byte of an epoch without a record
_TOP, _CLIP = 254, 0.9995  # the highest byte, and the quantile of the losses that it stands for
_BINS, _GRID, _MOST_PAIRS = 72, 240, 2000
_TAIL = 0.0005  # share of the values at either end of a histogram that count in its outermost bins


@dataclass(frozen=True, kw_only=True)
class LossCurves:
    """Losses in nats, NaN where there is no record: of the gallery's samples, and the median of each given label.

    ``quartiles_23E`` are the quartiles (25%, 50%, 75%) of the suspicious samples [0] and of the rest [1].
    """

    sample_SE: Float32Array
    class_KE: Float32Array
    quartiles_23E: FloatArray


def gather_curves(
    epochs: Iterable[EpochLosses],
    samples_S: npt.NDArray[np.int64],
    label_N: npt.NDArray[np.int32],
    suspicious_N: BoolArray,
    *,
    classes: int,
) -> LossCurves:
    """Gather the curves of these samples in one pass."""
    of_samples, of_classes, of_groups = [], [], []
    for record in epochs:
        loss_N = np.full(len(label_N), np.nan, dtype=np.float32)
        loss_N[record.sample_R] = record.loss_R
        of_samples.append(loss_N[samples_S])
        of_classes.append(_class_medians(loss_N, label_N, classes))
        of_groups.append([_quartiles(loss_N[suspicious_N]), _quartiles(loss_N[~suspicious_N])])
    return LossCurves(
        sample_SE=np.array(of_samples, dtype=np.float32).reshape(len(of_samples), len(samples_S)).T,
        class_KE=np.array(of_classes, dtype=np.float32).reshape(len(of_samples), classes).T,
        quartiles_23E=np.moveaxis(np.array(of_groups).reshape(-1, 2, 3), 0, 2),
    )


def thin(loss_SE: Float32Array, most: int = MAX_POINTS) -> Float32Array:
    """Return at most ``most`` points of each curve [S, P]: means over equal numbers of epochs, the last maybe fewer."""
    epochs = loss_SE.shape[1]
    if epochs <= most:
        return loss_SE
    start_P = np.arange(0, epochs, -(-epochs // most))
    thinned_SP = np.add.reduceat(loss_SE, start_P, axis=1) / np.diff([*start_P, epochs])
    return thinned_SP.astype(np.float32)


def top_loss(*losses: Float32Array) -> float:
    """Return the loss of the highest byte; nearly all are below it, so that a few giants do not flatten the rest."""
    finite = np.concatenate([loss[np.isfinite(loss)].ravel() for loss in losses])
    if not len(finite):
        return 1.0
    at = int(_CLIP * (len(finite) - 1))
    return max(float(np.partition(finite, at)[at]), 1e-3)


def quantise(loss_SP: Float32Array, top: float) -> npt.NDArray[np.uint8]:
    """Return losses as bytes, b = 254 √(ℓ / top): fine near 0, where most of a curve is. 255 stands for no record."""
    finite_SP = np.isfinite(loss_SP)
    share_SP = np.clip(np.where(finite_SP, loss_SP, 0.0) / top, 0.0, 1.0)
    byte_SP: npt.NDArray[np.uint8] = np.where(finite_SP, np.rint(_TOP * np.sqrt(share_SP)), MISSING).astype(np.uint8)
    return byte_SP


def _class_medians(loss_N: Float32Array, label_N: npt.NDArray[np.int32], classes: int) -> Float32Array:
    """Return the median loss of each class [K], NaN where it has none."""
    seen_N = np.isfinite(loss_N)
    label_U, loss_U = label_N[seen_N], loss_N[seen_N]
    count_K = np.bincount(label_U, minlength=classes)
    parts = np.split(loss_U[np.argsort(label_U, kind="stable")], np.cumsum(count_K)[:-1])
    return np.array([np.median(part) if len(part) else np.nan for part in parts], dtype=np.float32)


def _quartiles(loss_N: Float32Array) -> FloatArray:
    finite = loss_N[np.isfinite(loss_N)].astype(np.float64)
    return np.quantile(finite, [0.25, 0.5, 0.75]) if len(finite) else np.full(3, np.nan)


def charts(audit: Audit, suspicious_N: BoolArray, curves: LossCurves) -> dict[str, object]:
    """Return the numbers of all charts, by their names; classes are numbers.

    The confusion is [given, suggested, count]; the group curves are quartiles by epoch, or None without records.
    """
    drawn = [histogram(audit, name, suspicious_N) for name in dict.fromkeys((audit.summary.fit.rank_by, "aul"))]
    number_of = {name: number for number, name in enumerate(audit.catalogue.classes)}
    rows = []
    for row in [row for row in audit.summary.classes if row.name in number_of]:
        figures = {"rate": round(row.noise_rate, 5), "samples": row.samples, "suspicious": row.suspicious}
        rows.append({"class": number_of[row.name], **figures})
    pairs = [
        [number_of[pair.given], number_of[pair.suggested], pair.count]
        for pair in audit.summary.confusion
        if pair.given in number_of and pair.suggested in number_of
    ]
    suspicious, rest = ([rounded(line) for line in quartiles_3E] for quartiles_3E in curves.quartiles_23E)
    return {
        "histograms": [one for one in drawn if one is not None],
        "class_table": sorted(rows, key=lambda row: (-row["rate"], row["class"])),
        "confusion": pairs[:_MOST_PAIRS],
        "group_curves": {"suspicious": suspicious, "rest": rest} if curves.quartiles_23E.shape[2] else None,
    }


def histogram(audit: Audit, statistic: str, suspicious_N: BoolArray) -> dict[str, object] | None:
    """Return a statistic's histogram, with the components fitted to it as counts a bin; None without two values."""
    value_N = audit.column(statistic)
    finite_N = np.isfinite(value_N)
    value = value_N[finite_N]
    distinct = len(np.unique(value[:100_000]))
    if distinct < 2:
        return None
    low, high = np.quantile(value, [_TAIL, 1 - _TAIL])
    if high <= low:
        low, high = value.min(), value.max()
    bins = int(np.clip(distinct, 8, _BINS))
    clipped, suspicious = np.clip(value, low, high), suspicious_N[finite_N]
    rest_G, edges = np.histogram(clipped[~suspicious], bins=bins, range=(low, high))
    suspicious_G, _ = np.histogram(clipped[suspicious], bins=bins, range=(low, high))
    return {
        "statistic": statistic,
        "suspicious_when_low": statistic in SUSPICIOUS_WHEN_LOW,
        "low": float(low),
        "high": float(high),
        "rest": rest_G.tolist(),
        "suspicious": suspicious_G.tolist(),
        "components": _components(audit, statistic, np.linspace(low, high, _GRID), len(value) * (edges[1] - edges[0])),
    }


def rounded(line: FloatArray, *, digits: int = 4) -> list[float | None]:
    """Return numbers with so many significant digits; None for NaN."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in line.tolist()]


def _components(audit: Audit, statistic: str, grid_G: FloatArray, scale: float) -> list[list[float | None]] | None:
    fitted = audit.summary.estimators.get("gmm")
    mixture = fitted.mixture if fitted is not None and fitted.rank_by == statistic else None
    if mixture is None or min(*mixture.std, *mixture.weight) <= 0:
        return None
    weight_2, mean_2, std_2 = (np.array(values) for values in (mixture.weight, mixture.mean, mixture.std))
    gaussians = GaussianMixture(weight_2=weight_2, mean_2=mean_2, std_2=std_2)
    # The mixture is fitted to the suspicion: the statistic, turned so that higher is more suspicious.
    density_G2 = gaussians.component_density(-grid_G if statistic in SUSPICIOUS_WHEN_LOW else grid_G)
    return [rounded(density_G2[:, component] * scale) for component in (0, 1)]
