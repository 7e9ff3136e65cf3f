"""``labelaudit reproduce …``: the papers' measurements on a data folder, one file a measurement."""

from __future__ import annotations

import typer

from labelaudit.cli.reproduce import detection

app = typer.Typer(
    help="Repeat the papers' measurements on your own data.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detection", epilog=detection.EPILOG)(detection.command)


@app.callback()
def _root() -> None:
    """Repeat the papers' measurements on your own data."""
