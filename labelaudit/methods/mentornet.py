"""MentorNet with the predefined curriculum (PD): samples count by how their loss compares with a moving percentile.

Source: Jiang et al. 2018, "MentorNet: learning data-driven curriculum for very deep neural networks on corrupted
labels" (ICML), and the authors' code; the MentorNet-PD row of Table 1 in "Detecting label noise from loss curves".

    m ← .5 m + .5 · percentile_q(losses of the batch), from m = 0
    v = v*(ℓ − m, percent of the training done): all 1 up to 18, 1[ℓ ≤ m] up to 89, then clip(1 − (ℓ − m)/γ, 0, 1)
    of the batch, a random half (after 17% of the training a random twentieth) gets v = 0
    L = (1/B) Σ v ℓ + (Σ v / B) · weight decay, with no gradient through v

Which is followed: the code. There v is what a small LSTM gives that was trained on v*; v* is known in closed form, so
it is the default here, and ``mentor=lstm`` trains that network first, in half a minute. The published commands give
q = .75 (.5 at 80% noise) with a misspelt flag; whether that or the code's default of .7 was in force is not known, and
.75 is taken. The percentile is one of the losses, not interpolated.
Published for CIFAR-10: 39,000 steps of 128 (111 epochs of 45,000), SGD .1 divided by 10 at steps 19,531, 25,000 and
30,000, momentum .9, weight decay 2e-4.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson
from labelaudit.methods.parameters import MentorNetParameters

PERCENTS = 100
"""The rule's clock: the training is cut into so many parts."""

_EASY_UNTIL, _PACED_UNTIL = 18, 90
"""All samples count up to the first; from the second on, hard ones count a little."""


def predefined_weights(difference_B: torch.Tensor, percent: int, gamma: float = 1.0) -> torch.Tensor:
    """v*: 1 up to percent 18, then 1[d ≤ 0] (self-paced), and from 90 on clip(1 − d/γ, 0, 1).

    Args:
        difference_B: d = loss − moving percentile of the losses.
        percent: How much of the training is done, 0 to 99.
        gamma: γ > 0.

    Returns:
        float32 [B] in [0, 1].
    """
    if percent <= _EASY_UNTIL:
        return torch.ones_like(difference_B, dtype=torch.float32)
    if percent < _PACED_UNTIL:
        return (difference_B <= 0).float()
    return (1 - difference_B / gamma).clamp(0, 1).float()


def percent_done(done: float) -> int:
    """The rule's clock for a share of the training, in [0, 1]."""
    return min(PERCENTS - 1, int(PERCENTS * done))


def percentile(loss_B: torch.Tensor, share: float) -> torch.Tensor:
    """The loss that a ``share`` of the batch does not exceed, without interpolation: a scalar on the same device."""
    place = round(share * (len(loss_B) - 1))
    return loss_B.sort().values[place]


def moved(average: torch.Tensor, found: torch.Tensor, decay: float) -> torch.Tensor:
    """Moving average: m ← decay · m + (1 − decay) · found."""
    return decay * average + (1 - decay) * found


def drop_examples(weight_B: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Keep int(B · (1 − rate)) samples of the batch, drawn uniformly, and give the others the weight 0.

    Args:
        weight_B: Weights.
        rate: In [0, 1).
        generator: On the CPU.
    """
    count = len(weight_B)
    kept = torch.zeros(count)
    # A little above the product: .9 · 10 must not become 8.
    kept[torch.randperm(count, generator=generator)[: int(count * (1 - rate) + 1e-9)]] = 1.0
    return weight_B * kept.to(weight_B.device)


_LABEL, _CLOCK, _HIDDEN = 2, 5, 20


@dataclass(frozen=True, kw_only=True)
class MentorTraining:
    """How the network is trained: Adam, its rate times 0.9 every thousand steps, gradients clipped to norm 5.

    Attributes:
        grid: Samples drawn from the grid of losses, differences and percents; a fifth is held out.
    """

    steps: int = 30_000
    batch_size: int = 32
    lr: float = 0.1
    decay: float = 0.9
    decay_steps: int = 1000
    clip: float = 5.0
    grid: int = 100_000
    gamma: float = 1.0


class MentorNetwork(nn.Module):
    """σ(v · tanh(U [label, clock, cells] + b) + c), the cells those of a one-step bidirectional LSTM on (loss, d).

    Args:
        generator: For the first parameters and the fixed embedding of the clock.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.label = nn.Parameter(torch.empty(_LABEL))
        self.register_buffer("clock_P5", torch.empty(PERCENTS, _CLOCK).uniform_(-1, 1, generator=generator))
        self.cells = nn.Linear(2, 4)  # gate and candidate of the forward and of the backward cell
        self.hidden = nn.Linear(_LABEL + _CLOCK + 2, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 1)
        with torch.no_grad():
            self.label.uniform_(-1, 1, generator=generator)
            for layer in (self.cells, self.hidden, self.out):
                bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()

    def forward(self, loss_B: torch.Tensor, difference_B: torch.Tensor, percent_B: torch.Tensor) -> torch.Tensor:
        """Weights in (0, 1) before the sigmoid: float32 [B].

        Args:
            loss_B: Losses.
            difference_B: Loss − moving percentile.
            percent_B: int64, 0 to 99.
        """
        gate_B2, candidate_B2 = self.cells(torch.stack([loss_B, difference_B], dim=1)).chunk(2, dim=1)
        cell_B2 = torch.sigmoid(gate_B2) * torch.tanh(candidate_B2)
        clock_P5: torch.Tensor = self.get_buffer("clock_P5")
        label_B2 = self.label.expand(len(loss_B), -1)
        hidden_BH = torch.tanh(self.hidden(torch.cat([label_B2, clock_P5[percent_B], cell_B2], dim=1)))
        answer: torch.Tensor = self.out(hidden_BH)[:, 0]
        return answer


@torch.no_grad()
def mentor_weights(network: MentorNetwork, loss_B: torch.Tensor, average: torch.Tensor, percent: int) -> torch.Tensor:
    """The network's weights for a batch: float32 [B] in (0, 1)."""
    percent_B = torch.full((len(loss_B),), percent, device=loss_B.device)
    return torch.sigmoid(network(loss_B, loss_B - average, percent_B))


@dataclass(frozen=True, kw_only=True)
class MentorGrid:
    """Situations and the weight that the rule gives in each; all [G]."""

    loss_G: torch.Tensor
    difference_G: torch.Tensor
    percent_G: torch.Tensor
    weight_G: torch.Tensor


def draw_grid(count: int, gamma: float, generator: torch.Generator) -> MentorGrid:
    """Random situations: losses 0 to 9.9 in steps of .1 and 10 to 29 in steps of 1, differences −5 to 4.9, percents."""
    every = torch.cat([torch.arange(100) / 10, torch.arange(10, 30).float()])
    loss_G = every[torch.randint(len(every), (count,), generator=generator)]
    difference_G = (torch.randint(100, (count,), generator=generator) - 50) / 10
    percent_G = torch.randint(PERCENTS, (count,), generator=generator)
    weight_G = torch.empty(count)
    for percent in range(PERCENTS):
        here = percent_G == percent
        weight_G[here] = predefined_weights(difference_G[here], percent, gamma)
    return MentorGrid(loss_G=loss_G, difference_G=difference_G, percent_G=percent_G, weight_G=weight_G)


def train_mentor(generator: torch.Generator, settings: MentorTraining | None = None) -> MentorNetwork:
    """Train the network on four fifths of a grid with the mean squared error of its weights.

    Args:
        generator: For all draws; on the CPU, where the network is trained and stays.
        settings: How.
    """
    settings = settings or MentorTraining()
    network = MentorNetwork(generator)
    grid = draw_grid(settings.grid, settings.gamma, generator)
    taught = max(1, settings.grid * 4 // 5)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, fused=True)
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.lr * settings.decay ** (step // settings.decay_steps)
        batch = torch.randint(taught, (settings.batch_size,), generator=generator)
        answer_B = network(grid.loss_G[batch], grid.difference_G[batch], grid.percent_G[batch])
        loss = functional.mse_loss(torch.sigmoid(answer_B), grid.weight_G[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
    return network.requires_grad_(False)


_MENTOR_SEED = 0
"""The mentor does not depend on the data: one for all, as if it were published."""


class MentorNet:
    """See the module.

    Args:
        settings: Percentile, dropout, which mentor.
        mentor: The network that gives the weights; the rule gives them where there is none.
    """

    networks = 1

    def __init__(self, settings: MentorNetParameters, mentor: MentorNetwork | None = None) -> None:
        self._settings = settings
        self._mentor = mentor
        self._average = torch.zeros(())

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels with the mentor's weights."""
        settings = self._settings
        loss_B = functional.cross_entropy(logits[0], batch.label_B, reduction="none")
        self._average = moved(
            self._average.to(loss_B.device), percentile(loss_B, settings.percentile), settings.average_decay
        )
        weight_B = self._weigh(loss_B, clock)
        rate = settings.early_dropout if clock.done < settings.early_share else settings.dropout
        weight_B = drop_examples(weight_B, rate, generator)
        return [Lesson(target=batch.label_B, weight_B=weight_B, decay=weight_B.mean())]

    def _weigh(self, loss_B: torch.Tensor, clock: Clock) -> torch.Tensor:
        if clock.done < self._settings.burn_in:
            return torch.ones_like(loss_B)
        percent = percent_done(clock.done)
        if self._mentor is None:
            return predefined_weights(loss_B - self._average, percent, self._settings.gamma)
        return mentor_weights(self._mentor, loss_B, self._average, percent)

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]

    def state(self) -> dict[str, Any]:
        """The moving percentile."""
        return {"average": self._average}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._average = state["average"].float().reshape(())


def mentornet(ingredients: Ingredients) -> MentorNet:
    """MentorNet-PD with the mentor that was asked for."""
    settings = ingredients.settings(MentorNetParameters)
    if settings.mentor == "rule":
        return MentorNet(settings)
    training = MentorTraining(gamma=settings.gamma)
    mentor = train_mentor(torch.Generator().manual_seed(_MENTOR_SEED), training)
    return MentorNet(settings, mentor.to(ingredients.label_R.device))
