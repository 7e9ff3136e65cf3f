"""Run by torchrun from test_parallel.py: trains the small task in all processes and keeps what each has seen."""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.parallel import joined
from labelaudit.engine.selection import Selection
from labelaudit.methods.base import Batch, Clock, EpochPlan, Look, Mixing
from labelaudit.methods.standard import Standard, Weighted
from labelaudit.selectors.table import build_selector
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task


class Asking(Standard):
    """Asks the loop for everything: a look, rows of its own, earlier parameters, and blended pictures."""

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """The rows by a score, the first ones twice; the last epoch begins as the one before did."""
        row_M = torch.arange(look.rows)
        score_M = look.logits(row_M)[:, 0] + look.features(row_M).mean(dim=1)
        order = score_M.round(decimals=0).sort(stable=True).indices
        batches = [*torch.split(order, 11), order[:7]]
        return EpochPlan(batches=batches, keep=clock.epoch == 1, go_back=clock.epoch == 2)

    def mix(
        self,
        batch: Batch,
        guess: Callable[[], Sequence[torch.Tensor]],
        clock: Clock,
        generator: torch.Generator,
    ) -> Mixing:
        """A partner by chance, and more of it the surer the network is."""
        sure_B = guess()[0].softmax(dim=1).max(dim=1).values
        return Mixing(partner_B=torch.randperm(len(batch.row_B), generator=generator), factor_B=1 - 0.5 * sure_B.cpu())


def train_together(folder: Path) -> None:
    """Train with methods and selectors, and write losses, statistics, predictions and each process's digest."""
    # 43 samples in batches of 7: the last batch has a single row more, and no share of two or three is even.
    pixels_NCHW, label_N = small_task(43)
    runs = {
        "plain": (Standard(), "none"),
        "weighted": (Weighted(torch.linspace(0, 1, 43)), "none"),
        "asking": (Asking(), "none"),
        # Few are chosen, so that at the end of an epoch there are fewer than processes.
        "selected": (Standard(), "selective-backprop beta=3 warm_up_epochs=0"),
        "drawn": (Standard(), "variance-reduction pool=2 weights=unbiased switch=none"),
    }
    with joined(CPU) as world:
        for name, (method, selector) in runs.items():
            training = Training([small_network()], loop_settings(batch_size=7), CPU, world)
            inputs = image_inputs(pixels_NCHW, Augment())
            by = build_selector(selector)
            selection = None if by is None else Selection(by, 43)
            records = list(run_epochs(training, inputs, label_N, method, ignore, selection=selection))
            p_NC = training.predict(inputs)
            state = training.networks[0].state_dict()
            if world.is_main:
                np.savez(
                    folder / f"{name}.npz",
                    loss_EN=np.stack([record.loss_N for record in records]),
                    times_EN=np.stack([record.effort.times_N for record in records]),
                    running_mean=state["1.running_mean"].numpy(),
                    p_NC=p_NC.numpy(),
                )
        content = b"".join(tensor.numpy().tobytes() for tensor in state.values())
    rank = os.environ.get("RANK", "0")
    (folder / f"rank-{rank}.txt").write_text(hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    train_together(Path(sys.argv[1]))
