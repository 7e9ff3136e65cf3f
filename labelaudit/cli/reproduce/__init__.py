"""``labelaudit reproduce …``: the papers' measurements on a data folder, one file a measurement."""

from __future__ import annotations

import typer

from labelaudit.cli.reproduce import detection, kinds, prioritization, relabeling, table1

app = typer.Typer(
    help="Repeat the papers' measurements on your own data.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detection", epilog=detection.EPILOG)(detection.command)
app.command("kinds", epilog=kinds.EPILOG)(kinds.command)
app.command("prioritization", epilog=prioritization.EPILOG)(prioritization.command)
app.command("relabeling", epilog=relabeling.EPILOG)(relabeling.command)
app.command("table1", epilog=table1.EPILOG)(table1.command)


@app.callback()
def _root(context: typer.Context) -> None:
    """Repeat the papers' measurements on your own data."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
