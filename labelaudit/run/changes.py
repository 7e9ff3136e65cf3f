"""What changed from one audit to another: images, labels, suspicious labels, noise rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labelaudit.run.documents import ClassNoise, Noise, as_json
from labelaudit.run.lists import Row

CauseName = Literal["image", "label", "verdict"]
"""Why a label is suspicious in one audit only: the other lacks the image, or has another label or verdict for it."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different in an audit than in an earlier one.

    A suspicious label is the same one where content and given label are.

    Attributes:
        settings: The names of the settings of the training that differ.
        added, removed, relabeled: Number of images that only the later or the earlier audit has, by their content, and
            of those in both that have another label.
        new, still, gone: Rows of suspicious.csv: new and known ones of the later audit, and those that it lacks.
        new_by, gone_by: The numbers of new and gone ones by their cause.
    """

    before: Noise
    after: Noise
    settings: list[str]
    added: int
    removed: int
    relabeled: int
    new: list[Row]
    still: list[Row]
    gone: list[Row]
    new_by: dict[CauseName, int]
    gone_by: dict[CauseName, int]

    @property
    def classes(self) -> list[tuple[str, ClassNoise | None, ClassNoise | None]]:
        """Each class with its figures before and after, None where it has none."""
        before, after = ({row.name: row for row in noise.classes} for noise in (self.before, self.after))
        return [(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]

    def as_json(self) -> dict[str, object]:
        """Return everything, ready for JSON."""

        def figures(noise: Noise) -> dict[str, object]:
            return {
                "noise_rate": noise.best_rate,
                "noise_rate_interval": noise.best_interval,
                "suspicious": noise.suspicious,
                "samples": noise.samples,
                "kept": noise.kept,
            }

        return {
            "before": figures(self.before),
            "after": figures(self.after),
            "settings": self.settings,
            "images": {"added": self.added, "removed": self.removed, "relabeled": self.relabeled},
            "classes": [
                {"class": name, "before": old and as_json(old), "after": new and as_json(new)}
                for name, old, new in self.classes
            ],
            "new_by": self.new_by,
            "gone_by": self.gone_by,
            "new": self.new,
            "still": self.still,
            "gone": self.gone,
        }
