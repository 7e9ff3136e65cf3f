import json
from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.sample import NONE, RIGHT, SKIPPED, WRONG, Answers
from labelaudit.errors import DataError
from labelaudit.review.answers import read_answers, record_answers, recorded_answers, sample_lines
from labelaudit.review.corrections import read_review
from labelaudit.review.decisions import Ledger
from labelaudit.text import csv_lines
from tests.cli.helpers import read_rows
from tests.run.helpers import catalogue_of

PATHS = ("ant/a.png", "ant/b.png", "bee/c.png", "bee/d.png", "bee/e.png")


def catalogue(classes=("ant", "bee", "cat")):
    label_N = np.array([0, 0, 1, 1, 1], dtype=np.int32)
    digests = tuple(f"{number:064x}" for number in range(5))
    return replace(catalogue_of(PATHS), classes=classes, label_N=label_N, sha256=digests)


def write(place, *answers, name="filled.csv", **changes):
    """A CSV with these answers to the samples in order, of which a class is the right label."""
    words = {answer: (answer, "") if answer in ("keep", "wrong", "skip", "") else ("", answer) for answer in answers}
    actions, labels = zip(*(words[answer] for answer in answers), strict=True)
    columns = {"path": PATHS[: len(answers)], "action": actions, "label": labels, **changes}
    (place / name).write_text("".join(csv_lines([*columns], zip(*columns.values(), strict=True))))
    return place / name


def test_answers_are_actions_or_the_right_label(tmp_path):
    found = read_answers(write(tmp_path, "keep", "bee", "wrong", "skip", ""), catalogue())
    assert found.answer_N.tolist() == [RIGHT, WRONG, WRONG, SKIPPED, NONE]
    assert found.label_N.tolist() == [-1, 1, -1, -1, -1]
    # The given label is the right one; a new class is not.
    found = read_answers(write(tmp_path, "ant", "wasp", "cat"), catalogue())
    assert found.answer_N.tolist() == [RIGHT, WRONG, WRONG, NONE, NONE]
    assert found.label_N.tolist() == [-1, -1, 2, -1, -1]


def test_answers_are_kept_line_by_line_and_replaced_and_read_as_corrections(tmp_path):
    ledger, audited = tmp_path / "answers.csv", catalogue()
    assert (recorded_answers(ledger, audited).answer_N == NONE).all()
    for words in (("keep", "cat", "wrong", "skip", ""), ("keep", "wrong", "", "skip", "ant")):
        answers = read_answers(write(tmp_path, *words), audited)
        for _ in range(2):  # the second time it says nothing new
            record_answers(ledger, audited, answers)
        found = recorded_answers(ledger, audited)
        assert found.answer_N.tolist() == answers.answer_N.tolist()
        assert found.label_N.tolist() == answers.label_N.tolist()
    actions = [row["action"] for row in read_rows(ledger.read_text())]
    assert actions == ["keep", "change", "wrong", "skip", "wrong", "undo", "change"]
    # In another run the same file is one of answers.
    assert read_answers(ledger, audited).answer_N.tolist() == answers.answer_N.tolist()
    found = [(one.path, one.action, one.label) for one in read_review(ledger).corrections]
    expected = [("ant/a.png", "keep", ""), ("bee/d.png", "skip", ""), ("ant/b.png", "wrong", "")]
    assert found == [*expected, ("bee/e.png", "change", "ant")]


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
    for classes in (("ant", "bee", "cat"), ("keep", "wrong", "skip"), ("=1", "+2", "-3")):
        audited = catalogue(classes)
        file = tmp_path / "sample.csv"
        file.write_text("".join(sample_lines(audited, [4, 0, 1, 2, 3], answers)))
        assert [row["path"] for row in read_rows(file.read_text())[:2]] == ["bee/e.png", "ant/a.png"]
        found = read_answers(file, audited)
        assert found.answer_N.tolist() == answers.answer_N.tolist()
        assert found.label_N.tolist() == answers.label_N.tolist()


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
    "no action": ({"action": ["keep", "perhaps"]}, "line 3: 'perhaps' is no action; write one of keep, change, drop,"),
    "twice": ({"path": ["ant/a.png", "ant/a.png"], "action": ["keep", "wrong"]}, "twice, with different answers"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_file_of_other_data_is_refused_in_one_line(tmp_path, changes, message):
    file = write(tmp_path, "keep", "keep", **changes)
    with pytest.raises(DataError) as error:
        read_answers(file, catalogue())
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_answer_twice_is_one(tmp_path):
    file = write(tmp_path, "keep", "keep", path=["ant/a.png"] * 2)
    assert read_answers(file, catalogue()).answer_N.tolist() == [RIGHT, NONE, NONE, NONE, NONE]
