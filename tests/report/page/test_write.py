import base64
import hashlib
import html
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Audit, recorded_data
from labelaudit.data.folder import scan
from labelaudit.data.images import decode_small
from labelaudit.detect.theory import ESTIMATORS
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import DataError, RunError, StorageError
from labelaudit.report.gate import Limits, make_report
from labelaudit.report.page import write
from labelaudit.report.page.charts import quantise
from labelaudit.report.page.write import CHANGED, embedded_json, read_thumbnails
from labelaudit.run.files import read_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs
from tests.cli.helpers import edit
from tests.data.helpers import write_files
from tests.report.page.helpers import MadeUp, make_run, noise_png, page_of, write_noise_images

WRONG = tuple(f"ant/{number:03d}.png" for number in range(8))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An audit of 40 images; to be read only."""
    folder = tmp_path_factory.mktemp("write")
    names = [f"{name}/{number:03d}.png" for name in ("ant", "bee") for number in range(20)]
    return make_run(folder / "run", write_noise_images(folder / "zoo", names), wrong=WRONG)


@pytest.fixture
def made(finished, tmp_path):
    return MadeUp(RunFolder(shutil.copytree(finished.run.root, tmp_path / "run")), finished.catalogue)


def data_of(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return dict(json.loads(found))


def written(made, **options):
    page_of(made.run, **options)
    text = made.run.page.read_text(encoding="utf-8")
    return text, data_of(text)


def test_the_data_are_those_of_the_run(made):
    page = page_of(made.run)
    assert (page.path, page.rows, page.looked_at, page.missing) == (made.run.page, 8, 8, 0)
    assert page.size_bytes == made.run.page.stat().st_size
    text, data = written(made)
    assert written(made)[0] == text
    rows, scores = data["rows"], pq.read_table(made.run.scores)
    assert sorted(rows["path"]) == sorted(WRONG)
    assert [made.catalogue.paths[sample] for sample in rows["sample"]] == rows["path"]
    assert (data["classes"], data["kinds"]) == (["ant", "bee"], ["mislabeled"])
    assert (rows["given"], rows["suggested"], rows["kind"]) == ([0] * 8, [1] * 8, [0] * 8)
    aul = scores.column("aul").to_pylist()
    assert rows["value"] == [float(f"{aul[sample]:.4g}") for sample in rows["sample"]]
    assert rows["value"] == sorted(rows["value"], reverse=True)
    assert base64.b64decode(rows["sha256"]).hex() == "".join(made.catalogue.sha256[i] for i in rows["sample"])
    assert data["fingerprint"] == made.catalogue.fingerprint
    (histogram,) = data["histograms"]
    assert (sum(histogram["rest"]), sum(histogram["suspicious"])) == (32, 8)
    assert data["confusion"] == [[0, 1, 8]]
    assert [entry["class"] for entry in data["class_table"]] == [0, 1]


def test_the_curves_are_those_of_the_losses(made):
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
    shutil.rmtree(made.run.losses)
    _, data = written(made)
    assert (data["group_curves"], data["curves"]["points"], len(data["rows"]["path"])) == (None, 0, 8)


def test_thumbnails_are_those_of_their_samples(made):
    _, data = written(made)
    for path, text in zip(data["rows"]["path"], data["thumbnails"]["content"], strict=True):
        shown = decode_small(base64.b64decode(text), side=160)
        real = decode_small((made.catalogue.root / path).read_bytes(), side=160)
        assert shown.shape == real.shape
        assert np.corrcoef(shown.ravel(), real.ravel())[0, 1] > 0.4  # noise: another one would have 0


def test_only_its_own_script_and_style_may_run(made):
    text, _ = written(made)
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0])
    for kind in ("script", "style"):
        (content,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert text.index("Content-Security-Policy") < text.index("<style>")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    unsafe = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function"
    assert not re.search(rf"{unsafe}|https?://(?!www\.w3\.org/2000/svg)", script)
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", text)
    assert not re.search(r"\son\w+=", text.replace(script, ""))


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "a\u2028b", "&amp;", "\ud800", '"\\', "\x00\x1f"])
def test_embedded_json_cannot_end_its_element(text):
    embedded = embedded_json({"key": text, text: 1})
    assert json.loads(embedded) == {"key": text, text: 1}
    assert not set(embedded) & set("<>&\u2028\u2029")
    embedded.encode()


def test_estimators_and_names_are_explained_and_escaped(tmp_path):
    names = [f"{name}/{k}.png" for name in ("<b>", "c") for k in range(12)]
    made = make_run(tmp_path / "run", write_noise_images(tmp_path / "<script>\x1bx", names), wrong=["<b>/0.png"])
    fitted = {"rank_by": "aul", "noise_rate": 0.1, "suspicious": 1234}
    review = [{"top": top, "caught": caught} for top, caught in ((300, 0.8), (600, 0.99), (900, 1.0))]
    estimators = dict.fromkeys((*ESTIMATORS, "<i>"), fitted)
    edit(made.run.noise, estimators=estimators, review=review)
    settings = read_json(made.run.description)["settings"]
    edit(made.run.description, settings={**settings, "model": "resnet18", "kind": "frozen"})
    text, data = written(made)
    shown = text.partition("<script")[0]
    assert "24 images · 2 classes · 6 epochs · head on frozen resnet18 · audited 2026-03-04" in shown
    for name in ESTIMATORS:
        assert f'<th scope="row">{name}<small>' in shown
    assert '<th scope="row">&lt;i&gt;</th><td>10.0%</td><td>1,234</td>' in shown
    assert '<tr class="used"><th scope="row">gmm<small>' in shown
    assert re.sub(r"\s+", " ", shown).count("the top 300 images contain about 80%, the top 600 about 99%.") == 1
    assert text.count("<script>") == 1
    assert "<h1><bdi>&lt;script&gt;\\x1bx</bdi></h1>" in text
    assert not {"<b>", "<i>"} & set(re.findall("<.>", text))
    assert data["classes"] == ["<b>", "c"]


def test_the_file_stays_below_its_limit_and_says_what_is_cut(made, monkeypatch):
    whole, data = written(made)
    assert len(written(made, thumbnails=2)[1]["thumbnails"]["content"]) == 2
    most = len(whole.encode()) - sum(len(text) for text in data["thumbnails"]["content"][5:])
    monkeypatch.setattr(write, "MAX_BYTES", most)
    text, less = written(made)
    assert 2 <= len(less["thumbnails"]["content"]) <= 5
    assert len(text.encode()) <= most
    assert f"thumbnails of the first {len(less['thumbnails']['content'])} only" in text
    monkeypatch.setattr(write, "MAX_BYTES", 1)
    text, none = written(made)
    assert (none["thumbnails"]["content"], len(none["rows"]["path"])) == ([], 8)
    monkeypatch.setattr(write, "MAX_ROW_BYTES", 700)
    text, few = written(made)
    assert few["rows"]["path"] == data["rows"]["path"][:4]
    assert "The first 4 of 8 suspicious images are here; all of them are in suspicious.csv." in text


def test_nothing_suspicious_is_a_page_too(tmp_path):
    root = write_noise_images(tmp_path / "zoo", [f"{name}/{k}.png" for name in "ab" for k in range(2)])
    text, data = written(make_run(tmp_path / "run", root))  # too few for a mixture: nothing is flagged
    assert data["rows"]["path"] == []
    assert [histogram["components"] for histogram in data["histograms"]] == [None]
    assert "No image is suspicious, so there is nothing to review." in text
    assert '<p class="big">unknown</p>' in text


@pytest.mark.parametrize(
    ("settings", "low"), [(FitSettings.chosen(rank_by="aum", estimator="gmm"), True), (FitSettings(), False)]
)
def test_the_statistic_that_ranks_is_drawn_beside_the_aul(made, settings, low):
    fit(made.run, settings)
    _, data = written(made)
    first, area = data["histograms"]
    assert (first["statistic"], first["suspicious_when_low"]) == (settings.rank_by, low)
    assert (area["statistic"], area["suspicious_when_low"]) == ("aul", False)
    for histogram in (first, area):
        if histogram["components"]:
            right, wrong = (np.argmax(line) for line in histogram["components"])
            assert (wrong < right) == histogram["suspicious_when_low"]
            # As many images as there are, but for what lies beyond the outermost bins.
            per_bin = len(histogram["components"][0]) / len(histogram["rest"])
            assert np.sum(histogram["components"]) / per_bin == pytest.approx(40, rel=0.2)


def test_a_page_goes_anywhere_but_into_a_run_in_use(made, tmp_path):
    page = page_of(made.run, tmp_path / "elsewhere.html")
    assert page.path == tmp_path / "elsewhere.html"
    assert page.path.stat().st_size == page.size_bytes
    assert not made.run.page.exists()
    page_of(made.run, tmp_path / "lost.html", data=tmp_path)
    assert f"they are not in <bdi>{tmp_path}</bdi>" in (tmp_path / "lost.html").read_text()
    with pytest.raises(StorageError, match="cannot write"):
        page_of(made.run, tmp_path / "nowhere" / "page.html")
    before = written(made)[0]
    with RunFolder(made.run.root).writing(), pytest.raises(RunError, match="is in use"):
        page_of(made.run)
    assert made.run.page.read_text() == before


def test_unreadable_and_left_out_files_are_listed(tmp_path):
    root = write_noise_images(tmp_path / "zoo", [f"{name}/{k}.png" for name in ("ant", "bee") for k in range(8)])
    (root / "ant" / "<b>.png").write_bytes(b"no image")
    made = make_run(tmp_path / "run", root, wrong=("ant/0.png",))
    edit(made.run.noise, left_out=[{"reason": "no <i>", "suffix": ".heic", "files": 5, "example": "ant/1.heic"}])
    text, _ = written(made)
    assert "1 image of 17 cannot be read. unreadable.csv says why; labelaudit relabel with it drops them." in text
    assert '<bdi dir="ltr">ant/&lt;b&gt;.png</bdi>: not an image that Pillow can read' in text
    assert "5 .heic: no &lt;i&gt; (ant/1.heic)" in text


def test_against_a_baseline_the_gallery_has_the_new_ones(finished, tmp_path):
    known, file = tmp_path / "baseline.csv", tmp_path / "page.html"
    known.write_text("".join(finished.run.suspicious.read_text().splitlines(keepends=True)[:4]))
    page = page_of(finished.run, file, baseline=known)
    assert page.rows == 5
    assert data_of(file.read_text())["rows"]["rank"] == [4, 5, 6, 7, 8]
    assert "5 are new since the baseline; the review below shows these only." in file.read_text()
    shutil.copy(finished.run.suspicious, known)
    assert page_of(finished.run, file, baseline=known).rows == 0
    assert "No suspicious image is new since the baseline" in file.read_text()
    assert page_of(finished.run, file).rows == 8
    assert "since the baseline" not in file.read_text().split("<script")[0]


def test_thumbnails_are_small_and_what_has_none_has_a_reason(tmp_path):
    damaged = noise_png(2)[:60]
    write_files(tmp_path, {"x/wide.png": noise_png(9, (400, 100)), "y/0.png": noise_png()})
    write_noise_images(tmp_path, [f"x/{name}.png" for name in ("changed", "damaged", "gone")])
    catalogue = scan(tmp_path)
    write_files(tmp_path, {"x/changed.png": noise_png(99), "x/damaged.png": damaged})
    (tmp_path / "x/gone.png").unlink()
    digests = list(catalogue.sha256)
    digests[1] = hashlib.sha256(damaged).hexdigest()
    catalogue = replace(catalogue, sha256=tuple(digests))
    *without, (text, reason), _ = read_thumbnails(tmp_path, catalogue, np.arange(5), side=96, most_bytes=10**9)
    assert (Image.open(io.BytesIO(base64.b64decode(text))).size, reason) == ((96, 24), "")
    assert [text for text, _ in without] == [None] * 3
    changed, broken, gone = (reason for _, reason in without)
    assert (changed, gone) == (CHANGED, "no such file or directory")
    assert broken.startswith("damaged: ")


def test_a_served_page_may_ask_its_server_and_holds_no_image(made):
    audit = Audit(made.run)
    listed = make_report(audit, Limits(), top=0).listed
    data = replace(recorded_data(made.run), fixed=True)
    text, policy = write.served_page(audit, listed, "labelaudit relabel x", data)
    data = data_of(text)
    assert (data["server"], data["command"]) == ({"moves": False}, "labelaudit relabel x")
    assert (data["thumbnails"]["content"], data["examples"]["content"], len(data["rows"]["path"])) == ([], [], 8)
    assert data["examples"]["samples"]
    assert "img-src 'self' data:; connect-src 'self';" in policy
    assert html.unescape(re.findall(r'Security-Policy" content="([^"]*)"', text)[0]) == policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")


def test_decisions_that_are_named_are_in_the_page(made, tmp_path):
    digest = dict(zip(made.catalogue.paths, made.catalogue.sha256, strict=True))
    lines = ["time,reviewer,path,given_label,action,label,sha256"]
    said = ((WRONG[2], "change", "bee"), (WRONG[0], "keep", ""), ("bee/000.png", "drop", ""), (WRONG[1], "wrong", ""))
    lines += [f"2026-01-01,,{path},{path[:3]},{action},{label},{digest[path]}" for path, action, label in said]
    (tmp_path / "some.csv").write_text("\n".join(lines) + "\n")
    _, data = written(made, decisions=tmp_path / "some.csv")
    row = {path: number for number, path in enumerate(data["rows"]["path"])}
    shown = sorted((number, action, label) for number, action, label, _ in data["decisions"])
    assert shown == sorted([(row[WRONG[2]], "change", "bee"), (row[WRONG[0]], "keep", "")])
    with pytest.raises(DataError, match="there is no file"):
        page_of(made.run, decisions=tmp_path / "nowhere.csv")


def test_the_first_images_are_large_and_the_file_stays_below_its_limit(tmp_path, monkeypatch):
    names = [f"{name}/{k:02d}.png" for name in "ab" for k in range(12)]
    images = {name: noise_png(number, (700, 600)) for number, name in enumerate(names)}
    made = make_run(tmp_path / "run", write_files(tmp_path / "zoo", images), wrong=names[:6])
    monkeypatch.setattr(write, "MAX_BYTES", 1_000_000)
    text, data = written(made)
    assert len(text.encode()) <= 1_000_000
    sizes = [Image.open(io.BytesIO(base64.b64decode(one))).size for one in data["thumbnails"]["content"]]
    assert len(sizes) == 6
    assert sizes[0] == (512, 439)
    assert sizes[-1] == (160, 137)
    assert sizes == sorted(sizes, reverse=True)
    assert all(Image.open(io.BytesIO(base64.b64decode(one))).size == (128, 110) for one in data["examples"]["content"])
