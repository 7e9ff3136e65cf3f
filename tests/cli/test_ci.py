"""The GitHub Action, the pre-commit hooks and what docs/ci.md says of them, as far as that goes without GitHub."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.helpers import HOME, QUICK, decide, succeed, suspicious

ROOT = Path(__file__).parents[2]
ACTION_FOLDER = ROOT / ".github/actions/labelaudit"
ACTION = yaml.safe_load((ACTION_FOLDER / "action.yml").read_text("utf-8"))
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
PAGE = (ROOT / "docs/ci.md").read_text("utf-8")


def example(name: str) -> Any:
    """A YAML file that the page shows."""
    (text,) = re.findall(rf"<!-- {re.escape(name)} -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    return yaml.safe_load(text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a step: ``labelaudit`` is this one, and GitHub's files are in the current folder."""
    script = tmp_path / "bin/labelaudit"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m labelaudit "$@"\n')
    script.chmod(0o755)
    (tmp_path / "labelaudit").mkdir()
    return {
        **os.environ,
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTION_PATH": str(ACTION_FOLDER),
        "GITHUB_OUTPUT": "output",
        "GITHUB_STEP_SUMMARY": "summary.md",
    }


def step(name: str, environment: dict[str, str], **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action; its expressions of inputs are replaced by these or the defaults."""
    (found,) = [each for each in ACTION["runs"]["steps"] if each.get("name") == name]
    given = {key: str(entry.get("default", "")) for key, entry in ACTION["inputs"].items()}
    given |= {key.replace("_", "-"): value for key, value in inputs.items()}
    values = {f"inputs.{key}": value for key, value in given.items()}
    values |= {"steps.install.outputs.run": str(HOME / "1"), "runner.temp": environment["RUNNER_TEMP"]}
    own = {
        key: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values[found[1]], text)
        for key, text in found.get("env", {}).items()
    }
    assert "${{" not in found["run"], "an input in a script could run anything"
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]
    return subprocess.run(words, check=False, env={**environment, **own}, capture_output=True, text=True)


def test_the_steps_of_the_action(data: Path, first: Path, environment: dict[str, str]) -> None:
    rows = suspicious(first)
    decide(Path(), "keep", rows[0])
    audited = step("audit", environment, data="photos", decisions="decisions.csv", score_args="--threads 1\n --quiet")
    assert audited.returncode == 0, audited.stderr
    assert (first / "decisions.csv").read_text() == Path("decisions.csv").read_text()
    known = ["path,given_label,sha256", ",".join(rows[1][name] for name in ("path", "given_label", "sha256"))]
    Path("known.csv").write_text("\n".join(known))
    gate = step("gate", environment, baseline="known.csv", max_noise="0.9", args="--max-suspicious 0")
    assert gate.returncode == 1, gate.stderr
    assert "the gate failed" in Path("summary.md").read_text()
    shown = step("annotations", environment, data="./photos/").stdout.splitlines()
    assert len(shown) == min(len(rows) - 2, 10)
    named = f'photos/{rows[2]["path"]},title=LA001::Labeled "{rows[2]["given_label"]}"'
    assert shown[0].startswith(f"::warning file={named}")
    (output,) = Path("output").read_text().splitlines()
    results = json.loads(Path(output.removeprefix("sarif=")).read_text())["runs"][0]["results"]
    (unchanged,) = [result for result in results if result["baselineState"] == "unchanged"]
    location = unchanged["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": f"photos/{rows[1]['path']}"}


def test_a_gate_that_cannot_decide_fails_and_leaves_nothing_to_upload(first: Path, environment: dict[str, str]) -> None:
    assert step("gate", environment, max_noise="5 %").returncode == 2
    assert step("annotations", environment, data="photos").returncode == 0
    assert not Path("output").exists()


def test_a_hostile_name_is_no_workflow_command(tmp_path: Path, environment: dict[str, str]) -> None:
    place = {"physicalLocation": {"artifactLocation": {"uri": "a%0A%3A%3Aerror%3A%3Ax%2C.png", "uriBaseId": "DATA"}}}
    result = {"ruleId": "LA001", "message": {"text": "one\n::error::two, 5%"}, "locations": [place]}
    (tmp_path / "labelaudit/labels.sarif").write_text(json.dumps({"runs": [{"results": [result]}]}))
    shown = step("annotations", environment, data="photos").stdout
    name = "photos/a%0A%3A%3Aerror%3A%3Ax%2C.png"
    assert shown == f"::warning file={name},title=LA001::one%0A::error::two, 5%25\n"


def test_the_page_uses_inputs_outputs_and_hooks_that_exist(data: Path, first: Path) -> None:
    (job,) = example(".github/workflows/labels.yml")["jobs"].values()
    (used,) = [each for each in job["steps"] if ACTION_FOLDER.name in each["uses"]]
    assert used["uses"].partition("@")[0] == "labelaudit/labelaudit/.github/actions/labelaudit"
    assert set(used["with"]) <= set(ACTION["inputs"])
    assert set(re.findall(rf"steps\.{used['id']}\.outputs\.(\w+)", str(job))) == set(ACTION["outputs"])
    Path("labels-baseline.csv").write_text((first / "suspicious.csv").read_text())
    for hook in example(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        name, *words = [*HOOKS[hook["id"]]["entry"].split(), *hook["args"]]
        assert name == "labelaudit"
        succeed(*words, *(QUICK if words[0] == "score" else ()))
