"""Begin a run folder, or go on with one: what precedes the first recorded loss, with a training or without.

Shapes: U images, D features.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from threadpoolctl import threadpool_limits

import labelaudit
from labelaudit.auditing.model import Data, runs_of
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.detect import Float32Array
from labelaudit.detect.images import ImageTable
from labelaudit.detect.near import near_pairs, projection
from labelaudit.engine.devices import count_threads
from labelaudit.errors import RunError, StorageError
from labelaudit.progress import Reporter
from labelaudit.review.decisions import append_decisions, decisions_in
from labelaudit.review.moves import Relabelings, require_settled
from labelaudit.run import documents
from labelaudit.run.documents import Description
from labelaudit.run.files import write_bytes
from labelaudit.run.layout import RunFolder, earlier_runs, next_run, runs_in
from labelaudit.run.lists import unreadable_rows
from labelaudit.run.losses import discard_from
from labelaudit.run.tables import write_annotations, write_image_table, write_near, write_samples
from labelaudit.text import alike, plural

Found = TypeVar("Found")
Tensors = Mapping[str, npt.NDArray[Any]]
"""A network's parameters and buffers by name."""


def earlier(run: RunFolder, read: Callable[[], Found]) -> Found | None:
    """Return what ``read`` finds in the folder of an earlier call, or None where a training may begin anew.

    A RunError of ``read`` is raised once an epoch is recorded, unless the training diverged.
    """
    if not run.exists:
        return None
    description = run.read_description()
    if description.get("diverged"):
        return None
    try:
        return read()
    except RunError:
        recorded = any(file.exists() for file in (run.checkpoint, run.verified, run.result))
        if recorded or description.get("status") == documents.TRAINED:
            raise
        return None


def find_run(
    data: Data, given: RunFolder | None, require: Callable[[RunFolder, Description], object], reporter: Reporter
) -> tuple[RunFolder, Catalogue, Relabelings]:
    """Scan the data; return the ``given`` run or else theirs by number, the catalogue, and the relabelings so far."""
    relabelings = require_settled(data.root)
    if given is not None:
        data.require_outside(given.root)
    catalogue = trainable(data.scan(reporter))
    return given or _numbered_run(data, catalogue, require, reporter), catalogue, relabelings


def _numbered_run(
    data: Data, catalogue: Catalogue, require: Callable[[RunFolder, Description], object], reporter: Reporter
) -> RunFolder:
    """Return the newest run of the data by number, or the next where data or settings have changed since; say why.

    ``require`` raises a RunError where the settings of a trained run are not those asked for; the caller asks the other
    runs. Runs of another folder that is still there are a RunError.
    """
    home = runs_of(data)
    if home.is_absolute():
        reporter.say(f"The runs are in {home}: nothing is written into the folder of the images")
    runs = runs_in(home)
    if not runs:
        return next_run(home)
    newest, why = runs[-1], ""
    description = documents.read_description(newest)
    if description.data.fingerprint != catalogue.fingerprint:
        root = Path(description.data.root)
        if root != data.root.resolve() and root.exists():
            what = f"{home} has the audits of {root}, which has the same name as {data.root}"
            raise RunError(what, fix="give a --run for this folder")
        why = f"{data.root} has changed since {newest.root}"
    elif description.status == documents.TRAINED:
        try:
            require(newest, description)
        except RunError as error:
            why = error.what
    if not why:
        return newest
    run = next_run(home)
    reporter.say(f"{why}: a new audit goes to {run.root}")
    return run


def begun(run: RunFolder, catalogue: Catalogue, require: Callable[[RunFolder, Description], Found]) -> Found | None:
    """Return what ``require`` gives for an audit that was begun, as `earlier`; one of other data is a RunError."""
    if not run.exists:
        return None
    description = documents.read_description(run)

    def read() -> Found:
        if description.data.fingerprint != catalogue.fingerprint:
            what = f"{run.root} is the audit of other data: {_difference(description.data, catalogue)}"
            raise RunError(what, fix="give another --run, or delete that folder")
        return require(run, description)

    return earlier(run, read)


def clear(run: RunFolder, *, follows: bool = False) -> None:
    """Delete what a training left whose settings are not fixed; one that ``follows`` another takes its decisions over.

    Results that no run.json describes are a RunError: a training that resumes from them would mix two.
    """
    if not run.exists:
        results = (run.losses, run.checkpoint, run.heads.root, run.noise, run.metrics, run.verified)
        if left := [path.name for path in results if path.exists()]:
            fix = "delete the folder, or give another one"
            raise RunError(f"{run.root} has {', '.join(left)} but no run.json", fix=fix)
        before = earlier_runs(run) if follows else []
        if before and (decisions := decisions_in(before[-1])):
            append_decisions(run.decisions, decisions.values())
        return
    for file in (run.checkpoint, run.pictures, run.near, run.verified, run.metrics, run.seconds):
        file.unlink(missing_ok=True)
    discard_from(run.heads.losses, 0)
    shutil.rmtree(run.picks, ignore_errors=True)


def _difference(data: documents.RecordedData, catalogue: Catalogue) -> str:
    if data.samples != len(catalogue):
        return f"{plural(data.samples, 'image')} in {data.root} there, {len(catalogue):,} in {catalogue.root} here"
    if data.classes != catalogue.classes:
        return f"classes {', '.join(data.classes[:4])}… there, {', '.join(catalogue.classes[:4])}… here"
    return f"images or labels of {catalogue.root} have changed since"


def remember_place(data: Data, run: RunFolder, reporter: Reporter, *, held: bool = False) -> None:
    """Write to run.json where the images of a run are now, if they have moved since."""
    known, root = documents.read_description(run).data, str(data.root.resolve())
    labels_file = str(data.labels_file.resolve()) if data.labels_file else None
    if (known.root, known.labels_file) == (root, labels_file):
        return
    try:
        with contextlib.nullcontext() if held else run.writing():
            run.update_description(data={**documents.as_json(known), "root": root, "labels_file": labels_file})
    except StorageError as error:
        reporter.warn(f"{run.root} still looks for its images in {known.root}: {error.what}")
    else:
        reporter.say(f"{run.root} now looks for its images in {root}; before, in {known.root}")


def require_unmoved(data: Data, catalogue: Catalogue, relabelings: Relabelings, reporter: Reporter) -> None:
    """Raise a RunError where the images were relabeled while they were read; say which of them are not in the audit."""
    if require_settled(data.root) != relabelings:
        raise RunError(f"{data.root} was relabeled while it was read", fix="run the command again")
    if bad := unreadable_rows(catalogue):
        first = f"{bad[0]['path']}: {bad[0]['reason']}"
        reporter.warn(f"{len(bad)} of {len(catalogue)} images cannot be read and are set aside ({first})")
    for text in catalogue.warnings:
        reporter.warn(text)
    if catalogue.left_out and not data.is_part:
        files = sum(row.files for row in catalogue.left_out)
        reporter.say(f"Files in the folder that are not in the audit: {files:,} (run.json says which and why)")
    for twin, name in alike(catalogue.classes):
        reporter.warn(f"the classes {twin!r} and {name!r} differ only in spelling; are they the same class?")


def describe(data: Data, run: RunFolder, catalogue: Catalogue, **training: Any) -> None:
    """Write what is audited, and run.json with entries about the ``training``."""
    write_samples(run.samples, catalogue)
    write_annotations(run.annotations, catalogue)
    versions = {"labelaudit": labelaudit.__version__, "python": platform.python_version()}
    description = Description(
        status=documents.TRAINING,
        created=_now(),
        versions={**versions, "torch": version("torch"), "timm": version("timm")},
        data=documents.RecordedData.of(catalogue, data.labels_file),
        **training,
    )
    run.write_description(documents.as_json(description))


def finish(run: RunFolder, **entries: object) -> None:
    """Note in run.json that the training has ended."""
    run.update_description(status=documents.TRAINED, finished=_now(), **entries)


def write_images(run: RunFolder, images: ImageTable, feature_UD: Float32Array | None, reporter: Reporter) -> None:
    """Write the statistics of the images, and which are copies of others; of equal ones only the first is compared."""
    write_image_table(run.pictures, images)
    if images.thumb_UGG is None:
        return
    first = np.sort(np.unique(images.digest_U, return_index=True)[1])
    with (
        ThreadPoolExecutor(count_threads()) as pool,
        threadpool_limits(1),
        reporter.bar("Looking for copies", len(first), "images") as advance,
    ):
        feature_FD = None if feature_UD is None else projection(feature_UD)(feature_UD)[first]
        pair_P2, similarity_P = near_pairs(images.thumb_UGG[first], feature_FD, advance, pool.map)
    write_near(run.near, images.sample_U[first[pair_P2]], similarity_P)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_network(path: Path, tensors: Tensors, classes: Sequence[str]) -> None:
    """Write a trained network's parameters and buffers as safetensors, with the names of its classes.

    Equal networks give equal files; with a second entry in the metadata they would not, since their order is random.
    """
    write_bytes(path, save(dict(tensors), metadata={"classes": "\n".join(classes)}))
