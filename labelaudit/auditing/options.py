"""What a user can ask of a training; `labelaudit.auditing.plan` checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labelaudit.names import AugmentName, OptimizerName, PrecisionName, PresetName, ProbeName, ResizeName, ScheduleName

BASIC, ADVANCED = "Training", "Advanced"
"""Panels of a command's help."""


def option(meaning: str, *flags: str, panel: str | None = ADVANCED, metavar: str | None = None, **default: Any) -> Any:
    """Return a field that commands offer as an option, by default as ``--`` and its name; its default is None."""
    metadata = {"help": meaning, "flags": flags, "panel": panel, "metavar": metavar}
    return field(**(default or {"default": None}), metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What is asked of a training; None leaves the choice to the preset and the data.

    This is the one list of the options that commands with a training have: see `labelaudit.cli.options`.
    """

    preset: PresetName | None = option("Settings that belong together; default: fast.", panel=BASIC)
    model: str | None = option("Any timm model, by its name.", panel=BASIC)
    epochs: int | None = option("Passes over the data.", panel=BASIC)
    seed: int | None = option("Equal seeds give equal results; default: 0.", panel=BASIC)
    device: str = option("auto, cpu, cuda or cuda:N.", default="auto", panel=BASIC)
    probe: ProbeName | None = option(
        "Train a network, heads on a frozen pretrained backbone, or both; auto: both up to 64 pixels, and where "
        "heads disagree with many labels; else frozen."
    )
    embeddings: Path | None = option(
        "Train heads on these embeddings of your own: .parquet, .npy or .safetensors.", metavar="FILE"
    )
    predictions: Path | None = option(
        "Train nothing: judge by these out-of-fold class probabilities of your own; formats as --embeddings.",
        metavar="FILE",
    )
    pretrained: bool = option(
        "Fine-tune pretrained weights: the bundled ones, or those of --model (downloaded once).", default=False
    )
    network_weights: Path | None = option("Network weights for --model: safetensors or a state dict.")
    offline: bool = option("Never download anything.", default=False)
    image_size: int | None = option("Side in pixels at which the network sees images.")
    resize: ResizeName | None = option("How images that are not square are made square; default: stretch.")
    augment: AugmentName | None = option(
        "Changes to training images; default: shifts, and flips where they keep the labels."
    )
    crop_pad: int | None = option("Largest random shift of training images, in pixels.")
    batch_size: int | None = option("Images in a step.")
    lr: float | None = option("Learning rate; default: that of the preset.")
    momentum: float | None = option("Momentum of SGD; β₁ of Adam.")
    weight_decay: float | None = option("Weight decay.")
    schedule: ScheduleName | None = option("How the learning rate changes.")
    optimizer: OptimizerName | None = option("SGD with momentum, or Adam.")
    precision: PrecisionName | None = option("auto: bfloat16 where the processor has it, float32 with --preset paper.")
    members: int | None = option("Trainings with seeds of their own, all recorded; default: 1.")
    folds: int | None = option(
        "Heads on a frozen backbone, each recorded on the part of the data that it is not trained on, so AUL and AUM "
        "sum held-out losses and margins; default: 5."
    )
    threads: int | None = option("Processor threads; default: as many as this process may use.")
    deterministic: bool = option(
        "On a GPU: only steps that give the same bits each time; slower. A processor's always do.",
        "--deterministic",
        default=False,
    )
    selector: str | None = option("Back-propagate only a part of the samples; see labelaudit selectors.")
    selector_parameters: Mapping[str, object] = option(
        "A parameter of the selector; may be given several times.", "-S", metavar="NAME=VALUE", default_factory=dict
    )

    @property
    def deciding(self) -> TrainingOptions:
        """The same without the options that say how to compute and not what: device, threads and downloads."""
        return replace(self, device="auto", offline=False, threads=None, deterministic=False)
