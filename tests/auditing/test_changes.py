"""What changed between two audits, worked out by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from labelaudit.auditing.changes import find_changes
from labelaudit.report.console import show_changes
from labelaudit.report.markdown import render_changes
from labelaudit.report.sentences import changes_lines, changes_sentence
from labelaudit.run.changes import Changes
from labelaudit.run.documents import Description, RecordedData
from labelaudit.run.lists import SUSPICIOUS_COLUMNS
from tests.data.helpers import catalogue_of
from tests.report.helpers import class_noise, noise, row
from tests.report.test_console import printed


def made_up(
    samples: Sequence[tuple[str, int]],
    suspicious: Sequence[int],
    settings: dict[str, object] | None = None,
    **changes: object,
) -> Any:
    """What `find_changes` reads of an audit: samples with this content and label, of which these are suspicious."""
    paths = tuple(f"{number}.png" for number in range(len(samples)))
    catalogue = catalogue_of([label for _, label in samples], paths=paths)
    catalogue = replace(catalogue, sha256=tuple(content for content, _ in samples))
    rows = [
        row(rank + 1, path=paths[number], given_label=catalogue.classes[samples[number][1]], sha256=samples[number][0])
        for rank, number in enumerate(suspicious)
    ]
    figures = ("p_mislabeled", "label_score", "aul", "aum")
    cells = {name: [(float if name in figures else str)(each[name]) for each in rows] for name in SUSPICIOUS_COLUMNS}
    description = Description(status="trained", data=RecordedData.of(catalogue), settings=settings or {})
    summary = noise(suspicious=len(rows), **changes)
    return SimpleNamespace(suspicious=pa.table(cells), catalogue=catalogue, summary=summary, description=description)


@pytest.fixture
def changes() -> Changes:
    old = [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 0), ("e", 0), ("f", 1), ("k", 0)]
    # b is relabeled; one copy of e is relabeled and gets a copy; c and f are gone; g and h are new.
    new = [("a", 0), ("b", 1), ("d", 1), ("e", 0), ("e", 1), ("e", 1), ("g", 0), ("h", 1), ("k", 0)]
    before = made_up(
        old,
        [0, 1, 2, 7],
        noise_rate=0.078,
        noise_rate_interval=[0.05, 0.11],
        classes=[class_noise("ant", 0.05), class_noise("bee", 0.2)],
    )
    after = made_up(
        new,
        [0, 4, 5, 6, 2],
        noise_rate=0.003,
        noise_rate_interval=[0.0, 0.02],
        kept=1,
        classes=[class_noise("bee", 0.1, 200), class_noise("cat", 0.01)],
    )
    return find_changes(before, after)


def test_suspicious_labels_are_new_known_or_gone_and_why(changes: Changes) -> None:
    assert [each["sha256"] for each in changes.new] == ["e", "e", "g", "d"]
    assert [each["sha256"] for each in changes.still] == ["a"]
    assert [each["sha256"] for each in changes.gone] == ["b", "c", "k"]
    assert changes.new_by == {"image": 1, "label": 2, "verdict": 1}
    assert changes.gone_by == {"image": 1, "label": 1, "verdict": 1}


def test_the_sentences(changes: Changes) -> None:
    assert changes_sentence(changes) == (
        "+3 images, −2 images, 2 labels changed; suspicious 4 → 5, noise rate 7.8% → 0.3%; 1 kept label hidden"
    )
    assert changes_lines(changes) == [
        "Images: +3 images, −2 images, 2 labels changed",
        "Noise rate: 7.8% (5.0% to 11.0%) → 0.3% (0.0% to 2.0%)",
        "Suspicious: 4 → 5; 1 still there, 4 new (1 of added images, 2 of changed labels, 1 judged otherwise), "
        "3 gone (1 of removed images, 1 of changed labels, 1 judged otherwise)",
        "Kept by a person: 0 → 1",
    ]


def test_other_settings_are_named() -> None:
    samples = [("a", 0), ("b", 1)]
    before = made_up(samples, [], {"epochs": 4, "seed": 0, "lr": 0.1})
    after = made_up(samples, [], {"epochs": 5, "lr": 0.1, "model": "new"})
    changes = find_changes(before, after)
    assert changes.settings == ["epochs", "model", "seed"]
    assert changes_sentence(changes).endswith("; trained otherwise (epochs, model, seed)")
    assert changes_lines(changes)[1] == "Trained otherwise: epochs, model, seed"


def test_nothing_changed() -> None:
    audit = made_up([("a", 0), ("b", 1)], [1], noise_rate=None)
    same = find_changes(audit, audit)
    assert changes_sentence(same) == "no image or label changed; suspicious 1 → 1, noise rate unknown → unknown"
    assert changes_lines(same)[2] == "Suspicious: 1 → 1; 1 still there, 0 new, 0 gone"


def test_table_markdown_and_json_say_the_same(changes: Changes) -> None:
    table = printed(show_changes, changes)
    rows = [" ".join(line.split()) for line in table.splitlines()]
    classes = ["bee 100 → 200 20 → 20 20.0% → 10.0%", "ant 100 → - 5 → - 5.0% → -", "cat - → 100 - → 1 - → 1.0%"]
    assert [line for line in rows if line in classes] == classes  # the largest change first
    assert {"New, the first of 4:", "Still there, the first of 1:", "Gone, the first of 3:"} <= set(rows)
    markdown = render_changes(changes)
    assert "| `bee` | 100 → 200 | 20 → 20 | 20.0% → 10.0% |" in markdown
    assert "### Gone\n\n- `1.png`: `cat` → `bee`\n" in markdown
    value = json.loads(json.dumps(changes.as_json()))
    assert value["images"] == {"added": 3, "removed": 2, "relabeled": 2}
    figures = {"noise_rate": 0.003, "noise_rate_interval": [0.0, 0.02], "suspicious": 5, "samples": 300, "kept": 1}
    assert value["after"] == figures
    assert value["classes"][0]["after"] is None
    assert [len(value[name]) for name in ("new", "still", "gone")] == [4, 1, 3]
