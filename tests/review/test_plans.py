"""From a review to a plan: what is refused and why, where files go, which names they get."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.review.corrections import ReviewFile
from labelaudit.review.decisions import Decision, Refusal
from labelaudit.review.plan import Step, plan_labels, plan_moves
from labelaudit.review.tree import RefusedError, Tree, checked_class, checked_path, free_path
from tests.review.helpers import change, drop, keep, sha256, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/4.png")


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "photos", FILES)


def plan(root: Path, *corrections: Decision, **more):
    return plan_moves(Tree(root), ReviewFile(file=Path("c.csv"), digest="", corrections=corrections, **more))


def targets_of(root, *corrections):
    return [step.target for step in plan(root, *corrections).steps]


def refusal_of(root, *corrections):
    """Return the reason for the only refusal of a plan that does nothing."""
    planned = plan(root, *corrections)
    assert (planned.steps, planned.folders) == ((), ())
    (refused,) = planned.refused
    return refused.reason


def test_each_action_in_a_plan(root):
    wanted = (change("cat/2.png", "dog"), drop("cat/sub/3.png"), keep("dog/1.png"), change("dog/4.png", "bird"))
    unclear = (Refusal(path="a", where="task 1", reason="its annotations disagree"),)
    planned = plan(root, *wanted, change("cat/1.png", "cat"), unclear=unclear, unreviewed=3)
    assert planned.steps == (
        Step(path="cat/2.png", given_label="cat", action="change", label="dog", target="dog/2.png"),
        Step(path="cat/sub/3.png", given_label="cat", action="drop", target="../photos-dropped/cat/sub/3.png"),
        Step(path="dog/4.png", given_label="dog", action="change", label="bird", target="bird/4.png"),
    )
    dropped = "../photos-dropped"
    assert planned.folders == (dropped, f"{dropped}/cat", f"{dropped}/cat/sub", "bird")
    assert (planned.kept, planned.unreviewed, planned.refused, planned.new_classes) == (2, 3, unclear, ("bird",))
    assert planned.pairs == [("cat", "dog", 1), ("dog", "bird", 1)]
    assert planned.drops == [("cat", 1)]


def test_a_taken_name_gets_a_number(root):
    planned = plan(root, change("cat/1.png", "dog"), change("cat/2.png", "bird"), change("dog/1.png", "cat"))
    assert [step.target for step in planned.steps] == ["dog/1-2.png", "bird/2.png", "cat/1-2.png"]
    assert [step.path for step in planned.steps if step.renamed] == ["cat/1.png", "dog/1.png"]
    planned = plan(root, change("dog/1.png", "cat"), change("cat/1.png", "dog"), change("cat/2.png", "dog"))
    assert planned.pairs == [("cat", "dog", 2), ("dog", "cat", 1)]
    found = targets_of(root, change("cat/1.png", "bird"), change("dog/1.png", "bird"))
    assert found == ["bird/1.png", "bird/1-2.png"]


@pytest.mark.parametrize(
    ("path", "taken", "free"),
    [
        ("dog/1.png", [], "dog/1.png"),
        ("dog/1.png", ["dog/1.png", "dog/1-2.png"], "dog/1-3.png"),
        ("a.b/c", ["a.b/c"], "a.b/c-2"),
        ("d/" + "é" * 125 + ".png", ["d/" + "é" * 125 + ".png"], "d/" + "é" * 124 + "-2.png"),
        ("d/" + "x" * 255, ["d/" + "x" * 255], "d/" + "x" * 253 + "-2"),
        ("d/a." + "x" * 253, ["d/a." + "x" * 253], "d/a." + "x" * 251 + "-2"),
    ],
)
def test_the_first_free_number_goes_before_the_suffix(path, taken, free):
    assert free_path(path, taken.__contains__) == free


def test_a_file_in_place_of_a_folder_is_not_replaced(tmp_path):
    root = write_tree(tmp_path, ["a/x", "b/x/1.png", "c/1.png", "d/1.png"])
    planned = plan(root, change("a/x", "c"), change("b/x/1.png", "c"))
    assert [step.target for step in planned.steps] == ["c/x"]
    assert planned.refused[0].reason == "needs a folder where another file goes"
    assert targets_of(root, change("b/x/1.png", "c"), change("a/x", "c")) == ["c/x/1.png", "c/x-2"]
    assert refusal_of(root, change("b/x/1.png", "a")) == "passes through 'a/x', which is not a folder"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "no path"),
        (".", "is not a file name"),
        ("cat/\0", "is not a file name"),
        ("cat/\ud800.png", "is not a file name"),
        *((path, "leads out of the data folder") for path in ("../secret", "cat/../../secret", "/etc/passwd", "//x")),
        ("loose.png", "lies in no class folder"),
        (".git/config", "is hidden, so it is no sample"),
        ("cat/none.png", "no such file"),
        ("cat/1.png/x", "passes through 'cat/1.png', which is not a folder"),
        ("cat/sub", "is not a file"),
        ("cat/pipe", "is not a file"),
        ("cat/" + "x" * 300, "file name too long"),
    ],
)
def test_refused_paths(root, path, reason):
    write_tree(root, ["loose.png"])
    os.mkfifo(root / "cat/pipe")
    for correction in (change(path, "dog"), drop(path)):
        assert refusal_of(root, correction) == reason


@given(st.text("./a\\\0", max_size=12))
def test_an_accepted_path_stays_in_the_folder(path):
    try:
        clean = checked_path(path)
    except RefusedError:
        return
    assert not clean.startswith("/")
    assert not {"", ".", ".."} & set(clean.split("/"))


def test_names_of_classes(root):
    assert refusal_of(root, change("cat/1.png", "..")) == "'..' is no safe name for a new class folder"
    for name in ("cat", " odd ", ".x", "-x", "a\nb"):
        assert checked_class(name, ("dog", name)) == name
    for name in ("bird", "été", "a b", "x.y", "100%", "=x", "'tis"):
        assert checked_class(name, ("cat",)) == name
    unsafe = [" ", " x", "x ", ".x", "..", "-rf", "~root", "a/b", "../x", "/x", "a\\b", "a\nb", "a\x00b", "\u202ex"]
    for name in (*unsafe, "", "x" * 201):
        with pytest.raises(RefusedError, match="no safe name"):
            checked_class(name, ("cat",))
    for name, there in (("Cat", "cat"), ("STRASSE", "straße"), ("e\u0301", "\u00e9")):
        with pytest.raises(RefusedError, match="there is no class"):
            checked_class(name, (there,))


def test_symbolic_links_are_refused_wherever_they_are(root, tmp_path):
    outside = write_tree(tmp_path / "outside", ["1.png"])
    (root / "cat/link.png").symlink_to(outside / "1.png")
    (root / "cat/inner.png").symlink_to("1.png")
    (root / "cat/away").symlink_to(outside)
    (root / "bird").symlink_to(outside)
    for correction, reason in (
        (change("cat/link.png", "dog"), "is a symbolic link"),
        (drop("cat/inner.png"), "is a symbolic link"),
        (drop("cat/away/1.png"), "passes through 'cat/away', which is a symbolic link"),
        (drop("bird/1.png"), "passes through 'bird', which is a symbolic link"),
        (change("cat/1.png", "bird"), "passes through 'bird', which is a symbolic link"),
    ):
        assert refusal_of(root, correction) == reason
    (tmp_path / "photos-dropped").symlink_to(outside)
    assert refusal_of(root, drop("cat/1.png")).startswith("passes through '../photos-dropped'")


def test_a_file_that_has_changed_since_the_review_is_refused(root):
    same = change("cat/1.png", "dog", sha256=sha256("cat/1.png"))
    other = change("cat/2.png", "dog", sha256=sha256("other"))
    planned = plan(root, same, other, drop("dog/4.png", sha256="nonsense"), keep("dog/1.png", sha256=sha256("other")))
    assert [step.path for step in planned.steps] == ["cat/1.png"]
    assert [each.path for each in planned.refused] == ["cat/2.png", "dog/4.png"]
    assert {each.reason for each in planned.refused} == {"its content has changed since it was reviewed"}
    assert planned.kept == 1


def test_contradictory_corrections_are_refused_and_repeated_ones_count_once(root):
    contradictory = change("cat/1.png", "dog", where="line 2"), change("cat/1.png", "bird", where="line 3")
    repeated = drop("cat/2.png"), drop("cat//2.png"), keep("dog/4.png"), change("dog/4.png", "dog")
    planned = plan(root, *contradictory, *repeated)
    assert [step.path for step in planned.steps] == ["cat/2.png"]
    assert [refusal.where for refusal in planned.refused] == ["line 2", "line 3"]
    assert (planned.kept, planned.new_classes) == (1, ())


def test_earlier_corrections_are_counted(root):
    (root / "dog/4.png").rename(root / "dog/9-3.png")  # what had the names 9 and 9-2 then is gone again
    assert plan(root, change("cat/9.png", "dog", sha256=sha256("dog/4.png"))).done_before == 1
    for digest in (sha256("x"), ""):
        assert refusal_of(root, change("cat/9.png", "dog", sha256=digest)) == "no such file"


def test_another_file_system_is_refused(root, monkeypatch):
    monkeypatch.setattr(Tree, "device", lambda _self, path: -1 if path.startswith("dog") else root.stat().st_dev)
    assert refusal_of(root, change("cat/1.png", "dog")) == "lies on another file system than the folder it goes to"
    assert plan(root, drop("cat/1.png")).refused == ()


def prefixed(path: str, label: str = "dog") -> Decision:
    return Decision(path=path, action="change", label=label, prefixed=True)


def test_folders_before_the_path_are_removed_where_a_review_may_have_them(root):
    planned = plan(root, prefixed("srv/photos/cat/2.png"), prefixed("x/cat/sub/3.png"), prefixed("dog/4.png", "cat"))
    assert [step.path for step in planned.steps] == ["cat/2.png", "cat/sub/3.png", "dog/4.png"]
    assert refusal_of(root, prefixed("../cat/2.png")) == "leads out of the data folder"
    for correction in (prefixed("x/y/2.png"), change("photos/cat/2.png", "dog")):
        assert refusal_of(root, correction) == "no such file"

    assert "give each task the image's path" in refusal_of(root, prefixed("data/upload/3/1a2b3c4d-1.png"))
    review = ReviewFile(file=Path("c.json"), digest="", corrections=(prefixed("x/./cat//1.png", "cat"),))
    (step,) = plan_labels(root, dict.fromkeys(FILES, "dog"), review).steps
    assert step.path == "cat/1.png"
