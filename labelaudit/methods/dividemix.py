"""DivideMix by an audit: suspicious samples are learned without their labels.

Source: Li et al. 2020, "DivideMix: learning with noisy labels as semi-supervised learning" (ICLR), and the authors'
code; the division is that of an audit, w = 1 − P(mislabeled) ≥ threshold, where theirs is a mixture of the losses of
each epoch.

For the first epochs all samples are taught their given label with the weight w, for asymmetric noise plus the mean of
Σ p log p, which penalizes sure predictions. After that, a step takes as many believed as suspicious samples, each in
two views, and two networks learn from them at once:

    believed:   target = sharpen(w · onehot(y) + (1 − w) · p̄_k), p̄_k the network's own mean over the views
    suspicious: target = sharpen(mean over both networks and all views of p); the given label is not looked at
    mixup:      x ← λ x + (1 − λ) x', targets alike, λ ~ max(Beta(α, α), 1 − ·), partners from the whole step
    L_k = mean CE on the believed + λ_u · ramp · mean squared error of p on the suspicious + KL(uniform ‖ p̄ of the step)

This follows the code (its mean squared error is over classes, its balance term of weight 1). Deviations: both networks
learn in the same step from the same mixture, where there each has an epoch of its own with the other held still; own
beliefs are those of evaluation mode; the audit divides for both; the first epochs have the same batch, there one of 128
images. Whether noise is asymmetric, where the code is told, is read off the sure guesses for the suspicious samples
after the first epochs, so the penalty of these needs ``-P noise_type=asymmetric``.
Published for CIFAR-10: 10 of 300 epochs warm up, 64 believed and 64 suspicious samples a step (256 images); T = .5,
α = 4, threshold .5; λ_u 0, 25, 25, 50 at uniform .2, .5, .8, .9 (here by the audit's noise rate) and 0 at asymmetric
.4, growing over 16 epochs. The published error is that of the sum of both networks' logits.

Shapes: R rows of the training data, B images of a step, X, U of them believed and suspicious, V views, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from labelaudit.detect.confident import looks_symmetric, surely_wrong
from labelaudit.methods import base
from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Lesson, Logits, Look, Method, Mixing, State
from labelaudit.methods.parameters import DivideMixParameters


def sharpen(p_BC: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return p_c^(1/T) / Σ p^(1/T): 1 leaves p as it is, towards 0 it becomes one-hot."""
    # The largest first divided out: a small temperature takes every other number to zero.
    power_BC = (p_BC / p_BC.amax(dim=1, keepdim=True)) ** (1 / temperature)
    return power_BC / power_BC.sum(dim=1, keepdim=True)


def refine(label_B: torch.Tensor, clean_B: torch.Tensor, p_BC: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return sharpen(w · onehot(given label) + (1 − w) · p), w being P(the label is right): co-refinement."""
    given_BC = functional.one_hot(label_B, p_BC.shape[1]).to(p_BC.dtype)
    w_B1 = clean_B[:, None].to(p_BC.dtype)
    return sharpen(w_B1 * given_BC + (1 - w_B1) * p_BC, temperature)


def mixing_share(alpha: float, generator: torch.Generator) -> float:
    """Return max(λ, 1 − λ) with λ ~ Beta(α, α): in [.5, 1], so a mixture is mostly its first image; 1 for α = 0."""
    if alpha <= 0:
        return 1.0
    # torch's own draws of a beta distribution take no generator.
    seed = int(torch.randint(1 << 62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return max(share, 1 - share)


def balance(logits_BC: torch.Tensor) -> torch.Tensor:
    """Return KL(uniform ‖ mean belief of the batch), Σ_c (1/C) log((1/C) / p̄_c): no network may name one class only."""
    mean_C = logits_BC.softmax(dim=1).mean(dim=0)
    prior = 1 / logits_BC.shape[1]
    return (prior * (prior / mean_C.clamp(min=1e-12)).log()).sum()


def guess_loss(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
    """Return the mean over the classes of (p − target)²: [B], milder than cross-entropy where a guess is wrong."""
    return ((logits_BC.softmax(dim=1) - target_BC) ** 2).mean(dim=1)


def guess_weight(noise: float) -> float:
    """Return λ_u of the authors' CIFAR-10 settings by the noise rate: 0 at .2, 25 at .5 and .8, 50 at .9."""
    if noise < 0.35:
        return 0.0
    return 25.0 if noise < 0.85 else 50.0


def first_loss(logits_BC: torch.Tensor, label_B: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
    """Return Σ w CE / Σ w + mean Σ_c p log p: the loss of the first epochs for asymmetric noise."""
    taught_B, log_p_BC = functional.cross_entropy(logits_BC, label_B, reduction="none"), logits_BC.log_softmax(dim=1)
    taught = (weight_B * taught_B).sum() / weight_B.sum().clamp(min=1e-12)
    return taught + (log_p_BC.exp() * log_p_BC).sum(dim=1).mean()


class DivideMix(Method):
    """The mean of the weights and the type of the noise decide λ_u. Needs weights."""

    networks = 2
    mixes = True
    memory = ("noise_type",)

    def __init__(self, ingredients: Ingredients) -> None:
        weight_R = ingredients.audited_weights("dividemix")
        self._settings: DivideMixParameters = ingredients.parameters or DivideMixParameters()
        self._weight_R = weight_R.float()
        believed_R = weight_R >= self._settings.threshold
        self._believed_R = believed_R if believed_R.any() else ~believed_R  # without one, all, with refined labels
        self._batch_size = ingredients.batch_size
        self._label_R = ingredients.label_R.cpu()
        self._noise = 1 - float(weight_R.mean())
        given = self._settings.noise_type
        self.noise_type: str = given if self._believed_R.logical_not().any() or given != "auto" else "symmetric"
        # Which images of the present step are believed, and each network's mixed targets [B, C].
        self._step: tuple[torch.Tensor, list[torch.Tensor]] | None = None

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Plan, after the first epochs, batches of believed samples in all views, then suspicious ones in all views."""
        if self._is_warming_up(clock):
            return EpochPlan()
        if self.noise_type == "auto":
            self.noise_type = "symmetric" if self._looks_symmetric(look) else "asymmetric"
        believed_R = self._believed_R.cpu()
        believed = base.shuffled(believed_R.nonzero()[:, 0], generator)
        suspicious = base.shuffled((~believed_R).nonzero()[:, 0], generator)
        views = self._settings.views
        parts = 2 if len(suspicious) else 1
        size = max(1, self._batch_size // (parts * views))
        batches, taken = [], 0
        for clean in torch.split(believed, size):
            batches.append(clean.repeat(views))
            if len(suspicious):
                place = torch.arange(taken, taken + len(clean)) % len(suspicious)
                batches[-1] = torch.cat([batches[-1], suspicious[place].repeat(views)])
                taken += len(clean)
        return EpochPlan(batches=base.without_single(batches))

    def mix(self, batch: Batch, guess: Callable[[], Logits], clock: Clock, generator: torch.Generator) -> Mixing:
        """Refine and guess the labels, and blend images and labels alike."""
        count = len(batch.row_B)
        if self._is_warming_up(clock):
            self._step = None
            return Mixing(partner_B=torch.arange(count), factor_B=torch.ones(count))
        mixing = Mixing(
            partner_B=torch.randperm(count, generator=generator),
            factor_B=torch.full((count,), mixing_share(self._settings.alpha, generator)),
        )
        believed_B = self._believed_R[batch.row_B]
        beliefs = [logits_BC.softmax(dim=1) for logits_BC in guess()]
        self._step = believed_B, [mixing.blend(each_BC) for each_BC in self.targets(batch, believed_B, beliefs)]
        return mixing

    def targets(self, batch: Batch, believed_B: torch.Tensor, beliefs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return refined labels of the believed, guessed ones of the suspicious, by beliefs: [B, C] per network."""
        temperature = self._settings.temperature
        over_views = [_mean_over_views(batch.row_B, p_BC) for p_BC in beliefs]
        guess_BC = sharpen(torch.stack(over_views).mean(dim=0), temperature)  # co-guessing, without the given label
        clean_B = self._weight_R[batch.row_B]
        return [
            torch.where(believed_B[:, None], refine(batch.label_B, clean_B, p_BC, temperature), guess_BC)
            for p_BC in over_views
        ]

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach targets whose cross-entropy has the gradient of the whole loss."""
        if self._step is None:
            weight_B = self._weight_R[batch.row_B]
            if self.noise_type == "asymmetric":
                first = partial(first_loss, label_B=batch.label_B, weight_B=weight_B)
                return [_taught_by(first, logits_BC) for logits_BC in logits]
            return [Lesson(target=batch.label_B, weight_B=weight_B, per="weight") for _ in logits]
        believed_B, targets = self._step
        return [
            _taught_by(partial(self.loss, target_BC=target_BC, believed_B=believed_B, clock=clock), logits_BC)
            for logits_BC, target_BC in zip(logits, targets, strict=True)
        ]

    def loss(
        self, logits_BC: torch.Tensor, target_BC: torch.Tensor, believed_B: torch.Tensor, clock: Clock
    ) -> torch.Tensor:
        """Return L_k of a step."""
        settings = self._settings
        first = _epochs_of(settings.warmup_share, clock)
        ramp_epochs, done_epochs = settings.ramp_share * clock.epochs, clock.done * clock.epochs - first
        grown = min(1.0, max(0.0, done_epochs / ramp_epochs)) if ramp_epochs > 0 else 1.0
        taught_B = functional.cross_entropy(logits_BC, target_BC, reduction="none")
        loss = _mean_where(believed_B, taught_B)
        loss = loss + self.guess_weight * grown * _mean_where(~believed_B, guess_loss(logits_BC, target_BC))
        return loss + settings.balance * balance(logits_BC)

    def report(self) -> State:
        """Return what was found of the noise, for the result."""
        return {"noise_type": self.noise_type, "guess_weight": self.guess_weight}

    @property
    def guess_weight(self) -> float:
        """λ_u; while the type of the noise is not known, that of symmetric noise."""
        chosen = self._settings.guess_weight
        if chosen != "auto":
            return chosen
        return 0.0 if self.noise_type == "asymmetric" else guess_weight(self._noise)

    def _looks_symmetric(self, look: Look) -> bool:
        row_R = torch.arange(look.rows)
        joint_RC = torch.stack([look.logits(row_R, network=number) for number in range(self.networks)]).sum(dim=0)
        label_R, p_RC = self._label_R.numpy(), joint_RC.softmax(dim=1).cpu().numpy()
        wrong_R = surely_wrong(label_R, p_RC) & ~self._believed_R.cpu().numpy()
        return looks_symmetric(label_R[wrong_R], p_RC[wrong_R].argmax(axis=1), p_RC.shape[1])

    def _is_warming_up(self, clock: Clock) -> bool:
        return clock.epoch < _epochs_of(self._settings.warmup_share, clock)


def _taught_by(loss: Callable[[torch.Tensor], torch.Tensor], logits_BC: torch.Tensor) -> Lesson:
    """Return the lesson whose cross-entropy has the gradient of this loss, a mean over the batch."""
    with torch.enable_grad():
        seen_BC = logits_BC.detach().requires_grad_()
        (gradient_BC,) = torch.autograd.grad(loss(seen_BC), seen_BC)
    # Of each sample's share in the loss, B times that of the mean.
    steered_BC = base.steer(logits_BC, len(logits_BC) * gradient_BC)
    return Lesson(target=steered_BC, weight_B=torch.ones_like(logits_BC[:, 0]))


def _epochs_of(share: float, clock: Clock) -> int:
    """Return at least one epoch for a share that is not 0: untrained networks cannot guess labels."""
    return min(clock.epochs, max(1, round(share * clock.epochs))) if share > 0 else 0


def _mean_over_views(row_B: torch.Tensor, p_BC: torch.Tensor) -> torch.Tensor:
    """Return each sample's mean over its views, for each of them."""
    same_BB = (row_B[:, None] == row_B[None, :]).to(p_BC.dtype)
    return same_BB @ p_BC / same_BB.sum(dim=1, keepdim=True)


def _mean_where(counts_B: torch.Tensor, value_B: torch.Tensor) -> torch.Tensor:
    """Return the mean over some of the batch; 0 over none of it."""
    counted_B = counts_B.to(value_B.dtype)
    return (counted_B * value_B).sum() / counted_B.sum().clamp(min=1)
