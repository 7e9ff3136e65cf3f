"""The wheel is the same to the last byte whenever and wherever it is built, and holds no more than the package."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(source: Path, out: Path) -> Path:
    """Build as pip would, without its isolated environment, which would need the network."""
    script = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
    subprocess.run([sys.executable, "-c", script, str(out)], cwd=source, env=environment, check=True)
    return next(out.glob("*.whl"))


def test_two_builds_of_one_source_are_equal(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    wheels = []
    for number, umask in enumerate((0o022, 0o002)):
        source, before = tmp_path / f"source-{number}", os.umask(umask)
        try:
            shutil.copytree(ROOT / "labelaudit", source / "labelaudit")
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, source / name)
            for path in source.rglob("*.py"):
                os.utime(path, (10**9 + number, 10**9 + number))
            wheels.append(build(source, source / "dist"))
        finally:
            os.umask(before)
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert all(name.startswith(("labelaudit/", "labelaudit-")) for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
