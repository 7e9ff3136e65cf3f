"""The page's words and table rows."""

from pathlib import Path

import pytest

from labelaudit.audit.model import Audit
from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.names import CONTROL_KINDS
from labelaudit.report.page.words import (
    control_rows,
    estimator_rows,
    facts_of,
    rate_sentence,
    review_shares,
    title_of,
)
from labelaudit.run.documents import Description, RecordedData
from labelaudit.run.layout import RunFolder
from tests.data.helpers import catalogue_of
from tests.report.helpers import noise


def estimator(rate: float, suspicious: int = 0) -> dict[str, object]:
    return {"rank_by": "aul", "noise_rate": rate, "suspicious": suspicious}


def planted(kind: str, planted: int, found: int) -> dict[str, object]:
    return {"kind": kind, "class": None, "planted": planted, "found": found}


def test_the_facts() -> None:
    audit = Audit(RunFolder(Path("run")))
    vars(audit)["summary"], vars(audit)["catalogue"] = noise(epochs=20), catalogue_of([0, 0, 1, 1])
    vars(audit)["description"] = Description(
        status="trained",
        data=RecordedData(root="zoo", fingerprint="0", classes=("ant", "bee"), samples=4),
        settings={"model": "resnet18", "kind": "frozen"},
        finished="2026-03-04T05:06:07+00:00",
    )
    assert facts_of(audit) == ["4 images", "2 classes", "20 epochs", "head on frozen resnet18", "audited 2026-03-04"]


@pytest.mark.parametrize(
    ("folder", "title"),
    [("/data/zoo", "zoo"), ("/data/zoo/Train", "zoo/Train"), ("/images", "images"), ("/", "labelaudit")],
)
def test_a_folder_with_a_common_name_is_named_after_its_parent_too(folder: str, title: str) -> None:
    assert title_of(Path(folder)) == title


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        (0.0049, "Fewer than one label in a hundred looks wrong."),
        (0.01, "About 1 label in a hundred looks wrong."),
        (1.0, "About 100 labels in a hundred look wrong."),
        (None, "The share of wrong labels could not be estimated; the ranking below is still valid."),
    ],
)
def test_the_rate_in_words(rate: float | None, sentence: str) -> None:
    assert rate_sentence(rate) == sentence


def test_estimators_and_power_by_hand() -> None:
    found = noise(
        estimators={"confident-joint": estimator(0.1, 1234), "gmm": estimator(0.2)},
        power={
            "kinds": [planted("random", 500, 487), planted("none", 0, 0)],
            "review": [{"top": top, "caught": caught} for top, caught in ((300, 0.8), (600, 0.996), (900, 1.0))],
        },
    )
    assert [(row.name, row.cells, row.bold) for row in estimator_rows(found)] == [
        ("confident-joint", ("10.0%", "1,234"), False),
        ("gmm", ("20.0%", "0"), True),
    ]
    assert [row.cells for row in control_rows(found)] == [("500", "487", "97.4%"), ("0", "0", "–")]
    assert review_shares(found) == [(300, "80%"), (600, "100%")]


def test_every_name_of_ours_is_explained() -> None:
    found = noise(
        estimators={name: estimator(0.1) for name in (*ESTIMATORS, "next-year's")},
        power={"kinds": [planted(kind, 1, 1) for kind in (*CONTROL_KINDS, "next-year's")]},
    )
    for rows in (estimator_rows(found), control_rows(found)):
        assert all(row.meaning for row in rows[:-1])
        assert (rows[-1].name, rows[-1].meaning) == ("next-year's", "")
