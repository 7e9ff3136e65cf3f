"""The table of robust-training methods, readable without importing torch."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from labelaudit.errors import UsageError
from labelaudit.hyperparameters import AUL_RETRAINING, Hyperparameters
from labelaudit.methods import parameters as p

if TYPE_CHECKING:
    from labelaudit.methods.base import Ingredients, Method

Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method.

    Attributes:
        summary, source: What it does, in a line, and where it is described.
        needs: What it cannot train without.
        factory: ``module:name`` of a class or function that makes a `Method` of `Ingredients`.
        parameters: The dataclass of its settings.
        networks: How many it trains side by side.
        predicts_together: Whether it was published with the sum of both networks' logits as its prediction.
        plans: Whether it chooses the rows of its batches.
        published: How it was trained where it was published; the AUL paper's values where that is not known.
        verifies: Whether labels are cross-validated before it is built.
    """

    name: str
    summary: str
    source: str
    needs: tuple[p.Need, ...] = ()
    factory: str
    parameters: type = p.NoParameters
    networks: int = 1
    predicts_together: bool = False
    plans: bool = False
    published: Hyperparameters = AUL_RETRAINING
    verifies: bool = False

    @property
    def differences(self) -> dict[str, object]:
        """Return the published hyperparameters that are not the AUL paper's, by name."""
        usual, published = vars(AUL_RETRAINING), vars(self.published)
        unused = () if self.published.schedule == "milestones" else ("milestones",)
        return {name: value for name, value in published.items() if value != usual[name] and name not in unused}

    def build(self, ingredients: Ingredients) -> Method:
        """Return the method, ready to teach."""
        method: Method = pkgutil.resolve_name(self.factory)(ingredients)
        return method


def _published(epochs: int, batch_size: int, *milestones: tuple[float, float], **others: Any) -> Hyperparameters:
    """Return the AUL paper's hyperparameters with others; milestones are shares of the training and rates' factors."""
    steps: dict[str, Any] = {"schedule": "milestones", "milestones": milestones} if milestones else {}
    return replace(AUL_RETRAINING, **{"epochs": epochs, "batch_size": batch_size, **steps, **others})


_MENTORNET_STEPS = ((19_531 / 39_000, 0.1), (25_000 / 39_000, 0.01), (30_000 / 39_000, 0.001))
_ELR_STEPS = ((1 / 3, 0.01), (2 / 3, 0.0001))
_D2L_SGD = {"nesterov": False, "weight_decay": 0.0, "step_decay": 1e-4}
_ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 0.001, "weight_decay": 0.0}

METHODS = (
    MethodEntry(
        name="standard",
        summary="Every sample counts the same: what noisy labels do to ordinary training.",
        source="Detecting label noise from loss curves, Table 1",
        factory="labelaudit.methods.standard:Standard",
    ),
    MethodEntry(
        name="random",
        summary="Random weights in every batch: what reweighting does by chance alone.",
        source="Ren et al. 2018, arXiv:1803.09050, section 4",
        factory="labelaudit.methods.standard:random_weights",
        published=_published(178, 100, nesterov=False, weight_decay=2e-4, crop_pad=2),
    ),
    MethodEntry(
        name="reed-hard",
        summary="The target is 0.8 given label, 0.2 the network's own prediction.",
        source="Reed et al. 2015, arXiv:1412.6596, section 3",
        factory="labelaudit.methods.standard:reed_hard",
        parameters=p.ReedHardParameters,
    ),
    MethodEntry(
        name="mentornet",
        summary="Samples with a small loss count, by MentorNet's predefined curriculum.",
        source="Jiang et al. 2018, MentorNet, arXiv:1712.05055",
        factory="labelaudit.methods.mentornet:MentorNet",
        parameters=p.MentorNetParameters,
        published=_published(111, 128, *_MENTORNET_STEPS, nesterov=False, weight_decay=2e-4, crop_pad=2),
    ),
    MethodEntry(
        name="co-teaching",
        summary="Each of two networks learns from the samples that the other one finds easy.",
        source="Han et al. 2018, arXiv:1804.06872, algorithm 1",
        needs=("noise_rate",),
        factory="labelaudit.methods.co_teaching:CoTeaching",
        parameters=p.CoTeachingParameters,
        networks=2,
        published=_published(200, 128, **_ADAM, late_momentum=0.1, schedule="late-linear", augment="none"),
    ),
    MethodEntry(
        name="d2l",
        summary="Once the network starts to memorize, its predictions take over from the labels.",
        source="Ma et al. 2018, Dimensionality-driven learning, arXiv:1806.02612",
        factory="labelaudit.methods.d2l:D2L",
        parameters=p.D2LParameters,
        plans=True,
        published=_published(120, 128, (1 / 3, 0.1), (2 / 3, 0.01), **_D2L_SGD, crop_pad=6, border="edge"),
    ),
    MethodEntry(
        name="incv",
        summary="Labels that agree with networks which have not seen them, and Co-Teaching on these.",
        source="Chen et al. 2019, INCV, arXiv:1905.05040",
        factory="labelaudit.methods.incv:Incv",
        parameters=p.IncvParameters,
        networks=2,
        plans=True,
        published=_published(200, 128, (0.4, 0.1), (0.6, 0.01), (0.8, 0.001), (0.9, 0.0005), **_ADAM, border="edge"),
        verifies=True,
    ),
    MethodEntry(
        name="elr",
        summary="What the network believed early on keeps it from memorizing labels later.",
        source="Liu et al. 2020, arXiv:2007.00151, section 4",
        factory="labelaudit.methods.elr:Elr",
        parameters=p.ElrParameters,
        # The milestones are those of asymmetric noise, for --schedule milestones.
        published=_published(
            150, 128, *_ELR_STEPS, schedule="cosine-restarts", lr=0.02, nesterov=False, weight_decay=1e-3
        ),
    ),
    MethodEntry(
        name="aul",
        summary="Samples count 1 - P(mislabeled), from an audit; likely wrong ones not at all.",
        source="Detecting label noise from loss curves, section 4.2",
        needs=("weights",),
        factory="labelaudit.methods.standard:aul",
        parameters=p.AulParameters,
    ),
    MethodEntry(
        name="oracle",
        summary="Only samples whose given label is the true one: the best that weights can do.",
        source="Detecting label noise from loss curves, Table 1",
        needs=("truth",),
        factory="labelaudit.methods.standard:Oracle",
        plans=True,
    ),
    MethodEntry(
        name="dividemix",
        summary="Suspicious samples are learned without their labels, by two networks and mixtures.",
        source="Li et al. 2020, DivideMix, arXiv:2002.07394; divided by an audit",
        needs=("weights",),
        factory="labelaudit.methods.dividemix:DivideMix",
        parameters=p.DivideMixParameters,
        networks=2,
        predicts_together=True,
        plans=True,
        published=_published(300, 256, (0.5, 0.1), lr=0.02, weight_decay=5e-4, nesterov=False),
    ),
)


def find_method(name: str) -> MethodEntry:
    """Return the method of this name; the UsageError for an unknown one names the closest."""
    return find("method", name, {entry.name: entry for entry in METHODS})


def find(kind: str, name: str, entries: Mapping[str, Entry], *others: str) -> Entry:
    """Return the entry of this name; the UsageError for an unknown one names the closest, ``others`` among them."""
    if name in entries:
        return entries[name]
    names = [*others, *entries]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    raise UsageError(f"unknown {kind} {name!r}", fix=hint)
