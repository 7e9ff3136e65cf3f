"""The page's words."""

from dataclasses import replace
from pathlib import Path

import pytest

from labelaudit.audit.model import Audit
from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.names import CONTROL_KINDS
from labelaudit.report.page.words import Words, describe
from labelaudit.run.documents import Description, RecordedData
from labelaudit.run.layout import RunFolder
from tests.data.helpers import catalogue_of
from tests.report.helpers import noise

DESCRIPTION = Description(
    status="trained",
    data=RecordedData(root="zoo", fingerprint="0", classes=("ant", "bee"), samples=4),
    settings={"model": "resnet18", "kind": "frozen"},
    finished="2026-03-04T05:06:07+00:00",
)


def words(root: str = "/data/zoo", **changes: object) -> Words:
    """The words of an audit without a run folder."""
    given: dict[str, object] = {"noise_rate": 0.123, "unreadable": 1, "epochs": 20, "samples": 4}
    audit, reasons = Audit(RunFolder(Path("run"))), ["", "", "", "empty file"]
    vars(audit)["description"] = DESCRIPTION
    vars(audit)["summary"] = noise(**{**given, **changes})
    vars(audit)["catalogue"] = replace(catalogue_of([0, 0, 1, 1], reasons=reasons), root=Path(root))
    return describe(audit)


def estimator(rate: float, suspicious: int = 0) -> dict[str, object]:
    return {"rank_by": "aul", "noise_rate": rate, "suspicious": suspicious}


def planted(kind: str, planted: int, found: int) -> dict[str, object]:
    return {"kind": kind, "class": None, "planted": planted, "found": found}


def test_the_headline() -> None:
    found = words()
    assert (found.rate, found.interval, found.range) == ("12.3%", "", None)
    assert found.unreadable == "1 image of 4 cannot be read; unreadable.csv says which and why."
    assert found.unreadable_files == [("dog/3.png", "empty file")]
    assert found.facts == ["4 images", "2 classes", "20 epochs", "head on frozen resnet18", "audited 2026-03-04"]
    assert (found.estimators, found.planted, found.review) == ([], [], [])


@pytest.mark.parametrize(
    ("folder", "title"),
    [("/data/zoo", "zoo"), ("/data/zoo/Train", "zoo/Train"), ("/images", "images"), ("/", "labelaudit")],
)
def test_a_folder_with_a_common_name_is_named_after_its_parent_too(folder: str, title: str) -> None:
    assert words(folder).title == title


@pytest.mark.parametrize(
    ("rate", "shown", "sentence"),
    [
        (0.0, "0.0%", "Fewer than one label in a hundred looks wrong."),
        (0.0049, "0.5%", "Fewer than one label in a hundred looks wrong."),
        (0.01, "1.0%", "About 1 label in a hundred looks wrong."),
        (1.0, "100.0%", "About 100 labels in a hundred look wrong."),
        (None, "unknown", "How many labels are wrong could not be estimated; the ranking below stands all the same."),
    ],
)
def test_the_rate_in_words(rate: float | None, shown: str, sentence: str) -> None:
    found = words(noise_rate=rate)
    assert (found.rate, found.sentence) == (shown, sentence)


def test_interval_estimators_and_power_are_shown_when_there() -> None:
    found = words(
        noise_rate_interval=[0.08, 0.15],
        estimators={"confident-joint": estimator(0.1, 1234), "gmm": estimator(0.2)},
        power={
            "kinds": [planted("random", 500, 487), planted("none", 0, 0)],
            "review": [{"top": top, "caught": caught} for top, caught in ((300, 0.8), (600, 0.996), (900, 1.0))],
        },
    )
    assert found.interval == "between 8.0% and 15.0%"
    assert found.range == pytest.approx((8.0, 12.3, 15.0))
    assert [(row.name, row.cells, row.bold) for row in found.estimators] == [
        ("confident-joint", ("10.0%", "1,234"), False),
        ("gmm", ("20.0%", "0"), True),
    ]
    assert {row.name: row.cells for row in found.planted} == {
        "random": ("500", "487", "97.4%"),
        "none": ("0", "0", "–"),
    }
    assert found.review == [(300, "80%"), (600, "100%")]


def test_every_name_of_ours_is_explained() -> None:
    found = words(
        estimators={name: estimator(0.1) for name in (*ESTIMATORS, "next-year's")},
        power={"kinds": [planted(kind, 1, 1) for kind in (*CONTROL_KINDS, "next-year's")]},
    )
    for rows in (found.estimators, found.planted):
        assert all(row.meaning for row in rows[:-1])
        assert (rows[-1].name, rows[-1].meaning) == ("next-year's", "")
