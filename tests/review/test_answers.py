import json
from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.sample import NONE, RIGHT, SKIPPED, WRONG, Answers
from labelaudit.errors import DataError
from labelaudit.review.answers import COLUMNS, has_answers, read_answers, record_answers, recorded_answers, sample_lines
from labelaudit.review.corrections import read_review
from labelaudit.review.decisions import Ledger
from labelaudit.text import csv_lines
from tests.cli.helpers import read_rows
from tests.review.helpers import change, drop, keep, saved
from tests.run.helpers import catalogue_of

PATHS = ("ant/a.png", "ant/b.png", "bee/c.png", "bee/d.png", "bee/e.png")


def catalogue(classes=("ant", "bee", "cat")):
    label_N = np.array([0, 0, 1, 1, 1], dtype=np.int32)
    digests = tuple(f"{number:064x}" for number in range(5))
    return replace(catalogue_of(PATHS), classes=classes, label_N=label_N, sha256=digests)


def write(place, *answers, name="answers.csv", **changes):
    """A CSV with these answers to the samples in order; ``changes`` replace a column's cells."""
    columns = {"path": PATHS[: len(answers)], "answer": answers, **changes}
    (place / name).write_text("".join(csv_lines([*columns], zip(*columns.values(), strict=True))))
    return place / name


def test_answers_are_words_or_the_right_label(tmp_path):
    found = read_answers(write(tmp_path, "Right", "bee", "no", " skip ", ""), catalogue())
    assert found.answer_N.tolist() == [RIGHT, WRONG, WRONG, SKIPPED, NONE]
    assert found.label_N.tolist() == [-1, 1, -1, -1, -1]
    # The given label is the right one.
    found = read_answers(write(tmp_path, "ant", "?", "yes", "class:cat", "wrong"), catalogue())
    assert found.answer_N.tolist() == [RIGHT, SKIPPED, RIGHT, WRONG, WRONG]
    assert found.label_N.tolist() == [-1, -1, -1, 2, -1]


def test_answers_are_kept_line_by_line_and_replaced_and_read_as_corrections(tmp_path):
    ledger, audited = tmp_path / "answers.csv", catalogue()
    assert (recorded_answers(ledger, audited).answer_N == NONE).all()
    for words in (("right", "cat", "wrong", "skip", ""), ("right", "wrong", "", "skip", "ant")):
        answers = read_answers(write(tmp_path, *words, name="filled.csv"), audited)
        for _ in range(2):  # the second time it says nothing new
            record_answers(ledger, audited, answers)
        found = recorded_answers(ledger, audited)
        assert found.answer_N.tolist() == answers.answer_N.tolist()
        assert found.label_N.tolist() == answers.label_N.tolist()
    actions = [row["action"] for row in read_rows(ledger.read_text())]
    assert actions == ["keep", "change", "wrong", "skip", "wrong", "undo", "change"]
    # In another run the same file is one of answers; where labels are corrected, only what names one counts.
    assert read_answers(ledger, audited).answer_N.tolist() == answers.answer_N.tolist()
    review = read_review(ledger)
    assert [(one.path, one.label) for one in review.corrections] == [("ant/a.png", ""), ("bee/e.png", "ant")]
    assert [one.path for one in review.unclear] == ["bee/d.png", "ant/b.png"]


def test_a_copy_has_the_answer_to_the_image_and_a_new_class_is_a_wrong_label(tmp_path):
    ledger, digest = tmp_path / "answers.csv", "0" * 64
    audited = replace(catalogue(), sha256=(digest, digest, *catalogue().sha256[2:]))
    Ledger(file=ledger, catalogue=audited, reviewer="").add([[(0, "skip", ""), (2, "change", "wasp")]])
    found = recorded_answers(ledger, audited)
    assert found.answer_N.tolist() == [SKIPPED, SKIPPED, WRONG, NONE, NONE]
    assert found.label_N.tolist() == [-1] * 5


def test_no_step_has_the_time_of_an_earlier_one_however_fast_they_follow(tmp_path):
    ledger = Ledger(file=tmp_path / "answers.csv", catalogue=catalogue(), reviewer="")
    for _ in range(3):
        ledger.add([[(number, "keep", "")] for number in range(5)])
    times = [time for time, *_ in ledger.events]
    assert times == sorted(set(times))


def test_a_written_sample_is_read_back_with_its_answers(tmp_path):
    answers = Answers.none(5)
    answers.answer_N[:] = RIGHT, WRONG, SKIPPED, WRONG, NONE
    answers.label_N[3] = 2
    for classes in (("ant", "bee", "cat"), ("right", "wrong", "skip"), ("=1", "+2", "-3")):
        audited = catalogue(classes)
        file = tmp_path / "sample.csv"
        file.write_text("".join(sample_lines(audited, [4, 0, 1, 2, 3], answers)))
        assert has_answers(file)
        rows = read_rows(file.read_text())
        assert tuple(rows[0]) == COLUMNS
        assert [row["place"] for row in rows] == ["1", "2", "3", "4", "5"]
        assert [row["path"] for row in rows[:2]] == ["bee/e.png", "ant/a.png"]
        found = read_answers(file, audited)
        assert found.answer_N.tolist() == answers.answer_N.tolist()
        assert found.label_N.tolist() == answers.label_N.tolist()


def test_corrections_are_answers_too(tmp_path):
    review = saved(
        tmp_path / "c.csv",
        *(keep("ant/a.png"), change("ant/b.png", "bee"), drop("bee/c.png"), change("bee/d.png", "bee")),
    )
    found = read_answers(review.file, catalogue())
    assert found.answer_N.tolist() == [RIGHT, WRONG, WRONG, RIGHT, NONE]
    assert found.label_N.tolist() == [-1, 1, -1, -1, -1]


def test_a_ledger_is_an_answer_about_labels_and_a_dropped_copy_is_no_wrong_label(tmp_path):
    ledger, audited, group = tmp_path / "decisions.csv", catalogue(), "a1" * 8
    Ledger(file=ledger, catalogue=audited, reviewer="").add(
        [[(0, "keep", ""), (1, "drop", ""), (2, "keep-copy", group), (3, "drop-copy", group)]]
    )
    ledger.write_text(ledger.read_text().replace("ant/a.png", "ant/renamed.png"))
    assert read_answers(ledger, audited).answer_N.tolist() == [RIGHT, WRONG, NONE, NONE, NONE]


def test_label_studio_names_paths_by_address_and_unclear_tasks_are_skipped(tmp_path):
    def task(path, *choices):
        result = [{"from_name": "label", "value": {"choices": [choice]}} for choice in choices]
        return {"data": {"image": f"/data/local-files/?d=photos/{path}"}, "annotations": [{"result": result}]}

    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([task("ant/a.png", "ant"), task("ant/b.png", "cat"), task("bee/c.png", "ant", "cat")]))
    found = read_answers(file, catalogue())
    assert found.answer_N.tolist() == [RIGHT, WRONG, SKIPPED, NONE, NONE]


BAD = {
    "an unknown path": ({"path": ["ant/a.png", "ant/x.png"]}, "line 3: 'ant/x.png' is not in this audit"),
    "another image": ({"sha256": [f"{0:064x}", "ff"]}, "line 3: 'ant/b.png' is another image than the one that was"),
    "another label": ({"given_label": ["ant", "bee"]}, "'ant/b.png' has the label 'ant' in this audit, and 'bee' in"),
    "no class": ({"answer": ["right", "dog"]}, "line 3: 'dog' is no answer and no class; write right, wrong, skip or"),
    "twice": ({"path": ["ant/a.png", "ant/a.png"], "answer": ["right", "bee"]}, "twice, with different answers"),
    "twice, once empty": ({"path": ["ant/a.png", "ant/a.png"], "answer": ["right", ""]}, "twice, with different"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_file_of_other_data_is_refused_in_one_line(tmp_path, changes, message):
    file = write(tmp_path, "right", "right", **changes)
    with pytest.raises(DataError) as error:
        read_answers(file, catalogue())
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_answer_twice_is_one(tmp_path):
    file = write(tmp_path, "right", "right", path=["ant/a.png"] * 2)
    assert read_answers(file, catalogue()).answer_N.tolist() == [RIGHT, NONE, NONE, NONE, NONE]


def test_a_word_that_is_a_class_too_is_refused(tmp_path):
    audited = catalogue(("left", "right", "up"))
    with pytest.raises(DataError, match="'right' is an answer, and a class too; write yes for the answer, or class:ri"):
        read_answers(write(tmp_path, "right"), audited)
    found = read_answers(write(tmp_path, "class:right", "yes", "left"), audited)
    assert found.answer_N.tolist() == [WRONG, RIGHT, WRONG, NONE, NONE]
