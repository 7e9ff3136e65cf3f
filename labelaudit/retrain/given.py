"""What a retraining is given beside the pictures: weights, true labels, the method's own parameters, a noise rate.

Shapes: N samples of the catalogue, R rows that take part in the training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.audit.prepare import Prepared
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.errors import DataError, RunError, UsageError
from labelaudit.methods.base import Ingredients, Verified
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import MethodEntry
from labelaudit.progress import Reporter
from labelaudit.run.documents import read_description
from labelaudit.run.files import read_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_weights

GIVEN_HERE = "-P noise_rate"


@dataclass(frozen=True, kw_only=True)
class Given:
    """All of it, read and checked.

    Attributes:
        weight_N: Sample weights of an audit.
        truth_N: True labels; −1 for a class that the data does not have.
        parameters: Of the method.
        noise_rate_from: Where a noise rate among the parameters is from; None where there is none.
    """

    weight_N: npt.NDArray[np.float64] | None
    truth_N: npt.NDArray[np.int64] | None
    parameters: object
    noise_rate_from: str | None

    def ingredients(
        self, prepared: Prepared, device: torch.device, *, batch_size: int, verified: Verified | None = None
    ) -> Ingredients:
        """What the method is built from.

        Args:
            prepared: R rows.
            device: Where the training is.
            batch_size: Its.
            verified: What a cross-validation found, for the method that needs one.
        """
        truth_R = None if self.truth_N is None else torch.from_numpy(self.truth_N[prepared.sample_R]).to(device)
        return Ingredients(
            label_R=prepared.label_R.to(device),
            classes=len(prepared.catalogue.classes),
            weight_R=self.prior(prepared, device),
            truth_R=truth_R,
            batch_size=batch_size,
            verified=verified,
            parameters=self.parameters,
        )

    def prior(self, prepared: Prepared, device: torch.device) -> torch.Tensor | None:
        """The sample weights of the rows: float32 [R]."""
        if self.weight_N is None:
            return None
        return torch.from_numpy(self.weight_N[prepared.sample_R]).float().to(device)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where it is read from; see `labelaudit.retrain.recipe.RetrainOptions`."""

    weights_csv: Path | None
    truth_csv: Path | None
    audit: Path | None
    parameters: Mapping[str, object]


def check_sources(entry: MethodEntry, sources: Sources) -> tuple[object, str | None]:
    """The method's parameters, and where their noise rate is from; reads no pictures.

    Raises:
        UsageError: something that the method needs is not given, or a parameter is wrong.
        RunError: the audit that a noise rate is to come from has none.
    """
    parameters = make_parameters(entry.name, entry.parameters, sources.parameters)
    if "weights" in entry.needs and sources.weights_csv is None:
        raise UsageError(
            f"the method {entry.name} needs sample weights", fix="give --weights RUN/weights.csv of an audit"
        )
    if "truth" in entry.needs and sources.truth_csv is None:
        raise UsageError(
            f"the method {entry.name} needs the true labels", fix="give --truth FILE.csv with the columns path,label"
        )
    if "noise_rate" not in entry.needs:
        return parameters, None
    if getattr(parameters, "noise_rate", None) is not None:
        return parameters, GIVEN_HERE
    file = _noise_file(sources)
    if file is None:
        raise UsageError(
            f"the method {entry.name} needs a noise rate",
            fix="give --run RUN of an audit, --weights RUN/weights.csv, or -P noise_rate=0.2",
        )
    return replace(parameters, noise_rate=_noise_rate(file)), str(file)  # type: ignore[type-var]


def read_given(entry: MethodEntry, sources: Sources, catalogue: Catalogue) -> Given:
    """Read all of it.

    Raises:
        UsageError, RunError: see `check_sources`.
        DataError: a file cannot be read, or is of other data.
    """
    parameters, noise_rate_from = check_sources(entry, sources)
    if sources.audit is not None:
        _check_same_data(RunFolder(sources.audit), catalogue)
    return Given(
        weight_N=read_weights(sources.weights_csv, catalogue) if sources.weights_csv else None,
        truth_N=_read_truth(sources.truth_csv, catalogue) if sources.truth_csv else None,
        parameters=parameters,
        noise_rate_from=noise_rate_from,
    )


def parameter_values(parameters: object) -> dict[str, Any]:
    """A method's settings by name."""
    return dataclasses.asdict(parameters)  # type: ignore[call-overload,no-any-return]


def scan_validation(folder: Path | None, training: Catalogue, reporter: Reporter) -> Catalogue | None:
    """The held-out images, with labels numbered and values rendered as in the training data.

    Raises:
        DataError: a class that the training data lacks.
    """
    if folder is None:
        return None
    catalogue = scan(folder, reporter=reporter)
    foreign = sorted(set(catalogue.classes) - set(training.classes))
    if foreign:
        raise DataError(
            f"{folder} has a class that the training data lacks: {foreign[0]!r}", fix="use the same class folders"
        )
    number_of = {name: number for number, name in enumerate(training.classes)}
    label_N = np.array([number_of[catalogue.classes[label]] for label in catalogue.label_N], dtype=np.int32)
    rendering, notes = training.rendering.for_more(catalogue.rendering)
    for note in notes:
        reporter.warn(f"--val: {note}")
    return replace(catalogue, classes=training.classes, label_N=label_N, rendering=rendering)


def _noise_file(sources: Sources) -> Path | None:
    if sources.audit is not None:
        return RunFolder(sources.audit).noise
    if sources.weights_csv is not None:
        beside = RunFolder(sources.weights_csv.parent).noise
        return beside if beside.exists() else None
    return None


def _noise_rate(file: Path) -> float:
    if not file.exists():
        raise RunError(f"{file} is not there", fix="run labelaudit score first, or give -P noise_rate=0.2")
    rate = read_json(file).get("noise_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise RunError(f"{file} has no noise rate", fix="run labelaudit fit on the run, or give -P noise_rate=0.2")
    return float(rate)


def _check_same_data(run: RunFolder, catalogue: Catalogue) -> None:
    if read_description(run).data.fingerprint != catalogue.fingerprint:
        raise DataError(
            f"{run.root} is an audit of other data, or of other labels, than {catalogue.root}",
            fix="give the --run of an audit of this folder",
        )


def _read_truth(file: Path, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    truth = read_labels_csv(file)
    missing = [
        path for path, fine in zip(catalogue.paths, catalogue.readable_N, strict=True) if fine and path not in truth
    ]
    if missing:
        raise DataError(
            f"{file} belongs to other data: it has no label for {missing[0]!r} ({len(missing)} such files)",
            fix=f"give the true label of every image in {catalogue.root}",
        )
    number_of: Mapping[str, int] = {name: number for number, name in enumerate(catalogue.classes)}
    return np.array([number_of.get(truth.get(path, ""), -1) for path in catalogue.paths], dtype=np.int64)
