"""SIGKILL at random moments, in real processes, and the same command again until it ends: is the outcome the same?

    python -m tests.reliability.kill --kills 200 --work FOLDER [--cold 0.2] [--seed 0] [--job score]

Each round begins afresh, kills the command up to four times at moments drawn evenly from the whole time that it takes
undisturbed, and then lets it end. After every kill, each file under its final name has to be whole; at the end, every
file has to be what the undisturbed command leaves, and nothing else may lie about. A share of the processes
(``--cold``) starts with the interpreter and the import of torch, which take most of their lives; the others are forked
from a process that has done that, so that most moments fall into the work itself.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.processes import running
from tests.reliability.jobs import JOBS, Job, outcome_of, require_whole

_MOST_IN_A_ROW = 4
_DEADLINE_SECONDS = 120.0


@dataclass
class Tally:
    """What was tried on a job.

    Attributes:
        kills: Processes that SIGKILL ended.
        cold: Those of them that had begun with the interpreter.
        rounds: Undisturbed ends whose outcome was compared.
        whole_files: Files looked at after kills.
        seconds: Life of an undisturbed process, forked and cold.
    """

    kills: int = 0
    cold: int = 0
    rounds: int = 0
    whole_files: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)


class Harness:
    """A job, its inputs and what it leaves undisturbed.

    Args:
        job: Which.
        work: An empty folder.
        cold: The share of processes that start with the interpreter.
        chance: Draws the moments.
    """

    def __init__(self, job: Job, work: Path, *, cold: float, chance: random.Random) -> None:
        self._job, self._cold, self._chance = job, cold, chance
        self._inputs, self._place = work / "inputs", work / "place"
        self._inputs.mkdir(parents=True)
        # What the inputs need of a cache must not be there for the command.
        os.environ["LABELAUDIT_CACHE"] = str(work / "cache-of-the-inputs")
        job.inputs(self._inputs)
        self.tally = Tally()
        self._undisturbed(is_cold=False)
        self.expected = outcome_of(self._place)
        forked = self._undisturbed(is_cold=False)  # the first one may have had to start the server
        self._compare()
        self.tally.seconds = (forked, self._undisturbed(is_cold=True) if cold else 0.0)

    def round(self) -> None:
        """Kill a command up to four times, let it end, and compare.

        Raises:
            AssertionError: something is not as it has to be.
        """
        self._begin()
        for _ in range(_MOST_IN_A_ROW):
            is_cold = self._chance.random() < self._cold
            with self._process(is_cold=is_cold) as process:
                code = process.wait(self._chance.uniform(0, self.tally.seconds[is_cold]))
                if code is None:
                    code = process.kill()
            assert code in (0, -signal.SIGKILL), f"{self._job.name} ended with {code}"
            if code == 0:
                break
            self.tally.kills += 1
            self.tally.cold += is_cold
            self.tally.whole_files += require_whole(self._place)
        with self._process(is_cold=False) as process:
            code = process.wait(_DEADLINE_SECONDS)
        if self._job.name == "relabel --undo" and code == 2:
            code = 0  # nothing left to undo: the last process that was killed had just done it
        assert code == 0, f"{self._job.name} does not end after kills: {code}"
        self._compare()
        self.tally.rounds += 1

    def _compare(self) -> None:
        found = outcome_of(self._place)
        assert found.keys() == self.expected.keys(), sorted(found.keys() ^ self.expected.keys())[:5]
        differing = [name for name, content in found.items() if content != self.expected[name]]
        assert not differing, f"{self._job.name}: {differing[:5]} differ from the undisturbed run"

    def _begin(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        self._job.begin(self._inputs, self._place)

    def _undisturbed(self, *, is_cold: bool) -> float:
        self._begin()
        began = time.monotonic()
        with self._process(is_cold=is_cold) as process:
            assert process.wait(_DEADLINE_SECONDS) == 0, f"{self._job.name} fails undisturbed"
        return time.monotonic() - began

    @contextmanager
    def _process(self, *, is_cold: bool) -> Iterator["_Forked | _Cold"]:
        words = self._job.words(self._inputs, self._place)
        environment = {"LABELAUDIT_CACHE": str(self._place / "cache"), "LABELAUDIT_CACHE_GB": "1"}
        if not is_cold:
            with running(*words, environment=environment, constants=self._job.constants) as forked:
                yield _Forked(forked)
            return
        with subprocess.Popen(
            [sys.executable, "-m", "labelaudit", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        ) as cold:
            yield _Cold(cold)


class _Forked:
    def __init__(self, process: object) -> None:
        self._process = process

    def wait(self, seconds: float) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> int:
        self._process.kill()
        self._process.join()
        return self._process.exitcode


class _Cold:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> int:
        self._process.kill()
        return self._process.wait()


def kill_often(jobs: Sequence[Job], work: Path, *, kills: int, cold: float, seed: int) -> dict[str, Tally]:
    """Kill every job about equally often, ``kills`` times in all; see the module's docstring.

    Raises:
        AssertionError: a kill was not survived.
    """
    tallies: dict[str, Tally] = {}
    for number, job in enumerate(jobs):
        harness = Harness(job, work / str(number), cold=cold, chance=random.Random(f"{seed} {job.name}"))
        share = kills // len(jobs) + (number < kills % len(jobs))
        while harness.tally.kills < share:
            harness.round()
        tallies[job.name] = harness.tally
        shutil.rmtree(work / str(number))
    return tallies


def _main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cold", type=float, default=0.2, help="share of processes that start with the interpreter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", choices=[job.name for job in JOBS], action="append")
    parser.add_argument("--work", type=Path, required=True, help="a folder that is not there yet")
    asked = parser.parse_args()
    began = time.monotonic()
    asked.work.mkdir(parents=True)
    jobs = [job for job in JOBS if asked.job is None or job.name in asked.job]
    print("| command | kills | of these cold | outcomes compared | files found whole | life, forked / cold |")
    print("|---|---|---|---|---|---|")
    total = Tally()
    for number, job in enumerate(jobs):
        share = asked.kills // len(jobs) + (number < asked.kills % len(jobs))
        tally = kill_often([job], asked.work / str(number), kills=share, cold=asked.cold, seed=asked.seed)[job.name]
        forked, cold = tally.seconds
        print(
            f"| {job.name} | {tally.kills} | {tally.cold} | {tally.rounds} | {tally.whole_files} | "
            f"{forked:.1f} s / {cold:.1f} s |",
            flush=True,
        )
        for name in ("kills", "cold", "rounds", "whole_files"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    print(f"| all | {total.kills} | {total.cold} | {total.rounds} | {total.whole_files} | |")
    print(f"\n{time.monotonic() - began:.0f} s; every outcome was that of the undisturbed command.")


if __name__ == "__main__":
    _main()
