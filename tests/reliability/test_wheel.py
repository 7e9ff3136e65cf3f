"""The wheel is the same to the last byte whenever and wherever it is built, and holds no more than the package."""

import hashlib
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
        source = tmp_path / f"source-{number}"
        before = os.umask(umask)
        try:
            source.mkdir()
            for name in ("labelaudit", "pyproject.toml", "README.md", "LICENSE"):
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / name)
            (tmp_path / f"out-{number}").mkdir()
            wheels.append(build(source, tmp_path / f"out-{number}"))
        finally:
            os.umask(before)
        for path in source.rglob("*.py"):
            os.utime(path, (10**9 + number, 10**9 + number))
    digests = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    assert len(digests) == 1
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert all(name.startswith(("labelaudit/", "labelaudit-")) for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
