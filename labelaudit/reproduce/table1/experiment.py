"""Noise × seed × method on one data folder: makes the noise, audits once, trains every method, writes the tables."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from labelaudit import __version__
from labelaudit.audit.demo import write_digits_split
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import scan
from labelaudit.errors import RunError, UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import find_method
from labelaudit.names import ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.detection.compare import Comparison
from labelaudit.reproduce.detection.settings import Setting, parse_noise, require_different
from labelaudit.reproduce.table1.cells import Task, train_cell
from labelaudit.reproduce.table1.cost import Cost, statement
from labelaudit.reproduce.table1.data import NoisyData, plant
from labelaudit.reproduce.table1.markdown import as_markdown
from labelaudit.reproduce.table1.paper import MORE_ROWS, ROWS
from labelaudit.reproduce.table1.records import Audit, Cell, Run, as_plain, from_plain, write_table
from labelaudit.reproduce.table1.scales import SCALES, Scale, parameters_for
from labelaudit.reproduce.table1.summary import summarise
from labelaudit.run.files import read_json, storage_errors, write_json, write_text
from labelaudit.run.layout import RunFolder

METHODS = (*ROWS, *MORE_ROWS)


@dataclass(frozen=True, kw_only=True)
class Table1Options:
    """What is to be measured.

    Attributes:
        data: The training images, or a folder with ``train/`` and ``test/``; None takes the digits, at scale ``smoke``.
        out: Where everything goes.
        test: The test images.
        scale: How large.
        noises: Which columns, as ``KIND:RATE``; those of the scale when empty.
        methods: Which rows.
        seeds: Of images, noise and trainings.
        subset: How many training images; None leaves it to the scale.
        epochs: Of the trainings; None leaves it to the scale.
        device: Where.
        only_cost: Say what it would take, and train nothing.
    """

    data: Path | None
    out: Path
    test: Path | None = None
    scale: ScaleName = "small"
    noises: Sequence[str] = ()
    methods: Sequence[str] = METHODS
    seeds: Sequence[int] = (0,)
    subset: int | None = None
    epochs: int | None = None
    device: str = "auto"
    only_cost: bool = False


@dataclass(kw_only=True)
class _Found:
    runs: list[Run] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)


def reproduce_table1(asked: Table1Options, reporter: Reporter = QUIET) -> str:
    """Measure all that is asked for; what an earlier call finished is only read.

    Writes ``table1.md``, ``table1.parquet`` (a row a cell, with the paper's figure), ``runs.parquet`` and
    ``audits.parquet``, anew after each training.

    Args:
        asked: What.
        reporter: Told about the progress.

    Returns:
        The content of table1.md; with ``only_cost``, what it would take.

    Raises:
        UsageError: options that contradict each other.
        LabelauditError: see `labelaudit.audit.score.score` and `labelaudit.retrain.recipe.retrain`.
    """
    scale = _scale(asked)
    _check(asked, scale)
    data, test = _folders(asked)
    clean = scan(data, reporter=reporter)
    clean = trainable(clean)
    settings = [parse_noise(text, clean.classes) for text in asked.noises or scale.noises]
    require_different(settings)
    if asked.scale == "paper" or asked.only_cost:
        count = min(scale.subset, int(clean.readable_N.sum()))
        rates = [setting.planted.rate for setting in settings if setting.planted is not None]
        cost = Cost(scale=scale, images=count, classes=len(clean.classes), rates=rates, seeds=len(asked.seeds))
        told = statement(cost, asked.methods, asked.device)
        if asked.only_cost:
            return told
        reporter.say(told)
    found, text = _Found(), ""
    for number, (setting, seed) in enumerate(itertools.product(settings, asked.seeds), start=1):
        reporter.say(f"{setting.name}, seed {seed} ({number} of {len(settings) * len(asked.seeds)})")
        folder = asked.out / f"{setting.folder_name}-seed{seed}"
        noisy = plant(setting, clean, folder, subset=scale.subset, seed=seed)
        audit = _audit(asked, scale, setting, seed, noisy, clean, found, reporter)
        for method in asked.methods:
            reporter.say(f"{setting.name}, seed {seed}: {method}")
            task = _task(asked, scale, setting, seed, method, noisy, test, audit)
            found.runs.append(train_cell(task, folder, reporter))
            text = _write(asked, scale, clean, found)
    return text


def _scale(asked: Table1Options) -> Scale:
    scale = SCALES[asked.scale]
    if asked.subset is not None:
        scale = replace(scale, subset=asked.subset)
    if asked.epochs is not None:
        scale = replace(scale, training=replace(scale.training, epochs=asked.epochs))
    return scale


def _check(asked: Table1Options, scale: Scale) -> None:
    """Everything that can be refused before the pictures are looked at."""
    for name, values in (("noise", asked.noises), ("methods", asked.methods), ("seeds", asked.seeds)):
        twice = [value for value in values if list(values).count(value) > 1]
        if twice:
            raise UsageError(f"--{name} has {twice[0]} twice", fix="give it once")
    if not asked.methods:
        raise UsageError("--methods names none", fix=f"there are {', '.join(METHODS)}")
    for method in asked.methods:
        entry = find_method(method)
        make_parameters(method, entry.parameters, parameters_for(scale, method, 0.0))
    if any(seed < 0 for seed in asked.seeds):
        raise UsageError(f"--seeds {min(asked.seeds)} is negative", fix="give 0 or more")
    if asked.subset is not None and asked.subset < 2:
        raise UsageError(f"--subset {asked.subset} is too small", fix="give at least 2")
    if asked.epochs is not None and asked.epochs < 1:
        raise UsageError(f"--epochs {asked.epochs} is too small", fix="give at least 1")
    if asked.data is None and asked.scale != "smoke":
        raise UsageError(f"--scale {asked.scale} needs images", fix="give --data DIR")
    if asked.data is not None and asked.out.resolve().is_relative_to(asked.data.resolve()):
        raise UsageError(f"--out {asked.out} lies in the data folder", fix="give a folder elsewhere")


def _folders(asked: Table1Options) -> tuple[Path, Path]:
    """Of the training and of the test images."""
    if asked.data is None:
        with storage_errors(asked.out):
            return write_digits_split(asked.out / "digits")
    if asked.test is not None:
        return asked.data, asked.test
    train, test = asked.data / "train", asked.data / "test"
    if train.is_dir() and test.is_dir():
        return train, test
    raise UsageError(
        f"there are no test images for {asked.data}", fix="give --test DIR, or a --data with train/ and test/"
    )


def _task(
    asked: Table1Options,
    scale: Scale,
    setting: Setting,
    seed: int,
    method: str,
    noisy: NoisyData,
    test: Path,
    audit: RunFolder | None,
) -> Task:
    return Task(
        noise=setting.name,
        seed=seed,
        method=method,
        parameters=parameters_for(scale, method, noisy.rate),
        training=replace(scale.training, device=asked.device),
        noisy=noisy,
        test=test,
        audit=audit,
        measure_every=scale.measure_every,
    )


def _audit(
    asked: Table1Options,
    scale: Scale,
    setting: Setting,
    seed: int,
    noisy: NoisyData,
    clean: Catalogue,
    found: _Found,
    reporter: Reporter,
) -> RunFolder | None:
    """The audit that all methods share; None where none of them needs one."""
    needs = {need for method in asked.methods for need in find_method(method).needs}
    if not needs & {"weights", "noise_rate"}:
        return None
    folder = asked.out / f"{setting.folder_name}-seed{seed}"
    run, kept = RunFolder(folder / "audit"), folder / "audit.json"
    if kept.exists():
        try:
            found.audits.append(from_plain(Audit, read_json(kept)))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{kept} is damaged", fix="delete it to audit again") from error
        return run
    options: TrainingOptions = replace(scale.audit, seed=seed, device=asked.device)
    fresh, began = not run.exists, time.perf_counter()
    fitted = score(noisy.data, run, options, reporter=reporter)
    seconds = time.perf_counter() - began if fresh else math.nan
    flags = Comparison(fitted, clean).estimates()[fitted.noise.fit.estimator].flags
    record = Audit(
        noise=setting.name,
        rate=noisy.rate,
        seed=seed,
        noise_rate=math.nan if fitted.verdicts.noise_rate is None else fitted.verdicts.noise_rate,
        precision=flags.precision,
        recall=flags.recall,
        seconds=seconds,
    )
    write_json(kept, as_plain(record))
    found.audits.append(record)
    return run


def _write(asked: Table1Options, scale: Scale, clean: Catalogue, found: _Found) -> str:
    """The tables so far: who looks in, or stops here, has them."""
    summary = summarise(found.runs)
    write_table(asked.out / "table1.parquet", Cell, summary.cells)
    write_table(asked.out / "runs.parquet", Run, found.runs)
    write_table(asked.out / "audits.parquet", Audit, found.audits)
    name = "digits" if asked.data is None else asked.data.resolve().name
    heading = (
        f"{min(scale.subset, int(clean.readable_N.sum())):,} training images of "
        f"{len(clean.classes)} classes, seeds {', '.join(map(str, asked.seeds))}, scale {asked.scale}: {scale.about}. "
        f"labelaudit {__version__}."
    )
    text = as_markdown(name, heading, summary, found.audits)
    write_text(asked.out / "table1.md", text)
    return text
