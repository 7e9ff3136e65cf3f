"""Members, kinds from the folder to the report, ``labelaudit advise``."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelaudit.auditing.advise import advise
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, file_bytes, interrupted, read_rows, run, succeed

SMOOTH = 60
BLANK, NOISE = "bee/blank.png", "ant/noise.png"


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of smooth slopes, audited into ``audit``; one blank, one of noise, one twice; to be read only."""
    folder, generator = tmp_path_factory.mktemp("smooth"), np.random.default_rng(0)
    root = folder / "data"
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        for number in range(SMOOTH):
            slope = np.linspace(40 * generator.random(), 160 + 80 * generator.random(), 16)
            x_HW = np.tile(slope, (16, 1)) + generator.normal(0, 3, (16, 16))
            x_HW = x_HW.T if name == "bee" else x_HW
            Image.fromarray(x_HW.clip(0, 255).astype(np.uint8)).save(root / name / f"{number:02}.png")
    Image.fromarray(np.full((16, 16), 90, dtype=np.uint8)).save(root / BLANK)
    Image.fromarray(generator.integers(0, 256, (16, 16)).astype(np.uint8)).save(root / NOISE)
    # Another file with the same pixels, under the other label.
    Image.open(root / "ant" / "03.png").save(root / "bee" / "as-ant-03.bmp")
    succeed("score", root, "--run", folder / "audit", *QUICK)
    return folder


def test_findings_have_all_kinds_in_one_table(smooth: Path) -> None:
    rows = pq.read_table(smooth / "audit/findings.parquet").to_pylist()
    suspicious = read_rows((smooth / "audit/suspicious.csv").read_text())
    of = {code: [row for row in rows if row["code"] == code] for code in ("LA001", "LA002", "LA003", "LA004", "LA006")}
    for code, kind in (("LA001", "mislabeled"), ("LA003", "ambiguous")):
        listed = [row for row in suspicious if row["kind"] == kind]
        assert [row["path"] for row in of[code]] == [row["path"] for row in listed]
        assert [row["suggested_label"] for row in of[code]] == [row["suggested_label"] for row in listed]
    assert {row["path"] for row in of["LA002"]} == {BLANK, NOISE}
    assert all(row["score"] > 0.5 and row["other_path"] is None for row in of["LA002"])
    pair = {row["path"]: row["other_path"] for row in of["LA004"]}
    assert pair == {"ant/03.png": "bee/as-ant-03.bmp", "bee/as-ant-03.bmp": "ant/03.png"}
    assert len({row["group"] for row in of["LA004"]}) == 1
    counts = json.loads((smooth / "audit/noise.json").read_text())["findings"]
    assert counts == {code: len(found) for code, found in of.items() if found}


def test_advice(finished: Path) -> None:
    text = succeed("advise", finished).out
    assert text.startswith("Loss-based prioritization ")
    assert len(text.splitlines()) == 3
    # Two of twelve labels of each class are wrong, and their losses are high.
    advice = advise(RunFolder(finished))
    shares = [share for (name, _), share in advice.noise_share.items() if name == "selective-backprop"]
    assert min(shares) > 1.5 * advice.base_rate > 0.1
    assert advice.safe != "selective-backprop"


def test_members_are_trainings_with_seeds_of_their_own(photos: Path) -> None:
    words = ("train-probe", photos, *QUICK)
    succeed(*words, "--run", "one")
    with interrupted("labelaudit.run.losses.write_epoch", call=6):
        assert run(*words, "--run", "two", "--members", 2).code == 130
    succeed(*words, "--run", "two", "--members", 2)
    one, two = file_bytes(Path("one/losses")), file_bytes(Path("two/losses"))
    assert (len(one), len(set(two.values()))) == (4, 8)
    assert {name: two[name] for name in one} == one
    succeed("fit", "two")
    assert json.loads(Path("two/noise.json").read_text())["epochs"] == 8
