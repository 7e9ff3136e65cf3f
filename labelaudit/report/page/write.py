"""Writing the page of an audit: one file of a bounded size.

Shapes: S samples in the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.recipes.fit import read_noise
from labelaudit.report.page.content import content_of, rows_that_fit
from labelaudit.report.page.curves import LossCurves, gather_curves
from labelaudit.report.page.findings import Findings, IntArray, read_findings
from labelaudit.report.page.render import render
from labelaudit.report.page.thumbnails import NONE, Picture, read_thumbnails
from labelaudit.report.page.words import describe
from labelaudit.run.files import behind_links, write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs
from labelaudit.text import printable

_SIDES = ((1000, 160), (3000, 128))
"""Up to so many samples in the gallery, a thumbnail fits into so many pixels; above, `_SMALL_SIDE`."""
_SMALL_SIDE = 96
_EMPTY_BYTES = 8
"""What a sample without a thumbnail takes at most in the list of thumbnails, and one with it beside its content."""


@dataclass(frozen=True, kw_only=True)
class PageLimits:
    """How large a page may grow.

    Attributes:
        max_bytes: Size of the file that thumbnails fill up to.
        max_row_bytes: What the rows of the gallery may take of that, without thumbnails.
        max_rows: Samples in the gallery.
        max_thumbnails: Samples whose image is read.
    """

    max_bytes: int = 14_500_000
    max_row_bytes: int = 6_000_000
    max_rows: int = 50_000
    max_thumbnails: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Page:
    """What was written.

    Attributes:
        path: Where.
        size_bytes: Of the file.
        suspicious: Suspicious samples of the audit.
        new: How many of them a baseline does not know; None without a baseline.
        rows: How many are in the gallery; with a baseline, of the new ones.
        looked_at: The images of the first so many were read,
        missing: but so many of these could not be had.
        root: The image folder that they were looked for in.
    """

    path: Path
    size_bytes: int
    suspicious: int
    new: int | None
    rows: int
    looked_at: int
    missing: int
    root: Path

    @property
    def without_images(self) -> bool:
        """True when images were looked for and none was found."""
        return 0 < self.looked_at == self.missing


def write_page(
    run: RunFolder,
    path: Path | None = None,
    limits: PageLimits | None = None,
    reporter: Reporter = QUIET,
    *,
    data: Path | None = None,
    baseline: Path | None = None,
) -> Page:
    """Write the page of an audit.

    Images that have moved or changed since leave a placeholder, and losses that were deleted leave out the curves.

    Args:
        run: A run folder with verdicts.
        path: The file; default: report.html in the run folder.
        limits: How large it may grow.
        reporter: Told about the progress.
        data: Where the image folder is now; None: where it was audited.
        baseline: Run folder or suspicious.csv; the gallery holds only the labels that it does not know.

    Raises:
        DataError: the baseline cannot be read.
        RunError: the run is unfinished or damaged, or the page goes into its folder while that is in use.
        StorageError: the file cannot be written.
    """
    limits = limits or PageLimits()
    read_noise(run)  # says best what an unfinished run lacks
    findings = read_findings(run, most=limits.max_rows, baseline=baseline)
    words = describe(findings)
    ranked_S = findings.ranked_S[: rows_that_fit(findings, limits.max_row_bytes)]
    curves = _read_curves(run, findings, ranked_S, reporter)
    bare = render(words, content_of(findings, ranked_S, curves, NONE))
    root = findings.catalogue.root if data is None else data.resolve()
    thumbnails = read_thumbnails(
        root,
        _pictures(findings, ranked_S[: limits.max_thumbnails]),
        side=next((side for most, side in _SIDES if len(ranked_S) <= most), _SMALL_SIDE),
        most_bytes=limits.max_bytes - len(bare.encode()) - _EMPTY_BYTES * len(ranked_S),
        rendering=findings.catalogue.rendering,
        reporter=reporter,
    )
    page = Page(
        path=path or run.page,
        size_bytes=0,
        suspicious=words.suspicious,
        new=findings.new,
        rows=len(ranked_S),
        looked_at=len(thumbnails.content),
        missing=thumbnails.missing,
        root=root,
    )
    content = content_of(findings, ranked_S, curves, thumbnails)
    text = render(words, content, missing_root=printable(str(root)) if page.without_images else "")
    if path is None:
        with run.writing():
            write_text(run.page, text)
    else:
        write_text(behind_links(path), text)
    return replace(page, size_bytes=len(text.encode()))


def _read_curves(run: RunFolder, findings: Findings, ranked_S: IntArray, reporter: Reporter) -> LossCurves:
    catalogue = findings.catalogue
    with reporter.bar("Reading losses", len(recorded_epochs(run.losses)), "epochs") as advance:

        def counted() -> Iterator[EpochLosses]:
            for record in read_epochs(run.losses):
                yield record
                advance(1)

        try:
            return gather_curves(
                counted(), ranked_S, catalogue.label_N, findings.suspicious_N, classes=len(catalogue.classes)
            )
        except (ValueError, IndexError) as error:
            raise RunError(f"{run.losses} is damaged: {error}", fix=f"delete {run.root} and audit again") from error


def _pictures(findings: Findings, ranked_S: IntArray) -> list[Picture]:
    catalogue = findings.catalogue
    return [Picture(path=catalogue.paths[i], sha256=catalogue.sha256[i]) for i in ranked_S.tolist()]
