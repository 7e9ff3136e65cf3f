import pytest

from labelaudit.data.labels_file import read_labels
from labelaudit.errors import UsageError
from labelaudit.review.relabel import plan_relabeling, relabel_labels
from tests.review.helpers import change, drop, keep, saved, sha256, write_tree

LABELS = "split,path,label,score\ntrain,./cat/1.png,cat,-3\ntest,'=x.png,'-dog,=SUM(A1)\n\ntrain,dog/1.png, cat ,+1\n"


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "photos", ["cat/1.png", "cat/2.png", "dog/1.png", "=x.png"])


@pytest.fixture
def labels(root, tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "labels.csv"


def test_a_corrected_labels_file_keeps_the_other_columns(root, labels, tmp_path):
    changed = change("cat/1.png", "+new", given_label="cat", sha256=sha256("cat/1.png"))
    corrections = saved(tmp_path / "c.csv", changed, drop("dog/1.png", given_label="cat"), keep("=x.png"))
    new = tmp_path / "new.csv"
    seen = []
    plan = relabel_labels(root, corrections, labels, new, show=lambda _: seen.append(new.exists()))
    assert seen == [False]
    assert (plan.pairs, plan.drops, plan.kept, plan.new_classes) == ([("cat", "+new", 1)], [("cat", 1)], 1, ("+new",))
    text = "split,path,label,score\ntrain,./cat/1.png,'+new,-3\ntest,'=x.png,'-dog,=SUM(A1)\n"
    assert new.read_text() == text
    assert read_labels(new).label_of == {"cat/1.png": "+new", "=x.png": "-dog"}
    with pytest.raises(UsageError, match="already exists; choose a new file"):
        relabel_labels(root, corrections, labels, labels)
    assert labels.read_text() == LABELS


def test_refused_decisions_on_a_labels_file(root, labels, tmp_path):
    refused = {
        change("../secret", "dog"): "leads out of the data folder",
        change("cat/2.png", "dog"): "is not in the labels file",
        change("cat/1.png", "dog", given_label="dog"): "has the label 'cat', but had 'dog' when it was reviewed",
        change("dog/1.png", "a\nb"): "'a\\nb' is no label",
        change("=x.png", "cat", sha256=sha256("other")): "its content has changed since it was reviewed",
    }
    plan = plan_relabeling(root, saved(tmp_path / "c.csv", *refused), labels_file=labels)
    assert plan.steps == ()
    assert [refusal.reason for refusal in plan.refused] == list(refused.values())
