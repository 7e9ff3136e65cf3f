"""The run folder: where everything that an audit knows lies, and who may write to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelaudit.errors import RunError, TrainingError
from labelaudit.run.files import read_json, storage_errors, write_json
from labelaudit.run.lock import held

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RunFolder:
    """The names of the files in a run folder. Nothing else in the package knows them."""

    root: Path

    @property
    def description(self) -> Path:
        """``run.json``: settings, versions, device, seed, fingerprint of the data, status."""
        return self.root / "run.json"

    @property
    def samples(self) -> Path:
        """``samples.parquet``: what every sample number means."""
        return self.root / "samples.parquet"

    @property
    def losses(self) -> Path:
        """``losses/``: one Parquet file an epoch."""
        return self.root / "losses"

    @property
    def checkpoint(self) -> Path:
        """``checkpoint.pt``: the state after the last whole epoch."""
        return self.root / "checkpoint.pt"

    @property
    def probe(self) -> Path:
        """``probe.safetensors``: the trained probe."""
        return self.root / "probe.safetensors"

    @property
    def scores(self) -> Path:
        """``scores.parquet``: every sample's statistics and verdict."""
        return self.root / "scores.parquet"

    @property
    def noise(self) -> Path:
        """``noise.json``: the noise rate, the mixture, diagnostics and warnings."""
        return self.root / "noise.json"

    @property
    def suspicious(self) -> Path:
        """``suspicious.csv``: the flagged samples, most suspicious first."""
        return self.root / "suspicious.csv"

    @property
    def pictures(self) -> Path:
        """``pictures.parquet``: statistics of every picture, and of copies that were spoiled on purpose."""
        return self.root / "pictures.parquet"

    @property
    def corrupted(self) -> Path:
        """``corrupted.csv``: the samples whose picture is corrupted, the surest first."""
        return self.root / "corrupted.csv"

    @property
    def unreadable(self) -> Path:
        """``unreadable.csv``: the samples whose image cannot be read, and why."""
        return self.root / "unreadable.csv"

    @property
    def weights_csv(self) -> Path:
        """``weights.csv``: path, weight, sha256."""
        return self.root / "weights.csv"

    @property
    def weights_npy(self) -> Path:
        """``weights.npy``: float64 weights in the order of samples.parquet."""
        return self.root / "weights.npy"

    @property
    def pilot(self) -> RunFolder:
        """``pilot/``: losses and checkpoint of the short training that comes before controls are planted."""
        return RunFolder(self.root / "pilot")

    @property
    def page(self) -> Path:
        """``report.html``: the findings to look at and to review."""
        return self.root / "report.html"

    @property
    def metrics(self) -> Path:
        """``metrics.parquet``: one row an epoch, in the folder of a retraining."""
        return self.root / "metrics.parquet"

    @property
    def seconds(self) -> Path:
        """``seconds.parquet``: the wall time of each epoch, in the folder of a retraining."""
        return self.root / "seconds.parquet"

    @property
    def picks(self) -> Path:
        """``picks/``: what a selector back-propagated, one Parquet file an epoch."""
        return self.root / "picks"

    @property
    def model(self) -> Path:
        """``model.safetensors``: the network, in the folder of a retraining."""
        return self.root / "model.safetensors"

    @property
    def result(self) -> Path:
        """``result.json``: the last figures, in the folder of a retraining."""
        return self.root / "result.json"

    @property
    def verified(self) -> Path:
        """``verified.pt``: which labels a cross-validation believes so far, in the folder of a retraining."""
        return self.root / "verified.pt"

    def retraining(self, method: str, seed: int) -> RunFolder:
        """``retrain/<method>-seed<seed>/``."""
        return RunFolder(self.root / "retrain" / f"{method}-seed{seed}")

    def exports(self, to: str) -> Path:
        """``exports/<format>/``: the audit in another tool's format."""
        return self.root / "exports" / to

    @property
    def exists(self) -> bool:
        """True when an audit or a retraining was begun here."""
        return self.description.is_file()

    def read_description(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            RunError: there is none, it is damaged, or of a schema this version does not know.
        """
        if not self.exists:
            raise RunError(f"{self.root} is not a run folder (it has no run.json)", fix="give the --run of an audit")
        value = read_json(self.description)
        if value.get("schema_version") != SCHEMA_VERSION:
            raise RunError(
                f"{self.root} has schema {value.get('schema_version')!r}, this version reads {SCHEMA_VERSION}",
                fix="use the labelaudit that wrote it, or audit into a new folder",
            )
        return value

    def write_description(self, value: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.description, {"schema_version": SCHEMA_VERSION, **value})

    def update_description(self, **changes: object) -> None:
        """Replace some entries of run.json."""
        self.write_description({**self.read_description(), **changes})

    @contextlib.contextmanager
    def noting_divergence(self, *, is_main: bool = True) -> Iterator[None]:
        """Write down in the first process that the training in the body diverged: nobody goes on with it."""
        try:
            yield
        except TrainingError:
            if is_main:
                self.update_description(diverged=True)
            raise

    def require_fresh(self) -> None:
        """Refuse to begin in a folder with results that no run.json describes.

        Raises:
            RunError: there are some; going on from them would mix two trainings.
        """
        left = [path.name for path in self._results if path.exists()]
        if left:
            raise RunError(
                f"{self.root} has {', '.join(left)} but no run.json", fix="delete the folder, or give another one"
            )

    @property
    def _results(self) -> tuple[Path, ...]:
        return self.losses, self.checkpoint, self.pilot.root, self.noise, self.metrics, self.verified

    def require_own_folders(self) -> None:
        """Refuse a run folder in which something that is written into is a symbolic link: it may lead anywhere.

        Files are no danger: a file that is written takes the place of a link.

        Raises:
            RunError: naming the link.
        """
        parents = (self.root / "exports", self.root / "retrain")
        inner = [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]
        for path in (self.root / ".lock", self.losses, self.pilot.root, self.pilot.losses, *parents, *inner):
            if path.is_symlink():
                raise RunError(
                    f"{path} is a symbolic link, and what is written there would lie elsewhere",
                    fix="delete the link, or audit into a new folder",
                )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder and hold it for one writer.

        Raises:
            RunError: another process writes to it; says which. Or it holds links; see `require_own_folders`.
            StorageError: the folder cannot be made.
        """
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with storage_errors(self.root):
            self.require_own_folders()
        with held(self.root / ".lock", self.root, fix="wait for it, or give another --run"):
            yield
