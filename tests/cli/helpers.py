"""Small image folders, and the command line in this process or in one of its own."""

import contextlib
import csv
import functools
import importlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import typer.main
from PIL import Image

from labelaudit.cli.main import main
from labelaudit.data.folder import scan
from labelaudit.review.decisions import Decision, LedgerAction, append_decisions

CLASSES = ("ant", "bee", "cat", "dog")
NEXT = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
"""What the first images of each class show where `write_images` makes some wrong."""
QUICK = (
    *("--epochs", "4", "--batch-size", "16", "--image-size", "16"),
    *("--augment", "none", "--precision", "float32", "--probe", "train"),
)
"""Training options under which an audit of `write_images` takes a fraction of a second and finds the wrong labels."""
HOME = Path("labelaudit-runs/photos")
"""Where the audits of a folder ``photos`` go."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The text after ``Error:``, for a command that refused to work with one line and nothing else."""
        assert (self.code, self.out) == (2, ""), f"exit code {self.code}\n{self.out}\n{self.err}"
        lines = self.err.splitlines()
        assert [line for line in lines if line.startswith(("Error: ", "Traceback"))] == lines[-1:], self.err
        return lines[-1].removeprefix("Error: ")

    @property
    def only_error(self) -> str:
        """The same, when stderr holds nothing but the error."""
        assert len(self.err.splitlines()) == 1, self.err
        return self.error


_build_parser = functools.cache(typer.main.get_command)


def run(*arguments: object) -> Outcome:
    """Run the command line in this process: nothing is imported and no parser is built for every call."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    with (
        mock.patch.object(sys, "argv", ["labelaudit", *map(str, arguments)]),
        mock.patch("typer.main.get_command", _build_parser),
        mock.patch.dict(os.environ, {"COLUMNS": "200", "NO_COLOR": "1"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Outcome(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def succeed(*arguments: object) -> Outcome:
    """Run a command that has to end with exit code 0."""
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def start(*arguments: object, shell: str = "", stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, with its streams piped and a redirection of the shell."""
    words = [sys.executable, "-m", "labelaudit", *map(str, arguments)]
    return subprocess.Popen(
        ["bash", "-c", f'exec "$@" {shell}', "bash", *words] if shell else words,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )


def run_process(*arguments: object, shell: str = "", stdout: int = subprocess.PIPE) -> Outcome:
    """Run the command line in a process of its own, to its end; see `start`."""
    process = start(*arguments, shell=shell, stdout=stdout)
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out or "", err)


@contextlib.contextmanager
def reviewing(*words: object) -> Iterator[tuple[str, list[str]]]:
    """Serve a review in a process: gives its address, and at the end, by Ctrl-C, the lines that it has told."""
    told: list[str] = []
    with start("review", *words, "--no-browser") as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), told
        finally:  # or a failed test would wait for the server without an end
            process.send_signal(signal.SIGINT)
        told += process.communicate(timeout=30)[1].splitlines()
    assert process.returncode == 0


@contextlib.contextmanager
def interrupted(function: str, *, call: int) -> Iterator[None]:
    """Press Ctrl-C, so to speak, when a function is called for the ``call``-th time, before it does anything."""
    module, _, name = function.rpartition(".")
    original = getattr(importlib.import_module(module), name)
    calls = itertools.count(1)

    def counted(*arguments: object, **keywords: object) -> object:
        if next(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **keywords)

    with mock.patch(function, counted):
        yield


def write_images(
    root: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    each: int = 12,
    wrong: int = 0,
    size: int = 8,
    seed: int = 0,
    suffix: str = ".png",
) -> Path:
    """Write ``each`` grey images a class: a bright bar whose place is the class's, on noise.

    The first ``wrong`` images of each class show the next class.
    """
    generator = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for image in range(each):
            shown = (number + (image < wrong)) % len(classes)
            shown_HW = pattern(shown, len(classes), size, generator)
            Image.fromarray(shown_HW).save(root / name / f"{image:03d}{suffix}")
    return root


def pattern(number: int, classes: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """An image [size, size] of class ``number``."""
    pixels = generator.integers(0, 80, (size, size))
    start, end = number * size // classes, (number + 1) * size // classes
    pixels[start:end] += 160
    return pixels.astype(np.uint8)


def write_predictions(file: Path, photos: Path, *, wrong: int = 0) -> Path:
    """Write out-of-fold probabilities for images of `write_images`: the class that each shows has .76 to .91."""
    catalogue = scan(photos)
    numbered = zip(catalogue.paths, catalogue.label_N, strict=True)
    shown_N = [(label + (int(Path(path).stem) < wrong)) % len(CLASSES) for path, label in numbered]
    p_N = 0.76 + 0.15 * np.random.default_rng(0).random((len(catalogue), 1))
    np.save(file, np.where(np.eye(len(CLASSES), dtype=bool)[shown_N], p_N, (1 - p_N) / (len(CLASSES) - 1)))
    return file


def read_rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV with a header."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def result_in(folder: str | Path) -> dict[str, Any]:
    """The result.json of a retraining."""
    return dict(json.loads(Path(folder, "result.json").read_text()))


def file_bytes(folder: Path, names: str = "*") -> dict[str, bytes]:
    """The content of every file below a folder whose name fits."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob(names)) if path.is_file()}


def modified(folder: Path) -> dict[str, int]:
    """When every file below a folder was written, in nanoseconds."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def edit(file: Path, **changes: object) -> None:
    """Replace entries of a JSON file; None takes one out."""
    value = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: entry for name, entry in value.items() if entry is not None}))


def suspicious(folder: Path) -> list[dict[str, str]]:
    return read_rows((folder / "suspicious.csv").read_text())


def decide(folder: Path, action: LedgerAction, *rows: dict[str, str], label: str = "") -> None:
    """Write the same decision about rows of suspicious.csv; ``change`` is to the suggested label, or to another."""
    time = "2026-01-02T03:04:05+00:00"
    decisions = []
    for row in rows:
        known = {name: row[name] for name in ("path", "given_label", "sha256")}
        chosen = (label or row["suggested_label"]) if action == "change" else ""
        decisions.append(Decision(time=time, reviewer="ann", action=action, label=chosen, **known))
    append_decisions(folder / "decisions.csv", decisions)
