import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.cli.helpers import (
    NEXT,
    QUICK,
    edit,
    file_bytes,
    interrupted,
    read_rows,
    run,
    succeed,
    write_images,
)

CSV_HEADER = "rank,path,given_label,suggested_label,p_mislabeled,label_score,aul,aum,kind,sample,sha256\n"
RESULTS = ("losses", "scores.parquet", "noise.json", "suspicious.csv", "weights.csv", "weights.npy", "samples.parquet")


def results(run_folder: Path) -> dict[str, bytes]:
    """Return everything in a run folder but what names the place and the time: run.json, and the files of torch."""
    return {name: content for name, content in file_bytes(run_folder).items() if name.startswith(RESULTS)}


def test_losses_scores_and_weights_agree(finished: Path) -> None:
    tables = [pq.read_table(finished / f"losses/epoch-{epoch:04d}.parquet").sort_by("sample") for epoch in range(4)]
    assert all(table["sample"].to_pylist() == list(range(48)) for table in tables)
    loss_EN = np.stack([table["loss"].to_numpy().astype(np.float64) for table in tables])
    scores = pq.read_table(finished / "scores.parquet").to_pydict()
    np.testing.assert_allclose(scores["aul"], loss_EN.sum(axis=0), rtol=1e-12)
    p_N = np.array(scores["p_mislabeled"])
    for same_N in (np.load(finished / "weights.npy"), scores["weight"], scores["label_score"]):
        np.testing.assert_allclose(same_N, 1 - p_N)
    assert (np.diff(p_N[np.argsort(scores["log_odds"])]) >= 0).all()
    rows = read_rows((finished / "suspicious.csv").read_text())
    assert len(rows) == json.loads((finished / "noise.json").read_text())["suspicious"] == (p_N > 0.5).sum()
    log_odds = [scores["log_odds"][int(row["sample"])] for row in rows]
    assert log_odds == sorted(log_odds, reverse=True)


def test_planted_errors_come_first_and_their_label_is_suggested(finished: Path) -> None:
    scores = pq.read_table(finished / "scores.parquet").to_pylist()
    wrong = [score for score in scores if int(Path(score["path"]).stem) < 2]
    assert roc_auc_score([score in wrong for score in scores], [score["aul"] for score in scores]) > 0.95
    assert sum(score["suggested_label"] == NEXT[score["given_label"]] for score in wrong) >= 6


def test_out_and_top(finished: Path) -> None:
    listed = (finished / "suspicious.csv").read_text()
    flagged = len(read_rows(listed))
    assert 0 < flagged < 48
    for top, count in (((), flagged), (("--top", "1"), 1), (("--top", "1000"), 48)):
        out = succeed("score", finished, "-o", "-", *top).out
        assert out.startswith(CSV_HEADER)
        assert [row["rank"] for row in read_rows(out)] == [str(rank + 1) for rank in range(count)]
    assert succeed("score", finished, "--out", "found.csv", "--quiet").err == ""
    assert Path("found.csv").read_text() == listed


def test_equal_runs_give_equal_files_wherever_the_images_are_and_other_seeds_others(photos, finished) -> None:
    moved = shutil.copytree(photos, "elsewhere")
    succeed("train-probe", moved, *QUICK)
    folder = Path("labelaudit-runs/elsewhere/1")  # without --run
    assert not (folder / "scores.parquet").exists()
    succeed("fit", folder)
    assert results(folder) == results(finished)
    assert (folder / "probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()
    succeed("train-probe", photos, "--run", "other", "--seed", "1", *QUICK)
    ours, theirs = file_bytes(Path("other/losses")), file_bytes(finished / "losses")
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours)


def test_damaged_images_are_set_aside_counted_and_reported(photos: Path) -> None:
    folder = Path(shutil.copytree(photos, "with-damage"))
    bad = {"bee/003.png": "damaged", "cat/004.png": "not an image that Pillow can read"}
    (folder / "bee/003.png").write_bytes((folder / "bee/003.png").read_bytes()[:90])
    (folder / "cat/004.png").write_bytes(b"no image")
    assert "2 of 48 images cannot be read and are set as" in succeed("score", folder, "--run", "audit", *QUICK).err
    scores = pq.read_table("audit/scores.parquet").to_pylist()
    assert {score["path"] for score in scores if score["aul"] is None and score["weight"] == 0} == bad.keys()
    rows = read_rows(Path("audit/unreadable.csv").read_text())
    assert [row["path"] for row in rows] == list(bad)
    assert all(row["reason"].startswith(bad[row["path"]]) for row in rows)
    edit(Path("audit/noise.json"), warnings=[])
    for option, code in ("--fail-on-warning", 1), ("--max-unreadable=1", 1), ("--max-unreadable=2", 0):
        assert run("report", "audit", "--no-html", option).code == code


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_images(tmp_path / "large", classes=("ant", "bee", "cat"), each=8, size=96, suffix=".jpg")


def cached_embeddings(cache_folder: Path) -> list[int]:
    """How many embeddings each part of the cache holds."""
    parts = sorted(cache_folder.rglob("part-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    return [pq.read_metadata(path).num_rows for path in parts]


def test_large_images_are_embedded_once(large: Path, cache_folder: Path) -> None:
    whole = (large / "cat/001.jpg").read_bytes()
    (large / "cat/001.jpg").write_bytes(whole[: len(whole) // 2])
    first = succeed("score", large, "--run", "first", "--offline").err
    assert "Probe: a head on frozen tf_efficientnet_lite2, embedded weights (images of 96 pixels, above 64)" in first
    assert "1 of 24 images cannot be read and are set aside (cat/001.jpg: damaged" in first
    assert cached_embeddings(cache_folder) == [24]

    words = ["train-probe", str(large), "--run", "second", "--offline"]
    loaded = "print(*({'timm', 'torchvision', 'openvino', 'torch._dynamo'} & sys.modules.keys()))"
    code = f"import sys; from labelaudit.cli.main import app; app({words!r}, standalone_mode=False); {loaded}"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert second.stdout == "\n"
    assert f"All 24 embeddings are in the cache ({cache_folder}" in second.stderr
    assert "1 of 24 images cannot be read and are set aside" in second.stderr
    assert file_bytes(Path("first/losses")) == file_bytes(Path("second/losses"))

    (large / "bee/003.jpg").write_bytes(whole)
    third = succeed("train-probe", large, "--run", "third", "--offline").err
    assert f"23 of 24 embeddings are in the cache ({cache_folder}" in third
    assert cached_embeddings(cache_folder) == [24, 1]
    # Images arrive while the runs have numbers: each audit embeds the new ones only.
    more = write_images(Path("more"), classes=("dog",), each=3, size=96, suffix=".jpg")
    for number in (1, 2):
        (more / f"dog/{number:03d}.jpg").rename(large / f"ant/new{number}.jpg")
        succeed("score", large, "--offline")
        assert cached_embeddings(cache_folder) == [24, *[1] * (1 + number)]
    assert Path("labelaudit-runs/large/2/noise.json").exists()


def stop_heads(folder: Path) -> None:
    """Make a run one that was stopped before the first epoch of the heads, or of the network in ``folder``."""
    (folder / "checkpoint.pt").unlink(missing_ok=True)  # heads have none
    shutil.rmtree(folder / "losses")
    edit(Path(folder.parts[0], "run.json"), status="training")


def test_both_records_heads_beside_the_network_and_resumes_either(photos: Path, cache_folder: Path) -> None:
    asked = ("score", photos, *QUICK, "--probe", "both", "--run")
    first = succeed(*asked, "whole")
    assert len(list(Path("whole/heads/losses").iterdir())) == 10
    assert json.loads(Path("whole/run.json").read_text())["settings"]["heads_epochs"] == 10
    assert cached_embeddings(cache_folder) == [48]
    # Stopped while the heads were trained: the network is not trained again.
    shutil.copytree("whole", "part")
    stop_heads(Path("part/heads"))
    assert "embeddings are in the cache" in succeed(*asked, "part").err
    assert results(Path("whole")) == results(Path("part"))
    assert file_bytes(Path("whole/heads/losses")) == file_bytes(Path("part/heads/losses"))
    assert succeed("score", "whole").out == first.out
    assert "probe is both there, train asked" in run("score", photos, *QUICK, "--run", "whole").error


def test_json_is_one_object_as_report_has_it(finished: Path) -> None:
    value = json.loads(succeed("score", finished, "--format", "json", "--quiet").out)
    assert value == json.loads(succeed("report", finished, "--format", "json", "--no-html").out)
    error = run("score", finished, "--format", "json", "-o", "-").only_error
    assert error == "--format json and -o - are both for stdout; leave one out, or give -o a file"


def test_heads_that_disagree_with_many_labels_get_a_network_beside_them(cache_folder: Path) -> None:
    generator = np.random.default_rng(3)
    for index in range(40):  # of which nobody can tell the class
        place = Path("noise", ("ant", "bee")[index % 2], f"{index}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (72, 72, 3), dtype=np.uint8)).save(place)
    words = ("score", "noise", "--seed", "4", "--run")
    with interrupted("labelaudit.auditing.mirror.settle_flip", call=1):
        assert run(*words, "part").code == 130
    assert json.loads(Path("part/run.json").read_text())["settings"]["kind"] == "frozen"
    text = succeed("score", "noise", "--run", "part").err
    expected = "so labelaudit_probe is trained beside them, from scratch at 64 pixels"
    assert f"The heads disagree with many labels, {expected}" in text
    settings = json.loads(Path("part/run.json").read_text())["settings"]
    assert (settings["kind"], settings["heads_epochs"], settings["seed"]) == ("train", 10, 4)
    assert len(list(Path("part/losses").iterdir())) == settings["epochs"] == 24
    assert len(list(Path("part/heads/losses").iterdir())) == 10
    whole = results(Path("part"))
    stop_heads(Path("part"))
    assert "Training the heads" not in succeed("score", "noise", "--run", "part").err
    assert results(Path("part")) == whole


def test_a_retraining_of_large_images_trains_a_head_unless_a_network_is_asked_for(large: Path) -> None:
    weights = "".join(f"{path.relative_to(large)},1\n" for path in sorted(large.rglob("*.jpg")))
    Path("weights.csv").write_text(f"path,weight\n{weights}")
    words = ("retrain", large, "--val", large, "--weights", "weights.csv", "--offline", "--epochs", "1", "--method")
    text = succeed(*words, "dividemix", "--out", "head").err
    assert "Retraining with dividemix: a head on frozen tf_efficientnet_lite2, embedded weights (images" in text
    assert "Trained with dividemix, test error " in text
    assert "Warning: dividemix is made for augmented images" in text
    asked = succeed(*words, "aul", "--out", "network", "--probe", "train").err
    assert "Retraining with aul: training labelaudit_probe from scratch (as asked)" in asked


def test_an_audit_of_photographs_loads_no_torch(large: Path) -> None:
    pytest.importorskip("openvino")
    code = "import sys, labelaudit; labelaudit.audit(sys.argv[1], probe='frozen'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, large], check=False).returncode == 0
