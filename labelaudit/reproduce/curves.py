"""Losses of audits over the epochs against the truth, as rows, and the AUL paper's figures from them.

The figures show the first seed and network, but the comparison of networks (4, 5) and of noise rates (7, 9).

Shapes: N samples, U of them with a loss, E epochs, T test images, B bins, M networks.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.data.rendering import Rendering
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.engine.order import derive_seed
from labelaudit.names import EstimatorName
from labelaudit.reproduce.runner import Panels, Row, Tables, grouped, number, spread
from labelaudit.reproduce.truth import OURS, EstimateRow, TrueAudit, rank_quality
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs
from labelaudit.run.tables import read_controls

CLEAN, MISLABELED = "clean", "mislabeled"
LOSS, AUL = "loss", "AUL"
PAPER_ESTIMATOR: EstimatorName = "gmm"
OVER_RATES = ("noise_rate", "precision", "recall")
CORRELATED = {
    "aul": "AUL",
    "test_loss": "held-out loss, mean over the epochs",
    "last_loss": "loss of the last epoch",
    "last_test_loss": "held-out loss of the last epoch",
}
"""The fields of `NetworkRow`, in the order of the AUL paper's Figure 5."""

RowT = TypeVar("RowT", bound=Row)

_BINS = 40
_SHOWN = 24
_SIDE = 64
"""Bins of a histogram; images of highest AUL, and the pixels that each fits into."""


@dataclass(frozen=True, kw_only=True)
class EpochRow(Row):
    """AUROC of the loss of one epoch, and of the AUL up to it; epochs count from 1."""

    epoch: int
    loss_auroc: float
    aul_auroc: float


@dataclass(frozen=True, kw_only=True)
class CurveRow(Row):
    """Loss of one epoch, or AUL up to it, of the clean or the mislabeled samples.

    Mean and standard deviation over the samples, and the value of one that the seed draws.
    """

    epoch: int
    quantity: str
    labels: str
    mean: float
    deviation: float
    sample: float


@dataclass(frozen=True, kw_only=True)
class HistogramRow(Row):
    """How many clean and mislabeled samples have a loss, or an AUL, in a bin.

    The outer bins hold the thousandth of the samples on either side that lies beyond them.
    """

    epoch: int
    quantity: str
    low: float
    high: float
    clean: int
    mislabeled: int


@dataclass(frozen=True, kw_only=True)
class MixtureRow(Row):
    """A component of the Gaussian mixture fitted to the AUL: weight · N(mean, deviation²)."""

    labels: str
    weight: float
    mean: float
    deviation: float


@dataclass(frozen=True, kw_only=True)
class HighestRow(Row):
    """One of the samples of highest AUL."""

    rank: int
    path: str
    given_label: str
    wrong: bool
    aul: float


@dataclass(frozen=True, kw_only=True)
class NetworkRow(Row):
    """Pearson's correlations between two networks, over the samples or the test images; NaN without test images."""

    other_model: str
    aul: float
    test_loss: float
    last_loss: float
    last_test_loss: float


ROWS: dict[str, type] = {
    "epochs": EpochRow,
    "curves": CurveRow,
    "histograms": HistogramRow,
    "mixtures": MixtureRow,
    "highest": HighestRow,
    "networks": NetworkRow,
}
"""The type of each table's rows."""


def read_loss_curves(run: RunFolder, samples: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield each epoch's losses, and their sums up to it, from a trained run: [N], NaN without a record.

    Planted controls are left out: their losses are against other labels.
    """
    controls = read_controls(run.samples)
    planted_N = np.zeros(samples, dtype=bool) if controls is None else controls.planted_N
    aul_N = np.zeros(samples)
    for record in read_epochs(run.losses):
        loss_N = np.full(samples, np.nan)
        loss_N[record.sample_R] = record.loss_R
        loss_N[planted_N] = np.nan
        aul_N = aul_N + loss_N
        yield loss_N, aul_N


def read_test_losses(run: RunFolder) -> tuple[FloatArray, FloatArray]:
    """Return each test image's mean loss over the epochs, and that of the last one: [T]."""
    loss_ET = [record.loss_R.astype(np.float64) for record in read_epochs(run.test_losses)]
    return np.mean(loss_ET, axis=0), loss_ET[-1]


def measure_losses(found: TrueAudit, *, tested: bool) -> tuple[list[Row], dict[str, FloatArray]]:
    """Return the rows of one audit, and what networks are compared by: the fields of `NetworkRow`.

    ``tested``: the losses of test images were recorded too.
    """
    same, wrong_N, rows = vars(found.row), found.wrong_N, list[Row]()
    drawn: dict[str, int] = {}
    epochs = found.fitted.statistics.epochs
    shown = {1, math.ceil(epochs / 4), math.ceil(epochs / 2), epochs}
    for epoch, (loss_N, aul_N) in enumerate(read_loss_curves(found.run, len(wrong_N)), start=1):
        auroc = {}
        for quantity, value_N in ((LOSS, loss_N), (AUL, aul_N)):
            seen_N = np.isfinite(value_N)
            auroc[quantity] = rank_quality(wrong_N[seen_N], value_N[seen_N])["auroc"]
            for labels, of_N in ((CLEAN, seen_N & ~wrong_N), (MISLABELED, seen_N & wrong_N)):
                if not of_N.any():
                    continue
                if labels not in drawn:
                    generator = np.random.default_rng(derive_seed(found.row.seed, f"a {labels} sample"))
                    drawn[labels] = int(generator.choice(np.flatnonzero(of_N)))
                rows.append(
                    CurveRow(
                        **same,
                        epoch=epoch,
                        quantity=quantity,
                        labels=labels,
                        mean=float(value_N[of_N].mean()),
                        deviation=float(value_N[of_N].std()),
                        sample=float(value_N[drawn[labels]]),
                    )
                )
            if epoch in shown:
                of_quantity = partial(HistogramRow, **same, epoch=epoch, quantity=quantity)
                rows += [of_quantity(**one) for one in _bins(value_N[seen_N], wrong_N[seen_N])]
        rows.append(EpochRow(**same, epoch=epoch, loss_auroc=auroc[LOSS], aul_auroc=auroc[AUL]))
    signals = {"aul": aul_N, "last_loss": loss_N}
    if tested:
        signals["test_loss"], signals["last_test_loss"] = read_test_losses(found.run)
    return [*rows, *_mixture(found), *_highest(found, aul_N)], signals


def _bins(value_U: FloatArray, wrong_U: BoolArray) -> Iterator[Mapping[str, Any]]:
    low, high = np.quantile(value_U, [0.001, 0.999])
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    clean_B, wrong_B = (np.histogram(value_U[of_U].clip(low, high), edges)[0] for of_U in (~wrong_U, wrong_U))
    for start, end, clean, wrong in zip(edges, edges[1:], clean_B, wrong_B, strict=False):
        yield {"low": float(start), "high": float(end), "clean": int(clean), "mislabeled": int(wrong)}


def _mixture(found: TrueAudit) -> Iterator[MixtureRow]:
    estimate = found.fitted.estimate(PAPER_ESTIMATOR)
    if estimate is not None and (mixture := estimate.mixture) is not None:
        values_23 = np.stack([mixture.weight_2, mixture.mean_2, mixture.std_2], axis=1).tolist()
        for labels, (weight, mean, deviation) in zip((CLEAN, MISLABELED), values_23, strict=True):
            yield MixtureRow(**vars(found.row), labels=labels, weight=weight, mean=mean, deviation=deviation)


def _highest(found: TrueAudit, aul_N: FloatArray) -> Iterator[HighestRow]:
    catalogue, order = found.fitted.catalogue, np.argsort(-aul_N, kind="stable")  # NaN comes last
    for rank, sample in enumerate(order[np.isfinite(aul_N[order])][:_SHOWN].tolist(), start=1):
        yield HighestRow(
            **vars(found.row),
            rank=rank,
            path=catalogue.paths[sample],
            given_label=catalogue.classes[catalogue.label_N[sample]],
            wrong=bool(found.wrong_N[sample]),
            aul=float(aul_N[sample]),
        )


def correlation(one_N: FloatArray, other_N: FloatArray) -> float:
    """Return Pearson's correlation over the samples that both have; NaN where one of them does not vary."""
    both_N = np.isfinite(one_N) & np.isfinite(other_N)
    one, other = one_N[both_N], other_N[both_N]
    return float(np.corrcoef(one, other)[0, 1]) if len(one) > 1 and np.ptp(one) and np.ptp(other) else math.nan


def compare(row: Row, signals: Mapping[str, FloatArray], other: Row, others: Mapping[str, FloatArray]) -> NetworkRow:
    """Return the correlations between two networks."""
    r: Any = dict.fromkeys(CORRELATED, math.nan)
    r |= {name: correlation(signal, others[name]) for name, signal in signals.items()}
    return NetworkRow(**vars(row), other_model=other.model, **r)


def over_rates(tables: Tables) -> dict[str, list[EstimateRow]]:
    """Return the paper's and the audit's estimates of the first network, by kind of noise with more than one rate."""
    ours = [row for row in _of_first(tables.of(EstimateRow)) if row.source == OURS]
    ours = [row for row in ours if row.chosen or row.estimator == PAPER_ESTIMATOR]
    kinds = grouped(ours, lambda row: ":".join(row.noise.split(":", 2)[::2]))
    return {kind: group for kind, group in kinds.items() if len({row.noise for row in group}) > 1}


def known_epochs(rows: Sequence[EpochRow]) -> dict[int, list[EpochRow]]:
    """Return the rows by epoch, where the AUROC is known: some labels are wrong and some right."""
    return grouped((row for row in rows if math.isfinite(row.aul_auroc)), lambda row: row.epoch)


def measured(tables: Tables) -> dict[str, str]:
    """Return the correlations that there are, with their titles."""
    rows = tables.of(NetworkRow)
    return {name: title for name, title in CORRELATED.items() if any(np.isfinite(getattr(row, name)) for row in rows)}


def _of_first(rows: Sequence[RowT]) -> list[RowT]:
    return [row for row in rows if row.model == rows[0].model]


def _shown(rows: Sequence[RowT]) -> dict[str, list[RowT]]:
    """Return the rows of the first network and seed, by noise."""
    return grouped((row for row in _of_first(rows) if row.seed == rows[0].seed), lambda row: row.noise)


def figures(tables: Tables, truth: Catalogue) -> dict[str, Panels]:
    """Return the panels of the figures that there are rows for. Images are read from the truth's folder.

    In their order they are the paper's Figures 1 and 10, 2, 3, 8, then the AUROC that its section 3 names for some
    epochs, then 4, 6, 5, 7 and 9.
    """
    first, epochs = _of_first(tables.of(EpochRow)), _shown(tables.of(EpochRow))
    every, networks, mixtures = tables.of(HistogramRow), tables.of(NetworkRow), _shown(tables.of(MixtureRow))
    ends = [row for row in every if row.quantity == AUL and row.seed == first[0].seed]

    def curves(field: str) -> list[list[Any]]:
        return [
            [partial(_draw_curves, field, noise, *of) for of in grouped(rows, lambda row: row.quantity).items()]
            for noise, rows in _shown(tables.of(CurveRow)).items()
        ]

    def histogram(noise: str, quantity: str, epoch: int, bins: Sequence[HistogramRow]) -> Any:
        known = epochs[noise][epoch - 1]
        auroc = number(known.loss_auroc if quantity == LOSS else known.aul_auroc, 3)
        return partial(_draw_histogram, f"{noise}, epoch {epoch}: AUROC {auroc}", bins)

    return {
        "highest-aul": [partial(_draw_highest, *one, truth) for one in _shown(tables.of(HighestRow)).items()],
        "histograms": [
            [histogram(noise, quantity, *one) for one in grouped(of_quantity, lambda row: row.epoch).items()]
            for noise, rows in _shown(every).items()
            for quantity, of_quantity in grouped(rows, lambda row: row.quantity).items()
        ],
        "one-sample": curves("sample"),
        "mean-and-deviation": curves("mean"),
        "loss-and-aul": [
            partial(_draw_epochs, noise, known)
            for noise, rows in grouped(first, lambda row: row.noise).items()
            if (known := known_epochs(rows))
        ],
        "aul-by-network": [
            partial(_draw_networks, noise, rows)
            for noise, rows in grouped(ends, lambda row: row.noise).items()
            if networks
        ],
        "aul-by-noise": [
            partial(_draw_mixture, noise, _last(rows), mixtures.get(noise, ())) for noise, rows in _shown(ends).items()
        ],
        "networks": [
            [partial(_draw_matrix, f"{noise}: {title}", rows, name) for name, title in measured(tables).items()]
            for noise, rows in grouped(networks, lambda row: row.noise).items()
        ],
        "noise-rates": [
            [partial(_draw_rates, kind, rows, field) for field in OVER_RATES]
            for kind, rows in over_rates(tables).items()
        ],
    }


def _last(rows: Sequence[HistogramRow]) -> list[HistogramRow]:
    return [row for row in rows if row.epoch == rows[-1].epoch]


def _draw_highest(title: str, rows: Sequence[HighestRow], truth: Catalogue, place: Any) -> None:
    """Draw the images of highest AUL with their given labels, red where these are wrong."""
    shown = [(truth.root / row.path, row.given_label[:12], row.wrong) for row in rows]
    draw_images(f"{title}: highest AUL", shown, 6, truth.rendering, place)


def draw_images(
    title: str, shown: Sequence[tuple[Path, str, bool]], columns: int, rendering: Rendering, place: Any
) -> None:
    """Draw images in lines of so many ``columns``, each given with its caption and whether that is red."""
    for rank, (file, caption, is_red) in enumerate(shown):
        down, right = divmod(rank, columns)
        with contextlib.suppress(UnreadableImageError):
            x_HWC = decode_small(read_file(file), side=_SIDE, rendering=rendering)
            height, width = (0.9 * side / max(x_HWC.shape[:2]) for side in x_HWC.shape[:2])
            place.imshow(x_HWC, extent=(right, right + width, -1.3 * down - height, -1.3 * down), interpolation="none")
        place.text(right, -1.3 * down + 0.05, caption, fontsize="x-small", color="C3" if is_red else "black")
    place.set(title=title, xlim=(0, columns), ylim=(-1.3 * math.ceil(len(shown) / columns), 0.4))
    place.set_axis_off()


def _draw_histogram(title: str, rows: Sequence[HistogramRow], place: Any) -> None:
    edges = [*(row.low for row in rows), rows[-1].high]
    for labels in (CLEAN, MISLABELED):
        place.stairs([getattr(row, labels) for row in rows], edges, fill=True, alpha=0.5, label=labels)
    place.set(title=title, xlabel=rows[0].quantity, ylabel="samples")
    place.legend()


def _draw_mixture(title: str, rows: Sequence[HistogramRow], parts: Sequence[MixtureRow], place: Any) -> None:
    _draw_histogram(title, rows, place)
    aul_G, samples = np.linspace(rows[0].low, rows[-1].high, 400), sum(row.clean + row.mislabeled for row in rows)
    for part in parts:
        z_G = (aul_G - part.mean) / part.deviation
        density_G = np.exp(-(z_G**2) / 2) / (part.deviation * math.sqrt(2 * math.pi))
        color = "C0" if part.labels == CLEAN else "C1"
        place.plot(aul_G, samples * (rows[0].high - rows[0].low) * part.weight * density_G, color=color)


def _draw_networks(title: str, rows: Sequence[HistogramRow], place: Any) -> None:
    for model, of_model in grouped(rows, lambda row: row.model).items():
        bins = _last(of_model)
        count_B, width = np.array([row.clean + row.mislabeled for row in bins]), bins[0].high - bins[0].low
        place.stairs(count_B / (count_B.sum() * width), [*(row.low for row in bins), bins[-1].high], label=model)
    place.set(title=title, xlabel=AUL, ylabel="density")
    place.legend(fontsize="x-small")


def _draw_curves(field: str, title: str, quantity: str, rows: Sequence[CurveRow], place: Any) -> None:
    """Draw one clean and one mislabeled sample, or mean and one standard deviation of each kind."""
    for labels, group in grouped(rows, lambda row: row.labels).items():
        epoch_E, value_E, deviation_E = np.array([(row.epoch, getattr(row, field), row.deviation) for row in group]).T
        place.plot(epoch_E, value_E, label=labels if field == "mean" else f"one {labels} sample")
        if field == "mean":
            place.fill_between(epoch_E, value_E - deviation_E, value_E + deviation_E, alpha=0.3)
    place.set(title=title, xlabel="epoch", ylabel=quantity)
    place.legend()


def _draw_epochs(title: str, of_epoch: Mapping[int, Sequence[EpochRow]], place: Any) -> None:
    for field, style, name in (("loss_auroc", "--", "loss of the epoch"), ("aul_auroc", "-", "AUL up to the epoch")):
        mean_E = [spread(getattr(row, field) for row in rows).mean for rows in of_epoch.values()]
        place.plot(list(of_epoch), mean_E, style, label=name)
    place.set(title=title, xlabel="epoch", ylabel="AUROC")
    place.legend()


def _draw_matrix(title: str, rows: Sequence[NetworkRow], field: str, place: Any) -> None:
    models = list(dict.fromkeys(name for row in rows for name in (row.model, row.other_model)))
    r_MM = np.eye(len(models))
    for pair, group in grouped(rows, lambda row: (row.model, row.other_model)).items():
        one, other = map(models.index, pair)
        r_MM[one, other] = r_MM[other, one] = spread(getattr(row, field) for row in group).mean
    place.imshow(r_MM, vmin=0, vmax=1)
    for (one, other), r in np.ndenumerate(r_MM):
        place.text(other, one, number(r, 2), ha="center", va="center", color="black" if r > 0.5 else "white")
    place.set_xticks(range(len(models)), models, rotation=30, ha="right", fontsize="x-small")
    place.set_yticks(range(len(models)), models, fontsize="x-small")
    place.set_title(title, fontsize="small")


def _draw_rates(kind: str, rows: Sequence[EstimateRow], field: str, place: Any) -> None:
    for estimator, group in grouped(rows, lambda row: row.estimator).items():
        points = []
        for of_noise in grouped(group, lambda row: row.noise).values():
            mean, deviation, _ = spread(getattr(row, field) for row in of_noise)
            points.append((of_noise[0].true_rate, mean, 0.0 if math.isnan(deviation) else deviation))
        rate, mean_P, deviation_P = zip(*sorted(points), strict=True)
        place.errorbar(rate, mean_P, yerr=deviation_P, marker="o", label=estimator)
    if field == "noise_rate":
        most = max(row.true_rate for row in rows)
        place.plot([0, most], [0, most], ":", color="grey", label="truth")
    place.set(title=kind, xlabel="true noise rate", ylabel=field.replace("_", " "), ylim=(0, 1.02))
    place.legend()
