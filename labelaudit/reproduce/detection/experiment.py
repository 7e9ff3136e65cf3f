"""Noise × rate × seed × network on one data folder: audits, compares, and writes the tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labelaudit import __version__
from labelaudit.audit.options import TrainingOptions, check_options
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import scan
from labelaudit.engine.networks import require_known
from labelaudit.errors import UsageError
from labelaudit.names import PlotFormatName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.checks import require_once, require_outside, require_seeds
from labelaudit.reproduce.detection.audits import Measured, measure
from labelaudit.reproduce.detection.curves import correlation
from labelaudit.reproduce.detection.markdown import Heading, as_markdown
from labelaudit.reproduce.detection.peers import measure_peers, require_peers
from labelaudit.reproduce.detection.plots import draw
from labelaudit.reproduce.detection.records import NetworkRecord, Tables
from labelaudit.reproduce.detection.settings import (
    PAPER_NOISE,
    Setting,
    file_name,
    label_settings,
    parse_noise,
    require_different,
)
from labelaudit.reproduce.figures import has_matplotlib, require_matplotlib
from labelaudit.run.documents import read_description
from labelaudit.run.files import storage_errors, write_text
from labelaudit.run.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """What is to be measured.

    Attributes:
        data: The image folder.
        out: Where labels, audits and tables go.
        noises: Errors to plant, as ``KIND:RATE[:CLASSES]``.
        paper_noise: Those of the AUL paper's Figures 7 and 9 too.
        labels: Files with given labels to audit.
        truth: The right labels; None where they are the class folders.
        seeds: Of the planted errors and the trainings.
        peers: Measure cleanlab and AUM too.
        also_models: More networks to audit the same labels with.
        plots: How figures are drawn; None draws SVG where matplotlib is there.
        training: Of the audits; its seed is not looked at.
    """

    data: Path
    out: Path
    noises: Sequence[str] = ()
    paper_noise: bool = False
    labels: Sequence[Path] = ()
    truth: Path | None = None
    seeds: Sequence[int] = (0,)
    peers: bool = False
    also_models: Sequence[str] = ()
    plots: PlotFormatName | None = None
    training: TrainingOptions


def detect(asked: DetectionOptions, reporter: Reporter = QUIET) -> str:
    """Measure everything that is asked for, and write ``detection.md``, the Parquet tables and the plots.

    Audits that are finished are only read, and those that were interrupted go on: the same call finishes a table.

    Args:
        asked: What.
        reporter: Told about the progress.

    Returns:
        The content of detection.md.

    Raises:
        UsageError: options that contradict each other or the data, or a package that is not installed.
        LabelauditError: see `labelaudit.audit.score.score`.
    """
    _check(asked)
    truth = scan(asked.data, labels_file=asked.truth, reporter=reporter)
    truth = trainable(truth)
    settings = _settings(asked, truth)
    with storage_errors(asked.out):
        asked.out.mkdir(parents=True, exist_ok=True)
    tables, text = Tables.empty(), ""
    for number, (setting, seed) in enumerate(itertools.product(settings, asked.seeds), start=1):
        reporter.say(f"{setting.name}, seed {seed} ({number} of {len(settings) * len(asked.seeds)})")
        measured = _measure_all(asked, setting, seed, truth, reporter)
        tables.add(measured.tables)
        # After each audit: who looks in, or stops here, has the table so far.
        tables.write(asked.out)
        text = as_markdown(tables, _heading(asked, truth, measured))
        write_text(asked.out / "detection.md", text)
    if asked.plots or has_matplotlib():
        for file in draw(tables, asked.out, asked.plots or "svg"):
            reporter.say(f"Figure: {file}")
    else:
        reporter.say("No figures are drawn: pip install 'labelaudit[plots]' for these")
    return text


def _measure_all(
    asked: DetectionOptions, setting: Setting, seed: int, truth: Catalogue, reporter: Reporter
) -> Measured:
    """One setting and seed, with all networks and peers in its tables."""
    folder = asked.out / f"{setting.folder_name}-seed{seed}"
    options = replace(asked.training, seed=seed)
    measured = measure(setting, truth, folder, options, reporter=reporter)
    every = [measured]
    if asked.peers:
        measured.tables.add(measure_peers(measured, folder / "peers", options, reporter))
    for model in asked.also_models:
        if model == measured.model:
            raise UsageError(f"--also-model {model} is the network of the audit itself", fix="name another one")
        other = replace(options, model=model, network_weights=None)
        run = RunFolder(folder / f"run-{file_name(model)}")
        every.append(measure(setting, truth, folder, other, run=run, reporter=reporter))
        measured.tables.add(every[-1].tables)
    measured.tables.networks += [
        NetworkRecord(
            noise=setting.name,
            model=one.model,
            seed=seed,
            other_model=another.model,
            aul=correlation(one.curves.aul_N, another.curves.aul_N),
            last_loss=correlation(one.curves.last_loss_N, another.curves.last_loss_N),
        )
        for one, another in itertools.combinations(every, 2)
    ]
    return measured


def _check(asked: DetectionOptions) -> None:
    """Everything that can be refused before the pictures are looked at."""
    check_options(asked.training)
    if not (asked.noises or asked.paper_noise or asked.labels or asked.truth):
        raise UsageError("there is nothing to measure", fix="give --noise KIND:RATE, or --labels FILE, or --truth FILE")
    require_outside(asked.out, asked.data)
    require_seeds(asked.seeds)
    require_once("also-model", asked.also_models)
    for model in asked.also_models:
        require_known(model)
    if asked.peers:
        require_peers()
    if asked.plots:
        require_matplotlib()


def _settings(asked: DetectionOptions, truth: Catalogue) -> list[Setting]:
    wanted = dict.fromkeys((*asked.noises, *(PAPER_NOISE if asked.paper_noise else ())))
    settings = [parse_noise(text, truth.classes) for text in wanted] + label_settings(asked.labels)
    if asked.truth and not settings:
        settings = [Setting(name="given")]
    require_different(settings)
    return settings


def _heading(asked: DetectionOptions, truth: Catalogue, measured: Measured) -> Heading:
    settings = read_description(measured.run).settings
    weights = "from scratch" if settings["weights"] == "scratch" else f"with {settings['weights']} weights"
    probe = f"{settings['model']} {weights}" if settings["kind"] == "train" else f"a head on frozen {settings['model']}"
    count = int(truth.readable_N.sum())
    lines = (
        f"{count:,} images of {len(truth.classes)} classes, seeds {', '.join(map(str, asked.seeds))}; labelaudit "
        f"{__version__}; the probe is {probe}, {settings['image_size']} pixels, {settings['epochs']} epochs.",
        "",
        "± is the standard deviation over the seeds (n − 1); a count in brackets says how many have the figure.",
    )
    return Heading(data=asked.data.resolve().name or "root", lines=lines)
