"""Run by torchrun from test_contract.py: trains every method of the table in all processes."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.parallel import joined
from labelaudit.methods.table import METHODS
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task
from tests.methods.helpers import noisy_labels, ready


def train_together(folder: Path) -> None:
    """Write each method's losses, and each process's digest of all parameters."""
    pixels_NCHW, truth_N = small_task(43)
    digest = hashlib.sha256()
    with joined(CPU) as world:
        for entry in METHODS:
            method = ready(entry, truth_N)
            networks = [small_network(seed=number) for number in range(method.networks)]
            training = Training(networks, loop_settings(batch_size=22, lr=0.02), CPU, world)
            inputs = image_inputs(pixels_NCHW, Augment())
            records = list(run_epochs(training, inputs, noisy_labels(truth_N), method, ignore))
            if world.is_main:
                np.savez(folder / f"{entry.name}.npz", loss_EN=np.stack([record.loss_N for record in records]))
            for network in training.networks:
                for tensor in network.state_dict().values():
                    digest.update(tensor.numpy().tobytes())
    rank = os.environ.get("RANK", "0")
    (folder / f"rank-{rank}.txt").write_text(digest.hexdigest())


if __name__ == "__main__":
    train_together(Path(sys.argv[1]))
