"""Losses of audits over the epochs against the truth, as rows, and the AUL paper's figures from them.

The figures show the first seed and network, but the comparison of networks (4, 5) and of noise rates (7, 9).

Shapes: N samples, U of them with a loss, E epochs, T test images, B bins, M networks, G points of a curve.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.containers import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.data.rendering import Rendering
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.engine.draws import derive_seed
from labelaudit.names import EstimatorName
from labelaudit.reproduce.runner import Figures, Panel, Row, Rows, Tables, call, grouped, in_lines, number, spread
from labelaudit.reproduce.truth import OURS, TrueAudit, rank_quality
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs

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
"""The columns of the table of networks, in the order of the AUL paper's Figure 5."""

_BINS, _SHOWN, _SIDE = 40, 24, 64
"""Bins of a histogram; images of highest AUL, and the pixels that each fits into."""


def read_loss_curves(run: RunFolder, samples: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield each epoch's losses, and their sums up to it, from a trained run: [N], NaN without a record."""
    aul_N = np.zeros(samples)
    for record in read_epochs(run.losses):
        loss_N = np.full(samples, np.nan)
        loss_N[record.sample_R] = record.loss_R
        aul_N = aul_N + loss_N
        yield loss_N, aul_N


def measure_losses(found: TrueAudit, *, tested: bool) -> tuple[dict[str, list[Row]], dict[str, FloatArray]]:
    """Return the rows of one audit by table, and some of `CORRELATED`, those of test images if they are recorded.

    Epochs count from 1. The outer bins of a histogram hold the thousandth of the samples on either side beyond them.
    """
    wrong_N, rows = found.wrong_N, dict[str, list[Row]](epochs=[], curves=[], histograms=[])
    drawn: dict[str, int] = {}
    epochs = found.fitted.statistics.epochs
    shown = {1, math.ceil(epochs / 4), math.ceil(epochs / 2), epochs}
    for epoch, (loss_N, aul_N) in enumerate(read_loss_curves(found.run, len(wrong_N)), start=1):
        auroc = {**found.row, "epoch": epoch}
        for quantity, value_N in ((LOSS, loss_N), (AUL, aul_N)):
            same, seen_N = {**found.row, "epoch": epoch, "quantity": quantity}, np.isfinite(value_N)
            auroc[f"{quantity.lower()}_auroc"] = rank_quality(wrong_N[seen_N], value_N[seen_N])["auroc"]
            for labels, of_N in ((CLEAN, seen_N & ~wrong_N), (MISLABELED, seen_N & wrong_N)):
                if not of_N.any():
                    continue
                if labels not in drawn:
                    generator = np.random.default_rng(derive_seed(found.row["seed"], f"a {labels} sample"))
                    drawn[labels] = int(generator.choice(np.flatnonzero(of_N)))
                own = {"mean": value_N[of_N].mean(), "deviation": value_N[of_N].std(), "sample": value_N[drawn[labels]]}
                rows["curves"].append({**same, "labels": labels, **own})
            if epoch in shown:
                rows["histograms"] += [{**same, **one} for one in _bins(value_N[seen_N], wrong_N[seen_N])]
        rows["epochs"].append(auroc)
    signals = {"aul": aul_N, "last_loss": loss_N}
    if tested:
        loss_ET = [record.loss_R.astype(np.float64) for record in read_epochs(found.run.test_losses)]
        signals |= {"test_loss": np.mean(loss_ET, axis=0), "last_test_loss": loss_ET[-1]}
    return {**rows, "mixtures": [*_mixture(found)], "highest": [*_highest(found, aul_N)]}, signals


def _bins(value_U: FloatArray, wrong_U: BoolArray) -> Iterator[Row]:
    low, high = np.quantile(value_U, [0.001, 0.999])
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    clean_B, wrong_B = (np.histogram(value_U[of_U].clip(low, high), edges)[0] for of_U in (~wrong_U, wrong_U))
    for start, end, clean, wrong in zip(edges, edges[1:], clean_B, wrong_B, strict=False):
        yield {"low": start, "high": end, CLEAN: int(clean), MISLABELED: int(wrong)}


def _mixture(found: TrueAudit) -> Iterator[Row]:
    """Yield the components of the Gaussian mixture fitted to the AUL: weight · N(mean, deviation²)."""
    estimate = found.fitted.verdicts.estimates.get(PAPER_ESTIMATOR)
    if estimate is not None and (mixture := estimate.mixture) is not None:
        values = zip((CLEAN, MISLABELED), mixture.weight_2, mixture.mean_2, mixture.std_2, strict=True)
        yield from (
            {**found.row, **dict(zip(("labels", "weight", "mean", "deviation"), one, strict=True))} for one in values
        )


def _highest(found: TrueAudit, aul_N: FloatArray) -> Iterator[Row]:
    catalogue, order = found.fitted.catalogue, np.argsort(-aul_N, kind="stable")  # NaN comes last
    for rank, sample in enumerate(order[np.isfinite(aul_N[order])][:_SHOWN].tolist(), start=1):
        path, given = catalogue.paths[sample], catalogue.classes[catalogue.label_N[sample]]
        own = {"rank": rank, "path": path, "given_label": given, "wrong": bool(found.wrong_N[sample])}
        yield {**found.row, **own, "aul": aul_N[sample]}


def correlation(one_N: FloatArray, other_N: FloatArray) -> float:
    """Return Pearson's correlation over the samples that both have; NaN where one of them does not vary."""
    both_N = np.isfinite(one_N) & np.isfinite(other_N)
    one, other = one_N[both_N], other_N[both_N]
    return float(np.corrcoef(one, other)[0, 1]) if len(one) > 1 and np.ptp(one) and np.ptp(other) else math.nan


def compare(row: Row, signals: Mapping[str, FloatArray], other: Row, others: Mapping[str, FloatArray]) -> Row:
    """Return the correlations between two networks, over the samples or the test images; NaN without test images."""
    r = {name: correlation(signal, others[name]) for name, signal in signals.items()}
    return {**row, "other_model": other["model"], **dict.fromkeys(CORRELATED, math.nan), **r}


def over_rates(tables: Tables) -> dict[str, list[Row]]:
    """Return the paper's and the audit's estimates of the first network, by kind of noise with more than one rate."""
    ours = [row for row in _of_first(tables["estimates"], "model") if row["source"] == OURS]
    ours = [row for row in ours if row["chosen"] or row["estimator"] == PAPER_ESTIMATOR]
    kinds = grouped([{**row, "kind": ":".join(row["noise"].split(":", 2)[::2])} for row in ours], "kind")
    return {kind: group for kind, group in kinds.items() if len(grouped(group, "noise")) > 1}


def known_epochs(rows: Rows) -> dict[int, list[Row]]:
    """Return the rows by epoch, where the AUROC is known: some labels are wrong and some right."""
    return grouped((row for row in rows if math.isfinite(row["aul_auroc"])), "epoch")


def measured(tables: Tables) -> dict[str, str]:
    """Return the correlations that there are, with their titles."""
    of = CORRELATED.items()
    return {name: title for name, title in of if any(np.isfinite(row[name]) for row in tables["networks"])}


def _of_first(rows: Rows, *columns: str) -> list[Row]:
    return [row for row in rows if all(row[column] == rows[0][column] for column in columns)]


def _shown(rows: Rows, *columns: str) -> dict[Any, list[Row]]:
    """Return the rows of the first network and seed, by noise and other columns."""
    return grouped(_of_first(rows, "model", "seed"), "noise", *columns)


def figures(tables: Tables, truth: Catalogue) -> Figures:
    """Return the figures that there are rows for; images are read from the truth's folder.

    They are the paper's Figures 1 and 10, 2, 3, 8, its section 3's AUROC, then Figures 4, 6, 5, 7 and 9.
    """
    epochs, every = _of_first(tables["epochs"], "model"), tables["histograms"]
    ends = [row for row in _of_first(every, "seed") if row["quantity"] == AUL]

    def curves(field: str) -> list[list[Panel]]:
        return [
            [_curves(field, noise, quantity, own) for quantity, own in grouped(rows, "quantity").items()]
            for noise, rows in _shown(tables["curves"]).items()
        ]

    highest = {
        noise: [(truth.root / row["path"], row["given_label"][:12], row["wrong"]) for row in rows]
        for noise, rows in _shown(tables["highest"]).items()
    }
    known = {noise: known_epochs(rows) for noise, rows in grouped(epochs, "noise").items()}
    mixtures, several = _shown(tables["mixtures"]), len({row["model"] for row in ends}) > 1
    return {
        "highest-aul": in_lines(
            [images(f"{noise}: highest AUL", shown, 6, truth.rendering) for noise, shown in highest.items()]
        ),
        "histograms": [
            [_histogram(f"{noise}, epoch {epoch}: AUROC {_auroc(epochs, own[0])}", own) for epoch, own in by_epoch]
            for (noise, _), rows in _shown(every, "quantity").items()
            for by_epoch in [grouped(rows, "epoch").items()]
        ],
        "one-sample": curves("sample"),
        "mean-and-deviation": curves("mean"),
        "loss-and-aul": in_lines([_over_epochs(noise, of) for noise, of in known.items() if of]),
        "aul-by-network": in_lines([_by_network(*of) for of in grouped(ends, "noise").items() if several]),
        "aul-by-noise": in_lines(
            [_histogram(noise, _last(rows), mixtures.get(noise, ())) for noise, rows in _shown(ends).items()]
        ),
        "networks": [
            [_matrix(f"{noise}: {title}", rows, name) for name, title in measured(tables).items()]
            for noise, rows in grouped(tables["networks"], "noise").items()
        ],
        "noise-rates": [
            [_rates(kind, rows, field) for field in OVER_RATES] for kind, rows in over_rates(tables).items()
        ],
    }


def _auroc(epochs: Rows, bins: Row) -> str:
    """Return the AUROC of a histogram's quantity in its epoch."""
    (known,) = (row for row in epochs if all(row[name] == bins[name] for name in ("noise", "seed", "epoch")))
    return number(known[f"{bins['quantity'].lower()}_auroc"], 3)


def _last(rows: Rows) -> list[Row]:
    return [row for row in rows if row["epoch"] == rows[-1]["epoch"]]


def images(title: str, shown: Sequence[tuple[Path, str, bool]], columns: int, rendering: Rendering) -> Panel:
    """Return images in lines of so many ``columns``, each given with its caption and whether that is red."""
    calls = []
    for rank, (file, caption, is_red) in enumerate(shown):
        down, right = divmod(rank, columns)
        with contextlib.suppress(UnreadableImageError):
            x_HWC = decode_small(read_file(file), side=_SIDE, rendering=rendering)
            height, width = (0.9 * side / max(x_HWC.shape[:2]) for side in x_HWC.shape[:2])
            extent = (right, right + width, -1.3 * down - height, -1.3 * down)
            calls.append(call("imshow", x_HWC, extent=extent, interpolation="none"))
        style = {"fontsize": "x-small", "color": "C3" if is_red else "black"}
        calls.append(call("text", right, -1.3 * down + 0.05, caption, **style))
    limits = {"xlim": (0, columns), "ylim": (-1.3 * math.ceil(len(shown) / columns), 0.4)}
    return Panel(title, "", "", [*calls, call("set", **limits), call("set_axis_off")])


def _edges(bins: Rows) -> list[float]:
    return [*(row["low"] for row in bins), bins[-1]["high"]]


def _histogram(title: str, bins: Rows, mixture: Rows = ()) -> Panel:
    """Return the counts of clean and mislabeled samples, and the components of a mixture."""
    both, edges = {labels: np.array([row[labels] for row in bins]) for labels in (CLEAN, MISLABELED)}, _edges(bins)
    calls = [call("stairs", both[name], edges, fill=True, alpha=0.5, label=name) for name in both]
    value_G, area = np.linspace(edges[0], edges[-1], 400), np.sum([*both.values()]) * (edges[1] - edges[0])
    for part in mixture:
        density_G = part["weight"] * norm.pdf(value_G, part["mean"], part["deviation"])
        calls.append(call("plot", value_G, area * density_G, color="C0" if part["labels"] == CLEAN else "C1"))
    return Panel(title, bins[0]["quantity"], "samples", calls)


def _by_network(noise: str, rows: Rows) -> Panel:
    calls = []
    for model, own in grouped(rows, "model").items():
        bins, edges = _last(own), _edges(_last(own))
        count_B = np.array([row[CLEAN] + row[MISLABELED] for row in bins])
        calls.append(call("stairs", count_B / (count_B.sum() * (edges[1] - edges[0])), edges, label=model))
    return Panel(noise, AUL, "density", calls)


def _curves(field: str, noise: str, quantity: str, rows: Rows) -> Panel:
    """Return one clean and one mislabeled sample, or mean and one standard deviation of each kind."""
    calls = []
    for labels, own in grouped(rows, "labels").items():
        epoch_E, value_E, deviation_E = np.array([(row["epoch"], row[field], row["deviation"]) for row in own]).T
        calls.append(call("plot", epoch_E, value_E, label=labels if field == "mean" else f"one {labels} sample"))
        if field == "mean":
            calls.append(call("fill_between", epoch_E, value_E - deviation_E, value_E + deviation_E, alpha=0.3))
    return Panel(noise, "epoch", quantity, calls)


def _over_epochs(noise: str, of_epoch: Mapping[int, Rows]) -> Panel:
    lines = (("loss_auroc", "--", "loss of the epoch"), ("aul_auroc", "-", "AUL up to the epoch"))
    means = {field: [spread(row[field] for row in rows).mean for rows in of_epoch.values()] for field, *_ in lines}
    calls = [call("plot", list(of_epoch), means[field], style, label=label) for field, style, label in lines]
    return Panel(noise, "epoch", "AUROC", calls)


def _matrix(title: str, rows: Rows, field: str) -> Panel:
    models = list(dict.fromkeys(name for row in rows for name in (row["model"], row["other_model"])))
    r_MM = np.eye(len(models))
    for pair, own in grouped(rows, "model", "other_model").items():
        one, other = map(models.index, pair)
        r_MM[one, other] = r_MM[other, one] = spread(row[field] for row in own).mean
    calls = [call("imshow", r_MM, vmin=0, vmax=1)]
    for (one, other), r in np.ndenumerate(r_MM):
        color = "black" if r > 0.5 else "white"
        calls.append(call("text", other, one, number(r, 2), ha="center", va="center", color=color))
    calls.append(call("set_xticks", range(len(models)), models, rotation=30, ha="right", fontsize="x-small"))
    return Panel(title, "", "", [*calls, call("set_yticks", range(len(models)), models, fontsize="x-small")])


def _rates(kind: str, rows: Rows, field: str) -> Panel:
    calls = []
    for estimator, group in grouped(rows, "estimator").items():
        points = []
        for own in grouped(group, "noise").values():
            mean, deviation, _ = spread(row[field] for row in own)
            points.append((own[0]["true_rate"], mean, 0.0 if math.isnan(deviation) else deviation))
        rate, mean_P, deviation_P = zip(*sorted(points), strict=True)
        calls.append(call("errorbar", rate, mean_P, yerr=deviation_P, marker="o", label=estimator))
    if field == "noise_rate":
        most = max(row["true_rate"] for row in rows)
        calls.append(call("plot", [0, most], [0, most], ":", color="grey", label="truth"))
    return Panel(kind, "true noise rate", field.replace("_", " "), [*calls, call("set", ylim=(0, 1.02))])
