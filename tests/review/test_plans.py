"""From a review to a plan: what is refused and why, where files go, which names they get."""

import os
from pathlib import Path

import pytest

from labelaudit.errors import DataError
from labelaudit.review.corrections import Correction, Refusal, Review
from labelaudit.review.folders import plan_moves
from labelaudit.review.labels import plan_labels
from labelaudit.review.names import Tree
from labelaudit.review.plan import Step
from labelaudit.review.relabel import plan_relabeling
from tests.review.helpers import change, drop, keep, saved, sha256, snapshot, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/4.png")


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "photos", FILES)


def plan(root: Path, *corrections: Correction, **more):
    review = Review(file=Path("c.csv"), digest="", corrections=corrections, **more)
    return plan_moves(Tree(root), review)


def refusal_of(root, *corrections):
    """The reason for the only refusal of a plan that does nothing."""
    planned = plan(root, *corrections)
    assert planned.steps == ()
    assert planned.folders == ()
    (refused,) = planned.refused
    return refused.reason


def test_each_action_in_a_plan(root):
    planned = plan(
        root, change("cat/2.png", "dog"), drop("cat/sub/3.png"), keep("dog/1.png"), change("dog/4.png", "bird")
    )
    assert planned.steps == (
        Step(path="cat/2.png", given_label="cat", action="change", label="dog", target="dog/2.png"),
        Step(path="cat/sub/3.png", given_label="cat", action="drop", target=".labelaudit-dropped/cat/sub/3.png"),
        Step(path="dog/4.png", given_label="dog", action="change", label="bird", target="bird/4.png"),
    )
    assert planned.folders == (
        ".labelaudit-dropped",
        ".labelaudit-dropped/cat",
        ".labelaudit-dropped/cat/sub",
        "bird",
    )
    assert (planned.kept, planned.refused, planned.new_classes) == (1, (), ("bird",))
    assert planned.pairs == [("cat", "dog", 1), ("dog", "bird", 1)]
    assert planned.drops == [("cat", 1)]


def test_a_change_to_its_own_label_keeps_a_sample(root):
    planned = plan(root, change("cat/1.png", "cat"))
    assert (planned.steps, planned.kept) == ((), 1)


def test_pairs_are_counted_the_most_frequent_first(root):
    planned = plan(root, change("dog/1.png", "cat"), change("cat/1.png", "dog"), change("cat/2.png", "dog"))
    assert planned.pairs == [("cat", "dog", 2), ("dog", "cat", 1)]


def test_a_taken_name_gets_a_number_on_the_disk_and_in_the_plan(root):
    planned = plan(root, change("cat/1.png", "dog"), change("cat/2.png", "bird"), change("dog/1.png", "cat"))
    assert [step.target for step in planned.steps] == ["dog/1-2.png", "bird/2.png", "cat/1-2.png"]
    assert [step.path for step in planned.renamed] == ["cat/1.png", "dog/1.png"]
    planned = plan(root, change("cat/1.png", "bird"), change("dog/1.png", "bird"))
    assert [step.target for step in planned.steps] == ["bird/1.png", "bird/1-2.png"]


def test_a_file_where_a_folder_has_to_be_is_not_replaced(tmp_path):
    root = write_tree(tmp_path, ["a/x", "b/x/1.png", "c/1.png", "d/1.png"])
    planned = plan(root, change("a/x", "c"), change("b/x/1.png", "c"))
    assert [step.target for step in planned.steps] == ["c/x"]
    assert planned.refused[0].reason == "needs a folder where another file goes"
    planned = plan(root, change("b/x/1.png", "c"), change("a/x", "c"))
    assert [step.target for step in planned.steps] == ["c/x/1.png", "c/x-2"]
    assert refusal_of(root, change("b/x/1.png", "a")) == "passes through 'a/x', which is not a folder"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret", "leads out of the data folder"),
        ("cat/../../secret", "leads out of the data folder"),
        ("/etc/passwd", "leads out of the data folder"),
        ("", "no path"),
        ("loose.png", "lies in no class folder"),
        (".git/config", "is hidden, and so no sample"),
        ("cat/none.png", "no such file"),
        ("cat/1.png/x", "passes through 'cat/1.png', which is not a folder"),
        ("cat/sub", "is not a file"),
        ("nowhere/1.png", "no such file"),
        ("cat/" + "x" * 300, "file name too long"),
    ],
)
@pytest.mark.parametrize("action", ["change", "drop"])
def test_paths_that_are_refused(root, path, reason, action):
    (root / "loose.png").write_text("x")
    (root.parent / "secret").write_text("x")
    correction = change(path, "dog") if action == "change" else drop(path)
    assert refusal_of(root, correction) == reason


@pytest.mark.parametrize("label", ["..", "../out", "/out", ".hidden", "a/b", "", "Dog", ".labelaudit-dropped"])
def test_labels_that_are_refused(root, label):
    assert refusal_of(root, change("cat/1.png", label)).endswith(("is no safe name for a new class folder", "'dog'"))


def test_symbolic_links_are_refused_wherever_they_are(root, tmp_path):
    outside = write_tree(tmp_path / "outside", ["1.png"])
    (root / "cat/link.png").symlink_to(outside / "1.png")
    (root / "cat/inner.png").symlink_to("1.png")
    (root / "cat/away").symlink_to(outside)
    (root / "bird").symlink_to(outside)
    assert refusal_of(root, change("cat/link.png", "dog")) == "is a symbolic link"
    assert refusal_of(root, drop("cat/inner.png")) == "is a symbolic link"
    assert refusal_of(root, drop("cat/away/1.png")) == "passes through 'cat/away', which is a symbolic link"
    assert refusal_of(root, drop("bird/1.png")) == "passes through 'bird', which is a symbolic link"
    assert refusal_of(root, change("cat/1.png", "bird")) == "passes through 'bird', which is a symbolic link"
    (root / ".labelaudit-dropped").symlink_to(outside)
    assert refusal_of(root, drop("cat/1.png")).startswith("passes through '.labelaudit-dropped'")


def test_a_pipe_is_no_file(root):
    os.mkfifo(root / "cat/pipe")
    assert refusal_of(root, drop("cat/pipe")) == "is not a file"


def test_a_file_that_has_changed_since_the_review_is_refused(root):
    planned = plan(
        root,
        change("cat/1.png", "dog", sha256=sha256("cat/1.png")),
        change("cat/2.png", "dog", sha256=sha256("other")),
        drop("dog/4.png", sha256="nonsense"),
        keep("dog/1.png", sha256=sha256("other")),
    )
    assert [step.path for step in planned.steps] == ["cat/1.png"]
    assert [(refusal.path, refusal.reason) for refusal in planned.refused] == [
        ("cat/2.png", "its content has changed since it was reviewed"),
        ("dog/4.png", "its content has changed since it was reviewed"),
    ]
    assert planned.kept == 1


def test_a_sample_of_another_label_than_was_reviewed_is_refused(root):
    assert refusal_of(root, change("cat/1.png", "dog", given_label="bird")) == (
        "lies in 'cat', but had the label 'bird' when it was reviewed"
    )


def test_corrections_that_contradict_each_other_are_all_refused_and_repeated_ones_count_once(root):
    planned = plan(
        root,
        change("cat/1.png", "dog", where="line 2"),
        change("cat/1.png", "bird", where="line 3"),
        drop("cat/2.png"),
        drop("cat//2.png"),
        keep("dog/4.png"),
        change("dog/4.png", "dog"),
    )
    assert [step.path for step in planned.steps] == ["cat/2.png"]
    assert [refusal.where for refusal in planned.refused] == ["line 2", "line 3"]
    assert planned.kept == 1
    assert planned.new_classes == ()


def test_what_was_put_right_before_is_counted(root):
    moved = change("cat/9.png", "dog", sha256=sha256("dog/4.png"))
    (root / "dog/4.png").rename(root / "dog/9.png")
    assert plan(root, moved).done_before == 1
    assert refusal_of(root, change("cat/9.png", "dog", sha256=sha256("x"))) == "no such file"
    assert refusal_of(root, change("cat/9.png", "dog")) == "no such file"


def test_another_file_system_is_refused(root, monkeypatch):
    monkeypatch.setattr(Tree, "device", lambda _self, path: -1 if path.startswith("dog") else root.stat().st_dev)
    assert refusal_of(root, change("cat/1.png", "dog")) == "lies on another file system than the folder it goes to"
    assert plan(root, drop("cat/1.png")).refused == ()


def test_folders_before_the_path_are_left_out_where_a_review_may_have_them(root):
    def prefixed(path, label="dog"):
        return Correction(path=path, action="change", label=label, prefixed=True)

    planned = plan(root, prefixed("srv/photos/cat/2.png"), prefixed("x/cat/sub/3.png"), prefixed("dog/4.png", "cat"))
    assert [step.path for step in planned.steps] == ["cat/2.png", "cat/sub/3.png", "dog/4.png"]
    assert refusal_of(root, prefixed("../cat/2.png")) == "leads out of the data folder"
    assert refusal_of(root, prefixed("x/y/2.png")) == "no such file"
    assert refusal_of(root, change("photos/cat/2.png", "dog")) == "no such file"


def test_what_the_review_left_open_is_in_the_plan(root):
    unclear = Refusal(path="a", where="task 1", reason="its annotations disagree")
    planned = plan(root, unclear=(unclear,), unreviewed=3)
    assert (planned.refused, planned.unreviewed) == ((unclear,), 3)


def test_planning_writes_nothing(root, tmp_path):
    before = snapshot(tmp_path / "photos")
    corrections = saved(tmp_path / "c.csv", change("cat/1.png", "bird"), drop("dog/1.png"))
    assert len(plan_relabeling(root, corrections).steps) == 2
    assert snapshot(root) == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the folder .*none: no such file"):
        plan_relabeling(tmp_path / "none", saved(tmp_path / "c.csv", keep("cat/1.png")))


def uploaded(name: str, label: str, given_label: str = "") -> Correction:
    path = f"data/upload/3/1a2b3c4d-{name}"
    return Correction(path=path, action="change", label=label, given_label=given_label, prefixed=True)


def test_an_upload_of_label_studio_is_the_one_image_of_its_name(root):
    write_tree(root, ("cat/my photo (2).png", "cat/.hidden/4.png"))
    planned = plan(root, uploaded("3.png", "dog"), uploaded("my_photo_2.png", "dog"), uploaded("1.png", "dog", "cat"))
    assert [step.path for step in planned.steps] == ["cat/sub/3.png", "cat/my photo (2).png", "cat/1.png"]
    assert planned.refused == ()
    hint = "give each task the image's path below the data folder as data.path"
    for name, count in (("1.png", "2"), ("5.png", "no")):
        expected = f"is an upload of Label Studio, and {count} images have the name {name!r}; {hint}"
        assert refusal_of(root, uploaded(name, "dog")) == expected
    write_tree(root, ("cat/1a2b3c4d-4.png",))  # the name as it is in the data folder, no upload
    asked = Correction(path="x/cat/1a2b3c4d-4.png", action="change", label="dog", prefixed=True)
    assert [step.path for step in plan(root, asked).steps] == ["cat/1a2b3c4d-4.png"]


def test_an_upload_of_label_studio_is_found_in_a_labels_file(root):
    review = Review(file=Path("c.json"), digest="", corrections=(uploaded("4.png", "cat"), uploaded("1.png", "cat")))
    planned = plan_labels(Tree(root), dict.fromkeys(FILES, "dog"), review)
    assert [step.path for step in planned.steps] == ["dog/4.png"]
    assert "2 images have the name '1.png'" in planned.refused[0].reason
