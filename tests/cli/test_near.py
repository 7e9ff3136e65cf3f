"""Near duplicates and codes, from the folder to the reports."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from tests.cli.helpers import QUICK, run, succeed
from tests.detect.test_near import pictures


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of 24 images, of which three have a copy: mirrored, enlarged and equal, the last with another label."""
    folder = tmp_path_factory.mktemp("near")
    large = pictures(24, np.random.default_rng(0))
    for name, part in (("ant", large[:12]), ("bee", large[12:])):
        (folder / "data" / name).mkdir(parents=True)
        for number, x_HW in enumerate(part):
            Image.fromarray(x_HW).save(folder / "data" / name / f"{number:02}.png")
    first, second, third = (Image.fromarray(x_HW) for x_HW in large[:3])
    ImageOps.mirror(first).save(folder / "data" / "ant" / "mirrored.png")
    second.resize((48, 48)).save(folder / "data" / "ant" / "enlarged.png")
    third.save(folder / "data" / "bee" / "equal.bmp")
    words = succeed("score", folder / "data", "--run", folder / "audit", *QUICK)
    groups = "3 groups of near duplicates (6 images), 1 of them with different labels"
    assert f"{groups}, in Duplicates of: labelaudit review {folder}/audit" in words.err
    return folder / "audit"


def findings(audit: Path, code: str) -> list[dict[str, object]]:
    return [row for row in pq.read_table(audit / "findings.parquet").to_pylist() if row["code"] == code]


def test_groups_name_the_best_copy_and_equal_images_are_in_them(audited: Path) -> None:
    found = {row["path"]: row["other_path"] for row in findings(audited, "LA006")}
    assert found.keys() == {
        *("ant/00.png", "ant/mirrored.png", "ant/01.png", "ant/enlarged.png", "ant/02.png", "bee/equal.bmp")
    }
    assert found["ant/01.png"] == "ant/enlarged.png"
    assert found["ant/enlarged.png"] is None
    assert len({row["group"] for row in findings(audited, "LA006")}) == 3
    assert {row["path"] for row in findings(audited, "LA004")} == {"ant/02.png", "bee/equal.bmp"}
    pairs = pq.read_table(audited / "near.parquet")
    assert len(pairs) == 2  # equal images are no pair: pictures.parquet has their digests
    noise = json.loads((audited / "noise.json").read_text())
    assert (noise["near_groups"], noise["near_contradicting"], noise["findings"]["LA006"]) == (3, 1, 6)


def test_reports_know_all_codes(audited: Path) -> None:
    failed = run("report", audited, "--max", "LA006=5", "--no-html", "--format", "junit")
    assert (failed.code, "6 near-duplicate images are more than 5" in failed.out) == (1, True)
    shown = succeed("report", audited, "--select", "LA006", "--no-html", "--top", 2).out
    assert "Findings: 6 LA006 (near-duplicate)" in shown
    value = json.loads(succeed("report", audited, "--select", "LA006", "--format", "json", "--no-html").out)
    assert value["found"] == {"LA006": 6}
    assert all(row["other_path"] for row in value["findings_top"])  # also of the best of a group
    assert value["top"] == []
    sarif = json.loads(succeed("report", audited, "--ignore", "LA001,LA003", "--format", "sarif", "--no-html").out)
    codes = [result["ruleId"] for result in sarif["runs"][0]["results"]]
    assert codes.count("LA006") == 6
    assert codes.count("LA004") == 2
    assert not {"LA001", "LA003"} & set(codes)
    text = succeed("report", audited, "--format", "markdown", "--no-html").out
    assert "LA006 near-duplicate" in text
    assert "- 3 groups of near duplicates (6 images), 1 of them with different labels;" in text


def test_a_page_of_what_is_selected_never_replaces_the_whole_one(audited: Path) -> None:
    shutil.copytree(audited, "audit")
    succeed("report", "audit")
    whole = Path("audit/report.html").read_bytes()
    said = succeed("report", "audit", "--select", "LA006").err
    assert "No page: with --select or --ignore there is one where --html names a file" in said
    assert Path("audit/report.html").read_bytes() == whole
    succeed("report", "audit", "--select", "LA006", "--html", "page.html")
    assert len(Path("page.html").read_bytes()) < len(whole)


def test_an_export_takes_what_is_selected(audited: Path) -> None:
    said = succeed("export", audited, "--to", "cleanlab", "--select", "LA006", "--out", "out").err
    assert "6 samples" in said
    assert run("export", audited, "--to", "cleanlab", "--select", "LA006", "--all").code == 2


def test_explain() -> None:
    assert succeed("explain", "la003").out.startswith("LA003 (ambiguous): The label of this image is in doubt.\n\n")
    assert [row for row in succeed("explain").out.splitlines() if "LA009" in row]
    assert run("explain", "LA777").code == 2
