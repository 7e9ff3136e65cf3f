"""Audits of one folder, again and again: after changes, with other options, and what the next one takes over."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import labelaudit
from labelaudit.review.decisions import Decision, LedgerAction, append_decisions, read_decisions
from tests.cli.helpers import CLASSES, QUICK, edit, interrupted, modified, read_rows, run, succeed, write_images

HOME = Path("labelaudit-runs/photos")


@pytest.fixture
def data(photos: Path) -> Path:
    """A copy of ``photos`` that a test may change."""
    return Path(shutil.copytree(photos, "photos"))


@pytest.fixture
def first(data: Path, finished: Path) -> Path:
    """The audit of ``data`` as the first of its runs."""
    shutil.copytree(finished, HOME / "1")
    known = json.loads((HOME / "1/run.json").read_text())["data"]
    edit(HOME / "1/run.json", data={**known, "root": str(data.resolve())})
    return HOME / "1"


def decide(folder: Path, action: LedgerAction, *rows: dict[str, str], label: str = "") -> None:
    """Write the same decision about rows of suspicious.csv; ``change`` is to the suggested label, or to another."""
    decisions = [
        Decision(
            time="2026-01-02T03:04:05+00:00",
            reviewer="ann",
            path=row["path"],
            given_label=row["given_label"],
            action=action,
            label=(label or row["suggested_label"]) if action == "change" else "",
            sha256=row["sha256"],
        )
        for row in rows
    ]
    append_decisions(folder / "decisions.csv", decisions)


def test_unchanged_data_are_only_read_and_changed_data_get_the_next_number(data: Path) -> None:
    said = succeed("score", data, *QUICK).err
    assert f"Run folder: {HOME}/1\n" in said
    before = modified(HOME)
    assert "trained already" in succeed("score", data).err
    assert modified(HOME) == before
    (data / "ant/000.png").rename(data / "bee/new.png")
    said = succeed("score", data, *QUICK).err
    assert f"photos has changed since {HOME}/1: a new audit goes to {HOME}/2\n" in said
    assert f"Run folder: {HOME}/2\n" in said
    assert {name: time for name, time in modified(HOME).items() if not name.startswith("2/")} == before


def test_other_options_get_the_next_number_once_the_newest_is_trained(data: Path, first: Path) -> None:
    said = succeed("train-probe", data, *QUICK, "--seed", "3").err
    assert f"{first} was started with different settings: seed is 0 there, 3 asked: a new audit goes to" in said
    assert f"Next: labelaudit fit {HOME}/2\n" in said
    assert succeed("fit", HOME).err.endswith(f"Ranked list: {HOME}/2/suspicious.csv\n")
    edit(HOME / "2/run.json", status="training")
    assert run("score", data, *QUICK, "--seed", "4").only_error.startswith(f"{HOME}/2 was started with different set")
    assert not (HOME / "3").exists()


def test_an_interrupted_run_is_resumed_and_only_finished_ones_are_reported(data: Path, first: Path) -> None:
    (data / "ant/011.png").unlink()
    with interrupted("labelaudit.run.losses.write_epoch", call=3):
        assert run("score", data, *QUICK).code == 130
    found = [succeed("report", place, "--no-html", "--format", "json").out for place in (HOME, first)]
    assert found[0] == found[1]
    assert json.loads(found[0])["samples"] == 48
    said = succeed("score", HOME).err
    assert "Resuming after 2 of 4 epochs" in said
    assert json.loads(succeed("report", HOME, "--no-html", "--format", "json").out)["samples"] == 47
    assert labelaudit.open_run(HOME).run.root == HOME / "2"


def test_every_command_takes_the_folder_of_the_runs(data: Path, first: Path) -> None:
    shutil.copytree(first, HOME / "2")
    succeed("sample", HOME, "-n", "3")
    succeed("export", HOME, "--to", "cvat")
    succeed("advise", HOME)
    words = ("retrain", data, "--weights", HOME, "--run", HOME, *QUICK[:6], "--epochs", "1")
    assert f"Model and metrics: {HOME}/2/retrain/aul-seed0" in succeed(*words).err
    assert {"sample.csv", "exports", "retrain"} <= {path.name for path in (HOME / "2").iterdir()}
    error = run("report", first, "--baseline", HOME / "1", "--no-html").only_error
    assert "is this audit itself" in error
    assert "0 suspicious labels are new" in succeed("report", first, "--baseline", HOME, "--no-html").out
    error = run("score", data, "--run", HOME, *QUICK).only_error
    assert error == f"--run {HOME} holds runs by number; leave --run out, or name one of them, as {HOME}/2"
    error = run("score", HOME, "--epochs", "9").only_error
    assert error.startswith(f"{HOME} is a run folder: its data and training options cannot be changed; ")


def test_a_run_without_a_number_is_read_and_stays_beside_the_next(data: Path, first: Path) -> None:
    shutil.copytree(first, "older")
    shutil.rmtree(HOME)
    shutil.copytree("older", HOME)
    assert f"The probe in {HOME} is trained already" in succeed("score", data, *QUICK).err
    before = modified(HOME)
    (data / "ant/011.png").unlink()
    assert f"Run folder: {HOME}/1\n" in succeed("score", data, *QUICK).err
    assert before.items() <= modified(HOME).items()
    assert labelaudit.open_run(HOME).run.root == HOME / "1"


def test_another_folder_with_the_same_name_is_refused_while_the_first_is_there(data: Path, first: Path) -> None:
    other = write_images(Path("elsewhere/photos"), each=5)
    error = run("score", other, *QUICK).only_error
    assert error.startswith(f"{HOME} has the audits of {data.resolve()}, which has the same name as {other}; give")
    shutil.rmtree(data)
    assert f"Run folder: {HOME}/2\n" in succeed("score", other, *QUICK).err


def test_the_next_run_begins_with_the_decisions_of_the_one_before(data: Path, first: Path) -> None:
    decide(first, "keep", *read_rows((first / "suspicious.csv").read_text())[:1])
    audit = labelaudit.audit(data, **{"epochs": 1, "batch_size": 16, "image_size": 16, "probe": "train"})
    assert audit.run.root == HOME / "2"
    assert (HOME / "2/decisions.csv").read_text() == (first / "decisions.csv").read_text()
    decide(audit.run.root, "keep", *read_rows((first / "suspicious.csv").read_text())[1:2])
    labelaudit.audit(data)
    assert len(read_decisions(HOME / "2/decisions.csv")) == 2


@pytest.mark.parametrize("words", [(), ("--estimator", "gmm"), ("--estimator", "gmm", "--raw-weights")])
def test_a_kept_label_is_right_for_every_later_fit(audit: Path, words: tuple[str, ...]) -> None:
    succeed("fit", audit, *words)
    rows, before = read_rows((audit / "suspicious.csv").read_text()), labelaudit.open_run(audit).summary
    weights = np.load(audit / "weights.npy")
    p_N = labelaudit.open_run(audit).column("p_mislabeled")
    decide(audit, "keep", *rows[:2], rows[2])
    decide(audit, "undo", rows[2])
    decide(audit, "change", rows[3])
    succeed("fit", audit, *words)
    found = labelaudit.open_run(audit)
    kept = [int(row["sample"]) for row in rows[:2]]
    assert (before.kept, found.summary.kept) == (0, 2)
    assert found.kept["sample"].to_pylist() == sorted(kept, key=found.order_U.tolist().index)
    assert set(found.order_U[-2:]) == set(kept)
    assert [row["path"] for row in read_rows((audit / "suspicious.csv").read_text())] == [r["path"] for r in rows[2:]]
    assert (found.column("p_mislabeled")[kept] == 0).all()
    assert (np.load(audit / "weights.npy")[kept] == 1).all()
    np.testing.assert_array_equal(np.delete(np.load(audit / "weights.npy"), kept), np.delete(weights, kept))
    assert found.summary.noise_rate == pytest.approx(before.noise_rate - p_N[kept].sum() / 48)
    ends = np.array(found.summary.noise_rate_interval), np.array(before.noise_rate_interval)
    np.testing.assert_allclose(ends[0], np.maximum(ends[1] - p_N[kept].sum() / 48, 0))
    assert ends[0][0] <= found.summary.noise_rate <= ends[0][1]
    assert found.summary.suspicious == before.suspicious - 2 == sum(row.suspicious for row in found.summary.classes)


def test_kept_labels_are_hidden_from_list_gate_and_page_until_all_are_asked_for(audit: Path) -> None:
    rows = read_rows((audit / "suspicious.csv").read_text())
    assert run("report", audit, "--no-html", "--max-suspicious", len(rows) - 1).code == 1
    decide(audit, "keep", rows[0])
    # Nothing but the decision has changed: the gate judges again by itself.
    words = ("report", audit, "--max-suspicious", len(rows) - 1)
    hidden = succeed(*words)
    assert "1 label that a person kept is hidden; labelaudit report --all lists them." in hidden.out
    page = (audit / "report.html").read_text()
    assert rows[0]["path"] not in hidden.out
    assert rows[0]["path"] not in page
    assert rows[1]["path"] in page
    shown = succeed(*words, "--all")
    assert "Kept by a person (1):" in shown.out
    assert rows[0]["path"] in shown.out
    assert f"{len(rows) - 1} of {len(rows) - 1} suspicious images, 1 kept" in shown.err
    assert rows[0]["path"] in (audit / "report.html").read_text()
    (listed,) = json.loads(succeed(*words, "--all", "--format", "json").out)["kept_labels"]
    assert (listed["sha256"], float(listed["p_mislabeled"])) == (rows[0]["sha256"], 0)
    assert f"### Kept by a person\n\n- `{rows[0]['path']}`" in succeed(*words, "--all", "--format", "markdown").out
    before = modified(audit)
    del before["report.html"]
    succeed("score", audit)
    assert before.items() <= modified(audit).items()


def test_decisions_may_be_there_before_the_audit(photos: Path, finished: Path) -> None:
    Path("audit").mkdir()
    decide(Path("audit"), "keep", *read_rows((finished / "suspicious.csv").read_text())[:1])
    assert "1 label that a person kept is hidden" in succeed("score", photos, "--run", "audit", *QUICK).err


def test_settings_stay_and_verdicts_that_cannot_be_written_are_told(audit: Path) -> None:
    succeed("fit", audit, "--estimator", "gmm")
    decide(audit, "keep", read_rows((audit / "suspicious.csv").read_text())[0])
    shutil.copytree(audit, "copy")
    succeed("report", audit, "--no-html")
    assert json.loads((audit / "noise.json").read_text())["fit"]["estimator"] == "gmm"
    (Path("copy") / "losses/epoch-0000.parquet").unlink()
    assert "Warning: decisions since the last fit do not count: " in succeed("report", "copy", "--no-html").err
    succeed("score", audit, "--estimator", "transition")
    decide(audit, "undo", *read_rows((audit / "suspicious.csv").read_text())[:1])
    succeed("score", audit)
    assert json.loads((audit / "noise.json").read_text())["fit"]["estimator"] == "transition"


def test_a_round_from_planted_errors_to_a_green_gate(data: Path) -> None:
    following = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    succeed("score", data, *QUICK)
    rows = read_rows((HOME / "1/suspicious.csv").read_text())
    wrong = [row for row in rows if int(Path(row["path"]).stem) < 2]
    ranked = read_rows(labelaudit.open_run(HOME).csv(top=48))
    right = [row for row in rows if row not in wrong] or ranked[len(rows) :][:1]
    assert len(wrong) >= 6
    gate = ("report", HOME, "--no-html", "--max-noise", "0.05")
    assert run(*gate).code == 1
    for row in wrong[1:]:
        decide(HOME / "1", "change", row, label=following[row["given_label"]])
    decide(HOME / "1", "drop", wrong[0])
    decide(HOME / "1", "keep", *right)
    moved, place = succeed("relabel", HOME, "--yes"), data.resolve()
    assert f"{len(wrong) - 1} change, 1 dropped, {len(right)} kept\n" in moved.out
    assert moved.err == (
        f"Moved {len(wrong)} files. To undo: labelaudit relabel {place} --undo\n"
        f"To audit again: labelaudit score {place}\n"
    )
    assert (Path("photos-dropped") / wrong[0]["path"]).is_file()
    said = succeed("score", data, *QUICK).err
    before, after = (labelaudit.open_run(HOME / number).summary for number in "12")
    assert (before.suspicious, after.samples, after.kept) == (len(rows), 47, len(right))
    changed = f"−1 image, {len(wrong) - 1} labels changed; suspicious {len(rows)} → {after.suspicious}"
    rates = f"noise rate {before.noise_rate:.1%} → {after.noise_rate:.1%}"
    hidden = f"{len(right)} kept label{'s' * (len(right) > 1)} hidden"
    assert f"Since the last audit: {changed}, {rates}; {hidden}\n" in said
    assert succeed(*gate).code == 0
    # Decisions of the first round are done: their images have other labels now.
    assert succeed("relabel", HOME, "--yes").err == "Nothing was moved\n"
    compared = json.loads(succeed("compare", HOME / "1", HOME, "--format", "json").out)
    assert compared["images"] == {"added": 0, "removed": 1, "relabeled": len(wrong) - 1}
    assert compared["gone_by"]["label"] == len(wrong) - 1
    assert f"Suspicious: {len(rows)} → {after.suspicious}; " in succeed("compare", HOME / "1", HOME / "2").out
    assert "## Labels: what changed" in succeed("compare", HOME / "1", HOME, "--format", "markdown").out
    error = run("compare", HOME / "1", HOME, "--format", "csv").only_error
    assert error == "--format csv is not for two audits; give --format table or json"
    assert "is not for retrainings" in run("compare", HOME / "1", "--format", "markdown").only_error


def test_decisions_hold_for_copies_and_under_new_names(data: Path, first: Path) -> None:
    rows = read_rows((first / "suspicious.csv").read_text())[:2]
    for row, name in zip(rows, ("copy.png", "renamed.png"), strict=True):
        shutil.copy(data / row["path"], (data / row["path"]).with_name(name))
    (data / rows[1]["path"]).unlink()
    decide(first, "drop", *rows)
    succeed("score", data, *QUICK)
    assert "3 dropped" in succeed("relabel", HOME, "--yes").out
    names = {path.name for path in Path("photos-dropped").rglob("*.png")}
    assert names == {Path(rows[0]["path"]).name, "copy.png", "renamed.png"}
    succeed("relabel", HOME, "--undo", "--yes")
    assert not Path("photos-dropped").exists()
    assert (data / rows[0]["path"]).exists()


def test_relabel_takes_splits_and_labels_files_from_the_run(tmp_path: Path) -> None:
    write_images(tmp_path / "birds/train", wrong=2)
    succeed("score", "birds", "--split", "train", *QUICK)
    home = Path("labelaudit-runs/birds")
    assert run(
        "relabel", home
    ).only_error == f"{home}/1 has no decisions yet; review it first, or name a file of corr" + ("ections")
    decide(home / "1", "change", *read_rows((home / "1/suspicious.csv").read_text())[:1])
    error = run("relabel", home, "--split", "train").only_error
    assert error.startswith(f"{home} is a run folder, which knows its labels and splits; ")
    told = succeed("relabel", home, "--yes").err
    assert f"To audit again: labelaudit score {tmp_path}/birds --split train\n" in told
    Path("flat").mkdir()
    images = sorted((tmp_path / "birds/train").rglob("*.png"))
    for number, image in enumerate(images):
        shutil.copy(image, f"flat/{number}.png")
    Path("labels.csv").write_text(
        "path,label\n" + "".join(f"{number}.png,{image.parent.name}\n" for number, image in enumerate(images))
    )
    succeed("score", "flat", "--labels", "labels.csv", *QUICK)
    decide(
        Path("labelaudit-runs/flat/1"), "drop", *read_rows(Path("labelaudit-runs/flat/1/suspicious.csv").read_text())
    )
    error = run("relabel", "labelaudit-runs/flat").only_error
    assert error == "--labels needs a place for the corrected labels; give --out NEW.csv"
    told = succeed("relabel", "labelaudit-runs/flat", "--out", "corrected.csv").err
    assert f"To audit again: labelaudit score {tmp_path}/flat --labels corrected.csv\n" in told
    assert "Since the last audit: −" in succeed("score", "flat", "--labels", "corrected.csv", *QUICK).err


def test_after_a_relabeling_nothing_is_embedded_again(tmp_path: Path) -> None:
    large = write_images(tmp_path / "large", classes=("ant", "bee", "cat"), each=14, size=72, wrong=4, suffix=".jpg")
    words = ("score", large, "--offline", "--probe", "frozen")
    succeed(*words)
    for image in sorted(large.rglob("00[0-6].jpg"))[:20]:
        image.rename(image.parents[1] / "cat" / f"from-{image.parent.name}-{image.name}")
    assert "All 42 embeddings are in the cache" in succeed(*words).err


def test_predictions_have_runs_by_number_too(data: Path) -> None:
    labels = sorted(path.parent.name for path in data.rglob("*.png"))
    chances = np.full((48, 4), 0.1, np.float32)
    chances[np.arange(48), [CLASSES.index(label) for label in labels]] = 0.7
    np.save("own.npy", chances)
    words = ("score", data, "--predictions", "own.npy")
    assert f"Run folder: {HOME}/1\n" in succeed(*words).err
    assert f"The predictions are in {HOME}/1 already" in succeed("score", data).err
    np.save("own.npy", chances[:, ::-1])
    said = succeed(*words).err
    assert f"{HOME}/1 was started with other predictions: " in said
    assert f": a new audit goes to {HOME}/2\n" in said
    assert f"{HOME}/2 is an audit of predictions: a new audit goes to {HOME}/3\n" in succeed("score", data, *QUICK).err
    succeed(*words)
    (data / "ant/000.png").unlink()
    error = run("score", data).error
    assert error.startswith("photos was audited with --predictions FILE, which is needed to go on in ")
