"""Read images from files, and from inside of a zip, a tar or a Parquet file without unpacking it.

`read_file` is the only place where an image's bytes are opened. A path may lead into a file, as
``photos.zip/cat/1.jpg`` or ``train.parquet/000012``: the operating system refuses it, and the rest of the path is then
looked up in that file.
"""

from __future__ import annotations

import bisect
import os
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.data.images import UnreadableImageError
from labelaudit.data.labels_file import leads_out, matching
from labelaudit.errors import DataError, LabelauditError, brief, reason
from labelaudit.run.files import reading
from labelaudit.text import listed

MAX_FILE_BYTES = 1 << 30
"""Larger files are set aside unread."""

_MOST_RATIO, _BOMB_BYTES = 200, 1 << 28
"""A zip that claims more than so many times its own size, and more than so many bytes, is refused."""
_GROUP_BYTES = 1 << 30
"""Row groups of Parquet files that are kept decoded have so many bytes together; a larger one is refused."""
_BATCH_ROWS = 64
"""Rows that are decoded at a time, so that a group that unpacks to too much is noticed early."""

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
"""First bytes of a file that is compressed as a whole, by gzip, bzip2 or xz."""
_AGAIN = "copy or download it again"


def read_file(file: Path) -> bytes:
    """Read a regular file of at most `MAX_FILE_BYTES`, or a member of one; what cannot be read is an
    UnreadableImageError.
    """
    try:
        # Without waiting for a pipe; the file that is checked is the file that is read.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)) as content:
            status = os.fstat(content.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImageError("not a regular file")
            _require_size(status.st_size)
            return content.read(MAX_FILE_BYTES)
    except NotADirectoryError as error:
        if (found := inside(file)) is None:
            raise UnreadableImageError(reason(error)) from error
        try:
            return opened(found[0]).read(found[1])
        except LabelauditError as refused:
            raise UnreadableImageError(refused.what) from refused
        except OSError as failed:
            raise UnreadableImageError(reason(failed)) from failed
    except OSError as error:
        raise UnreadableImageError(reason(error)) from error


def _require_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise UnreadableImageError(f"file of {size >> 20} MiB is too large")


def inside(path: Path) -> tuple[Path, str] | None:
    """Return the file that a path is or leads into, and the rest of the path; None for a path in folders only."""
    for file in (path, *path.parents):
        if file.is_file():
            return file, "/".join(path.parts[len(file.parts) :])
        if os.path.lexists(file):
            return None
    return None


class Archive:
    """A zip or tar: where its ``members`` lie in it, by path, and the ``folders`` that it lists.

    Raises a DataError for an archive that is damaged, or that holds links or names that lead out of it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.folders: list[str] = []
        self.members: dict[str, _Member] = {}

    def add(self, name: str, kind: str, member: _Member) -> None:
        """Take an entry of the archive's list; ``kind`` is file, folder, or what else it is."""
        if leads_out(name.replace("\\", "/")):
            raise self.refused(f"the name {name[:100]!r} leads out of it")
        plain = "/".join(part for part in name.split("/") if part not in ("", "."))
        if kind == "folder":
            self.folders += [plain] if plain else []
        elif kind != "file":
            raise self.refused(f"{plain[:100]!r} is a {kind}")
        elif plain in self.members:
            raise self.refused(f"it has {plain[:100]!r} twice")
        else:
            self.members[plain] = member

    def refused(self, why: str) -> DataError:
        """Return the error that refuses the whole archive."""
        return DataError(f"{self.file} is refused: {why}", fix="make it again, of files only, each under its own path")

    def read(self, name: str) -> bytes:
        """Return the content of a member; what is missing or damaged is an UnreadableImageError."""
        member = self.members.get(name)
        if member is None:
            raise UnreadableImageError(f"not in {self.file.name}")
        _require_size(member.size)
        if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableImageError("encrypted, or compressed by a method other than deflate")
        with open(self.file, "rb") as archive:
            archive.seek(member.start)
            if member.crc is not None:  # a zip: the header before the content has a name and an extra field
                header = archive.read(30)
                archive.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
            content = archive.read(member.packed)
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
            except zlib.error as error:
                raise UnreadableImageError(f"damaged in {self.file.name}") from error
        if len(content) != member.size or member.crc not in (None, zlib.crc32(content)):
            raise UnreadableImageError(f"damaged in {self.file.name}")
        return content


class _Member(NamedTuple):
    """Where a member's content lies; of a zip, where its header does. ``crc`` is None in a tar."""

    start: int
    size: int
    packed: int
    method: int = zipfile.ZIP_STORED
    crc: int | None = None


def _zip(file: Path) -> Archive:
    archive, size, packed, unpacked = Archive(file), file.stat().st_size, 0, 0
    try:
        with zipfile.ZipFile(file) as content:
            entries = content.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{file} is not a whole zip archive ({brief(error)})", fix=_AGAIN) from error
    for info in entries:
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = "folder" if info.is_dir() else "file" if mode in (0, stat.S_IFREG) else "link or special file"
        method = -1 if info.flag_bits & 1 else info.compress_type
        member = _Member(info.header_offset, info.file_size, info.compress_size, method, info.CRC)
        archive.add(info.filename, kind, member)
        packed, unpacked = packed + info.compress_size, unpacked + info.file_size
    if packed > size:  # a zip bomb whose members share their content
        raise archive.refused("its members overlap")
    if unpacked > max(_BOMB_BYTES, _MOST_RATIO * size):
        raise archive.refused(f"its {size >> 10:,} KiB claim to hold {unpacked >> 20:,} MiB, as a zip bomb does")
    return archive


def _tar(file: Path) -> Archive:
    archive, size, last = Archive(file), file.stat().st_size, -1
    try:
        with tarfile.open(file, "r:") as content:
            for info in content:
                # Some versions of Python go round in circles on negative sizes.
                if info.size < 0 or info.offset <= last or info.offset_data + (info.size if info.isreg() else 0) > size:
                    raise tarfile.ReadError(f"wrong size of {info.name[:60]!r}")
                last = info.offset
                kind = "folder" if info.isdir() else "file" if info.isreg() and not info.issparse() else "special file"
                kind = "link" if info.issym() or info.islnk() else kind
                archive.add(info.name, kind, _Member(info.offset_data, info.size, info.size))
                content.members = []  # type: ignore[attr-defined]  # tarfile would keep 1 kB for each
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise DataError(f"{file} is not a whole tar archive ({brief(error)})", fix=_AGAIN) from error
    return archive


class Table:
    """A Parquet file with a column of image files (bytes, or Hugging Face's struct of bytes and path) and of labels.

    A row's name is its number from 0, in digits of equal length; ``label`` is the column of labels. Raises a DataError
    where the file is damaged or has no such columns.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._parquet = pq.ParquetFile(file)
            groups = range(self._parquet.metadata.num_row_groups)
            self._ends = [0]
            for group in groups:
                self._ends.append(self._ends[-1] + self._parquet.metadata.row_group(group).num_rows)
        except (pa.ArrowException, ValueError) as error:
            raise self._damaged(error) from error
        self._schema: pa.Schema = self._parquet.schema_arrow
        self._image, self.label = self._columns()

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        digits = max(6, len(str(self._ends[-1])))
        return [f"{row:0{digits}}" for row in range(self._ends[-1])]

    @cached_property
    def labels(self) -> list[str | None]:
        """The label of each row; None where it has none: null, or −1 by the convention of Hugging Face."""
        try:
            values = self._parquet.read([self.label]).column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error
        names = self._class_names()
        if not names:
            return [None if value is None else str(value) for value in values]
        try:
            return [None if value in (None, -1) else names[value] for value in values]
        except (IndexError, TypeError) as error:
            what = f"{self.file}: the column {self.label!r} has labels beyond its {len(names)} class names"
            raise DataError(what, fix="write the file again") from error

    def read(self, name: str) -> bytes:
        """Return the bytes of an image; an UnreadableImageError where the row has none."""
        row = int(name) if name.isdecimal() and len(name) < 18 else self._ends[-1]
        if row >= self._ends[-1]:
            raise UnreadableImageError(f"not in {self.file.name}")
        group = bisect.bisect_right(self._ends, row) - 1
        try:
            value = _GROUPS.get(self, group)[row - self._ends[group]].as_py()
        except (pa.ArrowException, OSError) as error:
            raise UnreadableImageError(f"damaged in {self.file.name}: {brief(error)}") from error
        content = value["bytes"] if isinstance(value, dict) else value
        if content is None:
            raise UnreadableImageError("the row has no bytes, only a path" if value else "the row has no image")
        _require_size(len(content))
        return bytes(content)

    def decoded(self, group: int) -> pa.ChunkedArray:
        """Decode the images' bytes of a row group."""
        column = f"{self._image}.bytes" if pa.types.is_struct(self._schema.field(self._image).type) else self._image
        parts: list[pa.Array] = []
        held = 0
        for batch in self._parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[column]):
            parts.append(batch.column(0))
            held += batch.nbytes
            if held > _GROUP_BYTES:
                what = f"{self.file}: row group {group} holds more than {_GROUP_BYTES >> 30} GiB"
                raise DataError(what, fix="write it with row_group_size=1000")
        return pa.chunked_array(parts)

    def _columns(self) -> tuple[str, str]:
        """Return the names of the column of images and that of labels."""
        header = self._schema.names
        images = [field.name for field in self._schema if _is_image(field.type)]
        named = [name for name in images if name in ("image", "img")] if len(images) > 1 else images
        labels = [header[place] for place in matching(header)]
        has = f"(its columns are {listed(map(repr, header), 8)})"
        if len(named) != 1:
            what = f"{self.file} has {'several columns' if images else 'no column'} of images as bytes {has}"
            raise DataError(what, fix="name the column of bytes image" if images else "store the images' bytes in it")
        if len(labels) != 1:
            what = f"{self.file} has {'several columns' if labels else 'no column'} of labels {has}"
            raise DataError(what, fix="name the column of the labels label")
        kind = self._schema.field(labels[0]).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        tests = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean)
        if not any(test(kind) for test in tests):
            what = f"{self.file}: the column {labels[0]!r} has {kind}, not one label a row"
            raise DataError(what, fix="store labels as texts or whole numbers")
        return named[0], labels[0]

    def _class_names(self) -> list[str]:
        """Return the names that Hugging Face datasets wrote for the numbers of the classes, if any."""
        try:
            known = msgspec.json.decode((self._schema.metadata or {}).get(b"huggingface", b""))
            return msgspec.convert(known["info"]["features"][self.label]["names"], list[str])
        except (msgspec.MsgspecError, KeyError, TypeError):
            return []

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.file} is not a whole Parquet file ({brief(error)})", fix=_AGAIN)


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_image(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _Groups:
    """The row groups that were decoded last, of all tables: rows are read in their order, by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Table, int], pa.ChunkedArray] = OrderedDict()

    def get(self, table: Table, group: int) -> pa.ChunkedArray:
        with self._lock:
            if (table, group) not in self._kept:
                self._kept[table, group] = table.decoded(group)
            self._kept.move_to_end((table, group))
            while len(self._kept) > 1 and sum(images.nbytes for images in self._kept.values()) > _GROUP_BYTES:
                self._kept.popitem(last=False)
            return self._kept[table, group]


_GROUPS = _Groups()
_OPENING = threading.Lock()


def opened(file: Path) -> Archive | Table:
    """Return the archive or table in a file, read anew where it has changed; any other file is a DataError."""
    with reading(file):
        status = os.stat(file)
        with _OPENING:  # several threads would list it at the same time
            return _opened(file, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=64)
def _opened(file: Path, state: tuple[int, ...]) -> Archive | Table:
    with open(file, "rb") as content:
        start = content.read(512)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip(file)
    if start.startswith(b"PAR1"):
        return Table(file)
    if start[257:262] == b"ustar" or (start and file.suffix == ".tar"):
        return _tar(file)
    if start.startswith(_COMPRESSED):
        what = f"{file} is compressed as a whole, so that no single image in it can be reached"
        raise DataError(what, fix="decompress it, as by gunzip, or unpack it")
    raise DataError(f"{file} is not a folder", fix="give a folder of class folders, a zip or tar of one, or Parquet")
