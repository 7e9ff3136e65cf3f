import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch

from labelaudit.errors import UsageError
from labelaudit.methods.base import Ingredients, Plans
from labelaudit.methods.table import METHODS, find_method
from tests.methods.helpers import verified

GIVEN_BY_NEED = {
    "weights": {"weight_R": torch.ones(3)},
    "truth": {"truth_R": torch.zeros(3, dtype=torch.int64)},
    "noise_rate": {},
}
ENTRIES = pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)


def ingredients(entry, needs):
    given = {name: value for need in needs for name, value in GIVEN_BY_NEED[need].items()}
    parameters = entry.parameters()
    if "noise_rate" in needs and "noise_rate" in {field.name for field in fields(parameters)}:
        parameters = replace(parameters, noise_rate=0.2)
    if entry.verifies:
        given["verified"] = verified(3)
    return Ingredients(label_R=torch.zeros(3, dtype=torch.int64), classes=2, parameters=parameters, **given)


def test_the_table_is_read_without_importing_torch():
    code = (
        "import sys; from labelaudit.methods.table import METHODS, find_method; find_method(METHODS[0].name); "
        "print(len(METHODS), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(METHODS)), "False"]


def test_names_are_unique_and_standard_comes_first():
    names = [entry.name for entry in METHODS]
    assert len(set(names)) == len(names)
    assert names[0] == "standard"
    assert {"standard", "aul", "oracle"} <= set(names)


@ENTRIES
def test_every_entry_says_what_it_is(entry):
    assert entry.summary.endswith(".")
    assert "\n" not in entry.summary
    assert entry.source


@ENTRIES
def test_every_entry_builds_from_what_it_needs(entry):
    method = entry.build(ingredients(entry, entry.needs))
    assert (method.networks, isinstance(method, Plans)) == (entry.networks, entry.plans)


@ENTRIES
def test_no_entry_builds_without_one_of_its_needs(entry):
    for missing in entry.needs:
        others = [need for need in GIVEN_BY_NEED if need != missing]
        with pytest.raises(UsageError, match=f"the method {entry.name} needs"):
            entry.build(ingredients(entry, others))


@ENTRIES
def test_an_entry_is_found_by_its_name(entry):
    assert find_method(entry.name) is entry


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("orcale", "did you mean oracle"),
        ("standrad", "did you mean standard"),
        ("zzz", "there are standard, "),
        ("", "there are standard"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(name, hint):
    with pytest.raises(UsageError, match=f"unknown method '{name}'.*{hint}"):
        find_method(name)
