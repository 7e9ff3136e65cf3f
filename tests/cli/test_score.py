"""``labelaudit score``, ``train-probe`` and ``fit``: from a folder to a run folder and a ranked CSV."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from tests.cli.helpers import CLASSES, QUICK, file_bytes, modified, read_rows, run, succeed, write_images

CSV_COLUMNS = [
    "rank",
    "path",
    "given_label",
    "suggested_label",
    "p_mislabeled",
    "label_score",
    "aul",
    "aum",
    "kind",
    "sample",
    "sha256",
]
RESULTS = ("losses", "scores.parquet", "noise.json", "suspicious.csv", "weights.csv", "weights.npy", "samples.parquet")


def results(run_folder: Path) -> dict[str, bytes]:
    """Everything in a run folder but what names the place and the time: run.json, and the files of torch."""
    return {name: content for name, content in file_bytes(run_folder).items() if name.startswith(RESULTS)}


def test_a_finished_run_folder_is_complete(finished: Path) -> None:
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names >= {"run.json", "checkpoint.pt", "probe.safetensors", *RESULTS}
    assert sorted(path.name for path in (finished / "losses").iterdir()) == [
        f"epoch-{epoch:04d}.parquet" for epoch in range(4)
    ]
    assert not list(finished.rglob("*.partial"))


def test_run_json_says_what_was_done(finished: Path, photos: Path) -> None:
    description = json.loads((finished / "run.json").read_text())
    assert description["status"] == "trained"
    assert description["schema_version"] == 1
    assert description["settings"]["epochs"] == 4
    assert description["settings"]["seed"] == 0
    assert description["data"]["root"] == str(photos)
    assert description["data"]["classes"] == list(CLASSES)
    assert description["data"]["samples"] == description["data"]["readable"] == 48
    assert len(description["data"]["fingerprint"]) == 64
    assert set(description["versions"]) >= {"labelaudit", "torch", "python"}


def test_every_epoch_file_has_one_row_per_sample(finished: Path) -> None:
    for epoch in range(4):
        table = pq.read_table(finished / "losses" / f"epoch-{epoch:04d}.parquet")
        assert set(table.column_names) >= {"sample", "epoch", "loss", "margin", "predicted"}
        assert sorted(table["sample"].to_pylist()) == list(range(48))
        assert set(table["epoch"].to_pylist()) == {epoch}
        assert min(table["loss"].to_pylist()) > 0


def test_scores_are_the_sums_of_the_losses_and_agree_with_each_other(finished: Path) -> None:
    scores = pq.read_table(finished / "scores.parquet").to_pydict()
    epochs = [pq.read_table(path).sort_by("sample") for path in sorted((finished / "losses").iterdir())]
    loss_EN = np.stack([table["loss"].to_numpy().astype(np.float64) for table in epochs])
    np.testing.assert_allclose(scores["aul"], loss_EN.sum(axis=0), rtol=1e-12)
    p_N, weight_N = np.array(scores["p_mislabeled"]), np.array(scores["weight"])
    assert p_N.min() >= 0
    assert p_N.max() <= 1
    np.testing.assert_allclose(weight_N, 1 - p_N)
    np.testing.assert_allclose(scores["label_score"], 1 - p_N)
    by_margin = np.argsort(scores["cell_margin"])
    assert (np.diff(p_N[by_margin]) <= 0).all()
    assert all(map(str.__ne__, scores["given_label"], scores["suggested_label"]))


def test_weights_csv_weights_npy_and_scores_say_the_same(finished: Path) -> None:
    rows = read_rows((finished / "weights.csv").read_text())
    scores = pq.read_table(finished / "scores.parquet")
    assert [row["path"] for row in rows] == scores["path"].to_pylist()
    assert list(rows[0]) == ["path", "weight", "sha256"]
    weight_N = np.load(finished / "weights.npy")
    assert weight_N.dtype == np.float64
    np.testing.assert_array_equal(weight_N, scores["weight"].to_numpy())
    np.testing.assert_allclose([float(row["weight"]) for row in rows], weight_N, rtol=1e-8)


def test_suspicious_csv_lists_the_flagged_samples_by_rank(finished: Path) -> None:
    rows = read_rows((finished / "suspicious.csv").read_text())
    noise = json.loads((finished / "noise.json").read_text())
    scores = pq.read_table(finished / "scores.parquet").to_pylist()
    assert list(rows[0]) == CSV_COLUMNS
    assert len(rows) == noise["suspicious"] == sum(score["p_mislabeled"] > 0.5 for score in scores)
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    margins = [scores[int(row["sample"])]["cell_margin"] for row in rows]
    assert margins == sorted(margins)
    for row in rows:
        score = scores[int(row["sample"])]
        assert (row["path"], row["given_label"]) == (score["path"], score["path"].split("/")[0])
        assert float(row["label_score"]) == pytest.approx(1 - float(row["p_mislabeled"]), abs=2e-6)


def test_planted_errors_come_first_and_their_label_is_suggested(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", each=30, wrong=3)
    options = ("--epochs", "8", "--batch-size", "16", "--image-size", "16", "--augment", "none")
    succeed("score", photos, "--run", "audit", *options)
    scores = pq.read_table("audit/scores.parquet").to_pylist()
    wrong = [int(Path(score["path"]).stem) < 3 for score in scores]
    assert sum(wrong) == 12
    assert roc_auc_score(wrong, [score["aul"] for score in scores]) > 0.95
    following = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    right = [score["suggested_label"] == following[score["given_label"]] for score in scores]
    assert sum(itertools.compress(right, wrong)) >= 10


def test_dash_prints_only_the_csv_on_stdout(photos: Path) -> None:
    outcome = succeed("score", photos, "--run", "audit", "-o", "-", "--top", "5", *QUICK)
    rows = read_rows(outcome.out)
    assert outcome.out.startswith(",".join(CSV_COLUMNS) + "\n")
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all(None not in row and None not in row.values() for row in rows)
    assert "noise rate" in outcome.err


def test_top_counts_rows_whether_they_are_suspicious_or_not(finished: Path) -> None:
    flagged = len(read_rows((finished / "suspicious.csv").read_text()))
    assert 0 < flagged < 48
    assert len(read_rows(succeed("score", finished, "-o", "-").out)) == flagged
    assert len(read_rows(succeed("score", finished, "-o", "-", "--top", "1").out)) == 1
    assert len(read_rows(succeed("score", finished, "-o", "-", "--top", "1000").out)) == 48


def test_out_writes_the_csv_to_a_file(finished: Path) -> None:
    succeed("score", finished, "--out", "found.csv")
    assert Path("found.csv").read_bytes() == (finished / "suspicious.csv").read_bytes()


def test_the_second_call_only_reads(photos: Path, audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = modified(audit)
    monkeypatch.setattr("labelaudit.audit.probe.prepare", None)  # decoding a picture would fail
    again = succeed("score", photos, "--run", audit, "-o", "-", *QUICK)
    assert again.out == (audit / "suspicious.csv").read_text()
    assert modified(audit) == before


def test_a_run_folder_is_scored_without_its_images(audit: Path) -> None:
    description = json.loads((audit / "run.json").read_text())
    description["data"]["root"] = "/gone"
    (audit / "run.json").write_text(json.dumps(description))
    before = modified(audit)
    assert succeed("score", audit, "-o", "-").out == (audit / "suspicious.csv").read_text()
    assert modified(audit) == before


def test_without_run_the_folder_is_named_after_the_data(photos: Path) -> None:
    succeed("score", photos, *QUICK)
    assert (Path("labelaudit-runs") / "photos" / "suspicious.csv").is_file()


def test_train_probe_and_fit_give_what_score_gives(photos: Path, finished: Path) -> None:
    probed = succeed("train-probe", photos, "--run", "parts", *QUICK)
    assert probed.out == ""
    assert not Path("parts/scores.parquet").exists()
    succeed("fit", "parts")
    assert results(Path("parts")) == results(finished)


def test_equal_seeds_give_equal_bytes_wherever_the_data_lies(photos: Path, finished: Path) -> None:
    moved = shutil.copytree(photos, "elsewhere")
    assert succeed("score", moved, "--run", "again", "-o", "-", *QUICK).out == (finished / "suspicious.csv").read_text()
    assert results(Path("again")) == results(finished)
    assert Path("again/probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()


def test_another_seed_gives_other_losses(photos: Path, finished: Path) -> None:
    succeed("train-probe", photos, "--run", "other", "--seed", "1", *QUICK)
    ours, theirs = file_bytes(Path("other/losses")), file_bytes(finished / "losses")
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours)


@pytest.mark.parametrize("statistic", ["aum", "mean_probability", "misprediction_rate", "forgetting_count"])
def test_fit_ranks_by_another_statistic(audit: Path, statistic: str) -> None:
    losses = modified(audit / "losses")
    before = json.loads((audit / "noise.json").read_text())
    succeed("fit", audit, "--estimator", "gmm", "--rank-by", statistic)
    after = json.loads((audit / "noise.json").read_text())
    assert (before["fit"]["rank_by"], after["fit"]["rank_by"]) == ("cell_margin", statistic)
    assert after["noise_rate"] != before["noise_rate"]
    low_is_bad = statistic in ("aum", "mean_probability", "cell_margin")
    scores = sorted(pq.read_table(audit / "scores.parquet").to_pylist(), key=lambda score: score[statistic])
    p_mislabeled = [score["p_mislabeled"] for score in scores]
    assert p_mislabeled == sorted(p_mislabeled, reverse=low_is_bad)
    assert modified(audit / "losses") == losses


def test_score_keeps_the_statistic_that_fit_chose(audit: Path) -> None:
    succeed("fit", audit, "--rank-by", "aum")
    chosen = (audit / "noise.json").read_bytes()
    by_aum = succeed("score", audit, "-o", "-").out
    assert (audit / "noise.json").read_bytes() == chosen
    assert by_aum == (audit / "suspicious.csv").read_text()
    succeed("score", audit, "--rank-by", "aul")
    assert json.loads((audit / "noise.json").read_text())["fit"]["rank_by"] == "aul"


def test_a_labels_file_replaces_the_class_folders(photos: Path) -> None:
    Path("flat").mkdir()
    lines = ["path,label"]
    for number, picture in enumerate(sorted(photos.rglob("*.png"))):
        shutil.copy(picture, f"flat/{number:03d}.png")
        lines.append(f"{number:03d}.png,{picture.parent.name.upper()}")
    Path("labels.csv").write_text("\n".join(lines) + "\n")
    succeed("score", "flat", "--labels", "labels.csv", "--run", "audit", *QUICK)
    samples = pq.read_table("audit/samples.parquet").to_pydict()
    assert samples["path"] == [f"{number:03d}.png" for number in range(48)]
    assert samples["class"] == [name for name in ("ANT", "BEE", "CAT", "DOG") for _ in range(12)]
    assert set(pq.read_table("audit/scores.parquet")["given_label"].to_pylist()) == {"ANT", "BEE", "CAT", "DOG"}


def test_a_damaged_image_is_set_aside_and_counted(photos: Path) -> None:
    folder = Path(shutil.copytree(photos, "with-damage"))
    whole = (folder / "bee/003.png").read_bytes()
    (folder / "bee/003.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat/004.png").write_bytes(b"no picture")
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "2 of 48 images cannot be read and are set aside" in outcome.err
    noise = json.loads(Path("audit/noise.json").read_text())
    assert (noise["samples"], noise["readable"]) == (48, 46)
    scores = {score["path"]: score for score in pq.read_table("audit/scores.parquet").to_pylist()}
    for path in ("bee/003.png", "cat/004.png"):
        nulls = {name for name, value in scores[path].items() if value is None}
        assert nulls >= {"aul", "aum", "p_mislabeled", "label_score", "suggested_label"}
        assert scores[path]["weight"] == 0
    assert all(score["aul"] is not None for path, score in scores.items() if path not in ("bee/003.png", "cat/004.png"))
    reasons = {row["path"]: row["reason"] for row in pq.read_table("audit/samples.parquet").to_pylist()}
    assert reasons["bee/003.png"].startswith("damaged")
    assert reasons["cat/004.png"] == "not an image that Pillow can read"
    assert "bee/003.png" not in Path("audit/suspicious.csv").read_text()
    with_top = succeed("score", "audit", "-o", "-", "--top", "48").out
    assert len(read_rows(with_top)) == 46


def test_quiet_says_nothing_but_the_csv(photos: Path) -> None:
    outcome = succeed("score", photos, "--run", "audit", "-o", "-", "--quiet", *QUICK)
    assert outcome.err == ""
    assert outcome.out.startswith("rank,")


def test_names_that_would_break_a_csv_or_a_terminal_survive(tmp_path: Path) -> None:
    names = ('a, "quoted"', "zwei ü", "new\nline", "\x1b[31mred")
    folder = write_images(tmp_path / "photos", classes=names, each=4)
    outcome = succeed("score", folder, "--run", "audit", "-o", "-", "--top", "16", *QUICK)
    assert {row["given_label"] for row in read_rows(outcome.out)} == set(names)
    assert {Path(row["path"]).parts[0] for row in read_rows(outcome.out)} == set(names)
    assert "\x1b" not in outcome.err


def test_a_half_trained_run_is_finished_by_score(photos: Path, half_trained: Path, finished: Path) -> None:
    untouched = modified(half_trained / "losses")
    outcome = run("score", photos, "--run", half_trained)
    assert outcome.code == 0
    assert "Going on after 2 of 4 epochs" in outcome.err
    assert results(half_trained) == results(finished)
    assert untouched.items() <= modified(half_trained / "losses").items()
