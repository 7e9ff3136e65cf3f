"""``labelaudit train-probe``: only the probe."""

from __future__ import annotations

import typer

from labelaudit.cli import options as o

EPILOG = o.examples(
    "labelaudit train-probe photos --run audit",
    "labelaudit train-probe cifar/train --run audit --preset balanced",
    "labelaudit train-probe flat --labels labels.csv --run audit",
)


def command(
    context: typer.Context,
    data: o.DataArgument,
    run: o.Run = None,
    labels: o.Labels = None,
    split: o.Split = None,
    probe: o.Probe = None,
    preset: o.Preset = None,
    model: o.Model = None,
    pretrained: o.Pretrained = False,
    weights_file: o.NetworkWeights = None,
    offline: o.Offline = False,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    augment: o.Augment = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    lr: o.Rate = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    schedule: o.Schedule = None,
    precision: o.Precision = None,
    controls: o.Controls = None,
    members: o.Members = None,
    folds: o.Folds = None,
    selector: o.Selector = None,
    selector_pairs: o.SelectorPairs = None,
    seed: o.Seed = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    deterministic: o.Deterministic = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Train the probe and record every sample's loss in every epoch; goes on where an earlier call stopped."""
    from labelaudit.audit.model import Data
    from labelaudit.audit.probe import train_probe
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.options import run_folder, set_deterministic, set_threads, training_options

    set_threads(threads)
    set_deterministic(deterministic)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    folder = run_folder(run, data, terminal)
    train_probe(
        Data(root=data, labels_file=labels, split=o.split_names(split)), folder, training_options(context), terminal
    )
    terminal.say(f"Losses: {folder.losses}. Next: labelaudit fit {folder.root}")
