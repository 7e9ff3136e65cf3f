import re
from dataclasses import dataclass, fields, replace
from typing import Literal

import pytest
import torch
from torch.nn import functional

from labelaudit.errors import UsageError
from labelaudit.methods.base import Ingredients, Method, Mixing, steer, without_single
from labelaudit.methods.parameters import NoParameters, OneOrMore, Share, SomeShare, make_parameters, parameter
from labelaudit.methods.table import METHODS, find_method
from tests.methods.helpers import generator, verified

LABEL_R = torch.zeros(3, dtype=torch.int64)
NEEDS = ("weights", "truth", "noise_rate")


def ingredients(entry, needs):
    parameters = entry.parameters()
    if "noise_rate" in needs and hasattr(parameters, "noise_rate"):
        parameters = replace(parameters, noise_rate=0.2)
    return Ingredients(
        label_R=LABEL_R,
        classes=2,
        parameters=parameters,
        weight_R=torch.ones(3) if "weights" in needs else None,
        truth_R=LABEL_R if "truth" in needs else None,
        verified=verified(3) if entry.verifies else None,
    )


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)
def test_every_entry_is_found_documented_and_built_from_what_it_needs_only(entry):
    assert find_method(entry.name) is entry
    assert re.fullmatch(r"[^\n]+\.", entry.summary)
    assert entry.source
    method = entry.build(ingredients(entry, entry.needs))
    assert (method.networks, type(method).plan_epoch is not Method.plan_epoch) == (entry.networks, entry.plans)
    for missing in entry.needs:
        with pytest.raises(UsageError, match=f"the method {entry.name} needs"):
            entry.build(ingredients(entry, [need for need in NEEDS if need != missing]))
    if entry.verifies:
        with pytest.raises(UsageError, match="needs cross-validated labels"):
            entry.build(replace(ingredients(entry, entry.needs), verified=None))
    defaults = {of.name: of.default for of in fields(entry.parameters)}
    assert make_parameters(entry.name, entry.parameters, defaults) == entry.parameters()
    assert all(of.metadata["what"] for of in fields(entry.parameters))
    assert {name for name, default in defaults.items() if default is None} <= set(entry.needs)


@dataclass(frozen=True, kw_only=True)
class Every:
    """One of each kind."""

    beta: Share = parameter(0.8, "a share")
    rate: SomeShare | None = parameter(None, "from the audit")
    epochs: OneOrMore = parameter(10, "how many")
    fast: bool = parameter(False, "a switch")
    mode: Literal["one", "two"] = parameter("one", "one: this; two: that")


def made(**given):
    return make_parameters("every", Every, given)


def test_text_and_values_are_read():
    values = {"beta": 0.5, "rate": 0.25, "epochs": 3, "fast": True, "mode": "two"}
    assert made(**values) == made(**{name: str(value) for name, value in values.items()}) == Every(**values)
    assert made() == Every()
    assert isinstance(made(beta=1).beta, float)
    assert made(epochs=4.0).epochs == 4
    assert made(beta=".5", rate="1e-1") == Every(beta=0.5, rate=0.1)


def test_unknown_parameters_are_refused():
    for kind, has in ((Every, "it has: beta, rate, epochs, fast, mode"), (NoParameters, "it has none")):
        with pytest.raises(UsageError, match=f"unknown parameter 'bta' for every; {has}"):
            make_parameters("every", kind, {"bta": "1"})


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("beta", ("x", "", "nan", True, [1]), "float"),
        ("beta", ("1.5", "-0.1"), "float"),
        ("rate", (0, "inf"), "float"),
        ("epochs", ("2.5", 2.5, "0"), "int"),
        ("fast", ("maybe", 0.5), "bool"),
        ("mode", ("three",), "enum value"),
    ],
)
def test_bad_parameters_are_refused_in_a_line(name, values, expected):
    for value in values:
        with pytest.raises(UsageError, match=f"^parameter {name} of every is .*{expected}.*; {name}: [^\n]+$") as told:
            made(**{name: value})
        assert repr(value) in str(told.value)


def test_cross_entropy_with_a_steered_target_has_the_wanted_gradient():
    logits_BC = torch.randn(5, 4, generator=generator(), requires_grad=True)
    # Of a loss that a common shift of logits leaves alone.
    squared = (logits_BC.softmax(dim=1) - torch.tensor([0.1, 0.2, 0.7, 0.0])).square().sum()
    (wanted_BC,) = torch.autograd.grad(squared, logits_BC)
    target_BC = steer(logits_BC.detach(), wanted_BC)
    torch.testing.assert_close(target_BC.sum(dim=1), torch.ones(5))
    loss = functional.cross_entropy(logits_BC, target_BC, reduction="sum")
    torch.testing.assert_close(torch.autograd.grad(loss, logits_BC)[0], wanted_BC)


def test_blending_and_joining_by_hand():
    mixing = Mixing(partner_B=torch.tensor([1, 2, 0]), factor_B=torch.tensor([1.0, 0.75, 0.5]))
    assert mixing.blend(torch.eye(3)).tolist() == [[1, 0, 0], [0, 0.75, 0.25], [0.5, 0, 0.5]]
    for sizes, joined in (([3, 2], [3, 2]), ([3, 3, 1], [3, 4]), ([1], [1])):
        assert [len(batch) for batch in without_single([torch.zeros(size) for size in sizes])] == joined
