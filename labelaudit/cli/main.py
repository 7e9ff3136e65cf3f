"""The command line: all commands, and the place where errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer import Option

from labelaudit import __version__
from labelaudit.cli import compare, corrupt, relabel, report, reproduce, retrain, review, score
from labelaudit.cli.console import Stopped, guard_streams, show_error, stopped_by_signals
from labelaudit.cli.options import examples
from labelaudit.errors import EXIT_CANNOT, LabelauditError, NoLocksWarning
from labelaudit.text import require_local_words

_FIND, _FIX, _TRAIN = "Find wrong labels", "Review and fix", "Train with wrong labels"
_STEPS, _MEASURE = "Steps of score", "Measure"
_Misuse: Any = typer.BadParameter.__base__
"""What typer raises for an unknown command or option and for a value of the wrong kind; it has no public name."""

app = typer.Typer(
    name="labelaudit",
    help="Find wrong labels in a folder of images.",
    epilog=examples("labelaudit demo", "labelaudit score photos", "labelaudit score photos -o - --top 100 | head"),
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", epilog=corrupt.EPILOG_DEMO, rich_help_panel=_FIND)(corrupt.demo)
app.command("score", epilog=score.EPILOG_SCORE, rich_help_panel=_FIND)(score.score)
app.command("report", epilog=report.EPILOG, rich_help_panel=_FIND)(report.command)
app.command("explain", epilog=report.EPILOG_EXPLAIN, rich_help_panel=_FIND)(report.explain)
app.command("review", epilog=review.EPILOG, rich_help_panel=_FIX)(review.command)
app.command("relabel", epilog=relabel.EPILOG, rich_help_panel=_FIX)(relabel.command)
app.command("sample", epilog=review.EPILOG_SAMPLE, rich_help_panel=_FIX)(review.sample)
app.command("compare", epilog=compare.EPILOG, rich_help_panel=_FIX)(compare.command)
app.command("export", epilog=report.EPILOG_EXPORT, rich_help_panel=_FIX)(report.export)
app.command("retrain", epilog=retrain.EPILOG, rich_help_panel=_TRAIN)(retrain.command)
app.command("methods", epilog=retrain.EPILOG_METHODS, rich_help_panel=_TRAIN)(retrain.methods)
app.command("selectors", epilog=retrain.EPILOG_SELECTORS, rich_help_panel=_TRAIN)(retrain.selectors)
app.command("advise", epilog=report.EPILOG_ADVISE, rich_help_panel=_TRAIN)(report.advise)
app.command("train-probe", epilog=score.EPILOG_TRAIN_PROBE, rich_help_panel=_STEPS)(score.train_probe)
app.command("fit", epilog=score.EPILOG_FIT, rich_help_panel=_STEPS)(score.fit)
app.command("corrupt", epilog=corrupt.EPILOG, rich_help_panel=_MEASURE)(corrupt.command)
app.add_typer(reproduce.app, name="reproduce", rich_help_panel=_MEASURE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"labelaudit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Find wrong labels in a folder of images."""


def main() -> None:
    """Run the command line."""
    guard_streams()
    warnings.formatwarning = _format_warning
    # Decoders print warnings about damaged images; the audit lists these images itself.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    debug = "--debug" in sys.argv[1:2] or bool(os.environ.get("LABELAUDIT_DEBUG"))
    try:
        with stopped_by_signals():
            require_local_words(sys.argv[1:], but=("--url-prefix", "score", "--test"))
            code = app(sys.argv[1:] or ["--help"], prog_name="labelaudit", standalone_mode=False)
            sys.stdout.flush()
            sys.exit(code)
    except Stopped:
        show_error("stopped by a signal. What is done is kept: the same command resumes")
        raise
    except Exception as error:
        if debug:
            raise
        if not (isinstance(error, LabelauditError) and error.told):
            show_error(_explain(error))
        sys.exit(error.exit_code if isinstance(error, LabelauditError) else EXIT_CANNOT)


_FORMAT_WARNING = warnings.formatwarning


def _format_warning(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """Return labelaudit's own warnings as one line, without the place in the code."""
    if category is NoLocksWarning:
        return f"Warning: {message}\n"
    return _FORMAT_WARNING(message, category, *place, **line)


def _explain(error: Any) -> str:
    if isinstance(error, LabelauditError):
        return str(error)
    if isinstance(error, _Misuse):
        command = error.ctx.command_path if error.ctx is not None else "labelaudit"
        # Some messages are lists with line ends and tabs.
        message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        return f"{message}; see {command} --help"
    # torch has an error of its own for a device without memory; torch may not be imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory. Try a smaller --batch-size or --image-size"
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return f"labelaudit failed ({what}). Please report it with the output of labelaudit --debug …"
