import pytest
import torch

from labelaudit.methods.base import Batch, Clock, Ingredients
from labelaudit.methods.table import METHODS

CLOCK = Clock(epoch=2, epochs=10)
ENTRIES = pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)


def ingredients(rows=30, classes=4):
    generator = torch.Generator().manual_seed(0)
    truth_R = torch.randint(0, classes, (rows,), generator=generator)
    label_R = torch.where(torch.rand(rows, generator=generator) < 0.3, (truth_R + 1) % classes, truth_R)
    return Ingredients(label_R=label_R, weight_R=torch.rand(rows, generator=generator), truth_R=truth_R)


def teach(method, made_of, row_B, logits=None):
    if logits is None:
        generator = torch.Generator().manual_seed(1)
        logits = [torch.randn(len(row_B), 4, generator=generator) for _ in range(method.networks)]
    batch = Batch(row_B=row_B, label_B=made_of.label_R[row_B])
    return method.teach(batch, logits, CLOCK, torch.Generator().manual_seed(2))


@ENTRIES
def test_every_method_gives_each_network_a_lesson_that_the_loop_can_take(entry):
    made_of, row_B = ingredients(), torch.tensor([4, 29, 0, 7, 12])
    method = entry.build(made_of)
    lessons = teach(method, made_of, row_B)
    assert len(lessons) == method.networks >= 1
    for lesson in lessons:
        assert lesson.weight_B.shape == (5,)
        assert lesson.weight_B.dtype == torch.float32
        assert (lesson.weight_B >= 0).all()
        assert lesson.target.shape[0] == 5
        assert lesson.per in ("sample", "weight")


@ENTRIES
def test_every_method_follows_the_order_of_the_batch(entry):
    made_of, row_B = ingredients(), torch.arange(12)
    turned = torch.arange(12).flip(0)
    method = entry.build(made_of)
    logits = [torch.randn(12, 4, generator=torch.Generator().manual_seed(1)) for _ in range(method.networks)]
    lessons = teach(method, made_of, row_B, logits)
    again = teach(method, made_of, row_B[turned], [logits_BC[turned] for logits_BC in logits])
    for lesson, other in zip(lessons, again, strict=True):
        assert torch.equal(lesson.target[turned], other.target)
        assert torch.equal(lesson.weight_B[turned], other.weight_B)


@ENTRIES
def test_no_method_changes_what_it_was_built_from_or_shown(entry):
    made_of, untouched = ingredients(), ingredients()
    method = entry.build(made_of)
    logits = [torch.randn(30, 4) for _ in range(method.networks)]
    copies = [logits_BC.clone() for logits_BC in logits]
    teach(method, made_of, torch.arange(30), logits)
    assert all(torch.equal(one, other) for one, other in zip(logits, copies, strict=True))
    for name in ("label_R", "weight_R", "truth_R"):
        assert torch.equal(getattr(made_of, name), getattr(untouched, name))
