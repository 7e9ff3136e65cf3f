"""``labelaudit score``: the whole audit; ``train-probe`` and ``fit``: its two halves."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, is_helper, print_data
from labelaudit.errors import RunError, UsageError

if TYPE_CHECKING:
    from labelaudit.run.documents import Noise
    from labelaudit.run.layout import RunFolder

_SHOWN = 10
"""How many suspicious labels are shown."""

EPILOG_SCORE = o.examples(
    "labelaudit score photos",
    "labelaudit score photos -o suspicious.csv --run audit",
    "labelaudit score photos -o - --top 100 | cut -d, -f2",
    "labelaudit score birds --split train,val      (birds/train/CLASS/… and birds/val/CLASS/…)",
    "labelaudit score photos --test photos-test      (copies and contradictions across, noise by split)",
    "labelaudit score audit -o -      (a run folder: only reads)",
)
EPILOG_TRAIN_PROBE = o.examples(
    "labelaudit train-probe cifar/train --run audit --preset balanced",
    "labelaudit train-probe flat --labels labels.csv --run audit",
)
EPILOG_FIT = o.examples(
    "labelaudit fit audit --estimator gmm",
    "labelaudit fit audit --estimator gmm --raw-weights      (the AUL paper's weights)",
    "labelaudit fit audit --reviewed audit/sample.csv      (see labelaudit sample)",
)


@o.screen_options
@o.training_options()
def score(
    data: Annotated[
        Path,
        Argument(metavar="DATA", help="Folder with one folder of images per class, archive, s3://…; or a run folder."),
    ],
    training: TrainingOptions,
    terminal: Terminal,
    out: Annotated[Path | None, Option("--out", "-o", help="Write the ranked CSV here too; - is stdout.")] = None,
    top: Annotated[int | None, Option(min=1, help="Rows in --out; default: all that are suspicious.")] = None,
    output: Annotated[
        Literal["text", "json"], Option("--format", help="json: one object on stdout, as report --format json has it.")
    ] = "text",
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Show classes, kinds and left-out files too.", rich_help_panel="Screen")
    ] = False,
    run: o.Run = None,
    labels: o.Labels = None,
    split: o.Split = None,
    test: Annotated[
        Path | None, Option(help="Test data of the same classes: audited together, as splits.", rich_help_panel="Data")
    ] = None,
    rank_by: o.RankBy = None,
    estimator: o.Estimator = None,
) -> None:
    """Audit a folder of images: a ranked CSV of suspicious labels, a weight per sample, a noise rate.

    An interrupted audit is resumed. Of a finished one only the results are read.
    """
    _refuse_contradictions(out, top, output)
    with terminal.loading():
        from labelaudit.auditing import score as audit
        from labelaudit.auditing.model import Audit, recorded_data
        from labelaudit.report.console import show_annotators, show_outcome
        from labelaudit.report.formats import FORMATS
        from labelaudit.report.gate import Limits, make_report
        from labelaudit.report.sentences import near_sentence
        from labelaudit.run.files import behind_links, write_text
        from labelaudit.run.layout import newest
        from labelaudit.run.lists import ranked_rows

        folder = newest(data, judged=False)
        is_data = not folder.exists
        if is_data and training.predictions is None:
            import labelaudit.auditing.probe  # noqa: F401

    asked = audit.asked_fit(rank_by, estimator)
    if not is_data:
        if run or labels or split or test or training.deciding != TrainingOptions():
            what = f"{data} is a run folder: its data and training options cannot be changed"
            raise UsageError(what, fix="leave these options out, or give the data")
        folder = audit.resumed(folder, training, terminal)
    elif training.predictions is not None and is_helper():  # nothing is shared out
        return
    else:
        images = audit.asked_data(data, labels, o.split_names(split), test, terminal, offline=training.offline)
        folder = audit.train_missing(images, audit.asked_run(run), training, terminal)
    if is_helper():  # its machine may lack the run folder
        return
    found = audit.judged(folder, asked, terminal, keep=is_data or out is None)
    noise, annotators = found.summary, found.annotators
    if not terminal.quiet:
        rows = list(ranked_rows(found.top(min(noise.suspicious, _SHOWN))))
        show_outcome(terminal.console, noise, rows, recorded_data(folder).root, everything=verbose)
        if annotators is not None:
            show_annotators(terminal.console, annotators, everything=verbose)
        _tell_changes(folder, terminal)
        if (near := near_sentence(noise)) and not verbose:
            terminal.say(f"{near}, in Duplicates of: {shlex.join(['labelaudit', 'review', str(folder.root)])}")
    listed = folder.suspicious
    if output == "json":
        print_data(FORMATS["json"](make_report(Audit(folder), Limits(), top=_SHOWN)))
    if str(out) == "-":
        print_data(found.csv(top=top))
    elif out is not None:
        write_text(behind_links(listed := out), found.csv(top=top))
    terminal.say(f"Ranked list: {listed}")
    terminal.say(f"Run folder: {folder.root}")
    _tell_next(noise, folder, terminal)


def _tell_next(noise: Noise, folder: RunFolder, terminal: Terminal) -> None:
    from labelaudit.report.sentences import more_reviews

    review, found = ["labelaudit", "review", str(folder.root)], noise.reviewed
    if noise.suspicious:
        terminal.say(f"To review and correct them: {shlex.join(review)}")
    elif found is None:
        words = shlex.join([*review, "--sample", "200"])
        terminal.say(f"That is no proof that all labels are right. To see some drawn by chance: {words}")
    elif more := more_reviews(noise):
        terminal.say(f"To review more of the sample: {shlex.join([*review, '--sample', str(found.reviews + more)])}")


def _refuse_contradictions(out: Path | None, top: int | None, output: str) -> None:
    if top is not None and out is None:
        raise UsageError(f"--top {top} says how many rows --out gets", fix="add -o FILE, or -o - for stdout")
    if output == "json" and str(out) == "-":
        raise UsageError("--format json and -o - are both for stdout", fix="leave one out, or give -o a file")


def _tell_changes(folder: RunFolder, terminal: Terminal) -> None:
    """Say what changed since the last audit of the same folder that has verdicts."""
    from labelaudit.auditing.changes import find_changes
    from labelaudit.auditing.model import Audit
    from labelaudit.report.sentences import changes_sentence
    from labelaudit.run.layout import judged_before

    if before := judged_before(folder):
        try:
            changes = find_changes(Audit(before), Audit(folder))
            terminal.say(f"Since the last audit: {changes_sentence(changes)}")
        except RunError as error:
            terminal.warn(f"{before.root} cannot be compared with: {error}")


@o.screen_options
@o.training_options()
def train_probe(
    data: o.DataArgument,
    training: TrainingOptions,
    terminal: Terminal,
    run: o.Run = None,
    labels: o.Labels = None,
    split: o.Split = None,
) -> None:
    """Train the probe and record every sample's loss in every epoch; continue where an earlier call stopped."""
    with terminal.loading():
        from labelaudit.auditing.model import Data
        from labelaudit.auditing.score import asked_run, train_missing

        if training.predictions is None:
            import labelaudit.auditing.probe  # noqa: F401

    if training.predictions is not None and is_helper():  # nothing is shared out
        return
    images = Data(root=data, labels_file=labels, split=o.split_names(split))
    folder = train_missing(images, asked_run(run), training, terminal)
    terminal.say(f"Losses: {folder.losses}. Next: labelaudit fit {folder.root}")


@o.screen_options
def fit(
    run: o.BegunRunArgument,
    terminal: Terminal,
    rank_by: o.RankBy = None,
    estimator: o.Estimator = None,
    raw_weights: Annotated[
        bool,
        Option("--raw-weights", help="Weights from a mixture's posterior as it is, which can rise for small losses."),
    ] = False,
    reviewed: Annotated[
        Path | None,
        Option(help="Answers to the run's sample, or corrections, for the noise rate. They are kept."),
    ] = None,
) -> None:
    """Estimate the noise rate and P(mislabeled) from recorded losses; needs no images and no GPU."""
    from labelaudit.auditing import fit as audit
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.report.console import show_annotators, show_summary
    from labelaudit.run.layout import RunFolder

    folder = RunFolder(run)
    chosen = FitSettings.chosen(rank_by=rank_by, estimator=estimator, raw_weights=raw_weights)
    fitted = audit.fit(folder, chosen, terminal, reviewed=reviewed)
    if not terminal.quiet:
        show_summary(terminal.console, fitted.summary)
        if fitted.annotators is not None:
            show_annotators(terminal.console, fitted.annotators)
    terminal.say(f"Ranked list: {folder.suspicious}")
