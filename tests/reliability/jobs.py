"""The commands that are killed: what each begins with, and what it has to leave behind whatever happened meanwhile."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from labelaudit.engine.weights import build_network
from labelaudit.review.corrections import Correction, write_corrections
from tests.cli.helpers import run, write_images

_COMMON = ("--image-size", "8", "--augment", "none", "--precision", "float32", "--threads", "1")
_COMMON += ("--batch-size", "32", "--quiet")
_TIMES = ("created", "finished", "began")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command and the world it works in.

    Attributes:
        name: Short.
        inputs: Writes what is only read, once, into a folder.
        begin: From inputs and an empty place, makes the place as it is before the command.
        words: The command line, for inputs and place.
        constants: See `tests.cli.processes.running`: they make small data do what large data do.
    """

    name: str
    inputs: Callable[[Path], None]
    words: Callable[[Path, Path], tuple[object, ...]]
    begin: Callable[[Path, Path], None] = lambda _inputs, _place: None
    constants: Mapping[str, object] = field(default_factory=dict)


def _pictures(inputs: Path) -> None:
    write_images(inputs / "pictures", each=30, wrong=3)


def _audit(inputs: Path) -> None:
    _pictures(inputs)
    _succeed("score", inputs / "pictures", "--run", inputs / "audit", "--epochs", "3", *_COMMON)


def _many_pictures(inputs: Path) -> None:
    write_images(inputs / "pictures", each=130, size=16)
    for damaged in sorted((inputs / "pictures/bee").iterdir())[::25]:
        damaged.write_bytes(damaged.read_bytes()[:-40])


def _backbone(inputs: Path) -> None:
    _many_pictures(inputs)
    network = build_network("labelaudit_probe", weights="scratch", num_classes=4, channels=3, seed=0)
    save_file(network.state_dict(), inputs / "backbone.safetensors")


def _to_relabel(inputs: Path) -> None:
    write_images(inputs / "pictures", each=40)
    paths = sorted(path.relative_to(inputs / "pictures").as_posix() for path in inputs.rglob("*.png"))
    decisions = [Correction(path=path, action="change", label="eel" if "7" in path else "bee") for path in paths[:60]]
    decisions += [Correction(path=path, action="drop") for path in paths[60:120]]
    write_corrections(inputs / "corrections.csv", decisions)


def _copy(inputs: Path, place: Path) -> None:
    shutil.copytree(inputs / "pictures", place / "pictures")


def _relabelled(inputs: Path, place: Path) -> None:
    _copy(inputs, place)
    _succeed("relabel", place / "pictures", inputs / "corrections.csv", "--yes", "--quiet")


def _finished_audit(inputs: Path, place: Path) -> None:
    shutil.copytree(inputs / "audit", place / "audit")


JOBS = (
    Job(
        name="score",
        inputs=_pictures,
        words=lambda inputs, place: (
            *("score", inputs / "pictures", "--run", place / "audit", "--controls", "--epochs", "8"),
            *("-o", place / "list.csv", *_COMMON),
        ),
    ),
    Job(
        name="train-probe",
        inputs=_pictures,
        words=lambda inputs, place: (
            *("train-probe", inputs / "pictures", "--run", place / "audit", "--members", "3", "--epochs", "4"),
            *_COMMON,
        ),
    ),
    Job(
        name="fit",
        inputs=_audit,
        begin=_finished_audit,
        words=lambda _inputs, place: ("fit", place / "audit", "--rank-by", "aum", "--quiet"),
    ),
    Job(
        name="report",
        inputs=_audit,
        begin=_finished_audit,
        words=lambda _inputs, place: ("report", place / "audit", "--quiet", "--write", f"json={place}/report.json"),
    ),
    Job(
        name="retrain",
        inputs=_audit,
        words=lambda inputs, place: (
            *("retrain", inputs / "pictures", "--weights", inputs / "audit/weights.csv", "--out", place / "out"),
            *("--val", inputs / "pictures", "--epochs", "8", *_COMMON),
        ),
    ),
    Job(
        name="relabel",
        inputs=_to_relabel,
        begin=_copy,
        words=lambda inputs, place: ("relabel", place / "pictures", inputs / "corrections.csv", "--yes", "--quiet"),
    ),
    Job(
        name="relabel --undo",
        inputs=_to_relabel,
        begin=_relabelled,
        words=lambda _inputs, place: ("relabel", place / "pictures", "--undo", "--yes", "--quiet"),
    ),
    Job(
        name="pixel cache",
        inputs=_many_pictures,
        words=lambda inputs, place: (
            "train-probe",
            inputs / "pictures",
            "--run",
            place / "audit",
            "--epochs",
            "1",
            *_COMMON,
        ),
        constants={"labelaudit.run.caches._NOTE_SECONDS": 0.0},
    ),
    Job(
        name="embedding cache",
        inputs=_backbone,
        words=lambda inputs, place: (
            *("train-probe", inputs / "pictures", "--run", place / "audit", "--probe", "frozen", "--folds", "2"),
            *("--model", "labelaudit_probe", "--weights", inputs / "backbone.safetensors", "--epochs", "2"),
            *_COMMON,
        ),
        constants={"labelaudit.engine.features._PART": 64},
    ),
)


def _succeed(*words: object) -> None:
    outcome = run(*words)
    if outcome.code != 0:
        raise RuntimeError(outcome.err)


def outcome_of(place: Path) -> dict[str, object]:
    """What a command has left: the content of every file by its path, times of day and the parts of caches aside.

    Raises:
        AssertionError: a half-written file is left, or one that nobody needs any more.
    """
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_dir():
            continue
        is_of_relabel = path.name.startswith(".labelaudit-relabel-") or "/.labelaudit-dropped/" in name
        assert is_of_relabel or not path.name.startswith("."), f"{path} is left over"
        assert path.suffix not in (".partial", ".note", ".lock"), f"{path} is left over"
        if name.startswith("cache/embeddings/"):
            table = pq.read_table(path)
            rows = zip(*(table.column(c).to_pylist() for c in ("sha256", "embedding", "reason")), strict=True)
            for sha256, embedding, reason in rows:
                found[f"embedding {sha256}"] = (embedding, reason)
        elif path.name == "seconds.parquet":  # wall times; which epochs have one is what counts
            found[name] = pq.read_table(path).column("epoch").to_pylist()
        elif path.suffix == ".json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in _TIMES}
        else:
            found[name] = path.read_bytes()
    return found


def require_whole(place: Path) -> int:
    """See that every file that a killed command left under its final name can be read to its end.

    Returns:
        How many were looked at.
    """
    seen = 0
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.name.endswith(".partial") and path.name != ".lock":
            with contextlib.suppress(KeyError):
                _READERS[path.suffix](path)
                seen += 1
    return seen


_READERS: dict[str, Callable[[Path], object]] = {
    ".parquet": pq.read_table,
    ".json": lambda path: json.loads(path.read_bytes()),
    ".pt": lambda path: torch.load(io.BytesIO(path.read_bytes()), weights_only=True),
    ".png": lambda path: path.read_bytes(),
}
