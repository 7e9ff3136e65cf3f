"""Run in each process of test_parallel.py: trains the small task and keeps what the process has seen."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.selection import Selection
from labelaudit.engine.world import joined
from labelaudit.errors import DataError
from labelaudit.methods.base import EpochPlan, Mixing
from labelaudit.methods.standard import Standard, weighted
from labelaudit.methods.table import METHODS
from labelaudit.selectors.table import build_selector
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task
from tests.methods.helpers import noisy_labels, ready

# 43 samples in batches of 7: the last batch has a single row more, and no share of two or three is even.
PIXELS_NCHW, TRUTH_N = small_task(43)


class Asking(Standard):
    """Asks the loop for everything: a look, rows of its own, earlier parameters, and blended images."""

    def plan_epoch(self, look, clock, generator):
        """Take the rows by a score, the first ones twice; the last epoch begins as the one before did."""
        row_M = torch.arange(look.rows)
        score_M = look.logits(row_M)[:, 0] + look.features(row_M).mean(dim=1)
        order = score_M.round(decimals=0).sort(stable=True).indices
        batches = [*torch.split(order, 11), order[:7]]
        return EpochPlan(batches=batches, keep=clock.epoch == 1, go_back=clock.epoch == 2)

    mixes = True

    def mix(self, batch, guess, clock, generator):
        """Draw a partner, and keep more of the sample the surer the network is."""
        sure_B = guess()[0].softmax(dim=1).max(dim=1).values
        return Mixing(partner_B=torch.randperm(len(batch.row_B), generator=generator), factor_B=1 - 0.5 * sure_B.cpu())


def trainings(everything: bool):
    """Give name, method, selector and loop settings of each training."""
    how = {"batch_size": 7, "epochs": 2}
    yield "plain", Standard(), None, how
    yield "asking", Asking(), None, {**how, "epochs": 3}
    # Few are chosen, so that at the end of an epoch there are fewer than processes.
    yield "selected", Standard(), "selective-backprop beta=3 warm_up_epochs=0", how
    if not everything:
        return
    yield "weighted", weighted(torch.linspace(0, 1, 43)), None, how
    yield "drawn", Standard(), "variance-reduction pool=2 weights=unbiased switch=none", how
    for entry in METHODS:
        yield f"method {entry.name}", ready(entry, TRUTH_N), None, {**how, "batch_size": 22, "lr": 0.02}


def train_together(folder: Path, everything: bool, environment: Mapping[str, str] | None = None) -> None:
    """Train, and write losses, statistics, predictions, each process's digest and what it got of an error."""
    os.environ.update(environment or {})
    torch.set_num_threads(1)
    digest = hashlib.sha256()
    with joined(CPU) as world:
        for name, method, selector, how in trainings(everything):
            label_N = noisy_labels(TRUTH_N) if name.startswith("method ") else TRUTH_N
            networks = [small_network(seed=number) for number in range(method.networks)]
            inputs = image_inputs(PIXELS_NCHW, Augment())
            selection = None if selector is None else Selection(build_selector(selector), 43)
            task = Task(inputs, label_N, method, selection=selection)
            training = Training(networks, loop_settings(**how), CPU, task, world)
            records = list(training.run_epochs(ignore))
            p_NC = training.predict(inputs)
            if world.is_main:
                np.savez(
                    folder / f"{name}.npz",
                    loss_EN=np.stack([record.loss_N for record in records]),
                    times_EN=np.stack([record.times_N for record in records]),
                    running_mean=training.networks[0].state_dict()["1.running_mean"].numpy(),
                    p_NC=p_NC.numpy(),
                )
            for network in training.networks:
                for tensor in network.state_dict().values():
                    digest.update(tensor.numpy().tobytes())
        seen = {"digest": digest.hexdigest()}
        try:
            world.once(fail)
        except DataError as error:
            seen |= {"error": str(error), "told": error.told}
    (folder / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(seen))


def fail() -> None:
    raise DataError("no images", fix="look elsewhere")
