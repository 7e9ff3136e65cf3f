import pytest
import torch

from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Clock, Ingredients
from labelaudit.methods.weighted import Weighted, aul, oracle

LABEL_R = torch.tensor([0, 1, 2, 0, 1])


def lesson_on(method, row_B):
    row_B = torch.tensor(row_B)
    batch = Batch(row_B=row_B, label_B=LABEL_R[row_B])
    (lesson,) = method.teach(batch, [torch.zeros(len(row_B), 3)], Clock(epoch=0, epochs=1), torch.Generator())
    return lesson


def test_weights_follow_the_row_of_each_sample():
    lesson = lesson_on(Weighted(torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4])), [4, 0, 2])
    assert lesson.weight_B.tolist() == pytest.approx([0.4, 0.0, 0.2])
    assert lesson.target.tolist() == [1, 0, 2]
    assert lesson.per == "weight"


def test_weights_of_double_precision_become_float32():
    assert lesson_on(Weighted(torch.ones(5, dtype=torch.float64)), [0, 1]).weight_B.dtype == torch.float32


def test_aul_weighs_samples_as_the_audit_says():
    weight_R = torch.tensor([0.99, 0.01, 1.0, 0.0, 0.5])  # 1 − P(mislabeled)
    lesson = lesson_on(aul(Ingredients(label_R=LABEL_R, weight_R=weight_R)), [0, 1, 2, 3, 4])
    assert torch.equal(lesson.weight_B, weight_R)


def test_oracle_keeps_the_samples_whose_label_is_the_true_one():
    truth_R = torch.tensor([0, 2, 2, -1, 1])  # -1: a class that the data does not have
    lesson = lesson_on(oracle(Ingredients(label_R=LABEL_R, truth_R=truth_R)), [0, 1, 2, 3, 4])
    assert lesson.weight_B.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert lesson.target.tolist() == LABEL_R.tolist()  # never the truth itself


@pytest.mark.parametrize(
    ("factory", "other", "message"),
    [
        (aul, {"truth_R": LABEL_R}, r"aul needs sample weights.*--weights"),
        (oracle, {"weight_R": torch.ones(5)}, r"oracle needs the true labels.*--truth"),
    ],
)
def test_a_missing_ingredient_is_refused_with_the_option_that_gives_it(factory, other, message):
    with pytest.raises(UsageError, match=message):
        factory(Ingredients(label_R=LABEL_R, **other))
