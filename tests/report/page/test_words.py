"""The page's words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.names import CONTROL_KINDS
from labelaudit.report.page.findings import Findings
from labelaudit.report.page.words import Words, describe
from labelaudit.run.documents import Description, RecordedData
from tests.data.helpers import catalogue_of
from tests.report.helpers import noise

FINDINGS = Findings(
    description=Description(
        status="trained",
        data=RecordedData(root="zoo", fingerprint="0", classes=("ant", "bee"), samples=4),
        settings={"model": "resnet18", "kind": "frozen"},
        finished="2026-03-04T05:06:07+00:00",
    ),
    noise=noise(),
    catalogue=replace(catalogue_of([0, 0, 1, 1], reasons=["", "", "", "empty file"]), root=Path("/data/my\u202ezoo")),
    statistic="aul",
    value_N=np.zeros(4),
    aul_N=np.zeros(4),
    p_mislabeled_N=np.zeros(4),
    suggested_N=np.zeros(4, dtype=np.int32),
    kind_N=np.zeros(4, dtype=np.int32),
    kinds=(),
    suspicious_N=np.zeros(4, dtype=bool),
    ranked_S=np.zeros(0, dtype=np.int32),
    rank_S=np.zeros(0, dtype=np.int32),
    new=None,
)


def words(**changes: object) -> Words:
    given: dict[str, object] = {
        "noise_rate": 0.123,
        "suspicious": 2,
        "readable": 3,
        "unreadable": 1,
        "epochs": 20,
        "samples": 4,
    }
    given["warnings"] = ["The two groups\x1b overlap."]
    return describe(replace(FINDINGS, noise=noise(**{**given, **changes})))


def estimator(rate: float, suspicious: int = 0) -> dict[str, object]:
    return {"rank_by": "aul", "noise_rate": rate, "suspicious": suspicious}


def planted(kind: str, planted: int, found: int) -> dict[str, object]:
    return {"kind": kind, "class": None, "planted": planted, "found": found}


def test_the_headline() -> None:
    found = words()
    assert (found.rate, found.suspicious, found.readable, found.set_aside) == ("12.3%", 2, 3, 1)
    assert found.sentence == "About 12 labels in a hundred look wrong."
    assert (found.interval, found.range) == ("", None)
    assert found.title == "my\\x202ezoo"
    assert found.warnings == ["The two groups\\x1b overlap."]
    assert found.facts == ["4 images", "2 classes", "20 epochs", "head on frozen resnet18", "audited 2026-03-04"]
    assert (found.estimators, found.planted, found.review) == ([], [], [])


@pytest.mark.parametrize(
    ("folder", "title"),
    [("/data/zoo", "zoo"), ("/data/zoo/Train", "zoo/Train"), ("/images", "images"), ("/", "labelaudit")],
)
def test_a_folder_whose_name_says_little_is_named_after_its_parent_too(folder: str, title: str) -> None:
    found = replace(FINDINGS, catalogue=replace(FINDINGS.catalogue, root=Path(folder)))
    assert describe(found).title == title


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
    assert [(one.name, one.rate, one.suspicious, one.used) for one in found.estimators] == [
        ("confident-joint", "10.0%", "1,234", False),
        ("gmm", "20.0%", "0", True),
    ]
    assert [(named.name, *figures) for named, *figures in found.planted] == [
        ("random", 500, 487, "97.4%"),
        ("none", 0, 0, "–"),
    ]
    assert found.review == [(300, "80%"), (600, "100%")]


def test_every_name_of_ours_is_explained() -> None:
    found = words(
        estimators={name: estimator(0.1) for name in (*ESTIMATORS, "next-year's")},
        power={"kinds": [planted(kind, 1, 1) for kind in (*CONTROL_KINDS, "next-year's")]},
    )
    for named in ([*found.estimators], [named for named, *_ in found.planted]):
        assert all(one.meaning for one in named[:-1])
        assert (named[-1].name, named[-1].meaning) == ("next-year's", "")
