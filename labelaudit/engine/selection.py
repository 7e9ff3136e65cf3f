"""An epoch in which a selector says which samples are back-propagated.

Candidates come in the epoch's order. What is chosen waits in a queue, as places of the epoch, so a sample is trained on
in the view in which it was scored. A step takes a batch from the front; what is left at the end of the epoch makes one
more step, so the queue is no part of a checkpoint.

Shapes: N rows, M places of the epoch, B candidates, b samples of a step, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from labelaudit.engine.draws import make_generator, split_places
from labelaudit.engine.loop import Trainer, Training, Work, evaluating
from labelaudit.engine.optimizers import set_pace
from labelaudit.methods.base import Clock, State
from labelaudit.selectors.base import Choice, ScoreName, Selector


@torch.no_grad()
def scores(name: ScoreName, logits_BC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    """Return the score of this name, float32 [B], from float32 logits and int64 given labels.

    ``loss`` is −log p_y, ``entropy`` H(p) = −Σ p log p, both in nats; ``gradient`` is ‖p − onehot(y)‖₂, which bounds
    the gradient of the last layer (Katharopoulos & Fleuret 2018).
    """
    if name == "loss":
        return functional.cross_entropy(logits_BC, label_B, reduction="none")
    if name == "entropy":
        log_p_BC = logits_BC.log_softmax(dim=1)  # p log p of a p that rounds to 0 would not be a number
        return -(log_p_BC.exp() * log_p_BC).sum(dim=1)
    difference_BC = logits_BC.softmax(dim=1) - functional.one_hot(label_B, logits_BC.shape[1])
    norm_B: torch.Tensor = torch.linalg.vector_norm(difference_BC, dim=1)
    return norm_B


class Selection(Trainer):
    """A selector at work on N rows, and what it remembers between two epochs.

    With ``records_scores`` the scoring pass of every sample is recorded in every epoch, also while the selector is off:
    losses of training mode and of evaluation mode do not belong in one curve.
    """

    def __init__(self, selector: Selector, rows: int, *, records_scores: bool = False) -> None:
        self._selector = selector
        self._records_scores = records_scores
        self.score = torch.full((rows,), torch.nan)
        self.age = torch.full((rows,), selector.stale_epochs, dtype=torch.int32)
        if selector.stale_epochs > 1:
            self.memory = ("score", "age")

    def state(self) -> State:
        """Return what a checkpoint keeps, on the CPU."""
        return {"selector": self._selector.state(), **super().state()}

    def load(self, state: State) -> None:
        """Go on from a state; raise as `Training.load` does where it is of another selector."""
        self._selector.load(state["selector"])
        super().load(state)

    def train_epoch(self, training: Training, work: Work) -> tuple[int, npt.NDArray[np.int32]]:
        """Take an epoch's steps, and return what they cost, as `EpochRecord` has it."""
        selector, batches, clock = self._selector, work.order.batches, work.clock
        generator = make_generator(training.settings.seed, "selector", clock.epoch)
        size, times_N = training.settings.batch_size, np.zeros(len(training.task.inputs), dtype=np.int32)
        # Places of the epoch, the weights of their losses, and whether the scoring pass has recorded them.
        waiting = [torch.empty(0, dtype=torch.int64), torch.empty(0), torch.empty(0, dtype=torch.bool)]
        done = forwards = 0
        while done < len(batches):
            at = replace(clock, step=done, steps=len(batches))
            choosing = clock.epoch >= selector.warm_up_epochs and selector.is_on
            pool = batches[done : done + (selector.pool if choosing else 1)]
            done += len(pool)
            candidates = slice(pool[0].start, pool[-1].stop)
            set_pace(training.optimizers, training.settings, at.done, at.steps_done)
            count = candidates.stop - candidates.start
            choice, scored = Choice(index_b=torch.arange(count), weight_b=torch.ones(count)), False
            if choosing or self._records_scores:
                scored, (score_B, fresh) = True, self._score(training, work, candidates)
                forwards += fresh
                if choosing:
                    choice = selector.choose(score_B, size, generator)
                else:
                    selector.observe(score_B)
            added = candidates.start + choice.index_b, choice.weight_b, torch.full_like(choice.index_b, scored).bool()
            waiting = [torch.cat(parts) for parts in zip(waiting, added, strict=True)]
            full, waiting = _take(waiting, size, is_last=done == len(batches))
            for queued in full:
                self._step(training, work, queued, at)
                forwards += len(queued[0])
                times_N[np.unique(work.order.order_M[queued[0]].numpy())] += 1
            work.advance(count)
        return forwards, times_N

    def _score(self, training: Training, work: Work, candidates: slice) -> tuple[torch.Tensor, int]:
        """Return the scores of candidates, float32 [B] on the CPU, and how many of them are fresh, not stale."""
        order, world = work.order, training.world
        place_B = torch.arange(candidates.start, candidates.stop)
        row_B = order.order_M[place_B]
        fresh_B = self.age[row_B] >= self._selector.stale_epochs
        if fresh_B.any():
            place_b = place_B[fresh_B]
            with evaluating(training.seeing):
                x_b = order.images(training.task.inputs, place_b, world.share(len(place_b)))
                logits_bC = world.gather(training.forward(training.seeing[0], x_b), len(place_b))
            batch = order.batch(place_b)
            work.recorder.put(batch.row_B, logits_bC, batch.label_B)
            self.score[row_B[fresh_B]] = scores(self._selector.score, logits_bC, batch.label_B).cpu()
            self.age[row_B[fresh_B]] = 0
        self.age[row_B] += 1
        return self.score[row_B], int(fresh_B.sum())

    def _step(self, training: Training, work: Work, queued: list[torch.Tensor], at: Clock) -> None:
        """Take a step on queued places; scores are recorded that were not yet."""
        place_b, weight_b, scored_b = queued

        def put(row_b: torch.Tensor, logits_bC: torch.Tensor, label_b: torch.Tensor) -> None:
            if not scored_b.all():
                # What a selector left behind when it was switched off has been recorded already, and is no fair sample.
                new_b = (~scored_b).to(row_b.device)
                work.recorder.put(row_b[new_b], logits_bC[new_b], label_b[new_b])
                self._selector.observe(scores(self._selector.score, logits_bC[new_b], label_b[new_b]).cpu())

        training.step(work, place_b, at, put, weight_b.to(training.device))


def _take(
    waiting: list[torch.Tensor], batch_size: int, *, is_last: bool
) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
    """Return the full batches of what waits, and the rest; with ``is_last``, all of it as batches."""
    count = len(waiting[0]) if is_last else len(waiting[0]) // batch_size * batch_size
    taken, rest = ([values[places] for values in waiting] for places in (slice(count), slice(count, None)))
    if count == 1:  # batch norm may need two: twice the same has the same mean loss
        taken, count = [values[[0, 0]] for values in taken], 2
    # Cut as an epoch is: with everything chosen, the steps are those of a training without a selector.
    places = split_places(count, batch_size) if count else []
    return [[values[each] for values in taken] for each in places], rest
