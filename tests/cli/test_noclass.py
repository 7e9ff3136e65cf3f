"""Images of no class in an audit by embeddings, up to the screen."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.helpers import CLASSES, decide, read_rows, succeed

FOREIGN = {f"{name}/x{number}.png" for name in CLASSES for number in (0, 1)}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Four classes of 50 images and two more in each folder that are of a fifth; and their embeddings, in own.npy."""
    generator, rows = np.random.default_rng(0), []
    for number, name in enumerate(CLASSES):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        for file in [*(f"{n:02d}.png" for n in range(50)), "x0.png", "x1.png"]:
            pixels_HW = np.kron(generator.integers(0, 255, (4, 4)), np.ones((4, 4))).astype(np.uint8)
            Image.fromarray(pixels_HW).save(tmp_path / "zoo" / name / file)
            place = 4 if file.startswith("x") else number
            rows.append(generator.normal(size=12) + 5.0 * (np.arange(12) == place))
    np.save(tmp_path / "own.npy", np.array(rows, dtype=np.float32))
    return tmp_path / "zoo"


def rows_of(run: str) -> list[dict[str, str]]:
    return [row for row in read_rows(Path(run, "findings.csv").read_text()) if row["code"] == "LA008"]


def no_class(run: str) -> set[str]:
    return {row["path"] for row in rows_of(run)}


def test_they_are_findings_without_a_suggested_label_also_in_a_fit_unless_they_are_kept(zoo: Path) -> None:
    said = succeed("score", zoo, "--run", "audit", "--embeddings", "own.npy")
    found = no_class("audit")
    assert len(found & FOREIGN) >= 4
    assert len(found - FOREIGN) <= 2
    assert f"{len(found)} images seem to belong to none of the classes, suspicious or not" in said.err + said.out
    flagged = {row["path"] for row in read_rows(Path("audit/suspicious.csv").read_text())}
    assert f"suspicious images, {len(found - flagged)} of no class" in succeed("report", "audit").err
    noise = json.loads(Path("audit/noise.json").read_text())
    assert noise["findings"]["LA008"] == noise["kinds"]["samples"]["no-class"] == len(found)
    for row in pq.read_table("audit/scores.parquet").to_pylist():
        is_found = row["path"] in found
        assert (row["kind"] == "no-class") == (row["p_no_class"] > 0.5) == is_found
        assert (row["suggested_label"] is None) == is_found
    succeed("export", "audit", "--to", "cleanlab", "--all")
    exported = pq.read_table("audit/exports/cleanlab/label_issues.parquet").to_pylist()
    assert all(row["predicted_label"] in CLASSES for row in exported)
    before = Path("audit/findings.parquet").read_bytes()
    zoo.rename("moved")  # a fit needs no images
    succeed("fit", "audit")
    assert Path("audit/findings.parquet").read_bytes() == before
    first = next(row for row in rows_of("audit") if row["path"] == min(found))
    decide(Path("audit"), "keep", first)
    succeed("fit", "audit")
    assert no_class("audit") == found - {first["path"]}
