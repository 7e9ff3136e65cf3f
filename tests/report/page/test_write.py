"""The page as a file: what is in it, how large it gets, and what is missing or damaged."""

import base64
import csv
import hashlib
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.data.images import decode_small
from labelaudit.errors import RunError, StorageError
from labelaudit.report.page.charts import quantise
from labelaudit.report.page.write import PageLimits, embedded_json, write_page
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs
from tests.report.page.helpers import MadeUp, make_run, write_pictures

WRONG = tuple(f"ant/{number:03d}.png" for number in range(8))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """To be read only."""
    folder = tmp_path_factory.mktemp("write")
    root = write_pictures(
        folder / "zoo", [f"{name}/{number:03d}.png" for name in ("ant", "bee") for number in range(20)]
    )
    return make_run(folder / "run", root, wrong=WRONG)


@pytest.fixture
def made(finished: MadeUp, tmp_path: Path) -> MadeUp:
    """A copy of the run, on the same pictures."""
    folder = Path(shutil.copytree(finished.run.root, tmp_path / "run"))
    return MadeUp(RunFolder(folder), finished.catalogue, finished.wrong)


def data_of(text: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert len(found) == 1
    return dict(json.loads(found[0]))


def written(made: MadeUp, **limits: int) -> tuple[str, dict[str, Any]]:
    write_page(made.run, limits=PageLimits(**limits))
    text = made.run.page.read_text(encoding="utf-8")
    return text, data_of(text)


def test_the_data_are_those_of_the_run(made: MadeUp) -> None:
    page = write_page(made.run)
    assert (page.path, page.suspicious, page.rows, page.looked_at, page.missing) == (made.run.page, 8, 8, 8, 0)
    assert page.size_bytes == made.run.page.stat().st_size
    _, data = written(made)
    rows, scores = data["rows"], pq.read_table(made.run.scores)
    assert sorted(rows["path"]) == sorted(WRONG)
    assert [made.catalogue.paths[sample] for sample in rows["sample"]] == rows["path"]
    assert data["classes"] == ["ant", "bee"]
    assert (rows["given"], rows["suggested"], rows["kind"]) == ([0] * 8, [1] * 8, [0] * 8)
    assert data["kinds"] == ["mislabeled"]
    aul = scores.column("aul").to_pylist()
    assert rows["value"] == [float(f"{aul[sample]:.4g}") for sample in rows["sample"]]
    assert rows["value"] == sorted(rows["value"], reverse=True)
    digests = base64.b64decode(rows["sha256"])
    assert [digests[32 * k : 32 * k + 32].hex() for k in range(8)] == [made.catalogue.sha256[i] for i in rows["sample"]]
    assert data["fingerprint"] == made.catalogue.fingerprint
    (histogram,) = data["histograms"]
    assert sum(histogram["rest"]) == 32
    assert sum(histogram["suspicious"]) == 8
    assert data["confusion"] == [[0, 1, 8]]
    assert [entry["class"] for entry in data["class_table"]] == [0, 1]


def test_the_curves_are_those_of_the_losses(made: MadeUp) -> None:
    _, data = written(made)
    loss_EN = np.stack([record.loss_R for record in read_epochs(made.run.losses)])
    curves, samples = data["curves"], data["rows"]["sample"]
    assert curves["points"] == len(loss_EN)
    drawn = np.frombuffer(base64.b64decode(curves["samples"]), dtype=np.uint8).reshape(8, -1)
    top = float(np.sort(loss_EN[:, samples].ravel())[-1])
    assert np.abs(drawn.astype(int) - quantise(loss_EN[:, samples].T, top).astype(int)).max() <= 2
    suspicious = np.isin(np.arange(40), samples)
    expected = [np.median(loss_EN[:, part], axis=1) for part in (suspicious, ~suspicious)]
    shown = [data["group_curves"][name][1] for name in ("suspicious", "rest")]
    np.testing.assert_allclose(shown, expected, rtol=1e-3)


def test_thumbnails_are_the_pictures(made: MadeUp) -> None:
    _, data = written(made)
    assert len(data["thumbnails"]["content"]) == 8
    for path, text in zip(data["rows"]["path"], data["thumbnails"]["content"], strict=True):
        shown = decode_small(base64.b64decode(text), side=160)
        real = decode_small((made.catalogue.root / path).read_bytes(), side=160)
        assert shown.shape == real.shape
        assert np.corrcoef(shown.ravel(), real.ravel())[0, 1] > 0.4  # noise: another one would have 0


def test_equal_runs_give_equal_pages(made: MadeUp) -> None:
    assert written(made)[0] == written(made)[0]


def test_only_its_own_script_and_style_may_run(made: MadeUp) -> None:
    text, _ = written(made)
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0])
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", text, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", text, re.DOTALL),
    )
    for kind, content in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|https?://(?!www\.w3\.org/2000/svg)",
        script,
    )
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", text)
    assert not re.search(r"\son\w+=", text.replace(script, ""))


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "a\u2028b", "&amp;", "\ud800", '"\\', "\x00\x1f"])
def test_embedded_json_cannot_end_its_element(text: str) -> None:
    embedded = embedded_json({"key": text, text: 1})
    assert json.loads(embedded) == {"key": text, text: 1}
    assert not set(embedded) & set("<>&\u2028\u2029")
    embedded.encode()


def test_names_in_the_words_are_escaped(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "<script>x", [f"{name}/{k}.png" for name in ("<b>", "c") for k in range(12)])
    made = make_run(tmp_path / "run", root, wrong=["<b>/0.png"])
    text, data = written(made)
    assert text.count("<script>") == 1
    assert "<h1><bdi>&lt;script&gt;x</bdi></h1>" in text
    assert "<b>" not in text
    assert data["classes"] == ["<b>", "c"]


def test_the_file_stays_below_its_limit_and_says_what_is_cut(made: MadeUp) -> None:
    whole, data = written(made)
    sizes = [len(text) for text in data["thumbnails"]["content"]]
    text, less = written(made, max_bytes=len(whole.encode()) - sum(sizes[5:]))
    assert 2 <= len(less["thumbnails"]["content"]) <= 5
    assert len(text.encode()) <= len(whole.encode()) - sum(sizes[5:])
    assert f"thumbnails of the first {len(less['thumbnails']['content'])} only" in text
    text, none = written(made, max_bytes=1)
    assert none["thumbnails"]["content"] == []
    assert len(none["rows"]["path"]) == 8
    text, few = written(made, max_rows=3)
    assert few["rows"]["path"] == data["rows"]["path"][:3]
    assert "The first 3 of 8 suspicious images are here; all of them are in suspicious.csv." in text
    assert len(written(made, max_row_bytes=700)[1]["rows"]["path"]) == 4
    assert len(written(made, max_thumbnails=2)[1]["thumbnails"]["content"]) == 2


def test_without_pictures_every_sample_has_a_placeholder(made: MadeUp, tmp_path: Path) -> None:
    description = made.run.read_description()
    made.run.write_description({**description, "data": {**description["data"], "root": str(tmp_path / "gone")}})
    page = write_page(made.run)
    assert (page.rows, page.looked_at, page.missing) == (8, 8, 8)
    thumbnails = data_of(made.run.page.read_text())["thumbnails"]
    assert thumbnails["content"] == [0] * 8
    assert thumbnails["reasons"] == ["no such file or directory"]


def test_without_losses_there_are_no_curves(made: MadeUp) -> None:
    shutil.rmtree(made.run.losses)
    _, data = written(made)
    assert data["group_curves"] is None
    assert data["curves"] == {"points": 0, "samples": "", "classes": ""}
    assert len(data["rows"]["path"]) == 8


def test_nothing_suspicious_is_a_page_too(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "zoo", [f"{name}/{k}.png" for name in "ab" for k in range(2)])
    made = make_run(tmp_path / "run", root)  # too few for a mixture: nothing is flagged
    text, data = written(made)
    assert data["rows"]["path"] == []
    assert [histogram["components"] for histogram in data["histograms"]] == [None]
    assert "No image is suspicious, so there is nothing to review." in text
    assert '<p class="big">unknown</p>' in text


def test_kinds_are_taken_when_they_are_there(made: MadeUp) -> None:
    scores = pq.read_table(made.run.scores)
    kinds = [None] * 39 + ["ambiguous"]
    kinds[0] = "duplicate"
    pq.write_table(scores.drop_columns(["kind"]).append_column("kind", pa.array(kinds)), made.run.scores)
    _, data = written(made)
    assert data["kinds"] == ["ambiguous", "duplicate"]
    assert [data["rows"]["kind"][data["rows"]["sample"].index(k)] for k in (0, 1)] == [1, -1]


def test_another_statistic_is_drawn_as_it_is(made: MadeUp) -> None:
    from labelaudit.audit.judge import fit
    from labelaudit.detect.verdicts import FitSettings

    fit(made.run, FitSettings(rank_by="aum", estimator="gmm"))
    _, data = written(made)
    margin, area = data["histograms"]
    assert (margin["statistic"], margin["suspicious_when_low"]) == ("aum", True)
    low, high = (np.argmax(line) for line in margin["components"])
    assert low > high  # the suspicious component lies at the small margins
    assert (area["statistic"], area["suspicious_when_low"], area["components"]) == ("aul", False, None)


def test_the_mixture_is_drawn_over_the_aul_whatever_ranks(made: MadeUp) -> None:
    from labelaudit.audit.judge import fit
    from labelaudit.detect.verdicts import FitSettings

    fit(made.run, FitSettings())
    _, data = written(made)
    ranks, area = data["histograms"]
    assert (ranks["statistic"], ranks["components"]) == ("cell_margin", None)
    assert sum(area["rest"]) + sum(area["suspicious"]) == 40
    right, wrong = (np.argmax(line) for line in area["components"])
    assert right < wrong
    # As many images as there are, but for what lies beyond the outermost bins.
    per_bin = len(area["components"][0]) / len(area["rest"])
    assert np.sum(area["components"]) / per_bin == pytest.approx(40, rel=0.2)


def test_damage_is_told_in_a_line(made: MadeUp) -> None:
    scores, suspicious, noise = (path.read_bytes() for path in (made.run.scores, made.run.suspicious, made.run.noise))

    def refused(match: str) -> None:
        with pytest.raises(RunError, match=match):
            write_page(made.run)
        for path, content in zip(
            (made.run.scores, made.run.suspicious, made.run.noise), (scores, suspicious, noise), strict=True
        ):
            path.write_bytes(content)

    table = pq.read_table(made.run.scores)
    pq.write_table(table.slice(0, 39), made.run.scores)
    refused("has other samples than")
    pq.write_table(table.drop_columns(["aul"]), made.run.scores)
    refused("lacks aul")
    pq.write_table(
        table.drop_columns(["p_mislabeled"]).append_column("p_mislabeled", pa.array(["x"] * 40)), made.run.scores
    )
    refused("lacks p_mislabeled")
    for cell in (b"40", b"-1", b"x", b"99999999999"):
        made.run.suspicious.write_bytes(re.sub(rb",\d+,([0-9a-f]{64})", b"," + cell + rb",\1", suspicious, count=1))
        refused("names samples that|is damaged")
    made.run.noise.write_text(json.dumps({**json.loads(noise), "classes": [{"class": "ant"}]}))
    refused("damaged")
    made.run.noise.unlink()
    refused("has no verdicts yet")
    (made.run.losses / "epoch-0003.parquet").write_bytes(b"x")
    refused("is damaged")


def test_a_page_goes_anywhere(made: MadeUp, tmp_path: Path) -> None:
    page = write_page(made.run, tmp_path / "elsewhere.html")
    assert page.path == tmp_path / "elsewhere.html"
    assert page.path.stat().st_size == page.size_bytes
    assert not made.run.page.exists()
    with pytest.raises(StorageError, match="cannot write"):
        write_page(made.run, tmp_path / "nowhere" / "page.html")


def test_a_run_in_use_keeps_its_page(made: MadeUp) -> None:
    before = written(made)[0]
    with RunFolder(made.run.root).writing(), pytest.raises(RunError, match="is in use"):
        write_page(made.run)
    assert made.run.page.read_text() == before
    assert not [path for path in made.run.root.iterdir() if path.name.endswith(".partial")]


def test_unreadable_and_left_out_files_are_told(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "zoo", [f"{name}/{number}.png" for name in ("ant", "bee") for number in range(8)])
    (root / "ant" / "<b>.png").write_bytes(b"no image")
    made = make_run(tmp_path / "run", root, wrong=("ant/0.png",))
    noise = json.loads(made.run.noise.read_text())
    noise["left_out"] = [{"reason": "no <i>", "suffix": ".heic", "files": 5, "example": "ant/1.heic"}]
    made.run.noise.write_text(json.dumps(noise))
    text, _ = written(made)
    assert "1 image of 17 cannot be read; unreadable.csv says which and why." in text
    assert '<bdi dir="ltr">ant/&lt;b&gt;.png</bdi>: not an image that Pillow can read' in text
    assert "5 .heic: no &lt;i&gt; (ant/1.heic)" in text
    with open(made.run.unreadable, newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert (row["path"], row["given_label"]) == ("ant/<b>.png", "ant")
    assert row["sha256"] == hashlib.sha256(b"no image").hexdigest()


def test_moved_images_are_found_where_they_are_now(finished: MadeUp, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(finished.catalogue.root, tmp_path / "moved"))
    page = write_page(finished.run, tmp_path / "page.html", data=moved)
    assert (page.missing, page.without_images, page.root) == (0, False, moved)
    assert 'id="no-images"' not in (tmp_path / "page.html").read_text()
    page = write_page(finished.run, tmp_path / "page.html", data=tmp_path)
    assert (page.missing, page.without_images) == (8, True)
    text = (tmp_path / "page.html").read_text()
    assert f"they are not in <bdi>{tmp_path}</bdi>" in text
    assert "labelaudit report RUN --data DIR" in text


def test_against_a_baseline_the_gallery_has_the_new_ones(finished: MadeUp, tmp_path: Path) -> None:
    known = tmp_path / "baseline.csv"
    lines = finished.run.suspicious.read_text().splitlines(keepends=True)
    known.write_text("".join(lines[:4]))
    page = write_page(finished.run, tmp_path / "page.html", baseline=known)
    assert (page.suspicious, page.new, page.rows) == (8, 5, 5)
    text = (tmp_path / "page.html").read_text()
    assert data_of(text)["rows"]["rank"] == [4, 5, 6, 7, 8]
    assert "5 are new since the baseline; the review below shows these only." in text
    assert write_page(finished.run, tmp_path / "page.html", baseline=finished.run.suspicious).rows == 0
    assert "No suspicious image is new since the baseline" in (tmp_path / "page.html").read_text()
    plain = write_page(finished.run, tmp_path / "page.html")
    assert (plain.new, plain.rows) == (None, 8)
    assert "since the baseline" not in (tmp_path / "page.html").read_text().split("<script")[0]
