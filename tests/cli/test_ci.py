"""The GitHub Action and the pre-commit hooks, and what docs/ci.md says of them, as far as that goes without GitHub."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.helpers import HOME, QUICK, decide, succeed, suspicious

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/labelaudit/action.yml"
Step = Callable[..., tuple[int, str]]


def example(name: str) -> Any:
    """A YAML file that the page shows."""
    page = (ROOT / "docs/ci.md").read_text("utf-8")
    (text,) = re.findall(rf"<!-- {re.escape(name)} -->\n```yaml\n(.*?)```", page, re.DOTALL)
    return yaml.safe_load(text)


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Runs a step of the action, with GitHub's files in the current folder; gives exit code and output."""
    action, script = yaml.safe_load(ACTION.read_text("utf-8")), tmp_path / "bin/labelaudit"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m labelaudit "$@"\n')
    script.chmod(0o755)
    (tmp_path / "labelaudit").mkdir()
    usual = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    usual |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(ACTION.parent), "OMP_NUM_THREADS": "1"}
    usual |= {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary.md"}
    known = {"steps.install.outputs.run": str(HOME / "1"), "runner.temp": str(tmp_path)}
    known |= {f"inputs.{name}": entry.get("default", "") for name, entry in action["inputs"].items()}

    def run(name: str, **inputs: str) -> tuple[int, str]:
        (found,) = [each for each in action["runs"]["steps"] if each.get("name") == name]
        assert "${{" not in found["run"], "an input in a script could run anything"
        values = known | {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
        own = {name: re.sub(r"\$\{\{ (.*?) \}\}", lambda m: values[m[1]], text) for name, text in found["env"].items()}
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]
        ended = subprocess.run(words, check=False, env={**usual, **own}, stdout=subprocess.PIPE, text=True)
        return ended.returncode, ended.stdout

    return run


def test_the_action_audits_gates_and_shows_new_findings(data: Path, first: Path, step: Step) -> None:
    rows = suspicious(first)
    decide(Path(), "keep", rows[0])
    assert step("audit", data="photos", decisions="decisions.csv", score_args="--threads 1\n --quiet")[0] == 0
    assert (first / "decisions.csv").read_text() == Path("decisions.csv").read_text()
    assert step("gate", max_noise="five")[0] == 2
    assert step("annotations", data="photos") == (0, "")
    assert not Path("output").exists()
    names = ("path", "given_label", "sha256")
    Path("known.csv").write_text("\n".join([",".join(names), ",".join(rows[1][name] for name in names)]))
    assert step("gate", baseline="known.csv", max_noise="0.9", args="--max-suspicious 0")[0] == 1
    assert "the gate failed" in Path("summary.md").read_text()
    shown = step("annotations", data="./photos/")[1].splitlines()
    assert len(shown) == min(len(rows) - 2, 10)
    named = f'photos/{rows[2]["path"]},title=LA001::Labeled "{rows[2]["given_label"]}"'
    assert shown[0].startswith(f"::warning file={named}")
    log = json.loads(Path(Path("output").read_text().strip().removeprefix("sarif=")).read_text())
    (known,) = [result for result in log["runs"][0]["results"] if result["baselineState"] == "unchanged"]
    location = known["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": f"photos/{rows[1]['path']}"}


def test_decisions_that_are_not_there_are_one_line(step: Step) -> None:
    assert step("audit", data="photos", decisions="nowhere.csv")[0] == 2
    assert not HOME.exists()


def test_a_hostile_name_is_no_workflow_command(tmp_path: Path, step: Step) -> None:
    place = {"physicalLocation": {"artifactLocation": {"uri": "a%0A%3A%3Aerror%3A%3Ax%2C.png"}}}
    result = {"ruleId": "LA001", "message": {"text": "one\n::error::two, 5%"}, "locations": [place]}
    (tmp_path / "labelaudit/labels.sarif").write_text(json.dumps({"runs": [{"results": [result]}]}))
    shown = "::warning file=photos/a%0A%3A%3Aerror%3A%3Ax%2C.png,title=LA001::one%0A::error::two, 5%25\n"
    assert step("annotations", data="photos") == (0, shown)


def test_the_page_uses_inputs_outputs_and_hooks_that_exist(data: Path, first: Path) -> None:
    action = yaml.safe_load(ACTION.read_text("utf-8"))
    (job,) = example(".github/workflows/labels.yml")["jobs"].values()
    (used,) = [each for each in job["steps"] if str(ACTION.parent.relative_to(ROOT)) in each["uses"]]
    assert set(used["with"]) <= set(action["inputs"])
    assert set(re.findall(rf"steps\.{used['id']}\.outputs\.(\w+)", str(job))) == set(action["outputs"])
    shutil.copy(first / "samples.parquet", "labels-baseline.parquet")
    hooks = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
    for hook in example(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        name, *words = [*hooks[hook["id"]]["entry"].split(), *hook["args"]]
        assert name == "labelaudit"
        succeed(*words, *(QUICK if words[0] == "score" else ()))
