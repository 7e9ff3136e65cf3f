"""Audits by embeddings that the user gives."""

import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image

import labelaudit
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Source, backbone_of
from labelaudit.data.folder import scan
from labelaudit.engine.features import embed, normalization
from tests.cli.helpers import CLASSES, QUICK, file_bytes, interrupted, modified, run, succeed

WRONG = {f"{name}/{number:03d}.png" for name in CLASSES for number in (0, 1)}


@pytest.fixture
def embeddings(photos: Path, tmp_path: Path) -> Path:
    """The pixels of the images, a row each, in the order of the samples."""
    rows = [np.asarray(Image.open(photos / path)).ravel() for path in scan(photos).paths]
    np.save(tmp_path / "own.npy", np.stack(rows).astype(np.float32))
    return tmp_path / "own.npy"


def settings_in(folder: str | Path) -> dict[str, object]:
    return dict(json.loads(Path(folder, "run.json").read_text())["settings"])


def test_heads_are_trained_on_them_whatever_the_size_of_the_images(photos: Path, embeddings: Path) -> None:
    told = succeed("score", photos, "--run", "audit", "--embeddings", embeddings).err
    assert f"Probe: heads on the embeddings in {embeddings}" in told
    audit = labelaudit.open_run("audit")
    assert set(audit.top(8)["path"].to_pylist()) == WRONG
    settings = settings_in("audit")
    assert (settings["kind"], settings["model"], settings["folds"]) == ("frozen", "own-embeddings", 5)
    assert str(settings["weights"]).startswith("sha256:")
    assert audit.run.pictures.exists()
    succeed("report", "audit")
    assert "heads on embeddings of your own" in Path("audit/report.html").read_text()
    before = modified(Path("audit/losses"))
    assert "is trained already" in succeed("score", photos, "--run", "audit").err
    assert modified(Path("audit/losses")) == before


def test_those_of_the_bundled_backbone_give_the_same_audit(photos: Path, tmp_path: Path) -> None:
    options = TrainingOptions(probe="frozen", offline=True, image_size=32)
    device, catalogue = torch.device("cpu"), scan(photos)
    settings = plan(catalogue, options, device).settings
    how = {"statistics": normalization(settings.model, settings.weights), "precision": settings.precision}
    backbone = backbone_of(settings, Source(device=device))
    found = embed(catalogue, backbone, settings.pixel_format, device=device, **how)
    np.save(tmp_path / "own.npy", found.feature_RD)
    shuffled = np.random.default_rng(0).permutation(len(catalogue))
    paths = [catalogue.paths[i] for i in shuffled]
    pq.write_table(pa.table({"path": paths, "embedding": list(found.feature_RD[shuffled])}), tmp_path / "own.parquet")
    succeed("score", photos, "--run", "frozen", "--probe", "frozen", "--offline", "--image-size", "32")
    for name in ("npy", "parquet"):
        succeed("score", photos, "--run", name, "--embeddings", f"own.{name}")
        assert file_bytes(Path("frozen/losses")) == file_bytes(Path(name, "losses"))
        for file in ("suspicious.csv", "weights.csv"):
            assert Path("frozen", file).read_bytes() == Path(name, file).read_bytes()


def test_heads_beside_a_network_take_them(photos: Path, embeddings: Path) -> None:
    told = succeed("score", photos, "--run", "audit", *QUICK[:-1], "both", "--embeddings", embeddings).err
    assert f", and heads on {embeddings}" in told
    assert "Embedding images" not in told
    settings = settings_in("audit")
    assert (settings["kind"], settings["weights"], settings["heads_epochs"]) == ("train", "scratch", 10)
    succeed("score", photos, "--run", "heads", "--embeddings", embeddings)
    assert str(settings["heads_weights"]) == settings_in("heads")["weights"]
    assert file_bytes(Path("audit/heads/losses")) == file_bytes(Path("heads/losses"))
    distances = [pq.read_table(Path(name, "pictures.parquet")).column("class_distance") for name in ("audit", "heads")]
    own = [column.drop_null().to_numpy() for column in distances]
    assert len(own[0]) == 48
    np.testing.assert_array_equal(*own)


def test_an_interrupted_audit_needs_the_file_again(photos: Path, embeddings: Path) -> None:
    words = ("score", photos, "--run", "audit", "--embeddings", embeddings)
    with interrupted("labelaudit.run.losses.write_epoch", call=4):
        assert run(*words).code == 130
    refused = run("score", photos, "--run", "audit").error
    assert refused.startswith("this audit was started with --embeddings FILE, which is needed to continue it; give the")
    succeed(*words)
    succeed(*words[:2], "--run", "whole", *words[4:])
    assert file_bytes(Path("audit/losses")) == file_bytes(Path("whole/losses"))


def test_what_does_not_go_with_them_leaves_nothing_behind(photos: Path, embeddings: Path, tmp_path: Path) -> None:
    asked = ("score", photos, "--run", "audit", "--embeddings")
    for option in ("--model resnet18", "--pretrained", "--image-size 32", "--probe train", "--preset paper"):
        named = option if option.startswith(("--probe", "--preset")) else option.split()[0]
        refused = run(*asked, embeddings, *option.split()).only_error
        expected = f"--embeddings takes the place of a network, and {named} is about one; leave {named} out, or give"
        assert refused.startswith(expected), refused
    np.save(tmp_path / "short.npy", np.load(embeddings)[:-1])
    assert "short.npy has 47 rows, and " in run(*asked, "short.npy").error
    assert not Path("audit").exists()


def test_the_code_in_the_documentation_makes_both_files(photos: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "your-own-evidence.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    create = timm.create_model
    Path("photos").symlink_to(photos)
    with mock.patch.object(timm, "create_model") as asked:
        asked.side_effect = lambda name, *, pretrained, **options: create("test_vit", pretrained=False, **options)
        exec("".join(blocks), {})
    ((name,), keywords) = asked.call_args
    assert keywords["pretrained"]
    assert name in timm.list_models(pretrained=True)
    for option, file in (("--embeddings", "dinov2.parquet"), ("--predictions", "predictions.parquet")):
        succeed("score", photos, "--run", option[2:], option, file)
        assert len(labelaudit.open_run(option[2:]).top(48)) == 48
