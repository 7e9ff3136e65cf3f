"""INCV: networks that have not seen a label tell whether it is believed; then two networks teach each other.

Source: Chen et al. 2019, "Understanding and utilizing deep neural networks trained with noisy labels" (ICML), and the
authors' code; the INCV row of Table 1 in "Detecting label noise from loss curves".

The first half, in `labelaudit.retraining.incv`, finds the believed samples S and the candidates C:

    S = ∅, C = all; four times:
      split C into random halves; for each half: from the same first weights, train on S ∪ half; predict the other half
      samples whose label is the prediction go to S; of the others the int(ρ · agreeing) largest losses are discarded
    ε solves (1 − ε)² + ε²/(K − 1) = agreement, once, after the first training; ρ = min(2, ε/(1 − ε))

This follows the code where the paper differs. The network of the epoch that agrees best with the held-out labels
predicts through iteration 4, 2 or 1 (ε ≤ .3, ≤ .6, above, or asymmetric noise), after that the one of the last epoch;
asymmetric noise discards nothing. Deviations: whether noise is symmetric is read off the labels that disagree in the
first iteration, where the code is told; where the number to discard is 0, none is, where the code discards all; ε ends
at (K − 1)/K. Published: 50 epochs each, batch 128, Adam .001, ×.5 after 20, ×.25 after 30, ×.1 after 40; with another
optimizer the schedule is that of the retraining, over a quarter of its epochs.

The second half trains on what is believed:

    up to 20% of the training (40% for asymmetric or more than 60% noise): batches from S
    after that: each batch from S, with min(B · |C| / |S|, B / 2) from C
    each network ranks the batch by its own loss; the round(b · (1 − ε_S · min(1, e/T_k))) smallest teach the other one
    ε_S = ε² / (ε² + c (1 − ε)²), c = K − 1 for symmetric noise, else 1; b counts the batch's samples from S

This follows the code, whose n_keep also counts S alone. Deviation: losses are those of the training's own forward
pass, as in Co-Teaching, where the code makes another one in evaluation mode.
Published: T_k = 10 of 200 epochs, and shifts also by parts of a pixel.

Shapes: R rows of the training data, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labelaudit.errors import UsageError
from labelaudit.methods import base
from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Lesson, Logits, Look, Method, State, shuffled
from labelaudit.methods.co_teaching import exchange
from labelaudit.methods.parameters import IncvParameters

_MUCH_NOISE = 0.6


class Incv(Method):
    """The second half. Where fewer than two samples are believed, all are. Needs what cross-validation found."""

    networks = 2

    def __init__(self, ingredients: Ingredients) -> None:
        verified, settings = ingredients.verified, ingredients.parameters or IncvParameters()
        if verified is None:
            fix = "run it by labelaudit retrain --method incv"
            raise UsageError("the method incv needs cross-validated labels", fix=fix)
        selected_R, candidate_R = verified.selected_R.cpu(), verified.candidate_R.cpu()
        if selected_R.sum() < 2:  # batch norm cannot take one alone
            selected_R, candidate_R = candidate_R | ~selected_R, torch.zeros_like(candidate_R)
        self._selected_R = selected_R.to(verified.selected_R.device)
        self._selected = selected_R.nonzero()[:, 0]
        self._candidates = candidate_R.nonzero()[:, 0]
        self._verified = verified
        self._batch_size = ingredients.batch_size
        self._ramp_share = settings.ramp_share
        late = not verified.symmetric or verified.noise_rate > _MUCH_NOISE
        self._believed_share = (2 if late else 1) * settings.believed_share

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Plan batches from S, and later from C too."""
        selected = shuffled(self._selected, generator)
        batches = base.without_single(list(torch.split(selected, self._batch_size)))
        if clock.epoch / clock.epochs <= self._believed_share or len(self._candidates) == 0:
            return EpochPlan(batches=batches)
        candidates = shuffled(self._candidates, generator)
        more = min(self._batch_size * len(candidates) // len(selected), self._batch_size // 2)
        place = torch.arange(more * len(batches)) % len(candidates)
        parts = torch.split(candidates[place], more) if more else [candidates[:0]] * len(batches)
        return EpochPlan(batches=[torch.cat(pair) for pair in zip(batches, parts, strict=True)])

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach each network the samples that the other one finds easiest."""
        grown = min(1.0, clock.epoch / (self._ramp_share * clock.epochs)) if self._ramp_share else 1.0
        share = 1 - self._verified.noise_left * grown
        kept = (self._selected_R[batch.row_B].sum() * share).round().clamp(min=1)
        return exchange(batch, logits, kept)

    def report(self) -> State:
        """Return what cross-validation found, for the result."""
        verified = self._verified
        return {
            "noise_rate": verified.noise_rate,
            "noise_type": "symmetric" if verified.symmetric else "asymmetric",
            "noise_left": verified.noise_left,
            "selected": int(verified.selected_R.sum()),
            "candidates": int(verified.candidate_R.sum()),
        }
