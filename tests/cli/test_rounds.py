"""Audits of one folder, again and again: after changes, with other options, and what the next one takes over."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import labelaudit
from labelaudit.review.decisions import read_decisions
from tests.cli.helpers import (
    HOME,
    NEXT,
    QUICK,
    decide,
    edit,
    interrupted,
    read_rows,
    run,
    succeed,
    suspicious,
    write_images,
)


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
    for words in (("sample", HOME, "-n", "3"), ("export", HOME, "--to", "cvat"), ("advise", HOME)):
        succeed(*words)
    words = ("retrain", data, "--weights", HOME, "--run", HOME, *QUICK[:6], "--epochs", "1")
    assert f"Model and metrics: {HOME}/2/retrain/aul-seed0" in succeed(*words).err
    assert {"sample.csv", "exports", "retrain"} <= {path.name for path in (HOME / "2").iterdir()}
    assert "0 suspicious labels are new" in succeed("report", first, "--baseline", HOME, "--no-html").out
    error = run("score", data, "--run", HOME, *QUICK).only_error
    assert error == f"--run {HOME} holds runs by number; leave --run out, or name one of them, as {HOME}/2"
    error = run("score", HOME, "--epochs", "9").only_error
    assert error.startswith(f"{HOME} is a run folder: its data and training options cannot be changed; ")


def test_another_folder_with_the_same_name_is_refused_while_the_first_is_there(data: Path, first: Path) -> None:
    other = write_images(Path("elsewhere/photos"), each=5)
    error = run("score", other, *QUICK).only_error
    assert error.startswith(f"{HOME} has the audits of {data.resolve()}, which has the same name as {other}; give")
    shutil.rmtree(data)
    assert f"Run folder: {HOME}/2\n" in succeed("score", other, *QUICK).err


def test_the_next_run_begins_with_the_decisions_of_the_one_before(data: Path, first: Path) -> None:
    decide(first, "keep", suspicious(first)[0])
    decide(first, "keep", suspicious(first)[1])
    decide(first, "undo", suspicious(first)[1])
    audit = labelaudit.audit(data, **{"epochs": 1, "batch_size": 16, "image_size": 16, "probe": "train"})
    assert audit.run.root == HOME / "2"
    assert (HOME / "2/decisions.csv").read_text().splitlines() == (first / "decisions.csv").read_text().splitlines()[:2]
    decide(audit.run.root, "keep", suspicious(first)[1])
    labelaudit.audit(data)
    assert len(read_decisions(HOME / "2/decisions.csv")) == 2


@pytest.mark.parametrize("words", [(), ("--estimator", "gmm", "--raw-weights")])
def test_a_kept_label_is_right_for_every_later_fit(audit: Path, words: tuple[str, ...]) -> None:
    succeed("fit", audit, *words)
    rows, before = suspicious(audit), labelaudit.open_run(audit).summary
    weights, p_N = np.load(audit / "weights.npy"), labelaudit.open_run(audit).column("p_mislabeled")
    decide(audit, "keep", *rows[:3])
    decide(audit, "undo", rows[2])
    decide(audit, "change", rows[3])
    succeed("fit", audit, *words)
    found = labelaudit.open_run(audit)
    kept = [int(row["sample"]) for row in rows[:2]]
    assert (before.kept, found.summary.kept) == (0, 2)
    assert found.kept["sample"].to_pylist() == sorted(kept, key=found.order_U.tolist().index)
    assert set(found.order_U[-2:]) == set(kept)
    assert [row["path"] for row in suspicious(audit)] == [row["path"] for row in rows[2:]]
    assert (found.column("p_mislabeled")[kept] == 0).all()
    expected, lost = weights.copy(), p_N[kept].sum() / 48
    expected[kept] = 1
    np.testing.assert_array_equal(np.load(audit / "weights.npy"), expected)
    assert found.summary.noise_rate == pytest.approx(before.noise_rate - lost)
    ends = np.maximum(np.array(before.noise_rate_interval) - lost, 0)
    np.testing.assert_allclose(found.summary.noise_rate_interval, ends)
    assert found.summary.suspicious == before.suspicious - 2 == sum(row.suspicious for row in found.summary.classes)


def test_kept_labels_are_hidden_from_list_gate_and_page_until_all_are_asked_for(audit: Path) -> None:
    rows = suspicious(audit)
    kept = rows[0]["path"]
    words = ("report", audit, "--max-suspicious", len(rows) - 1)
    assert run(*words, "--no-html").code == 1
    decide(audit, "keep", rows[0])
    # Nothing but the decision has changed: the gate judges again by itself.
    hidden, page = succeed(*words).out, (audit / "report.html").read_text()
    assert "1 label that a person kept is hidden; labelaudit report --all lists them." in hidden
    assert (kept in hidden, kept in page, rows[1]["path"] in page) == (False, False, True)
    shown = succeed(*words, "--all")
    assert "Kept by a person (1):" in shown.out
    assert f"{len(rows) - 1} of {len(rows) - 1} suspicious images, 1 kept" in shown.err
    assert kept in shown.out
    assert kept in (audit / "report.html").read_text()
    (listed,) = json.loads(succeed(*words, "--all", "--format", "json").out)["kept_labels"]
    assert (listed["sha256"], float(listed["p_mislabeled"])) == (rows[0]["sha256"], 0)
    assert f"### Kept by a person\n\n- `{kept}`" in succeed(*words, "--all", "--format", "markdown").out


def test_settings_stay_and_verdicts_that_cannot_be_written_are_told(audit: Path) -> None:
    succeed("fit", audit, "--estimator", "gmm")
    decide(audit, "keep", suspicious(audit)[0])
    shutil.copytree(audit, "copy")
    succeed("report", audit, "--no-html")
    assert json.loads((audit / "noise.json").read_text())["fit"]["estimator"] == "gmm"
    Path("copy/losses/epoch-0000.parquet").unlink()
    assert "Warning: decisions since the last fit do not count: " in succeed("report", "copy", "--no-html").err


def test_a_round_from_planted_errors_to_a_green_gate(data: Path) -> None:
    succeed("score", data, *QUICK)
    rows, ranked = suspicious(HOME / "1"), read_rows(labelaudit.open_run(HOME).csv(top=48))
    wrong = [row for row in rows if int(Path(row["path"]).stem) < 2]
    right = [row for row in rows if row not in wrong] or ranked[len(rows) :][:1]
    assert len(wrong) >= 6
    gate = ("report", HOME, "--no-html", "--max-noise", "0.05")
    assert run(*gate).code == 1
    for row in wrong[1:]:
        decide(HOME / "1", "change", row, label=NEXT[row["given_label"]])
    decide(HOME / "1", "drop", wrong[0])
    decide(HOME / "1", "keep", *right)
    moved, place = succeed("relabel", HOME, "--yes"), data.resolve()
    assert f"{len(wrong) - 1} labels are changed, 1 image dropped, {len(right)} kept\n" in moved.out
    told = f"Moved {len(wrong)} files. To undo: labelaudit relabel {place} --undo\n"
    assert moved.err == f"{told}To audit again: labelaudit score {place}\n"
    old = run(*gate)
    assert (old.code, f"Warning: {place} has changed since this audit ({len(wrong)} images of this" in old.err) == (
        1,
        True,
    )
    assert f"To audit again: labelaudit score {place}\n" in old.err
    said = succeed("score", data, *QUICK).err
    before, after = (labelaudit.open_run(HOME / number).summary for number in "12")
    assert (before.suspicious, after.samples, after.kept) == (len(rows), 47, len(right))
    changed = f"−1 image, {len(wrong) - 1} labels changed; suspicious {len(rows)} → {after.suspicious}"
    rates = f"noise rate {before.noise_rate:.1%} → {after.noise_rate:.1%}"
    assert f"Since the last audit: {changed}, {rates}; {len(right)} kept label" in said
    assert "has changed since" not in succeed(*gate).err
    # Decisions of the first round are done: their images have other labels now.
    assert succeed("relabel", HOME, "--yes").err == "Nothing was moved\n"
    compare = ("compare", HOME / "1", HOME)
    compared = json.loads(succeed(*compare, "--format", "json").out)
    assert compared["images"] == {"added": 0, "removed": 1, "relabeled": len(wrong) - 1}
    assert compared["gone_by"]["label"] == len(wrong) - 1
    assert f"Suspicious: {len(rows)} → {after.suspicious}; " in succeed(*compare).out
    assert "## Labels: what changed" in succeed(*compare, "--format", "markdown").out
    assert "is not for retrainings" in run("compare", HOME / "1", "--format", "markdown").only_error


def test_decisions_hold_for_copies_and_under_new_names(data: Path, first: Path) -> None:
    rows = suspicious(first)[:2]
    for row, name in zip(rows, ("copy.png", "renamed.png"), strict=True):
        shutil.copy(data / row["path"], (data / row["path"]).with_name(name))
    (data / rows[1]["path"]).unlink()
    decide(first, "drop", *rows)
    succeed("score", data, *QUICK)
    succeed("relabel", HOME, "--yes")
    names = {path.name for path in Path("photos-dropped").rglob("*.png")}
    assert names == {Path(rows[0]["path"]).name, "copy.png", "renamed.png"}


def test_relabel_takes_splits_and_labels_files_from_the_run(tmp_path: Path) -> None:
    birds, home = write_images(tmp_path / "birds/train", wrong=2), Path("labelaudit-runs/birds")
    succeed("score", "birds", "--split", "train", *QUICK)
    error = run("relabel", home).only_error
    assert error == f"{home}/1 has no decisions yet; review it first, or name a file of decisions"
    decide(home / "1", "change", *suspicious(home / "1")[:1])
    error = run("relabel", home, "--split", "train").only_error
    assert error.startswith(f"{home} is a run folder, which knows its labels and splits; ")
    told = succeed("relabel", home, "--yes").err
    assert f"To audit again: labelaudit score {tmp_path}/birds --split train\n" in told
    rows = [f"train/{path.relative_to(birds)},{path.parent.name}" for path in sorted(birds.rglob("*.png"))]
    Path("labels.csv").write_text("\n".join(["path,label", *rows]))
    succeed("score", "birds", "--labels", "labels.csv", "--run", "flat", *QUICK)
    decide(Path("flat"), "drop", *suspicious(Path("flat")))
    error = run("relabel", "flat").only_error
    assert error.endswith("so that no file can be moved; give --out NEW.csv, for a corrected labels file")
    told = succeed("relabel", "flat", "--out", "corrected.csv").err
    assert f"To audit again: labelaudit score {tmp_path}/birds --labels corrected.csv\n" in told


def test_predictions_have_runs_by_number_too(data: Path) -> None:
    np.save("own.npy", np.full((48, 4), 0.1) + 0.6 * np.eye(4)[np.repeat(np.arange(4), 12)])
    words = ("score", data, "--predictions", "own.npy")
    assert f"Run folder: {HOME}/1\n" in succeed(*words).err
    assert f"The predictions are in {HOME}/1 already" in succeed("score", data).err
    np.save("own.npy", np.load("own.npy")[:, ::-1])
    said = succeed(*words).err
    assert f"{HOME}/1 was started with other predictions: " in said
    assert f": a new audit goes to {HOME}/2\n" in said
    (data / "ant/000.png").unlink()
    expected = "photos was audited with --predictions FILE, which is needed to go on in "
    assert run("score", data).error.startswith(expected)


def test_a_decision_without_a_content_hash_is_told(first: Path) -> None:
    decide(first, "keep", {**suspicious(first)[0], "sha256": ""})
    error = run("fit", first).only_error
    assert error.startswith(f"{first}/decisions.csv line 2 is no decision: ")
    assert error.endswith("; correct or delete it; its sha256 is in suspicious.csv")
