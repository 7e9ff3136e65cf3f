import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.data import containers
from labelaudit.data.containers import opened, read_file
from labelaudit.data.images import UnreadableImageError
from labelaudit.errors import DataError
from tests.data.helpers import plain_png

PNG = plain_png()


def zip_of(file: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def tar_of(file: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = 0 if content is info else len(content)
            archive.addfile(info, None if content is info else io.BytesIO(content))
    return file


def table_of(file: Path, labels, images=None, *, name: str = "label", kind=None, **options) -> Path:
    images = [plain_png(number) for number in range(len(labels))] if images is None else images
    pq.write_table(pa.table({"image": pa.array(images, kind), name: pa.array(labels)}), file, **options)
    return file


@pytest.mark.parametrize("make", [zip_of, tar_of, lambda *given: zip_of(*given, zipfile.ZIP_STORED)])
def test_members_are_read_by_several_threads_as_they_were_written(make, tmp_path):
    draw = np.random.default_rng(0)
    content = {f"cat/é {number}.png": draw.bytes(int(size)) for number, size in enumerate(draw.integers(0, 9000, 300))}
    file = make(tmp_path / "photos", content)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: read_file(file / name), content)) == list(content.values())
    for name in ("cat/none.png", "cat"):
        with pytest.raises(UnreadableImageError, match=r"not in photos"):
            read_file(file / name)


@pytest.mark.parametrize(
    "name", ["../a.png", "cat/../../a.png", "/etc/a.png", "\\a.png", "C:\\a.png", "cat\\..\\a.png"]
)
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_names_that_lead_out_refuse_the_archive(make, name, tmp_path):
    file = make(tmp_path / "photos", {"cat/1.png": PNG, name: PNG})
    with pytest.raises(DataError, match=r"photos is refused: the name .* leads out of it; make it again"):
        opened(file)
    with pytest.raises(UnreadableImageError, match=r"leads out"):  # also for one who has its list from before
        read_file(file / "cat/1.png")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_special_files_refuse_the_archive(kind, tmp_path):
    info = tarfile.TarInfo("cat/1.png")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match=r"'cat/1.png' is a (link|special file)"):
        opened(tar_of(tmp_path / "photos.tar", {"cat/1.png": info}))
    linked = zipfile.ZipInfo("cat/1.png")
    linked.external_attr = 0o120777 << 16
    with pytest.raises(DataError, match=r"'cat/1.png' is a link"):
        opened(zip_of(tmp_path / "photos.zip", {linked: b"/etc/passwd"}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_one_name_twice_refuses_the_archive(make, tmp_path):
    with pytest.raises(DataError, match=r"it has 'cat/1.png' twice"):
        opened(make(tmp_path / "photos", {"cat/1.png": PNG, "./cat//1.png": PNG}))


def test_zip_bombs_are_refused_by_their_list(tmp_path):
    nulls = bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"cat/{number}.png", nulls)
    with pytest.raises(DataError, match=r"claim to hold 300 MiB, as a zip bomb does"):
        opened(tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "shared.zip", "w") as archive:
        archive.writestr("cat/0.png", os.urandom(2000))
        for number in range(1, 9):  # entries of the list that all stand for the same content
            info = zipfile.ZipInfo(f"cat/{number}.png")
            (first,) = archive.infolist()[:1]
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
            archive.filelist.append(info)
    with pytest.raises(DataError, match=r"its members overlap"):
        opened(tmp_path / "shared.zip")


def test_a_member_that_unpacks_to_more_than_it_claims_is_unreadable(tmp_path):
    file = zip_of(tmp_path / "lies.zip", {"cat/1.png": bytes(100_000)})
    content = bytearray(file.read_bytes())
    place = content.rindex(b"PK\1\2")
    content[place + 24 : place + 28] = (50).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"damaged in lies\.zip"):
        read_file(file / "cat/1.png")


def test_damaged_archives_say_so_in_one_line(tmp_path):
    for make, name in ((zip_of, "a.zip"), (tar_of, "a.tar")):
        file = make(tmp_path / name, {f"cat/{number}.png": os.urandom(3000) for number in range(9)})
        whole = file.read_bytes()
        for kept in (len(whole) // 2, 700):
            file.write_bytes(whole[:kept])
            with pytest.raises(DataError, match=r"is not a whole (zip|tar) archive .*; copy or download it again"):
                opened(file)
    file = zip_of(tmp_path / "b.zip", {"cat/1.png": PNG * 20}, zipfile.ZIP_STORED)
    file.write_bytes(file.read_bytes().replace(PNG, PNG[:-1] + b"?", 1))
    with pytest.raises(UnreadableImageError, match=r"damaged in b\.zip"):
        read_file(file / "cat/1.png")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path, compress):
    file = tar_of(tmp_path / "a.tgz", {"cat/1.png": PNG})
    file.write_bytes(compress(file.read_bytes()))
    with pytest.raises(DataError, match=r"a\.tgz is compressed as a whole.*; decompress it, as by gunzip"):
        opened(file)


@pytest.mark.timeout(20)
def test_a_negative_size_in_a_tar_ends(tmp_path):
    file = tar_of(tmp_path / "a.tar", {"cat/1.png": PNG, "cat/2.png": PNG})
    content = bytearray(file.read_bytes())
    content[124:136] = b"\xff" * 10 + (-1024).to_bytes(2, "big", signed=True)
    content[148:156] = b"        "
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"not a whole tar"):
        opened(file)


def test_rows_of_a_table_are_its_images_in_any_order_and_group_size(tmp_path):
    images = [os.urandom(50 + number) for number in range(200)]
    hugging = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    structs = [{"bytes": content, "path": "x"} for content in images]
    for file in (
        table_of(tmp_path / "a.parquet", [0] * 200, images, row_group_size=7),
        table_of(tmp_path / "b.parquet", [0] * 200, structs, kind=hugging, row_group_size=70),
    ):
        order = np.random.default_rng(0).permutation(200).tolist()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda row, file=file: read_file(file / f"{row:06}"), order))
        assert found == [images[row] for row in order]
        with pytest.raises(UnreadableImageError, match=r"not in"):
            read_file(file / "000200")


def test_a_row_group_that_unpacks_to_too_much_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_GROUP_BYTES", 1 << 20)
    file = table_of(tmp_path / "a.parquet", [0] * 4000, [bytes(100_000)] * 4000)
    assert file.stat().st_size < 1 << 20
    with pytest.raises(UnreadableImageError, match=r"row group 0 holds more than"):
        read_file(file / "000000")


def test_a_table_without_its_columns_names_those_that_it_has(tmp_path):
    file = table_of(tmp_path / "a.parquet", [1, 2], name="fine")
    with pytest.raises(DataError, match=r"a.parquet has no column of labels \(its columns are 'image', 'fine'\); name"):
        opened(file)
    with pytest.raises(DataError, match=r"has no column of images as bytes"):
        opened(table_of(tmp_path / "b.parquet", [1, 2], ["a.png", "b.png"]))
    with pytest.raises(DataError, match=r"'label' has double, not one label a row"):
        opened(table_of(tmp_path / "c.parquet", [1.5, 2.5]))
    (tmp_path / "d.parquet").write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"is not a whole Parquet file"):
        opened(tmp_path / "d.parquet")
