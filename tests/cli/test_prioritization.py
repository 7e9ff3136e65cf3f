"""``labelaudit reproduce prioritization``: the smoke scale, resumed, only read again, and refused in one line."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import interrupted, modified, run, succeed, write_images

MEASURE = ("reproduce", "prioritization")
TWO = ("--data-set", "clean", "--data-set", "random-labels:0.5", "--algorithm", "sb-50", "--epochs", 2)


def rows(folder: str, table: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(Path(folder, f"{table}.parquet")).to_pylist()
    return found


def test_the_embedded_digits_in_a_small_table() -> None:
    outcome = succeed(*MEASURE, "--scale", "smoke", "--out", "out", *TWO, "--batch-size", 64)
    assert outcome.out == Path("out/prioritization.md").read_text()
    assert "## Table 1: speedup and error\n" in outcome.out
    assert "4 trainings of 2 epochs on 600 images, labelaudit_probe" in outcome.err
    epochs = rows("out", "epochs")
    assert [(row["data_set"], row["algorithm"], row["epoch"]) for row in epochs] == [
        (data_set, algorithm, epoch)
        for data_set in ("clean", "random-labels:0.5")
        for algorithm in ("standard", "sb-50")
        for epoch in (1, 2)
    ]
    standard = [row for row in epochs if row["algorithm"] == "standard"]
    assert [row["backpropagated"] for row in standard] == [600, 1200] * 2
    assert [row["selected_share"] for row in standard] == [0, 0, 0.5, 0.5]
    assert 0.4 < float(str(standard[3]["changed_share"])) < 0.5
    chosen = [row for row in epochs if row["algorithm"] == "sb-50"]
    assert all(600 < int(str(row["backpropagated"])) < 1100 for row in chosen if row["epoch"] == 2)
    assert {row["seed"] for row in rows("out", "results")} == {0, -1}

    # Once more: everything is there, and only the tables are written.
    before = modified(Path("out"))
    again = succeed(*MEASURE, "--scale", "smoke", "--out", "out", *TWO, "--batch-size", 64)
    changed = {name for name, when in modified(Path("out")).items() if before[name] != when}
    assert not {name for name in changed if "/" in name}
    assert again.out == outcome.out


def test_an_interrupted_table_goes_on_where_it_stopped() -> None:
    write_images(Path("train"), each=20)
    write_images(Path("test"), each=5, seed=1)
    asked = (*MEASURE, "--data", "train", "--test", "test", *TWO, "--image-size", 16, "--batch-size", 16)
    with interrupted("labelaudit.audit.training.write_checkpoint", call=6):
        assert run(*asked, "--out", "stopped").code == 130
    outcome = succeed(*asked, "--out", "stopped")
    assert "Going on after 1 of 2 epochs" in outcome.err
    succeed(*asked, "--out", "whole")
    for row, other in zip(rows("stopped", "epochs"), rows("whole", "epochs"), strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


def test_another_scale_or_other_data_need_another_place() -> None:
    for name in ("train", "test", "others"):
        write_images(Path(name), each=20)
    asked = ("--data-set", "clean", "--algorithm", "standard", "--epochs", 1, "--image-size", 16, "--out", "out")
    succeed(*MEASURE, "--data", "train", "--test", "test", *asked)
    other = run(*MEASURE, "--data", "others", "--test", "test", *asked).error
    assert "data is a copy of" in other
    assert "give another --out" in other
    smaller = run(*MEASURE, "--data", "train", "--test", "test", "--scale", "smoke", *asked).error
    assert "at most 5000 images of it" in smaller
    again = run(*MEASURE, "--data", "train", "--test", "test", *asked, "--epochs", 2).error
    assert "was begun with other settings: epochs is 1 there, 2 asked; give another --out" in again


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "--scale small needs pictures; give --data DIR and --test DIR, or --scale smoke for digits"),
        (["--scale", "paper"], "--scale paper needs pictures"),
        (["--scale", "smoke", "--data", "x"], "--data and --test go together"),
        (["--scale", "smoke", "--data-set", "gausian:0.5"], "--data-set 'gausian:0.5' is not known; did you mean"),
        (["--scale", "smoke", "--algorithm", "sb"], "--algorithm 'sb' is not known"),
        (["--scale", "smoke", "--seed", "1", "--seed", "1"], "--seed is given twice"),
        (["--scale", "smoke", "--epochs", "0"], "--epochs 0 is too small"),
        (["--data", ".", "--test", "."], "lies in --data ."),
        (["--data", "none", "--test", "none"], "there is no folder none"),
    ],
)
def test_bad_options_are_refused_in_one_line(words: list[str], error: str) -> None:
    assert error in run(*MEASURE, "--out", "out", *words).only_error
