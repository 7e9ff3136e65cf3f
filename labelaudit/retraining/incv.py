"""Find out which labels can be believed: iterative noisy cross-validation, the first half of INCV.

`labelaudit.methods.incv` has the rule, its source and the deviations.

Shapes: R rows of the training data, H rows of a held-out half, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.auditing.prepare import Prepared, Source, make_network
from labelaudit.auditing.training import read_checkpoint, write_checkpoint
from labelaudit.detect import BoolArray, LongArray
from labelaudit.detect.confident import looks_symmetric, surely_wrong
from labelaudit.engine.draws import derive_seed
from labelaudit.engine.inputs import SomeRows
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.base import Verified
from labelaudit.methods.parameters import IncvParameters
from labelaudit.progress import Advance, Reporter
from labelaudit.run.layout import RunFolder

_MOST_DISCARDED = 2.0
"""Samples that are discarded at most for each that agrees."""
_MILESTONES = ((0.4, 0.5), (0.6, 0.25), (0.8, 0.1))
_NETWORK = 2  # those of the second half are numbers 0 and 1


def noise_from_agreement(agreement: float, classes: int) -> float:
    """ε, the smaller root of (1 − ε)² + ε²/(K − 1) = agreement, or (K − 1)/K, where the left side is least.

    It is how often an unseen label agrees with a network that has learned labels of noise ε. The authors scan upward in
    steps of .001, where there is no root to 1, and would keep nothing later.
    """
    most = (classes - 1) / classes
    return most * (1 - math.sqrt(max(0.0, 1 - (1 - agreement) / most)))


def discarded(row_H: LongArray, loss_H: npt.NDArray[np.floating], agreeing: int, ratio: float) -> LongArray:
    """Return the rows of the int(ρ · agreeing) largest losses; none when that is 0, where the authors take all."""
    count = min(len(row_H), int(ratio * agreeing))
    return row_H[np.argsort(loss_H, kind="stable")[len(row_H) - count :]]


def noise_left(noise: float, classes: int, *, symmetric: bool) -> float:
    """ε_S = ε²/(ε² + c(1 − ε)²) with c = K − 1 for symmetric noise, else 1: the share of wrong labels in S."""
    wrong, right = noise**2, (classes - 1 if symmetric else 1) * (1 - noise) ** 2
    return wrong / (wrong + right)


def best_epoch_until(noise: float, *, symmetric: bool) -> int:
    """Through which iteration the network of the best held-out epoch judges; after it, that of the last epoch."""
    if not symmetric or noise > 0.6:
        return 1
    return 2 if noise > 0.3 else 4


@dataclass(frozen=True)
class _Judged:
    """What one training says of the half that it has not seen.

    ``loss_H`` is cross-entropy against the given label; ``mistakes_2D`` are label and prediction of the samples that
    the network surely disagrees with, as in confident learning.
    """

    row_H: LongArray
    agrees_H: BoolArray
    loss_H: npt.NDArray[np.floating]
    mistakes_2D: LongArray


def cross_validate(
    out: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    parameters: IncvParameters,
    reporter: Reporter,
    *,
    sample_weight_R: torch.Tensor | None = None,
) -> Verified:
    """Find out which labels are believed, with the network and rates of the retraining, and its sample weights.

    It resumes after the last whole iteration, which ``out`` has.

    Raises:
        RunError: what an earlier call left is damaged.
        TrainingError: a training diverged.
    """
    settings = replace(settings, epochs=max(1, round(parameters.selection_share * settings.epochs)))
    validation = _Validation(settings, prepared, source, sample_weight_R)
    found = source.world.once(lambda: _read(out, prepared))
    left = (parameters.iterations - found.iterations) * settings.epochs * len(prepared.inputs)
    with reporter.bar("Cross-validating the labels", max(left, 0), "images") as advance:
        while found.iterations < parameters.iterations:
            found = _iterate(validation, found, parameters.noise_type, advance)
            if source.world.is_main:
                write_checkpoint(out.verified, vars(found))
            reporter.say(
                f"Iteration {found.iterations}: {int(found.selected_R.sum()):,} labels are believed, "
                f"{int(found.candidate_R.sum()):,} are open"
            )
    if not found.selected_R.any():
        reporter.warn("No label agrees with a network that has not seen it: all are trained on")
    device = str(source.device)
    return replace(found, selected_R=found.selected_R.to(device), candidate_R=found.candidate_R.to(device))


@dataclass(frozen=True)
class _Validation:
    """What the trainings have in common that learn from a part of the data and judge another part."""

    settings: TrainingSettings
    prepared: Prepared
    source: Source
    sample_weight_R: torch.Tensor | None

    def judge(self, taught: LongArray, held_out: LongArray, number: int, *, best: bool, advance: Advance) -> _Judged:
        """Train on ``taught`` from the first weights, and predict ``held_out`` after the best or the last epoch."""
        rows, others, prepared = torch.from_numpy(taught), torch.from_numpy(held_out), self.prepared
        label_H = prepared.label_R[others]
        if len(rows) < 2 or len(others) == 0:  # batch norm cannot take one alone
            return _Judged(held_out, np.zeros(len(others), bool), np.zeros(len(others)), np.empty((2, 0), np.int64))
        network = make_network(self.settings, prepared, self.source, number=_NETWORK)
        loop = replace(self.settings, seed=derive_seed(self.settings.seed, "cross-validation", number))
        if loop.optimizer == "adam":
            loop = replace(loop, schedule="milestones", milestones=_MILESTONES)
        weight_N = None if self.sample_weight_R is None else self.sample_weight_R.cpu()[rows]
        task = Task(SomeRows(prepared.inputs, rows), prepared.label_R[rows], sample_weight_N=weight_N)
        training = Training([network], loop, self.source.device, task, self.source.world)
        unseen, p_HC, most = SomeRows(prepared.inputs, others), torch.empty(0), -1.0
        for record in training.run_epochs(advance):
            if best or record.epoch + 1 == self.settings.epochs:
                found_HC = training.predict(unseen)
                agreement = float((found_HC.argmax(dim=1) == label_H).double().mean())
                if not best or agreement > most:
                    p_HC, most = found_HC, agreement
        own_H, predicted_H = p_HC.gather(1, label_H[:, None])[:, 0], p_HC.argmax(dim=1)
        mistaken_H = surely_wrong(label_H.numpy(), p_HC.numpy())
        mistakes_2D = torch.stack([label_H, predicted_H]).numpy()[:, mistaken_H]
        return _Judged(held_out, (predicted_H == label_H).numpy(), -(own_H + 1e-8).log().numpy(), mistakes_2D)


def _iterate(validation: _Validation, found: Verified, noise_type: str, advance: Advance) -> Verified:
    """Do one iteration: two trainings."""
    number, classes = found.iterations, len(validation.prepared.catalogue.classes)
    generator = np.random.default_rng(derive_seed(validation.settings.seed, "halves", number))
    candidates, selected = (np.flatnonzero(rows_R) for rows_R in (found.candidate_R, found.selected_R))
    halves = [np.sort(half) for half in np.split(generator.permutation(candidates), [len(candidates) // 2])]
    best = number == 0 or number < best_epoch_until(found.noise_rate, symmetric=found.symmetric)
    judged = []
    for half, (taught, held_out) in enumerate((halves, halves[::-1])):
        rows = np.sort(np.concatenate([selected, taught]))
        judged.append(validation.judge(rows, held_out, 2 * number + half, best=best, advance=advance))
    if number == 0:
        agreement = float(judged[0].agrees_H.mean()) if len(judged[0].agrees_H) else 1.0
        symmetric = noise_type == "symmetric"
        if noise_type == "auto":
            # Only where it is sure: what a network of few epochs cannot tell apart has a structure of its own.
            given_D, predicted_D = np.concatenate([one.mistakes_2D for one in judged], axis=1)
            symmetric = looks_symmetric(given_D, predicted_D, classes)
        noise = noise_from_agreement(agreement, classes)
        noise_kept = noise_left(noise, classes, symmetric=symmetric)
        found = replace(found, noise_rate=noise, noise_left=noise_kept, symmetric=symmetric)
    ratio = min(_MOST_DISCARDED, found.noise_rate / (1 - found.noise_rate)) if found.symmetric else 0.0
    selected_R, candidate_R = found.selected_R.clone(), found.candidate_R.clone()
    for one in judged:
        agreeing = one.row_H[one.agrees_H]
        selected_R[agreeing] = True
        candidate_R[agreeing] = False
        candidate_R[discarded(one.row_H, one.loss_H, len(agreeing), ratio)] = False
    return replace(found, selected_R=selected_R, candidate_R=candidate_R, iterations=number + 1)


def _read(out: RunFolder, prepared: Prepared) -> Verified:
    everything_R = torch.ones(len(prepared.inputs), dtype=torch.bool)
    if not out.verified.exists():
        return Verified(selected_R=~everything_R, candidate_R=everything_R)
    try:
        found = Verified(**read_checkpoint(out.verified))
        if found.selected_R.shape != everything_R.shape:
            raise ValueError("other rows")
        return found
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{out.verified} is damaged", fix=f"delete {out.root} to train from the start") from error
