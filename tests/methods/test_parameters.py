import re
from dataclasses import dataclass
from typing import Literal

import pytest

from labelaudit.errors import UsageError
from labelaudit.methods.parameters import NoParameters, describe_parameters, make_parameters, parameter
from labelaudit.methods.table import METHODS


@dataclass(frozen=True, kw_only=True)
class Every:
    """One of each kind."""

    beta: float = parameter(0.8, "a share", least=0, most=1)
    rate: float | None = parameter(None, "from the audit", above=0, below=1)
    epochs: int = parameter(10, "how many", least=1)
    fast: bool = parameter(False, "a switch")
    mode: Literal["one", "two"] = parameter("one", "a choice")


def made(**given):
    return make_parameters("every", Every, given)


def test_text_and_values_are_read():
    expected = Every(beta=0.5, rate=0.25, epochs=3, fast=True, mode="two")
    assert made(beta="0.5", rate="0.25", epochs="3", fast="True", mode="two") == expected
    assert made(beta=0.5, rate=0.25, epochs=3, fast=True, mode="two") == expected
    assert made() == Every()
    assert made(beta=1) == Every(beta=1.0)
    assert isinstance(made(beta=1).beta, float)
    assert made(epochs=4.0).epochs == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bta": "1"}, "unknown parameter 'bta' for every; it has: beta, rate, epochs, fast, mode"),
        ({"beta": "high"}, "parameter beta of every is 'high'; give a number"),
        ({"beta": ""}, "parameter beta of every is ''; give a number"),
        ({"beta": "nan"}, "parameter beta of every is 'nan'; give a number"),
        ({"beta": "inf"}, "parameter beta of every is 'inf'; give a number"),
        ({"beta": True}, "parameter beta of every is True; give a number"),
        ({"beta": [1]}, "parameter beta of every is [1]; give a number"),
        ({"beta": "1.5"}, "parameter beta of every is 1.5, out of range; give at least 0 and at most 1"),
        ({"beta": "-0.1"}, "parameter beta of every is -0.1, out of range; give at least 0 and at most 1"),
        ({"rate": 0}, "parameter rate of every is 0, out of range; give more than 0 and less than 1"),
        ({"rate": 1.0}, "parameter rate of every is 1.0, out of range; give more than 0 and less than 1"),
        ({"epochs": "2.5"}, "parameter epochs of every is '2.5'; give a whole number"),
        ({"epochs": 2.5}, "parameter epochs of every is 2.5; give a whole number"),
        ({"epochs": "0"}, "parameter epochs of every is 0, out of range; give at least 1"),
        ({"fast": "maybe"}, "parameter fast of every is 'maybe'; give true or false"),
        ({"fast": 1}, "parameter fast of every is 1; give true or false"),
        ({"mode": "three"}, "parameter mode of every is 'three'; give one or two"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_a_line(given, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        made(**given)


def test_a_method_without_parameters_says_so():
    with pytest.raises(UsageError, match=r"unknown parameter 'beta' for standard; it has none$"):
        make_parameters("standard", NoParameters, {"beta": 1})


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)
def test_every_parameter_of_the_table_is_described_and_its_default_is_in_range(entry):
    described = describe_parameters(entry.parameters)
    defaults = {info.name: info.default for info in described if info.default is not None}
    assert make_parameters(entry.name, entry.parameters, defaults) == entry.parameters()
    assert all(info.what for info in described)
    for info in described:
        if info.default is None:
            assert info.name in entry.needs or "if not given" in info.what
