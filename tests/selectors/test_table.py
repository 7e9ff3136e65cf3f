import re
from dataclasses import fields

import pytest

from labelaudit.errors import UsageError
from labelaudit.selectors.table import SELECTORS, build_selector, describe_selector, find_selector


@pytest.mark.parametrize("entry", SELECTORS, ids=lambda entry: entry.name)
def test_every_selector_is_what_its_entry_says(entry):
    assert find_selector(entry.name) is entry
    text = describe_selector(entry.name, {})
    by = build_selector(text)
    assert describe_selector(entry.name, dict(word.split("=") for word in text.split(" ")[1:])) == text
    assert by.score == ("entropy" if entry.name.endswith("entropy") else "loss")
    assert by.pool >= 1
    assert by.stale_epochs >= 1
    by.load(by.state())
    assert entry.summary.endswith(".")
    assert entry.source
    assert all(of.metadata["what"] for of in fields(entry.parameters))


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("selective-backdrop", {}, "unknown selector 'selective-backdrop'; did you mean selective-backprop"),
        ("x", {}, "there are none, selective-backprop, selective-backprop-entropy, variance-reduction"),
        ("none", {"beta": "1"}, "parameter 'beta' is given, but no selector"),
        ("selective-backprop", {"beta": "-1"}, "parameter beta of selective-backprop is '-1' (Expected `float` >= 0"),
        ("selective-backprop", {"bet": "1"}, "unknown parameter 'bet' for selective-backprop"),
        ("variance-reduction", {"switch": "off"}, "switch: step: draw only while tau is above its threshold"),
    ],
)
def test_bad_selectors_are_refused(name, given, error):
    with pytest.raises(UsageError, match=re.escape(error)):
        describe_selector(name, given)
