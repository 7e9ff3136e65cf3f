"""``labelaudit fit``: only the verdicts, again, with other settings."""

from __future__ import annotations

from labelaudit.cli import options as o

EPILOG = o.examples(
    "labelaudit fit audit", "labelaudit fit audit --estimator gmm", "labelaudit fit audit --rank-by aum"
)


def command(
    run: o.RunArgument,
    rank_by: o.RankBy = None,
    estimator: o.Estimator = None,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Estimate the noise rate and P(mislabeled) from recorded losses; needs no images and no GPU."""
    from labelaudit.audit.judge import fit
    from labelaudit.cli.console import Terminal
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.report.console import show_estimators, show_summary
    from labelaudit.run.layout import RunFolder

    terminal = Terminal(quiet=quiet, progress=not no_progress)
    folder = RunFolder(run)
    fitted = fit(folder, FitSettings.chosen(rank_by=rank_by, estimator=estimator), terminal)
    if not quiet:
        show_summary(terminal.console, fitted.noise)
        show_estimators(terminal.console, fitted.noise)
    terminal.say(f"Ranked list: {folder.suspicious}")
