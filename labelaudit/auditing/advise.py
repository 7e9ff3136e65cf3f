"""Advise on prioritization: how much noise a training would back-propagate that prefers high losses, or entropies.

Sources: Jiang et al. 2019 (Selective Backprop); "When does loss-based prioritization fail?", sections 3.2 and 4.

Shapes: N samples, S audited samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from labelaudit.auditing.model import Audit
from labelaudit.detect import FloatArray
from labelaudit.detect.constants import HARMLESS, POWERS
from labelaudit.names import PrioritizerName
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs

Chances = dict[tuple[PrioritizerName, str], FloatArray]

_BY_LOSS: PrioritizerName = "selective-backprop"
_BY_ENTROPY: PrioritizerName = "selective-backprop-entropy"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The share of noise among all samples, among those that each selector would take, and the fastest that is safe."""

    base_rate: float
    noise_share: Mapping[tuple[PrioritizerName, str], float]
    safe: PrioritizerName

    @property
    def sentences(self) -> list[str]:
        """The advice in words."""
        by_loss, by_entropy = (
            " and ".join(f"{self.noise_share[name, share]:.1%} (at {share})" for share in POWERS)
            for name in (_BY_LOSS, _BY_ENTROPY)
        )
        margin = f"{100 * HARMLESS:.0f} points more noise than there is"
        safe = {
            "none": f"both take over {margin}. Or take the noise out first: weights.csv, and LA002 in findings.csv.",
            _BY_LOSS: f"it takes at most {margin}.",
            _BY_ENTROPY: f"it takes at most {margin}; or none.",
        }
        return [
            f"Loss-based prioritization {'is safe' if self.safe == _BY_LOSS else 'would hurt'} here: of what Selective "
            f"Backprop would back-propagate, {by_loss} is noise, of all samples {self.base_rate:.1%}.",
            f"With the entropy instead of the loss it would be {by_entropy}.",
            f"Safe: --selector {self.safe}; {safe[self.safe]}",
        ]


def advise(run: RunFolder) -> Advice:
    """Advise on the data of an audit, from its losses and verdicts; without verdicts, raise a RunError.

    A sample is noise where its label is wrong or its image corrupted, as if these were independent.
    """
    audit = Audit(run)
    _ = audit.summary  # first: without it there are no verdicts
    right_N, intact_N = (1.0 - np.nan_to_num(audit.column(name)) for name in ("p_mislabeled", "p_corrupted"))
    sample_S = np.flatnonzero(audit.catalogue.used_N)
    epochs = read_epochs(run.losses, samples=sample_S)
    chances = selection_chances(epochs, len(sample_S), len(audit.catalogue.classes))
    return compare((1.0 - right_N * intact_N)[sample_S], chances)


def selection_chances(epochs: Iterable[EpochLosses], samples: int, classes: int) -> Chances:
    """Return each selector's chance to back-propagate a sample [S], summed over the epochs."""
    chances: Chances = {(name, share): np.zeros(samples) for name in (_BY_LOSS, _BY_ENTROPY) for share in POWERS}
    for epoch in epochs:
        loss_S, margin_S = epoch.loss_R.astype(np.float64), epoch.margin_R.astype(np.float64)
        scores = {_BY_LOSS: loss_S, _BY_ENTROPY: largest_entropy(loss_S, margin_S, classes)}
        for name, score_S in scores.items():
            rank_S = np.searchsorted(np.sort(score_S), score_S, side="left") / samples
            for share, power in POWERS.items():
                chances[name, share] += rank_S**power
    return chances


def largest_entropy(loss_S: FloatArray, margin_S: FloatArray, classes: int) -> FloatArray:
    """Return the largest entropy in nats of a prediction with this loss −ln p_y and margin ln p_y − ln p_a.

    Only the given and the most believed other probability are recorded, p_y and p_a; the rest is spread evenly over the
    other classes: −p_y ln p_y − p_a ln p_a − r ln(r / (K − 2)).
    """
    given_S, other_S = np.exp(-loss_S), np.exp(np.minimum(-loss_S - margin_S, 0.0))
    rest_S = np.maximum(1.0 - given_S - other_S, 0.0) if classes > 2 else np.zeros_like(given_S)
    entropy_S: FloatArray = entr(given_S) + entr(other_S) + entr(rest_S) + rest_S * np.log(max(classes - 2, 1))
    return entropy_S


def compare(noise_S: FloatArray, chances: Chances) -> Advice:
    """Compare the noise that each selector would back-propagate with what there is: Σ p·P / Σ P against mean p.

    The first selector is safe that takes at most `HARMLESS` more, or none is; ``noise_S`` is P(noise) of each sample.
    """
    base = float(noise_S.mean()) if len(noise_S) else 0.0
    noise_share = {
        key: float((noise_S * chance_S).sum() / chance_S.sum()) if chance_S.sum() > 0 else base
        for key, chance_S in chances.items()
    }
    harmful = {name for (name, _), share in noise_share.items() if share - base > HARMLESS}
    safe: PrioritizerName = next((name for name in (_BY_LOSS, _BY_ENTROPY) if name not in harmful), "none")
    return Advice(base_rate=base, noise_share=noise_share, safe=safe)
