"""Commands in processes of their own that can be killed, forked from a server that imports torch once."""

import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

_CONTEXT = multiprocessing.get_context("forkserver")
_LOADED = "labelaudit.auditing.probe labelaudit.review.relabel labelaudit.retraining.recipe tests.cli.processes"
_CONTEXT.set_forkserver_preload([*_LOADED.split(), "scipy.optimize", "sklearn.linear_model"])
_DEADLINE_SECONDS = 60.0


@contextmanager
def running(
    *arguments: object,
    dies_at: tuple[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    stderr: str | Path = os.devnull,
) -> Iterator[BaseProcess]:
    """Run a command in a process; kill it at the end, if it still runs.

    With ``dies_at=(function, n)`` it kills itself with SIGKILL when it calls a function of `os` for the n-th time.
    ``constants`` are values of modules, by ``module.NAME``, that are different in this process; ``stderr`` is a file.
    """
    # Libraries must not start threads in the server, or forking it would not be safe.
    with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}):
        words = ["labelaudit", *map(str, arguments)]
        given = (words, dies_at, dict(environment or {}), constants or {}, str(stderr))
        process = _CONTEXT.Process(target=_command, args=given)
        process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_for(condition: Callable[[], bool], process: BaseProcess) -> None:
    """Wait until the condition holds, or the process has ended."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while process.is_alive() and not condition():
        assert time.monotonic() < deadline, "the command hangs"
        time.sleep(0.001)


def run_until_it_dies(*arguments: object, dies_at: tuple[str, int]) -> int | None:
    """Return the exit code of a command that may kill itself; None if it hangs."""
    with running(*arguments, dies_at=dies_at) as process:
        process.join(_DEADLINE_SECONDS)
        return process.exitcode


def _command(
    words: list[str],
    dies_at: tuple[str, int] | None,
    environment: Mapping[str, str],
    constants: Mapping[str, object],
    stderr: str,
) -> None:
    import torch

    from labelaudit.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell that started the tests has set
    for stream, file in ((1, os.devnull), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    torch.set_num_threads(1)
    os.environ.update(environment)  # the server's is that of whoever started it
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    if dies_at is not None:
        _arm(*dies_at)
    sys.argv = words
    main()


def _arm(name: str, last: int) -> None:
    original, calls = getattr(os, name), itertools.count(1)

    def deadly(*arguments: object, **keywords: object) -> object:
        if next(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **keywords)

    setattr(os, name, deadly)
