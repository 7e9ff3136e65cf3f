"""``labelaudit train-probe``: only the probe."""

from __future__ import annotations

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal

EPILOG = o.examples(
    "labelaudit train-probe photos --run audit",
    "labelaudit train-probe cifar/train --run audit --preset balanced",
    "labelaudit train-probe flat --labels labels.csv --run audit",
)


@o.screen_options
@o.training_options()
def command(
    data: o.DataArgument,
    training: TrainingOptions,
    terminal: Terminal,
    run: o.Run = None,
    labels: o.Labels = None,
    split: o.Split = None,
) -> None:
    """Train the probe and record every sample's loss in every epoch; continue where an earlier call stopped."""
    from labelaudit.audit.model import Data
    from labelaudit.audit.probe import train_probe

    folder = o.run_folder(run, data, terminal)
    train_probe(Data(root=data, labels_file=labels, split=o.split_names(split)), folder, training, terminal)
    terminal.say(f"Losses: {folder.losses}. Next: labelaudit fit {folder.root}")
