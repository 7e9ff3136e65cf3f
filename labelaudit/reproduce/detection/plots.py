"""The AUL paper's figures as pictures, where matplotlib (extra ``plots``) is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from labelaudit.names import PlotFormatName
from labelaudit.reproduce.detection.markdown import grouped, without_rate
from labelaudit.reproduce.detection.quality import spread
from labelaudit.reproduce.detection.records import EstimateRecord, Tables
from labelaudit.reproduce.figures import Panel, save_figure
from labelaudit.run.files import write_atomically


def draw(tables: Tables, folder: Path, form: PlotFormatName) -> list[Path]:
    """Draw every figure that there are rows for.

    Returns:
        The files.

    Raises:
        StorageError: the folder may not be written to, or is full.
    """
    drawn = []
    for name, panels in (
        ("loss-and-aul", _loss_and_aul(tables)),
        ("networks", _networks(tables)),
        ("noise-rates", _noise_rates(tables)),
    ):
        if panels:
            file = folder / f"{name}.{form}"
            write_atomically(file, partial(save_figure, panels, form))
            drawn.append(file)
    return drawn


def _loss_and_aul(tables: Tables) -> list[Panel]:
    """Figures 2 and 3: AUROC over the epochs, a panel for each noise with wrong labels."""
    panels: list[Panel] = []
    for (noise, model), group in grouped(tables.epochs, lambda row: (row.noise, row.model)).items():
        by_epoch = grouped(group, lambda row: row.epoch)
        epochs = sorted(by_epoch)
        loss = [spread([row.loss_auroc for row in by_epoch[epoch]]).mean for epoch in epochs]
        aul = [spread([row.aul_auroc for row in by_epoch[epoch]]).mean for epoch in epochs]
        if not any(map(math.isfinite, aul)):
            continue

        def panel(
            place: Any,
            title: str = f"{noise} ({model})",
            epochs: list[int] = epochs,
            loss: list[float] = loss,
            aul: list[float] = aul,
        ) -> None:
            place.plot(epochs, loss, "--", label="loss of the epoch")
            place.plot(epochs, aul, label="AUL up to the epoch")
            place.set(title=title, xlabel="epoch", ylabel="AUROC")
            place.legend()

        panels.append(panel)
    return panels


def _networks(tables: Tables) -> list[Panel]:
    """Figure 5: correlations, a bar for each pair of networks."""
    if not tables.networks:
        return []
    groups = grouped(tables.networks, lambda row: (row.noise, row.model, row.other_model))
    names = [f"{noise}\n{model}\n{other}" for noise, model, other in groups]
    places = range(len(groups))
    aul = [spread([row.aul for row in group]).mean for group in groups.values()]
    loss = [spread([row.last_loss for row in group]).mean for group in groups.values()]

    def panel(place: Any) -> None:
        place.bar([number - 0.2 for number in places], aul, width=0.4, label="AUL")
        place.bar([number + 0.2 for number in places], loss, width=0.4, label="loss of the last epoch")
        place.set_xticks(list(places), names, fontsize="x-small")
        place.set(title="Agreement of networks", ylabel="Pearson's correlation")
        place.legend()

    return [panel]


def _noise_rates(tables: Tables) -> list[Panel]:
    """Figures 7 and 9: estimated rate, precision and recall over the true rate, a row of panels for each kind."""
    panels: list[Panel] = []
    model = tables.audits[0].model if tables.audits else ""
    shown = [
        row
        for row in tables.estimates
        if row.model == model and row.source == "labelaudit" and (row.chosen or row.estimator == "gmm")
    ]
    for kind, group in grouped(shown, lambda row: without_rate(row.noise)).items():
        if len({row.noise for row in group}) > 1:
            panels += [partial(_over_rates, kind, group, name) for name in ("noise_rate", "precision", "recall")]
    return panels


def _over_rates(kind: str, rows: Sequence[EstimateRecord], name: str, place: Any) -> None:
    for estimator, group in grouped(rows, lambda row: row.estimator).items():
        settings = grouped(group, lambda row: row.noise).values()
        points = sorted(
            (
                spread([row.true_rate for row in setting]).mean,
                spread(values := [getattr(row, name) for row in setting]).mean,
                spread(values).deviation,
            )
            for setting in settings
        )
        true_rate, mean, deviation = zip(*points, strict=True)
        errors = [0.0 if math.isnan(value) else value for value in deviation]
        place.errorbar(true_rate, mean, yerr=errors, marker="o", label=estimator)
    if name == "noise_rate":
        limit = max(row.true_rate for row in rows)
        place.plot([0, limit], [0, limit], ":", color="grey", label="truth")
    place.set_ylim(0, 1.02)
    place.set(title=kind, xlabel="true noise rate", ylabel=name.replace("_", " "))
    place.legend()
