import pytest
import torch

from labelaudit.auditing.probe import Folds, draw_folds
from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, Clock

FOLD_R = torch.tensor([0, 1, 2, 0, 1])
ROW_B = torch.tensor([3, 2, 4])  # of the folds 0, 2, 1
BATCH = Batch(row_B=ROW_B, label_B=torch.tensor([1, 0, 1]))


def logits():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 2, generator=generator) for _ in range(3)]


def test_a_head_learns_the_mean_loss_of_the_folds_of_the_others():
    seen = logits()
    lessons = Folds(FOLD_R, 3).teach(BATCH, seen, Clock(epoch=0, epochs=1), torch.Generator())
    assert [lesson.weight_B.tolist() for lesson in lessons] == [[0, 1, 1], [1, 1, 0], [1, 0, 1]]
    for number, (logits_BC, lesson) in enumerate(zip(seen, lessons, strict=True)):
        loss_B = torch.nn.functional.cross_entropy(logits_BC, BATCH.label_B, reduction="none")
        others = FOLD_R[ROW_B] != number
        assert lesson_loss(logits_BC, lesson).item() == pytest.approx(loss_B[others].mean().item(), rel=1e-6)


def test_what_is_recorded_is_what_the_head_says_that_was_not_taught_the_sample():
    seen = logits()
    found_BC = Folds(FOLD_R, 3).recorded(BATCH, seen)
    assert torch.equal(found_BC, torch.stack([seen[0][0], seen[2][1], seen[1][2]]))


def test_folds_share_out_every_class_and_depend_on_the_draw():
    label_R = torch.tensor([0] * 23 + [1] * 10 + [2] * 2)[
        torch.randperm(35, generator=torch.Generator().manual_seed(3))
    ]
    fold_R = draw_folds(label_R, 5, torch.Generator().manual_seed(0))
    for label in range(3):
        sizes = torch.bincount(fold_R[label_R == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert torch.bincount(fold_R).tolist() == [7] * 5
    assert not torch.equal(fold_R, draw_folds(label_R, 5, torch.Generator().manual_seed(1)))
