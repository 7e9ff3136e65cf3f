"""The decisions.csv of a run as events about the samples of its audit, for a page that shows and adds decisions."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from labelaudit.data.catalogue import Catalogue
from labelaudit.review.decisions import Decision, Key, LedgerAction, append_decisions, decisions_from
from labelaudit.review.tree import RefusedError, checked_class
from labelaudit.run.layout import RunFolder

Event = tuple[str, int, LedgerAction, str]
"""Time, sample, action and label of a decision."""


@dataclass(kw_only=True)
class Ledger:
    """The ledger of a run that several threads read and append to, and other processes too.

    A decision concerns each sample of the catalogue with its content and given label. ``events`` is what the file says
    so far, in its order. The file is made where there is none, so that nobody decides in vain.

    Raises:
        StorageError: the file cannot be written.
        DataError: it is no ledger.
    """

    run: RunFolder
    catalogue: Catalogue
    reviewer: str
    events: list[Event] = field(default_factory=list)
    _read_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read what is decided, and make sure that the file can be written."""
        self._labels = [self.catalogue.classes[label] for label in self.catalogue.label_N]
        self._classes = set(self.catalogue.classes)
        self._samples: defaultdict[Key, list[int]] = defaultdict(list)
        for sample, key in enumerate(zip(self.catalogue.sha256, self._labels, strict=True)):
            self._samples[key].append(sample)
        append_decisions(self.run.decisions, [])
        self._refresh()

    def after(self, known: int) -> dict[str, object]:
        """Return the events that follow the first ``known``; all of them where there are not so many."""
        with self._lock:
            self._refresh()
            start = known if 0 <= known <= len(self.events) else 0
            return {"start": start, "events": self.events[start:]}

    def add(self, steps: Sequence[Sequence[tuple[int, LedgerAction, str]]]) -> None:
        """Append steps of decisions, those of a step with one time; where one is refused (RefusedError), none is."""
        with self._lock:
            self._refresh()
            now, lines = datetime.now(UTC), []
            for number, step in enumerate(steps):
                time = (now + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
                lines += [self._line(time, *decision) for decision in step]
            append_decisions(self.run.decisions, lines)
            self._refresh()

    def _line(self, time: str, sample: int, action: LedgerAction, label: str) -> Decision:
        if not 0 <= sample < len(self._labels) or not (sha256 := self.catalogue.sha256[sample]):
            raise RefusedError(f"there is no sample {sample} in this audit")
        if action == "change":
            if checked_class(label, self._classes) == self._labels[sample]:
                raise RefusedError(f"sample {sample} has the label {label!r} already")
            self._classes.add(label)
        elif label:
            raise RefusedError(f"a label has no meaning for {action!r}")
        return Decision(
            time=time,
            reviewer=self.reviewer,
            path=self.catalogue.paths[sample],
            given_label=self._labels[sample],
            action=action,
            label=label,
            sha256=sha256,
        )

    def _refresh(self) -> None:
        file = self.run.decisions
        if file.exists() and file.stat().st_size < self._read_bytes:  # somebody has replaced the file
            self.events, self._read_bytes = [], 0
        lines, self._read_bytes = decisions_from(file, self._read_bytes)
        for line in lines:
            self._classes.update({line.label} - {""})
            self.events += [(line.time, sample, line.action, line.label) for sample in self._samples.get(line.key, [])]
