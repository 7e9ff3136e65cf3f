"""MentorNet itself: a network of 200 parameters that gives a sample its weight, trained on the rule in closed form.

Source: Jiang et al. 2018 and the authors' code, `training_mentornet`: the label is always fed as 0, so its embedding is
two constants; the embedding of the clock is random and fixed; the bidirectional LSTM makes one step, of which the cell
states are used. In one step from a state of zeros neither forget nor output gates have a say: a cell is
σ(gate) · tanh(candidate). Deviation: their output adds its bias to the weight matrix; here it is added to the product.
The authors say that the architecture hardly matters, and the rule it learns is known
(`labelaudit.methods.kernels.mentor.predefined_weights`), so this is for comparison.

Shapes: B batch, G samples of the grid, P = 100 percents.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from labelaudit.methods.kernels.mentor import PERCENTS, predefined_weights

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
