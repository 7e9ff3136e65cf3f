"""INCV's first half: iterative noisy cross-validation, which says what labels are believed.

Source: Chen et al. 2019, "Understanding and utilizing deep neural networks trained with noisy labels" (ICML), and the
authors' code. The second half, training on what is believed, is `labelaudit.methods.incv`.

    S = ∅, C = all; four times:
      split C into random halves; for each half: from the same first weights, train on S ∪ half; predict the other half
      samples whose label is the prediction go to S; of the others the int(ρ · agreeing) largest losses are discarded
    ε solves (1 − ε)² + ε²/(K − 1) = agreement, once, after the first training; ρ = min(2, ε/(1 − ε))

Which is followed: the code. The network of the epoch that agrees best with the held-out labels predicts through
iteration 4, 2 or 1 (ε ≤ .3, ≤ .6, above, or asymmetric noise), after that the one of the last epoch; asymmetric noise
discards nothing. Deviations: whether noise is symmetric is read off the labels that disagree in the first iteration,
where the code is told; no sample is discarded where the number is 0, where the code discards all; ε ends at (K − 1)/K.
Published: 50 epochs each, batch 128, Adam .001, ×.5 after 20, ×.25 after 30, ×.1 after 40. With another optimiser the
schedule is that of the retraining, over a quarter of its epochs.

Shapes: R rows of the training data, H rows of a held-out half, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.audit.prepare import Prepared, Source, make_network
from labelaudit.engine.inputs import SomeRows
from labelaudit.engine.loop import Training
from labelaudit.engine.order import derive_seed
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.base import Verified
from labelaudit.methods.parameters import IncvParameters
from labelaudit.methods.standard import Standard
from labelaudit.progress import Advance, Reporter
from labelaudit.run.checkpoint import read_checkpoint, write_checkpoint
from labelaudit.run.layout import RunFolder

BoolArray = npt.NDArray[np.bool_]
RowArray = npt.NDArray[np.int64]

_STEP = 0.001
_MOST_DISCARDED = 2.0


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Samples that are believed, S, and those that are still candidates, C; a sample in neither is discarded.

    Attributes:
        selected_R: S.
        candidate_R: C; no sample is in both.
    """

    selected_R: BoolArray
    candidate_R: BoolArray

    @classmethod
    def start(cls, rows: int) -> Selection:
        """Nothing selected, everything a candidate."""
        return cls(selected_R=np.zeros(rows, dtype=np.bool_), candidate_R=np.ones(rows, dtype=np.bool_))

    def after(self, agreeing: RowArray, discarded: RowArray) -> Selection:
        """The selection with more samples believed, and others set aside; who is believed is not set aside."""
        selected_R, candidate_R = self.selected_R.copy(), self.candidate_R.copy()
        selected_R[agreeing] = True
        candidate_R[agreeing] = False
        candidate_R[discarded] = False
        return Selection(selected_R=selected_R, candidate_R=candidate_R)

    def halves(self, generator: np.random.Generator) -> tuple[RowArray, RowArray]:
        """The candidates in two random halves; the second has one more when they are odd."""
        order = generator.permutation(np.flatnonzero(self.candidate_R))
        middle = len(order) // 2
        return np.sort(order[:middle]), np.sort(order[middle:])


def expected_agreement(noise: float, classes: int) -> float:
    """(1 − ε)² + ε²/(K − 1): how often an unseen label agrees with a network that has learned labels of this noise."""
    return (1 - noise) ** 2 + noise**2 / (classes - 1)


def noise_from_agreement(agreement: float, classes: int) -> float:
    """ε, the smaller root of `expected_agreement`, to .001.

    The authors scan upward and stop at 1 when the agreement is below its minimum at ε = (K − 1)/K; then nothing would
    be kept later. Here the scan ends at that minimum.

    Args:
        agreement: Share of held-out samples whose label is the prediction.
        classes: K, at least 2.
    """
    most = (classes - 1) / classes
    steps = 1
    while steps * _STEP < most and expected_agreement(steps * _STEP, classes) > agreement:
        steps += 1
    return min(steps * _STEP, most)


def discard_ratio(noise: float) -> float:
    """ρ = min(2, ε/(1 − ε)): how many samples are discarded for each that agrees."""
    return min(_MOST_DISCARDED, noise / (1 - noise)) if noise < 1 else _MOST_DISCARDED


def discarded(row_H: RowArray, loss_H: npt.NDArray[np.floating], agreeing: int, ratio: float) -> RowArray:
    """The rows of the int(ρ · agreeing) largest losses; none when that is 0, where the authors' code takes all.

    Args:
        row_H: Rows of the held-out half.
        loss_H: Cross-entropy of each against its given label.
        agreeing: How many of the half agree.
        ratio: ρ.
    """
    count = min(len(row_H), int(ratio * agreeing))
    return row_H[np.argsort(loss_H, kind="stable")[len(row_H) - count :]]


def noise_left(noise: float, classes: int, *, symmetric: bool) -> float:
    """ε_S = ε²/(ε² + c(1 − ε)²) with c = K − 1 for symmetric noise, else 1: the share of wrong labels in S."""
    constant = classes - 1 if symmetric else 1
    wrong, right = noise**2, constant * (1 - noise) ** 2
    return wrong / (wrong + right) if wrong + right > 0 else 0.0


def looks_symmetric(given_D: RowArray, predicted_D: RowArray, classes: int) -> bool:
    """True when disagreements are spread over most pairs of classes, False when few pairs hold them.

    With n disagreements in a pair, (Σ n)² / Σ n² is the number of pairs that they are spread over; of evenly drawn
    ones, μ expected in each of K(K − 1) pairs, it is near K(K − 1) · μ / (1 + μ). When each class is taken for
    one other, they are K of the K(K − 1); few means less than halfway from there. The published method is told instead.

    Args:
        given_D: Given labels of the samples that surely disagree.
        predicted_D: What was predicted.
        classes: K.
    """
    pairs = classes * (classes - 1)
    if len(given_D) == 0 or classes < 3:
        return True
    _, count_Q = np.unique(given_D * classes + predicted_D, return_counts=True)
    mean = len(given_D) / pairs
    spread = len(given_D) ** 2 / (count_Q.astype(np.float64) ** 2).sum()
    return bool(spread / (pairs * mean / (1 + mean)) > (1 + 1 / (classes - 1)) / 2)


def best_epoch_until(noise: float, *, symmetric: bool) -> int:
    """Through which iteration the network of the best held-out epoch judges; after it, that of the last epoch."""
    if not symmetric or noise > 0.6:
        return 1
    return 2 if noise > 0.3 else 4


_MILESTONES = ((0.4, 0.5), (0.6, 0.25), (0.8, 0.1))
_NETWORK = 2
"""The networks of the second half are numbers 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class _Progress:
    """Between two iterations.

    Attributes:
        iterations: So many are done.
        noise: ε, from the first on.
        symmetric: The type of noise, from the first on.
    """

    selection: Selection
    iterations: int = 0
    noise: float = 0.0
    symmetric: bool = True


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What one training says of the half that it has not seen.

    Attributes:
        row_H: Its rows.
        predicted_H: Most probable classes.
        agrees_H: True where that is the given label.
        sure_H: True where its probability reaches the mean over the half's samples of that label.
        loss_H: Cross-entropy against the given label.
    """

    row_H: RowArray
    predicted_H: RowArray
    agrees_H: Any
    sure_H: Any
    loss_H: Any


def cross_validate(
    out: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    parameters: object,
    reporter: Reporter,
    *,
    prior_R: torch.Tensor | None = None,
) -> Verified:
    """Find out which labels are believed; goes on after the last whole iteration.

    Args:
        out: Gets the selection after each iteration.
        settings: Of the retraining; its network and rates are those of every training here.
        prepared: R rows.
        source: Where.
        parameters: `IncvParameters`: iterations, epochs, type of noise.
        reporter: Told about the progress.
        prior_R: Weights that the samples have whatever is taught.

    Raises:
        RunError: what an earlier call left is damaged.
        TrainingError: a training diverged.
    """
    if not isinstance(parameters, IncvParameters):
        raise TypeError(f"{type(parameters).__name__} given, IncvParameters expected")
    epochs = max(1, round(parameters.selection_share * settings.epochs))
    validation = _Validation(settings, epochs, prepared, source, prior_R)
    progress = source.world.once(lambda: _read(out, len(prepared.inputs)))
    left = (parameters.iterations - progress.iterations) * epochs * len(prepared.inputs)
    with reporter.bar("Cross-validating the labels", max(left, 0), "images") as advance:
        while progress.iterations < parameters.iterations:
            progress = _iterate(validation, progress, parameters, advance)
            if source.world.is_main:
                write_checkpoint(out.verified, _as_state(progress))
            chosen = progress.selection
            reporter.say(
                f"Iteration {progress.iterations}: {int(chosen.selected_R.sum()):,} labels are believed, "
                f"{int(chosen.candidate_R.sum()):,} are open"
            )
    if not progress.selection.selected_R.any():
        reporter.warn("No label agrees with a network that has not seen it: all are trained on")
    classes = len(prepared.catalogue.classes)
    return Verified(
        selected_R=torch.from_numpy(progress.selection.selected_R).to(source.device),
        candidate_R=torch.from_numpy(progress.selection.candidate_R).to(source.device),
        noise_rate=progress.noise,
        noise_left=noise_left(progress.noise, classes, symmetric=progress.symmetric),
        symmetric=progress.symmetric,
    )


class _Validation:
    """Trainings on a part of the data, which judge another part."""

    def __init__(
        self,
        settings: TrainingSettings,
        epochs: int,
        prepared: Prepared,
        source: Source,
        prior_R: torch.Tensor | None,
    ) -> None:
        self._settings = settings
        self._epochs = epochs
        self._prepared = prepared
        self._source = source
        self._prior_R = prior_R
        self.classes = len(prepared.catalogue.classes)
        self.label_R = prepared.label_R.numpy()
        self.seed = settings.seed

    def judge(self, taught: RowArray, held_out: RowArray, number: int, *, best: bool, advance: Advance) -> _Judged:
        """Train on ``taught`` from the first weights, and predict ``held_out``."""
        rows, others = torch.from_numpy(taught), torch.from_numpy(held_out)
        prepared, source = self._prepared, self._source
        if len(rows) < 2 or len(others) == 0:  # batch norm cannot take one alone
            nothing = np.zeros(len(others))
            given_H = self.label_R[held_out]
            return _Judged(
                row_H=held_out, predicted_H=given_H, agrees_H=nothing > 0, sure_H=nothing > 0, loss_H=nothing
            )
        inputs, unseen = SomeRows(prepared.inputs, rows), SomeRows(prepared.inputs, others)
        label_T, label_H = prepared.label_R[rows], prepared.label_R[others]
        prior_T = None if self._prior_R is None else self._prior_R.cpu()[rows]
        network = make_network(self._settings, prepared, source, number=_NETWORK)
        training = Training([network], self._loop(number), source.device, source.world)
        p_HC, most = torch.empty(0), -1.0
        while training.finished_epochs < self._epochs:
            training.run_epoch(inputs, label_T, Standard(), advance, prior_N=prior_T)
            if best or training.finished_epochs == self._epochs:
                found_HC = training.predict(unseen)
                agreement = float((found_HC.argmax(dim=1) == label_H).double().mean())
                if not best or agreement > most:
                    p_HC, most = found_HC, agreement
        loss_H = -(p_HC.gather(1, label_H[:, None])[:, 0] + 1e-8).log()
        predicted_H = p_HC.argmax(dim=1)
        return _Judged(
            row_H=held_out,
            predicted_H=predicted_H.numpy(),
            agrees_H=(predicted_H == label_H).numpy(),
            sure_H=_is_sure(p_HC, label_H).numpy(),
            loss_H=loss_H.numpy(),
        )

    def _loop(self, number: int) -> TrainingSettings:
        seed = derive_seed(self.seed, "cross-validation", number)
        loop = replace(self._settings, epochs=self._epochs, seed=seed)
        return replace(loop, schedule="milestones", milestones=_MILESTONES) if loop.optimizer == "adam" else loop


def _iterate(validation: _Validation, progress: _Progress, parameters: IncvParameters, advance: Advance) -> _Progress:
    """One iteration: two trainings."""
    number, selection = progress.iterations, progress.selection
    halves = selection.halves(np.random.default_rng(derive_seed(validation.seed, "halves", number)))
    selected = np.flatnonzero(selection.selected_R)
    best = number == 0 or number < best_epoch_until(progress.noise, symmetric=progress.symmetric)
    judged = []
    for half, (taught, held_out) in enumerate((halves, halves[::-1])):
        rows = np.sort(np.concatenate([selected, taught]))
        judged.append(validation.judge(rows, held_out, 2 * number + half, best=best, advance=advance))
    if number == 0:
        agreement = float(judged[0].agrees_H.mean()) if len(judged[0].agrees_H) else 1.0
        noise = noise_from_agreement(agreement, validation.classes)
        progress = replace(progress, noise=noise, symmetric=_symmetric(validation, judged, parameters))
    ratio = discard_ratio(progress.noise) if progress.symmetric else 0.0
    return replace(
        progress,
        iterations=number + 1,
        selection=selection.after(
            np.concatenate([found.row_H[found.agrees_H] for found in judged]),
            np.concatenate(
                [discarded(found.row_H, found.loss_H, int(found.agrees_H.sum()), ratio) for found in judged]
            ),
        ),
    )


def _symmetric(validation: _Validation, judged: list[_Judged], parameters: IncvParameters) -> bool:
    if parameters.noise_type != "auto":
        return parameters.noise_type == "symmetric"
    # Only where it is sure: what a network of few epochs cannot tell apart has a structure of its own.
    disagree = [found.sure_H & ~found.agrees_H for found in judged]
    given = np.concatenate([validation.label_R[one.row_H[which]] for one, which in zip(judged, disagree, strict=True)])
    predicted = np.concatenate([one.predicted_H[which] for one, which in zip(judged, disagree, strict=True)])
    return looks_symmetric(given, predicted, validation.classes)


def _is_sure(p_HC: torch.Tensor, label_H: torch.Tensor) -> torch.Tensor:
    """As in confident learning (Northcutt et al. 2021, section 3.1): a class's threshold is the mean of its own."""
    own_HC = torch.nn.functional.one_hot(label_H, p_HC.shape[1]).bool()
    count_C = own_HC.sum(dim=0)
    threshold_C = torch.where(count_C > 0, (p_HC * own_HC).sum(dim=0) / count_C.clamp(min=1), 2.0)
    return (p_HC >= threshold_C - 1e-6).gather(1, p_HC.argmax(dim=1, keepdim=True))[:, 0]


def _as_state(progress: _Progress) -> dict[str, Any]:
    return {
        "selected": torch.from_numpy(progress.selection.selected_R),
        "candidate": torch.from_numpy(progress.selection.candidate_R),
        "iterations": progress.iterations,
        "noise": progress.noise,
        "symmetric": progress.symmetric,
    }


def _read(out: RunFolder, rows: int) -> _Progress:
    if not out.verified.exists():
        return _Progress(selection=Selection.start(rows))
    try:
        state = read_checkpoint(out.verified)
        selection = Selection(selected_R=state["selected"].numpy(), candidate_R=state["candidate"].numpy())
        if len(selection.selected_R) != rows:
            raise ValueError("other rows")
        return _Progress(
            selection=selection,
            iterations=int(state["iterations"]),
            noise=float(state["noise"]),
            symmetric=bool(state["symmetric"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{out.verified} is damaged", fix=f"delete {out.root} to train from the start") from error
