"""The benchmarks run, and say what they should; how fast anything is does not matter here."""

import json
import math
import subprocess
from pathlib import Path

import make_data
import outliers
import pytest
import scale
import speed

from labelaudit.data.folder import scan

# A process that has computed in threads is forked by the DataLoader on purpose, as is common.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up JPEGs of three classes."""
    root = tmp_path_factory.mktemp("speed") / "images"
    make_data.write_photographs(root, count=60, classes=3, side=48)
    return root


CASES: dict[str, tuple[str | None, set[str]]] = {
    "loop IMAGES --rounds 1": ("aum", {"labelaudit / ImageFolder + DataLoader + aum"}),
    "loop IMAGES --no-ordinary --rounds 1": (
        None,
        {"labelaudit, share of the bare step", "recording adds"},
    ),
    "decode IMAGES --rounds 1 --image-size 16": (None, {"labelaudit decodes"}),
    "embed IMAGES --rounds 1": (None, {"labelaudit / bare network", "labelaudit / decoding"}),
    "audit IMAGES --out out --epochs 2 --epochs-cv 1,2": (
        "cleanlab",
        {"cleanlab, 1 epochs, self_confidence: AP", "labelaudit: AUROC", "labelaudit: whole"},
    ),
    "audit IMAGES --out out --epochs 1 --epochs-cv=": (None, {"labelaudit: whole"}),
    "scale --work work --samples 60 --epochs 2": (None, {"10,000 classes: fit RUN", "a record in CSV"}),
}
"""By command line: the package that it needs, and figures that it prints."""


@pytest.mark.parametrize(("line", "needs", "figures"), [(line, *case) for line, case in CASES.items()], ids=CASES)
def test_a_benchmark_prints_and_writes_its_figures(images, tmp_path, monkeypatch, capsys, line, needs, figures) -> None:
    if needs:
        pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scale, "SHAPES", {"10,000 classes": scale.SHAPES["10,000 classes"]})
    monkeypatch.setattr(scale, "COMMANDS", ["fit RUN"])
    monkeypatch.setattr(scale, "_MEASURED", scale._MEASURED.replace("import labelaudit.auditing.score\n", ""))  # torch
    speed.app(["--json", "new/figures.json", *line.replace("IMAGES", str(images)).split()], standalone_mode=False)
    written = json.loads(Path("new/figures.json").read_text())
    found = {row["name"]: row["value"] for row in written["rows"]}
    assert figures <= found.keys()
    assert all(math.isfinite(value) for value in found.values())
    assert written["versions"]["torch"]
    printed = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[4:-1]]
    assert printed == [f"| {row}" for row in found]


def test_the_gpu_script_is_bash() -> None:
    subprocess.run(["bash", "-n", Path(__file__).with_name("gpu.sh")], check=True)


def test_planted_foreign_images_are_those_of_withheld_classes(tmp_path: Path) -> None:
    make_data.write_photographs(tmp_path / "images", count=40, classes=4, side=8)
    for share, foreign, flipped, classes in ((0.2, 4, 4, 2), (0.0, 0, 8, 4)):
        out = tmp_path / f"planted-{share}"
        is_foreign_N = outliers.plant(tmp_path / "images", out, share, 0, 0.2)
        paths = [path.split("/") for path in scan(out).paths]
        given = [label for label, _ in paths]
        true = [name.rpartition("-")[0] for _, name in paths]  # a file is named after the class that it is from
        assert is_foreign_N.tolist() == [each not in set(given) for each in true]
        assert (is_foreign_N.sum(), len(set(given))) == (foreign, classes)
        assert sum(a != b for a, b in zip(given, true, strict=True)) == foreign + flipped
