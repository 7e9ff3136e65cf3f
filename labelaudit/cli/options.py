"""Options that several commands share; decorators add groups of them to a command's signature, which Typer reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer import Argument, Option

from labelaudit.auditing.options import ADVANCED, TrainingOptions
from labelaudit.cli.console import Terminal
from labelaudit.errors import UsageError
from labelaudit.names import EstimatorName, StatisticName

Command = Callable[..., None]

_data = functools.partial(Option, rich_help_panel="Data")
_advanced = functools.partial(Option, rich_help_panel=ADVANCED)
_screen = functools.partial(Option, rich_help_panel="Screen")

DataArgument = Annotated[
    Path, Argument(metavar="DATA", help="Folder with a folder of images per class; a zip, tar or Parquet file.")
]


def newest_run(given: Path) -> Path:
    """Return the run folder that a path means: of a folder of runs by number, the newest with verdicts."""
    from labelaudit.run.layout import newest

    return newest(given).root


def _begun_run(given: Path) -> Path:
    from labelaudit.run.layout import newest

    return newest(given, judged=False).root


_RUN = "Run folder of an audit; labelaudit-runs/NAME is the newest of its runs."
RunArgument = Annotated[Path, Argument(metavar="RUN", callback=newest_run, help=_RUN)]
BegunRunArgument = Annotated[Path, Argument(metavar="RUN", callback=_begun_run, help=_RUN)]
Run = Annotated[Path | None, _data(help="Run folder, outside DATA; default: the next in labelaudit-runs/NAME.")]
Labels = Annotated[
    Path | None, _data(help="CSV with the columns path,label (and annotator), instead of class folders.")
]
Split = Annotated[
    str | None,
    _data(
        metavar="NAME,…", help="Folders of class folders in DATA, as train,val (. is DATA); or a CSV's column split."
    ),
]


def _folder(given: Path | None) -> Path | None:
    from labelaudit.data.containers import inside

    if given is not None and not given.is_dir() and inside(given) is None:
        raise UsageError(f"--data {given} is not a folder", fix="give the folder that the images are in now")
    return given


Select = Annotated[list[str] | None, Option("--select", metavar="CODE,…", help="Only findings with these codes.")]
Ignore = Annotated[list[str] | None, Option("--ignore", metavar="CODE,…", help="No findings with these codes.")]
MovedTo = Annotated[Path | None, Option("--data", callback=_folder, help="Where the images are now, if they moved.")]
RankBy = Annotated[StatisticName | None, _advanced(help="What ranks samples; default: the estimator's own.")]
Estimator = Annotated[EstimatorName | None, _advanced(help="How P(mislabeled) is estimated; default: transition.")]


def training_options(*, without: Sequence[str] = (), only: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Give a command the options of `TrainingOptions`, or only some of them; it is called with ``training``."""
    hints = get_type_hints(TrainingOptions)
    offered = [each for each in fields(TrainingOptions) if each.name not in without and each.name in (only or hints)]
    parameters = [parameter(entry, hints[entry.name]) for entry in offered]

    def build(**values: Any) -> TrainingOptions:
        if "selector_parameters" in values:
            values["selector_parameters"] = given_pairs(values["selector_parameters"] or (), "-S")
        return TrainingOptions(**values)

    return functools.partial(add_parameters, parameters=parameters, name="training", build=build)


def screen_options(function: Command) -> Command:
    """Give a command the options --quiet and --no-progress, and call it with ``terminal``, a `Terminal`."""
    parameters = [
        keyword("quiet", bool, _screen("--quiet", "-q", help="Only warnings and errors on stderr."), False),
        keyword("no_progress", bool, _screen("--no-progress", help="No progress bars."), False),
    ]
    make = functools.partial(add_parameters, parameters=parameters, name="terminal")
    return make(function, build=lambda quiet, no_progress: Terminal(quiet=quiet, progress=not no_progress))


def add_parameters(
    function: Command, *, parameters: Sequence[inspect.Parameter], name: str, build: Callable[..., object]
) -> Command:
    """Return the command with these parameters in the place of one, which is built from them."""
    signature = inspect.signature(function, eval_str=True)
    own = [each for each in signature.parameters.values() if each.name != name]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        taken = {each.name: values.pop(each.name) for each in parameters}
        function(**values, **{name: build(**taken)})

    everything = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *parameters)]
    # Typer shows panels in the order of their options.
    everything.sort(
        key=lambda each: any(getattr(told, "rich_help_panel", "") == ADVANCED for told in get_args(each.annotation))
    )
    command.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
    return command


def parameter(entry: Field[Any], hint: Any) -> inspect.Parameter:
    """Return a command's parameter of a field made by `labelaudit.auditing.options.option`.

    Typer has no type for several values: they are a list, or one text where the placeholder has a comma.
    """
    told, default = entry.metadata, entry.default
    flags, meaning = told["flags"] or (f"--{entry.name.replace('_', '-')}",), told["help"]
    if get_origin(hint) in (Sequence, Mapping):
        kind = get_args(hint)[0]
        hint = str | None if "," in told["metavar"] else list[kind] | None  # type: ignore[valid-type]
        meaning += f" Default: {','.join(map(str, default))}." if isinstance(default, tuple) and default else ""
        default = None
    option = Option(*flags, help=meaning, rich_help_panel=told["panel"], metavar=told["metavar"])
    return keyword(entry.name, hint, option, inspect.Parameter.empty if default is MISSING else default)


def keyword(name: str, kind: Any, option: Any, default: object = None) -> inspect.Parameter:
    """Return the parameter of a command that Typer reads this option from."""
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the folders that --split names; refuse one that names none."""
    names = tuple(dict.fromkeys(filter(None, map(str.strip, (text or "").split(",")))))
    if text is not None and not names:
        raise UsageError("--split names no folder", fix="give one or more, as train,val")
    return names


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds in ``0,1,2``; refuse other text, and a seed that comes twice."""
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--seeds {text} are not whole numbers", fix="give --seeds 0,1,2") from None
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text} names a seed twice", fix="give each seed once")
    return seeds


def examples(*lines: str) -> str:
    """Return an epilog with one example a line."""
    return "Examples:\n\n" + "\n\n".join(f"  $ {line}" for line in lines)


def given_pairs(pairs: Sequence[str], option: str) -> dict[str, object]:
    """Return values by name from each ``name=value`` of an option; refuse a name that is given twice."""
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise UsageError(f"{option} {pair} is no parameter", fix=f"give {option} name=value")
        if name in values:
            raise UsageError(f"{option} gives {name} twice", fix="give it once")
        values[name] = value
    return values
