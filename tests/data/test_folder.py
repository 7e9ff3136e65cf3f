import hashlib
import os
import shutil

import pytest
from PIL import Image

from labelaudit.data import folder
from labelaudit.data.folder import read_file, scan
from labelaudit.data.images import UnreadableImageError
from labelaudit.errors import DataError
from tests.data.helpers import encoded, noisy_jpeg, plain_png, png_that_claims, write_files

PAIR = {"cat/0.png": plain_png(10), "dog/0.png": plain_png(200)}


def reason_of(catalogue, path):
    return catalogue.reasons[catalogue.paths.index(path)]


def class_of(catalogue):
    return {path: catalogue.classes[label] for path, label in zip(catalogue.paths, catalogue.label_N, strict=True)}


class Listener:
    """Counts what a progress bar was told."""

    def __init__(self):
        self.total = self.finished = 0

    def bar(self, _title, total, _unit):
        self.total = total
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *_):
        return None

    def advance(self, finished):
        self.finished += finished


def test_class_folders_are_the_labels(tmp_path):
    content = encoded(Image.new("RGB", (6, 3)))
    catalogue = scan(write_files(tmp_path, {"dog/b.png": content, "cat/a.png": plain_png(), "dog/a.JPG": noisy_jpeg()}))
    assert catalogue.root == tmp_path
    assert catalogue.classes == ("cat", "dog")
    assert catalogue.paths == ("cat/a.png", "dog/a.JPG", "dog/b.png")
    assert catalogue.label_N.tolist() == [0, 1, 1]
    assert catalogue.width_N.tolist() == [4, 48, 6]
    assert catalogue.height_N.tolist() == [4, 32, 3]
    assert catalogue.grey_N.tolist() == [True, False, False]
    assert catalogue.sha256[2] == hashlib.sha256(content).hexdigest()
    assert catalogue.reasons == ("", "", "")


def test_pictures_at_any_depth_belong_to_the_class_at_the_top(tmp_path):
    files = {"cat/2020/may/0.png": plain_png(), "cat/dog/0.png": plain_png(), "dog/0.png": plain_png()}
    assert class_of(scan(write_files(tmp_path, files))) == {
        "cat/2020/may/0.png": "cat",
        "cat/dog/0.png": "cat",
        "dog/0.png": "dog",
    }


def test_an_empty_class_folder_is_no_class(tmp_path):
    (tmp_path / "bird").mkdir()
    assert scan(write_files(tmp_path, PAIR)).classes == ("cat", "dog")


def test_a_link_to_a_folder_above_ends_and_a_link_to_another_folder_is_followed(tmp_path):
    root = write_files(tmp_path / "images", PAIR)
    write_files(tmp_path / "more", {"1.png": plain_png()})
    (root / "cat" / "up").symlink_to(root / "cat", target_is_directory=True)
    (root / "dog" / "more").symlink_to(tmp_path / "more", target_is_directory=True)
    assert scan(root).paths == ("cat/0.png", "dog/0.png", "dog/more/1.png")


def test_two_links_to_one_folder_are_both_followed(tmp_path):
    root = write_files(tmp_path / "images", {"cat/first/0.png": plain_png()})
    (root / "cat" / "second").symlink_to("first", target_is_directory=True)
    (root / "dog").symlink_to("cat", target_is_directory=True)
    assert class_of(scan(root)) == {
        "cat/first/0.png": "cat",
        "cat/second/0.png": "cat",
        "dog/first/0.png": "dog",
        "dog/second/0.png": "dog",
    }


def test_links_to_themselves_and_to_nothing_stop_no_audit(tmp_path):
    write_files(tmp_path, PAIR)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "cat" / "self.png").symlink_to("self.png")
    (tmp_path / "dog" / "gone.png").symlink_to("nothing.png")
    catalogue = scan(tmp_path)
    assert catalogue.classes == ("cat", "dog")
    assert reason_of(catalogue, "cat/self.png") == "too many levels of symbolic links"
    assert reason_of(catalogue, "dog/gone.png") == "no such file or directory"
    assert catalogue.readable_N.sum() == 2


@pytest.mark.timeout(20)
def test_a_pipe_is_set_aside_and_not_waited_for(tmp_path):
    write_files(tmp_path, PAIR)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    assert reason_of(scan(tmp_path), "cat/pipe.png") == "not a regular file"


def test_names_that_are_no_utf8_are_set_aside_and_printable(tmp_path):
    write_files(tmp_path, PAIR)
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    for name in (b"cat/\xff.png", b"caf\xe9/0.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(plain_png())
    catalogue = scan(tmp_path)
    assert set(catalogue.paths) == {*PAIR, "cat/\\xff.png", "caf\\xe9/0.png"}
    assert catalogue.classes == ("caf\\xe9", "cat", "dog")
    assert reason_of(catalogue, "cat/\\xff.png") == "file name is not valid UTF-8"
    assert "".join(catalogue.paths).encode("utf-8")


def test_names_of_any_script_are_kept(tmp_path):
    files = {'猫/ä ö,"x"\n.png': plain_png(), "🐕/0.png": plain_png()}
    catalogue = scan(write_files(tmp_path, files))
    assert class_of(catalogue) == {path: path.split("/")[0] for path in files}
    assert catalogue.readable_N.all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b"GET / HTTP/1.1 404 Not Found", "not an image that Pillow can read", id="text"),
        pytest.param(png_that_claims(30000, 30000), "too large to decode safely", id="bomb"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_with_the_reason(tmp_path, content, reason):
    catalogue = scan(write_files(tmp_path, PAIR | {"cat/bad.png": content}))
    sample = catalogue.paths.index("cat/bad.png")
    assert catalogue.reasons[sample].startswith(reason)
    assert catalogue.readable_N.tolist() == [path != "cat/bad.png" for path in catalogue.paths]
    assert (catalogue.width_N[sample], catalogue.height_N[sample]) == (0, 0)
    assert catalogue.sha256[sample] == hashlib.sha256(content).hexdigest()


def test_a_wrong_suffix_does_not_matter(tmp_path):
    catalogue = scan(write_files(tmp_path, PAIR | {"cat/photo.png": noisy_jpeg()}))
    assert reason_of(catalogue, "cat/photo.png") == ""
    assert catalogue.width_N[catalogue.paths.index("cat/photo.png")] == 48


def test_a_file_that_may_not_be_read_is_set_aside(tmp_path, monkeypatch):
    write_files(tmp_path, PAIR)

    opened = os.open

    def refuse(file, *arguments):
        if str(file).endswith(".png"):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    catalogue = scan(tmp_path)
    assert catalogue.reasons == ("permission denied",) * 2
    assert catalogue.sha256 == ("", "")


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "huge.png"
    with open(file, "wb") as handle:
        handle.truncate(folder.MAX_FILE_BYTES + (5 << 20))
    with pytest.raises(UnreadableImageError, match=r"^file of 1029 MiB is too large$"):
        read_file(file)


def test_a_file_of_just_the_largest_size_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 3)
    write_files(tmp_path, {"fits": b"abc", "larger": b"abcd"})
    assert read_file(tmp_path / "fits") == b"abc"
    with pytest.raises(UnreadableImageError, match="too large"):
        read_file(tmp_path / "larger")


def test_order_and_numbers_do_not_depend_on_the_order_of_writing(tmp_path):
    names = [f"{class_name}/{number}.png" for class_name in ("b", "a", "B") for number in (10, 9, 100)]
    forward = scan(write_files(tmp_path / "forward", {name: plain_png() for name in names}))
    backward = scan(write_files(tmp_path / "backward", {name: plain_png() for name in reversed(names)}))
    assert forward.paths == backward.paths == tuple(sorted(names))
    assert forward.fingerprint == backward.fingerprint


def test_the_fingerprint_follows_the_data_and_not_its_place(image_folder):
    root = image_folder()
    before = scan(root).fingerprint
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    assert scan(copy).fingerprint == before

    (copy / "cat" / "001.png").write_bytes(plain_png())
    changed = scan(copy).fingerprint
    (copy / "cat" / "001.png").rename(copy / "cat" / "renamed.png")
    renamed = scan(copy).fingerprint
    (copy / "cat" / "renamed.png").rename(copy / "dog" / "renamed.png")
    assert len({before, changed, renamed, scan(copy).fingerprint}) == 4


def test_progress_is_told_of_every_file(image_folder):
    listener = Listener()
    scan(image_folder(per_class=40), reporter=listener)
    assert listener.total == listener.finished == 80


def test_no_picture_is_lost_where_the_list_is_cut_into_parts(tmp_path):
    root = write_files(tmp_path, {f"{number % 2}/{number:03d}.png": plain_png(number) for number in range(150)})
    catalogue = scan(root)
    for path, sha256 in zip(catalogue.paths, catalogue.sha256, strict=True):
        assert sha256 == hashlib.sha256(plain_png(int(path[2:5]))).hexdigest()
    assert len(catalogue) == 150


def test_a_labels_file_replaces_the_folders(tmp_path):
    root = write_files(tmp_path / "images", PAIR | {"flat.png": plain_png()})
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\nflat.png,wolf\ncat/0.png,dog\n")
    catalogue = scan(root, labels_file=labels)
    assert class_of(catalogue) == {"cat/0.png": "dog", "flat.png": "wolf"}
    assert catalogue.paths == ("cat/0.png", "flat.png")
    assert catalogue.classes == ("dog", "wolf")
    assert [row.text for row in catalogue.left_out] == ["1 .png: not in the labels file (dog/0.png)"]


def test_a_listed_file_that_is_missing_or_a_folder_is_set_aside(tmp_path):
    root = write_files(tmp_path / "images", PAIR)
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\ncat/0.png,cat\nnowhere.png,dog\ndog,dog\n")
    catalogue = scan(root, labels_file=labels)
    assert reason_of(catalogue, "nowhere.png") == "no such file or directory"
    assert reason_of(catalogue, "dog") == "not a regular file"
    assert reason_of(catalogue, "cat/0.png") == ""


def test_a_listed_file_needs_no_known_suffix(tmp_path):
    root = write_files(tmp_path / "images", {"0": plain_png()})
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\n0,cat\n")
    assert scan(root, labels_file=labels).readable_N.all()


def test_a_folder_that_is_not_there_or_no_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere\W give a folder that holds one folder"):
        scan(tmp_path / "nowhere")
    write_files(tmp_path, {"file.png": plain_png()})
    with pytest.raises(DataError, match=r"file\.png is not a folder"):
        scan(tmp_path / "file.png")
    with pytest.raises(DataError, match=r"cannot read the folder .*: file name too long\W check the path"):
        scan(tmp_path / ("x" * 300))


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"you may not read the folder .*\W check its permissions"):
        scan(tmp_path)


def test_a_folder_without_class_folders_is_refused_with_both_ways_out(tmp_path):
    write_files(tmp_path, {"0.png": plain_png(), ".hidden/0.png": plain_png()})
    with pytest.raises(DataError, match=r"has no class folders.*into a folder of its own, or .* --labels"):
        scan(tmp_path)


def test_class_folders_without_pictures_are_refused(tmp_path):
    write_files(tmp_path, {"cat/notes.txt": b"x"})
    with pytest.raises(DataError, match="there are no image files in the class folders of"):
        scan(tmp_path)
