"""Which samples are exported, where to, and what is refused."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.errors import LabelauditError, RunError, StorageError, UsageError
from labelaudit.names import ExportName
from labelaudit.report.exports.export import ExportOptions, export
from labelaudit.report.exports.table import FORMATS
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import read_scores
from tests.report.exports.helpers import hostile_folder, made_up_audit
from tests.run.helpers import room_for

NAMES = [entry.name for entry in FORMATS]


class Ear:
    """A reporter that remembers its warnings."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warned.append(text)


def paths(folder: Path) -> list[str]:
    return [task["data"]["path"] for task in json.loads((folder / "tasks.json").read_text())]


def test_the_default_place_is_in_the_run_folder(tmp_path: Path):
    run = made_up_audit(hostile_folder(tmp_path / "data", files=("1.png", "2.png")), tmp_path / "run")
    written = export(run, "label-studio")
    assert written.folder == run.root / "exports" / "label-studio"
    assert written.main_file == written.folder / "tasks.json"
    assert written.samples == len(paths(written.folder)) == 5


@pytest.mark.parametrize("to", NAMES)
def test_top_is_the_head_of_the_ranking_in_every_format(hostile: RunFolder, truth: dict, tmp_path: Path, to: str):
    by_suspicion = sorted(truth, key=lambda path: -truth[path]["aul"])
    count = len([path for path in truth if truth[path]["is_suspicious"]]) + 3
    written = export(hostile, to, tmp_path / "out", ExportOptions(top=count))
    assert written.samples == count
    texts = "".join(
        path.read_text() for path in sorted(written.folder.rglob("*")) if path.suffix in {".json", ".jsonl", ".xml"}
    )
    tables = [pq.read_table(path).column("path").to_pylist() for path in written.folder.glob("*.parquet")]
    if tables:
        assert tables == [sorted(by_suspicion[:count], key=list(truth).index)]
    else:
        assert texts.count('"path"' if to in {"label-studio", "huggingface"} else "p_mislabeled") >= count


def test_top_has_the_order_of_the_ranked_list(hostile: RunFolder, truth: dict, suspicious: list, tmp_path: Path):
    count = len(suspicious) + 20
    folder = export(hostile, "label-studio", tmp_path / "out", ExportOptions(top=count)).folder
    assert paths(folder) == sorted(truth, key=lambda path: -truth[path]["aul"])[:count]
    assert paths(folder)[: len(suspicious)] == suspicious


def test_more_than_there_is_is_everything(hostile: RunFolder, truth: dict, tmp_path: Path):
    assert export(hostile, "cvat", tmp_path / "out", ExportOptions(top=10_000)).samples == len(truth)


def test_unreadable_images_are_left_out_and_counted(hostile: RunFolder, tmp_path: Path):
    ear = Ear()
    written = export(hostile, "cleanlab", tmp_path / "out", reporter=ear)  # type: ignore[arg-type]
    assert written.samples == 213
    assert ear.warned == ["3 images that could not be read are left out"]


def test_nothing_suspicious_is_an_empty_list(tmp_path: Path):
    run = made_up_audit(hostile_folder(tmp_path / "data", files=("1.png",)), tmp_path / "run")
    header = run.suspicious.read_text().split("\n")[0]
    run.suspicious.write_text(header + "\n")
    assert paths(export(run, "label-studio").folder) == []
    assert export(run, "cvat").samples == 0


@pytest.mark.parametrize("to", NAMES)
def test_two_exports_of_one_audit_are_equal(hostile: RunFolder, tmp_path: Path, to: ExportName):
    first, second = (export(hostile, to, tmp_path / name).folder for name in ("first", "second"))
    export(hostile, to, second)
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (first, second)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("to", NAMES)
def test_kinds_are_passed_on_where_the_audit_has_them(tmp_path: Path, to: ExportName):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=("1.png", "2.png", "3.png"))
    run = made_up_audit(data, tmp_path / "run")
    table = read_scores(run.scores)
    kinds = pa.array([None, "ambiguous", None, None, None, "duplicate"], pa.string())
    pq.write_table(table.drop_columns(["kind"]).append_column("kind", kinds), run.scores)
    folder = export(run, to, options=ExportOptions(everything=True)).folder
    if list(folder.glob("*.parquet")):
        (file,) = folder.glob("*.parquet")
        assert pq.read_table(file).column("kind").to_pylist() == kinds.to_pylist()
    elif to == "huggingface":
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        assert [row["kind"] for row in rows] == ["", "ambiguous", "", "", "", "duplicate"]
    elif to != "cvat":
        text = "".join(path.read_text() for path in folder.glob("*.json"))
        assert text.count('"kind": ') == 2


def test_a_folder_with_something_else_is_left_alone(hostile: RunFolder, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/labels.json").write_text("mine")
    with pytest.raises(UsageError, match=r"out is not empty and no earlier export to fiftyone; give a new folder"):
        export(hostile, "fiftyone", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.json"]
    assert (tmp_path / "out/labels.json").read_text() == "mine"


def test_an_export_to_another_format_is_left_alone(hostile: RunFolder, tmp_path: Path):
    export(hostile, "cvat", tmp_path / "out")
    with pytest.raises(UsageError, match="no earlier export to fiftyone"):
        export(hostile, "fiftyone", tmp_path / "out")


def test_the_image_folder_is_no_place_for_an_export(hostile: RunFolder, pictures: Path):
    before = sorted(pictures.rglob("*"))
    with pytest.raises(UsageError, match="is the image folder"):
        export(hostile, "huggingface", pictures)
    assert sorted(pictures.rglob("*")) == before


def test_a_file_in_the_way(hostile: RunFolder, tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StorageError, match="out is not a folder; give another --out"):
        export(hostile, "cvat", tmp_path / "out")
    folder = export(hostile, "huggingface", tmp_path / "links").folder
    (folder / "cat/a,b.png").unlink()
    (folder / "cat/a,b.png").write_text("mine")
    with pytest.raises(StorageError, match=r"cat/a,b.png is in the way; delete it, or give another --out"):
        export(hostile, "huggingface", folder)
    assert (folder / "cat/a,b.png").read_text() == "mine"


def test_a_full_disk_leaves_the_earlier_export_whole(hostile: RunFolder, tmp_path: Path):
    folder = export(hostile, "label-studio", tmp_path / "out").folder
    before = (folder / "tasks.json").read_bytes()
    with room_for(3000), pytest.raises(StorageError, match="no space left"):
        export(hostile, "label-studio", folder, ExportOptions(everything=True))
    assert (folder / "tasks.json").read_bytes() == before
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize("to", ["fiftyone", "huggingface"])
def test_images_that_have_moved(tmp_path: Path, to: ExportName):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=("1.png", "2.png"))
    run = made_up_audit(data, tmp_path / "run")
    data.rename(tmp_path / "moved")
    with pytest.raises(RunError, match=r"'a/1.png' and 3 more images are not in .*data; give the image folder with"):
        export(run, to)
    assert not (run.root / "exports").exists()
    written = export(run, to, options=ExportOptions(data=tmp_path / "moved"))
    assert written.samples == 4
    assert str(tmp_path / "moved") in (
        (written.folder / "data.json").read_text() if to == "fiftyone" else str((written.folder / "a/1.png").resolve())
    )
    export(run, "cvat")  # names only


REFUSED = {
    "--top 0 is too few; give at least 1": ("cvat", ExportOptions(top=0)),
    "--top and --all contradict each other; give one of them": ("cvat", ExportOptions(top=1, everything=True)),
    "cvat takes no --url-prefix or --local-files-root; they are for label-studio: leave them out": (
        "cvat",
        ExportOptions(url_prefix="https://host"),
    ),
    "--url-prefix and --local-files-root both say where images are served; give one of them": (
        "label-studio",
        ExportOptions(url_prefix="https://host", local_files_root=Path("/")),
    ),
    "--url-prefix 'https://host/\\n' has characters that no address has; check it": (
        "label-studio",
        ExportOptions(url_prefix="https://host/\n"),
    ),
    "unknown format 'coco'; there are label-studio, cvat, fiftyone, huggingface, cleanlab, croissant": (
        "coco",
        ExportOptions(),
    ),
}


@pytest.mark.parametrize(("message", "asked"), REFUSED.items())
def test_what_cannot_be_meant_is_refused(hostile: RunFolder, message: str, asked: tuple[str, ExportOptions]):
    with pytest.raises(UsageError) as refused:
        export(hostile, asked[0], options=asked[1])
    assert str(refused.value) == message
    assert not (hostile.root / "exports").exists()


def test_images_outside_the_folder_that_is_served(hostile: RunFolder, pictures: Path, tmp_path: Path):
    with pytest.raises(UsageError) as refused:
        export(hostile, "label-studio", tmp_path / "out", ExportOptions(local_files_root=tmp_path))
    assert str(refused.value).startswith(
        f"the images are in {pictures}, which is not below --local-files-root {tmp_path}"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["missing scores", "no scores", "fewer scores", "other list", "no numbers", "twice"])
def test_a_damaged_run_is_refused(hostile: RunFolder, tmp_path: Path, damage: str):
    run = RunFolder(Path(shutil.copytree(hostile.root, tmp_path / "run")))
    table, lines = read_scores(run.scores), run.suspicious.read_text().split("\n")
    if damage == "missing scores":
        run.scores.unlink()
    elif damage == "no scores":
        pq.write_table(table.drop_columns(["p_mislabeled"]), run.scores)
    elif damage == "fewer scores":
        pq.write_table(table.slice(1), run.scores)
    elif damage == "other list":
        run.suspicious.write_text("\n".join([lines[0], "1,a,b,c,1,0,1,1,216,x", ""]))
    elif damage == "no numbers":
        run.suspicious.write_text("\n".join([lines[0], "1,a,b,c,1,0,1,1,one,x", ""]))
    else:
        run.suspicious.write_text("\n".join([lines[0], *["1,a,b,c,1,0,1,1,5,x"] * 2, ""]))
    with pytest.raises(LabelauditError) as refused:
        export(run, "cvat", tmp_path / "out")
    assert isinstance(refused.value, RunError)
    assert "labelaudit fit" in refused.value.fix
    assert not (tmp_path / "out").exists()
