import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labelaudit.data.folder import scan
from labelaudit.errors import RunError, UsageError
from labelaudit.reproduce import runner
from labelaudit.reproduce.detection import PAPER_NOISE

CLASSES = ("cat", "dog", "red fox", "owl")
NAN = math.nan


@pytest.mark.parametrize(
    ("text", "name", "kind", "rate", "among"),
    [
        ("uniform:.20", "uniform:0.2", "uniform", 0.2, (0, 1)),
        ("asymmetric:0:owl,dog", "asymmetric:0:owl,dog", "asymmetric", 0.0, (3, 1)),
        ("one-class:0.3:red fox", "one-class:0.3:red fox", "one-class", 0.3, (2, 0)),
    ],
)
def test_noise_is_read(text: str, name: str, kind: str, rate: float, among: tuple[int, int]) -> None:
    case = runner.parse_noise(text, CLASSES)
    assert (case.name, case.kind, case.rate, case.among, case.labels_file) == (name, kind, rate, among, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unifrom:0.2", "no noise 'unifrom'"),
        ("uniform", "the rate '' is not a number"),
        ("uniform:nan", "the rate 'nan'"),
        ("uniform:-0.1", "from 0 to below 1"),
        ("uniform:0.1:cat", "uniform takes no class"),
        ("asymmetric:0.1:cat", "asymmetric takes two classes"),
        ("asymmetric:0.1:cat,cow", "asymmetric takes two classes; the classes are cat, dog, red fox, owl"),
        ("one-class:0.1:cat,dog", "one-class takes one class"),
    ],
)
def test_noise_that_cannot_be_read_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        runner.parse_noise(text, CLASSES)
    assert f"--noise {text}: " in str(refused.value)
    assert says in str(refused.value)


def test_each_case_has_a_safe_folder_of_its_own() -> None:
    assert len({case.folder_name for case in runner.noise_cases(PAPER_NOISE, CLASSES)}) == 13
    assert runner.parse_noise("one-class:0.1:a/../b", ("a/../b", "c")).folder_name == "one-class-0.1-a-..-b"
    with pytest.raises(UsageError, match="same name"):
        runner.noise_cases([], CLASSES, [Path("one/Given.csv"), Path("two/given.csv")])


def test_errors_are_planted_exactly_once(image_folder: Callable[..., Path], tmp_path: Path) -> None:
    clean = scan(image_folder(classes=("ant", "bee", "cat"), each=10))
    case = runner.parse_noise("pair-flip:0.2", clean.classes)
    data = runner.noisy_data(clean, case, tmp_path, 3)
    given = data.scan()
    wrong_N = given.label_N != clean.label_N
    assert wrong_N.sum() == 6
    assert ((given.label_N - clean.label_N) % 3)[wrong_N].tolist() == [1] * 6
    before = data.labels_file.stat().st_mtime_ns
    runner.noisy_data(clean, case, tmp_path, 3)
    assert data.labels_file.stat().st_mtime_ns == before
    with pytest.raises(RunError, match="holds other labels"):
        runner.noisy_data(runner.take(clean, np.arange(20)), case, tmp_path, 3)


def test_a_row_is_computed_once(tmp_path: Path) -> None:
    row, file = {"noise": "n", "seed": 0, "auroc": NAN}, tmp_path / "a.json"
    for compute in (lambda: [row], lambda: pytest.fail("computed again")):
        assert str(runner.remembered(file, {"x": 1}, compute)) == str([row])  # NaN is not equal to itself
    with pytest.raises(RunError, match="is of other settings"):
        runner.remembered(file, {"x": 2}, lambda: [row])
    for text in ("{", "[]", "{}"):
        file.write_text(text)
        with pytest.raises(RunError, match="is damaged"):
            runner.remembered(file, {"x": 1}, lambda: [row])


def test_figures_are_means_with_their_spread() -> None:
    found = runner.spread([1.0, 2.0, 6.0, NAN])
    assert found == (3.0, pytest.approx(math.sqrt(7)), 3)
    assert runner.figure([0.9, 0.8]) == "0.8500 ± 0.0707"
    assert runner.figure([NAN, 0.5, 0.5], 1) == "0.5 ± 0.0 (2 of 3)"
    assert runner.figure([NAN]) == runner.figure([]) == "–"
    rows = [
        {"of": of, "in": name, "value": value} for of, name, value in (("a|b", "x", 1), ("c", "y", 2), ("c", "y", 4))
    ]
    assert runner.pivot(
        "T", "N", rows, {"key": "of"}, {"n, {}": ("value", 0), "{}": lambda own: str(len(own))}, across="in"
    )[4:] == [
        *("| key | n, x | x | n, y | y |", "|---|---|---|---|---|"),
        *("| a\\|b | 1 | 1 | – | – |", "| c | – | – | 3 ± 1 | 2 |", ""),
    ]
    assert runner.pivot("T", "N", [], {"key": "of"}, {}) == []
