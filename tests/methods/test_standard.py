import torch

from labelaudit.methods.base import Batch, Clock, Ingredients
from labelaudit.methods.standard import standard


def test_every_sample_is_taught_its_given_label_with_weight_1():
    label_B = torch.tensor([2, 0, 1])
    batch = Batch(row_B=torch.tensor([5, 3, 9]), label_B=label_B)
    method = standard(Ingredients(label_R=torch.zeros(10, dtype=torch.int64)))
    logits_BC = torch.tensor([[9.0, 0.0, 0.0]] * 3)
    (lesson,) = method.teach(batch, [logits_BC], Clock(epoch=0, epochs=1), torch.Generator())
    assert torch.equal(lesson.target, label_B)
    assert lesson.weight_B.tolist() == [1.0, 1.0, 1.0]
    assert lesson.per == "sample"
