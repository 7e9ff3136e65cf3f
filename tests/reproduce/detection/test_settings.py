"""What ``--noise`` may be."""

from pathlib import Path

import pytest

from labelaudit.errors import UsageError
from labelaudit.reproduce.detection.settings import (
    PAPER_NOISE,
    Planted,
    label_settings,
    parse_noise,
    require_different,
)

CLASSES = ("cat", "dog", "fox, red", "owl")


@pytest.mark.parametrize(
    ("text", "name", "planted"),
    [
        ("uniform:0.2", "uniform:0.2", Planted(kind="uniform", rate=0.2)),
        ("uniform:.20", "uniform:0.2", Planted(kind="uniform", rate=0.2)),
        ("uniform:0", "uniform:0", Planted(kind="uniform", rate=0.0)),
        ("pair-flip:0.1", "pair-flip:0.1", Planted(kind="pair-flip", rate=0.1)),
        ("asymmetric:0.3:owl,dog", "asymmetric:0.3:owl,dog", Planted(kind="asymmetric", rate=0.3, among=(3, 1))),
        ("asymmetric:0.3:fox, red,cat", None, Planted(kind="asymmetric", rate=0.3, among=(2, 0))),
        ("one-class:0.3:dog", None, Planted(kind="one-class", rate=0.3, among=(1, 0))),
        ("one-class:0.3:cat", None, Planted(kind="one-class", rate=0.3, among=(0, 1))),
        ("one-class:0.3:fox, red", None, Planted(kind="one-class", rate=0.3, among=(2, 0))),
    ],
)
def test_noise_is_read(text: str, name: str | None, planted: Planted) -> None:
    setting = parse_noise(text, CLASSES)
    assert setting.planted == planted
    assert setting.name == (name or text)
    assert setting.labels_file is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unifrom:0.2", "no noise 'unifrom'"),
        ("uniform", "the rate '' is not a number"),
        ("uniform:20%", "the rate '20%' is not a number"),
        ("uniform:nan", "the rate 'nan'"),
        ("uniform:1", "from 0 to below 1"),
        ("uniform:-0.1", "from 0 to below 1"),
        ("uniform:0.1:cat", "uniform takes no class"),
        ("pair-flip:0.1:cat,dog", "pair-flip takes no class"),
        ("asymmetric:0.1", "'' does not name different classes"),
        ("asymmetric:0.1:cat", "asymmetric takes two classes"),
        ("asymmetric:0.1:cat,cat", "'cat,cat' does not name different classes"),
        ("asymmetric:0.1:cat,cow", "'cat,cow' does not name different classes of the data; they are cat, dog"),
        ("one-class:0.1:cat,dog", "one-class takes one class"),
        ("one-class:0.1:cow", "'cow' does not name"),
    ],
)
def test_what_is_no_noise_is_refused_with_what_would_be(text: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_noise(text, CLASSES)
    assert f"--noise {text}: " in str(refused.value)
    assert says in str(refused.value)
    assert refused.value.fix


def test_the_papers_noise_is_read_and_each_has_a_folder_of_its_own() -> None:
    settings = [parse_noise(text, CLASSES) for text in PAPER_NOISE]
    assert len(settings) == 13
    assert len({setting.folder_name for setting in settings}) == 13
    require_different(settings)


def test_folder_names_are_safe_and_settings_that_would_share_one_are_refused() -> None:
    planted = Planted(kind="one-class", rate=0.1)
    first = parse_noise("one-class:0.1:a/../b", ("a/../b", "c"))
    assert first.folder_name == "one-class-0.1-a-..-b"
    assert parse_noise("uniform:0.2", CLASSES).folder_name == "uniform-0.2"
    assert first.planted == planted
    with pytest.raises(UsageError, match="same name"):
        require_different(label_settings([Path("one/Given.csv"), Path("two/given.csv")]))
