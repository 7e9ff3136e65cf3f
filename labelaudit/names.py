"""The names that a user can choose from. This module imports nothing, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal, get_args

ProbeName = Literal["auto", "train", "frozen", "both"]
PresetName = Literal["fast", "balanced", "strong", "paper"]
ResizeName = Literal["stretch", "crop"]
AugmentName = Literal["none", "crop", "crop-flip"]
BorderName = Literal["reflect", "zeros", "edge"]
ScheduleName = Literal[
    "constant", "step", "linear", "cosine", "cosine-restarts", "one-cycle", "late-linear", "milestones"
]
OptimizerName = Literal["sgd", "adam"]
Precision = Literal["float32", "bfloat16"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
StatisticName = Literal[
    "aul", "aum", "mean_probability", "misprediction_rate", "soft_misprediction_rate", "forgetting_count", "log_odds"
]
EstimatorName = Literal["transition", "gmm"]
CopyKind = Literal["shuffled", "gaussian", "noise", "blank"]
PrioritizerName = Literal["none", "selective-backprop", "selective-backprop-entropy"]
KindName = Literal["mislabeled", "corrupted", "ambiguous", "duplicate", "no-class"]
JudgeName = Literal["lower", "estimate", "upper"]
FindingName = Literal[KindName, "unreadable", "near-duplicate", "leaked", "indistinct"]
FormatName = Literal["table", "json", "markdown", "sarif", "junit"]
ActionName = Literal["keep", "change", "drop"]
PlanFormatName = Literal["table", "json"]
DrawsName = Literal["exact", "independent"]
ComparisonFormatName = Literal["table", "json", "markdown"]
ExportName = Literal["label-studio", "cvat", "fiftyone", "huggingface", "cleanlab", "croissant"]
CorruptionName = Literal["uniform", "pair-flip", "random-labels", "shuffle-pixels", "gaussian"]
ScaleName = Literal["smoke", "small", "paper"]

COPY_KINDS: tuple[CopyKind, ...] = get_args(CopyKind)
KINDS: tuple[KindName, ...] = get_args(KindName)
