"""Write an audit in another tool's format."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, fields
from pathlib import Path

from labelaudit import __version__
from labelaudit.auditing.model import Audit, open_run
from labelaudit.data.folder import require_outside
from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.report.exports.formats import FORMATS, Job, Sample
from labelaudit.report.gate import ChosenCodes
from labelaudit.run.files import read_json, storage_errors, write_bytes, write_json, write_lines
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import rows_of
from labelaudit.text import listed, plural

_MARK = ".labelaudit-export.json"  # marks a folder as an export, which the next one may overwrite
_LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files below its LOCAL_FILES_DOCUMENT_ROOT


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of an export: the ``top`` most suspicious samples or everything; None is the format's default.

    ``data`` is where the image folder is now, if not where it was audited. ``url_prefix`` is for Label Studio: the
    address of an image up to its path; None is a local file. With a ``selection`` only images with such findings are
    exported, whatever the format's default.
    """

    top: int | None = None
    everything: bool = False
    data: Path | None = None
    url_prefix: str | None = None
    selection: ChosenCodes | None = None


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The outcome of an export: the number of samples, the folder, and the file to open in the other tool."""

    samples: int
    folder: Path
    main_file: Path


def export(
    run: RunFolder, to: str, out: Path | None = None, options: ExportOptions | None = None, reporter: Reporter = QUIET
) -> Exported:
    """Write a finished audit in another tool's format, without the images that could not be read.

    ``to`` is the name of a format in `labelaudit.report.exports.formats`. ``out`` is a folder that is new, empty, or of
    an earlier export to this format; None is ``exports/<format>`` in the run.

    Raises:
        UsageError: options that contradict each other or the format, or a folder that holds something else.
        RunError: the audit is not finished or damaged, or its images are gone and the format needs them.
        DataError, StorageError: the format cannot hold a name, the files cannot be written.
    """
    options = options or ExportOptions()
    if (entry := FORMATS.get(to)) is None:
        raise UsageError(f"unknown format {to!r}", fix=f"there are {', '.join(FORMATS)}")
    _check(to, options)
    audit = open_run(run.root)
    root = options.data.resolve() if options.data is not None else audit.catalogue.root
    count = options.top or (audit.flagged if entry.ranked and not options.everything else None)
    taken = options.selection
    samples = _choose_samples(audit, count=count if taken is None else options.top, ranked=entry.ranked)
    if taken is not None:
        found = {row["path"] for row in rows_of(audit.findings) if taken.takes(row["code"], row["path"])}
        samples = [sample for sample in samples if sample.path in found]
    if entry.reads_images:
        missing = [repr(sample.path) for sample in samples if not (root / sample.path).is_file()]
        if missing:
            raise RunError(f"{listed(missing, 1)} are not in {root}", fix="give the image folder with --data DIR")
    left_out = len(audit.catalogue) - len(audit.order_U)
    if left_out:
        reporter.warn(f"{plural(left_out, 'image')} that could not be read {'is' if left_out == 1 else 'are'} left out")
    if audit.catalogue.rendering.deep:
        reporter.warn(
            f"{to} shows images of more than 8 bits by a rule of its own: dim ones may be black there "
            f"({run.description} has the values from black to white)"
        )
    if out is None:
        run.require_own_folders()
    else:
        require_outside(out, root, "--out")
    folder = run.exports(to) if out is None else out
    _claim(folder, to)
    prefix = _LOCAL_FILES if options.url_prefix is None else options.url_prefix
    job = Job(
        samples=samples,
        classes=audit.catalogue.classes,
        root=root,
        url_prefix=prefix if prefix.endswith(("/", "=")) else f"{prefix}/",
        created=audit.description.finished,
    )
    contents = entry.contents(job)
    if to == "huggingface":
        _link(folder, {folder / name: target for name, target in contents.items() if isinstance(target, Path)})
    for name, content in contents.items():
        if isinstance(content, bytes):
            write_bytes(folder / name, content)
        elif not isinstance(content, Path):
            write_lines(folder / name, content)
    return Exported(samples=len(samples), folder=folder, main_file=folder / [*contents][-1])


def _check(to: str, options: ExportOptions) -> None:
    if options.top is not None and options.top < 1:
        raise UsageError(f"--top {options.top} is too few", fix="give at least 1")
    if options.everything and (options.top is not None or options.selection is not None):
        other = "--select" if options.top is None else "--top"
        raise UsageError(f"{other} and --all contradict each other", fix="give one of them")
    if options.url_prefix is not None and to != "label-studio":
        raise UsageError(f"{to} takes no --url-prefix", fix="it is for label-studio: leave it out")


def _choose_samples(audit: Audit, *, count: int | None, ranked: bool) -> list[Sample]:
    """Return the ``count`` most suspicious of the audited samples, or all; by rank, or by number."""
    table, catalogue = audit.top(len(audit.order_U) if count is None else count), audit.catalogue
    names = [each.name for each in fields(Sample) if each.name in table.column_names]
    rows = table.select(names).to_pylist()
    return [
        Sample(
            is_suspicious=row["rank"] <= audit.flagged,
            width=int(catalogue.width_N[row["sample"]]),
            height=int(catalogue.height_N[row["sample"]]),
            **{"kind": None, **row},
        )
        for row in (rows if ranked else sorted(rows, key=lambda row: row["sample"]))
    ]


def _claim(folder: Path, to: str) -> None:
    """Make the folder and mark it; refuse one that holds anything but an earlier export."""
    with storage_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"{folder} is not a folder", fix="give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    mark, earlier = folder / _MARK, None
    with contextlib.suppress(RunError):
        earlier = read_json(mark).get("format")
    if taken and earlier != to:
        fix = "give a new folder with --out"
        raise UsageError(f"{folder} is not empty and is not an earlier export to {to}", fix=fix)
    write_json(mark, {"format": to, "labelaudit": __version__})


def _link(folder: Path, target_of: dict[Path, Path]) -> None:
    """Make these links, and delete those of an earlier export; nothing but links and empty folders is deleted."""
    with storage_errors(folder):
        for place, folders, files in os.walk(folder, topdown=False):
            for path in (Path(place, name) for name in (*files, *folders)):
                if path.is_symlink():
                    path.unlink()
            if Path(place) != folder:
                with contextlib.suppress(OSError):  # something is in it
                    Path(place).rmdir()
    for link, target in target_of.items():
        with storage_errors(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(target)
            except FileExistsError as error:
                raise StorageError(f"{link} is in the way", fix="delete it, or give another --out") from error
