import re

import pytest

from labelaudit.errors import UsageError
from labelaudit.methods.parameters import describe_parameters
from labelaudit.selectors.table import SELECTORS, build_selector, describe_selector, find_selector


@pytest.mark.parametrize("entry", SELECTORS, ids=lambda entry: entry.name)
def test_every_selector_is_what_its_entry_says(entry):
    text = describe_selector(entry.name, {})
    by = build_selector(text)
    assert by is not None
    assert describe_selector(entry.name, dict(word.split("=") for word in text.split(" ")[1:])) == text
    assert by.pool >= 1
    assert by.stale_epochs >= 1
    by.load(by.state())
    assert entry.summary.endswith(".")
    assert entry.source
    assert all(info.what for info in describe_parameters(entry.parameters))
    assert re.fullmatch(r"[a-z-]+", entry.name)


def test_without_a_selector_there_is_nothing_to_build():
    assert describe_selector("none", {}) == "none"
    assert build_selector("none") is None


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("selective-backdrop", {}, "unknown selector 'selective-backdrop'; did you mean selective-backprop"),
        ("x", {}, "there are none, selective-backprop, selective-backprop-entropy, variance-reduction"),
        ("none", {"beta": "1"}, "parameter 'beta' is given, but no selector"),
        ("selective-backprop", {"beta": "-1"}, "parameter beta of selective-backprop is -1, out of range"),
        ("selective-backprop", {"beta": "much"}, "parameter beta of selective-backprop is 'much'; give a number"),
        ("selective-backprop", {"bet": "1"}, "unknown parameter 'bet' for selective-backprop"),
        ("selective-backprop", {"history": "0"}, "out of range; give at least 1"),
        ("variance-reduction", {"switch": "off"}, "give step or none"),
        ("variance-reduction", {"momentum": "1"}, "out of range"),
    ],
)
def test_what_is_refused(name, given, error):
    with pytest.raises(UsageError, match=re.escape(error)):
        describe_selector(name, given)


def test_an_entry_is_found_by_name():
    assert find_selector("variance-reduction").name == "variance-reduction"
