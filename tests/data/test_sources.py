import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.data.containers import read_file
from labelaudit.data.folder import fixed_labels, scan
from labelaudit.data.pixels import PixelFormat, load_pixels
from labelaudit.errors import DataError
from tests.data.helpers import given_in, plain_png, write_files
from tests.data.test_containers import table_of, tar_of, zip_of
from tests.helpers import Listener

FILES = {f"{label}/{number}.png": plain_png(20 * place + number) for place, label in enumerate(("cat", "dog", "owl"))
         for number in range(3)}  # fmt: skip


def test_an_archive_of_class_folders_is_the_folder(tmp_path):
    more = {
        "cat/.hidden.png": b"",
        "__MACOSX/cat/._0.png": b"",
        "notes.txt": b"",
        "loose.png": b"",
        "owl/plain": FILES["owl/0.png"],
    }
    root = write_files(tmp_path / "photos", FILES | more)
    expected = scan(root)
    (root / "cat" / ".hidden.png").touch()
    for file in (
        zip_of(tmp_path / "photos.zip", FILES | more),
        tar_of(tmp_path / "photos.tar", {f"./{name}": content for name, content in (FILES | more).items()}),
        zip_of(tmp_path / "deep.zip", {f"a/photos/{name}": content for name, content in (FILES | more).items()})
        / "a/photos",
    ):
        found = scan(file)
        assert (found.fingerprint, found.left_out, found.remarks) == (
            expected.fingerprint,
            expected.left_out,
            expected.remarks,
        )
        assert found.fixed
        assert not expected.fixed
        form = PixelFormat(size=4, channels=1)
        assert np.array_equal(load_pixels(found, form).array_RCHW, load_pixels(expected, form).array_RCHW)
    with pytest.raises(DataError, match=r"give .*deep\.zip/a/photos if those are the class folders"):
        scan(tmp_path / "deep.zip")
    with pytest.raises(DataError, match=r"there are no files in .*photos\.zip/none"):
        scan(tmp_path / "photos.zip/none")


def test_a_table_has_the_class_names_of_hugging_face_and_leaves_rows_without_a_label_out(tmp_path):
    feature = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [plain_png(n) for n in range(6)], "label": [0, 1, 1, 0, -1, None]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(feature)}), tmp_path / "a.parquet")
    catalogue = scan(tmp_path / "a.parquet", reporter=(listener := Listener()))
    assert given_in(catalogue) == {"000000": "cat", "000001": "dog", "000002": "dog", "000003": "cat"}
    assert [(row.reason, row.files) for row in catalogue.left_out] == [("without a label", 2)]
    assert "Labels are from the column 'label'" in listener.lines
    assert catalogue.fixed
    table = table.set_column(1, "label", pa.array([0, 1, 2, 0, 0, 0]))
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(feature)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"the column 'label' has labels beyond its 2 class names"):
        scan(tmp_path / "a.parquet")


def test_shards_of_a_folder_are_one_data_set_and_names_lead_back_to_them(tmp_path):
    for number, part in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        (tmp_path / "data").mkdir(exist_ok=True)
        images = [plain_png(10 * number + n) for n in range(4)]
        table_of(tmp_path / "data" / f"{part}.parquet", ["a", "b", "a", "b"], images)
    with pytest.raises(DataError, match=r"holds train, test: parts of a data set; .* --split train,test"):
        scan(tmp_path)
    catalogue = scan(tmp_path, split=["train"])
    assert len(catalogue) == 8
    assert catalogue.paths[5] == "data/train-00001-of-00002.parquet/000001"
    assert read_file(tmp_path / catalogue.paths[5]) == plain_png(11)
    assert scan(tmp_path, split=["train", "test"]).split_N == ("test",) * 4 + ("train",) * 8
    with pytest.raises(DataError, match=r"there is no val in .*; there are: train, test"):
        scan(tmp_path, split=["val"])


def test_web_dataset_labels_lie_beside_the_images(tmp_path):
    shards = {name.replace("/", "-"): content for name, content in FILES.items()}
    keys = {name.replace(".png", ".cls"): name[:3].encode() for name in shards}
    file = tar_of(tmp_path / "a.tar", {**shards, **keys, "cat-0.json": b"{}", "none.png": FILES["cat/0.png"]})
    catalogue = scan(file)
    assert given_in(catalogue) == {name: name[:3] for name in shards}
    assert {(row.reason, row.suffix, row.files) for row in catalogue.left_out} == {
        ("without a label", ".png", 1),
        ("not an image by its name", ".json", 1),
    }
    described = {name.replace(".cls", ".json"): b'{"label": "%s", "n": 1}' % label for name, label in keys.items()}
    found = scan(tar_of(tmp_path / "j.tar", {**shards, **described}))
    assert (given_in(found), found.left_out) == (given_in(catalogue), ())
    with pytest.raises(DataError, match=r"dog-0\.json has no label; store"):
        scan(tar_of(tmp_path / "k.tar", {**shards, **described, "dog-0.json": b"{}"}))
    # JSON files without a label describe something else.
    notes = {name.replace(".png", ".json"): b'{"photographer": "x"}' for name in FILES}
    assert given_in(scan(zip_of(tmp_path / "n.zip", {**FILES, **notes}))) == {name: name[:3] for name in FILES}
    (tmp_path / "shards").mkdir()
    shutil.copy(file, tmp_path / "shards" / "0.tar")
    shutil.copy(file, tmp_path / "shards" / "1.tar")
    assert len(scan(tmp_path / "shards")) == 18
    tar_of(tmp_path / "shards" / "2.tar", shards)
    with pytest.raises(DataError, match=r"2\.tar has no labels: a shard has a file \.cls, or \.json with a label"):
        scan(tmp_path / "shards")
    with pytest.raises(DataError, match=r"cat-0\.cls is empty"):
        scan(tar_of(tmp_path / "b.tar", {**shards, **keys, "cat-0.cls": b"\n"}))


def _metadata(form: str, rows: list[dict[str, object]]) -> bytes:
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), content := io.BytesIO())
        return content.getvalue()
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return "\n".join(["file_name,label", *(f"{row['file_name']},{row['label']}" for row in rows)]).encode()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_hugging_face_metadata_gives_the_labels_in_folders_and_archives(form, tmp_path):
    rows = [{"file_name": name, "label": f"a {name[:3]}"} for name in FILES if name != "owl/2.png"]
    files = {**FILES, f"metadata.{form}": _metadata(form, rows)}
    expected = {row["file_name"]: row["label"] for row in rows}
    for root in (write_files(tmp_path / "photos", files), zip_of(tmp_path / "photos.zip", files)):
        catalogue = scan(root, reporter=(listener := Listener()))
        assert given_in(catalogue) == expected == fixed_labels(root)
        assert [row.example for row in catalogue.left_out] == ["owl/2.png"]
        assert f"Labels are from metadata.{form}" in listener.lines
        assert catalogue.fixed


def test_metadata_of_parts_and_metadata_without_labels(tmp_path):
    rows = _metadata("jsonl", [{"file_name": f"{n}.png", "label": "ab"[n % 2]} for n in range(4)])
    images = {f"{n}.png": plain_png(n) for n in range(4)}
    root = write_files(
        tmp_path / "parts",
        {f"{p}/{k}": v for p in ("train", "test") for k, v in {**images, "metadata.jsonl": rows}.items()},
    )
    with pytest.raises(DataError, match=r"holds train, test: parts"):
        scan(root)
    assert set(given_in(scan(root, split=["test"]))) == {f"test/{name}" for name in images}
    captions = {"metadata.jsonl": b'{"file_name": "cat/0.png", "text": "a cat"}\n'}
    assert not scan(write_files(tmp_path / "captions", FILES | captions)).fixed


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"file_name": "../x.png", "label": "a"}', "'../x.png' leads out of its folder"),
        ('{"file_name": "/x.png", "label": "a"}', "leads out"),
        ('{"file_name": "cat/0.png", "label": "b"}', "'cat/0.png' appears twice"),
        ('{"file_name": "x.png", "label": [1]}', r"\[1\] is not one label"),
        ('{"label": "a"}', "row 2: no file_name"),
        ("{", "cannot read .*metadata.jsonl"),
    ],
)
def test_bad_metadata_is_refused_with_its_row(line, problem, tmp_path):
    first = '{"file_name": "cat/0.png", "label": "a"}\n'
    with pytest.raises(DataError, match=problem):
        scan(write_files(tmp_path, {**FILES, "metadata.jsonl": (first + line).encode()}))


def test_the_packages_that_write_such_data_agree(tmp_path):
    datasets, webdataset = pytest.importorskip("datasets"), pytest.importorskip("webdataset")
    names, images = ["cat", "dog", "owl"], [(name[:3], content) for name, content in FILES.items()]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = [{"image": {"bytes": content, "path": None}, "label": label} for label, content in images]
    datasets.Dataset.from_list(rows, features).to_parquet(tmp_path / "a.parquet")
    assert list(given_in(scan(tmp_path / "a.parquet")).values()) == [label for label, _ in images]
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as sink:
        for number, (label, content) in enumerate(images):
            sink.write({"__key__": f"{number:04}", "png": content, "cls": names.index(label)})
    found = scan(Path(tmp_path / "a.tar"))
    assert list(given_in(found).values()) == [str(names.index(label)) for label, _ in images]
    assert [read_file(found.root / path) for path in found.paths] == list(FILES.values())
