"""``labelaudit advise``: whether a training that prefers high losses would be hurt by this data."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from labelaudit.cli import options as o
from labelaudit.names import AdviceFormatName

EPILOG = o.examples("labelaudit advise audit", "labelaudit advise audit --format json")


def command(
    run: o.RunArgument,
    output: Annotated[AdviceFormatName, typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Say whether loss-based prioritization (Selective Backprop) is safe on audited data, and which selector is.

    It counts the noise among the samples that each selector would have back-propagated while the probe was trained,
    against the noise among all; needs no images and no GPU.
    """
    import msgspec

    from labelaudit.audit.advise import advise
    from labelaudit.run.layout import RunFolder

    folder = RunFolder(run)
    folder.read_description()
    advice = advise(folder)
    typer.echo(json.dumps(msgspec.to_builtins(advice), indent=2) if output == "json" else "\n".join(advice.sentences))
