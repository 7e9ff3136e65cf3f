"""How well near duplicates are found: planted ones, those between CIFAR-10's splits, and among a million images.

    python tests/benchmarks/near.py planted FOLDER WORK --copies 60 --small
    python tests/benchmarks/near.py leaks cifar10 --published duplicates_cifar10.csv --order order.csv
    python tests/benchmarks/near.py many 1000000

Shapes: U images, D features, G side of a thumbnail, P pairs.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan_probe
from labelaudit.auditing.prepare import Source, backbone_of
from labelaudit.data.folder import scan
from labelaudit.data.looks import look_at, table_of_looks, thumbnail
from labelaudit.data.pixels import PixelFormat
from labelaudit.detect import constants as c
from labelaudit.detect.near import near_pairs, projection
from labelaudit.engine.features import embed, normalization
from labelaudit.progress import QUIET
from labelaudit.report.markdown import table

Pairs = set[frozenset[str]]

AT_ONCE = 65536
TRANSFORMATIONS = ("resized", "recompressed", "cropped", "mirrored", "recolored", "grey", "blurred", "framed")

app = typer.Typer(help="How well near duplicates are found.")


def transformed(image: Image.Image, how: str, draw: random.Random) -> Image.Image:
    """Return a copy; recompression is done where it is saved."""
    width, height = image.size
    shrink, inner = draw.uniform(0.4, 0.8), draw.uniform(0.85, 0.95)
    left, top = (int(draw.random() * (1 - inner) * side) for side in (width, height))
    if how == "resized":
        image = image.resize((max(8, int(width * shrink)), max(8, int(height * shrink))))
    elif how == "cropped":
        image = image.crop((left, top, left + int(width * inner), top + int(height * inner)))
    elif how == "recolored":
        for name, factors in (("Brightness", (0.7, 1.3)), ("Contrast", (0.7, 1.3)), ("Color", (0.4, 1.6))):
            image = getattr(ImageEnhance, name)(image).enhance(draw.choice(factors))
    elif how == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(max(width, height) / 200))
    elif how == "framed":
        image = ImageOps.expand(image, max(1, int(0.04 * min(width, height))), fill=draw.choice(("black", "white")))
    return {"mirrored": ImageOps.mirror, "grey": ImageOps.grayscale}.get(how, lambda same: same)(image)


def plant(folder: Path, work: Path, copies: int, seed: int) -> dict[frozenset[str], str]:
    """Write the images and so many copies of each transformation; return the pairs and how each copy was made."""
    draw = random.Random(seed)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder, work, copy_function=os.link)
    files = sorted(path.relative_to(work) for path in work.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    planted = {}
    for number, file in enumerate(draw.sample(files, copies * len(TRANSFORMATIONS))):
        how = TRANSFORMATIONS[number % len(TRANSFORMATIONS)]
        suffix = ".jpg" if how == "recompressed" else file.suffix
        copy = file.with_name(f"copy-{number:05}{suffix}")
        image = transformed(Image.open(work / file).convert("RGB"), how, draw)
        image.save(work / copy, **({"quality": 35 if how == "recompressed" else 90} if suffix == ".jpg" else {}))
        planted[frozenset((str(file), str(copy)))] = how
    return planted


def by_labelaudit(work: Path, *, small: bool) -> Iterator[tuple[str, Pairs]]:
    """Find copies as an audit does, with the bundled embeddings, and without any."""
    catalogue, cpu = scan(work), torch.device("cpu")
    settings = plan_probe(catalogue, TrainingOptions(probe="frozen", device="cpu"), cpu).settings
    how = {"statistics": normalization(settings.model, settings.weights), "precision": settings.precision}
    found = embed(catalogue, backbone_of(settings, Source(device=cpu)), settings.pixel_format, device=cpu, **how)
    looked = look_at(catalogue, PixelFormat(size=32, channels=3), QUIET) if small else found
    images = table_of_looks(looked.sample_R, looked.looks)
    reduced = projection(found.feature_RD)(found.feature_RD)
    for name, features in (("labelaudit", reduced), ("labelaudit, no embeddings", None)):
        start = time.process_time()
        pairs, _ = near_pairs(images.thumb_UGG, features)
        seconds = time.process_time() - start
        paths = [catalogue.paths[sample] for sample in images.sample_U.tolist()]
        named = {frozenset((paths[one], paths[other])) for one, other in pairs.tolist()}
        yield f"{name} ({1000 * seconds / len(paths):.1f} ms an image)", named


def by_imagededup(work: Path) -> Iterator[tuple[str, Pairs]]:
    """Find copies by perceptual hashes, with the distance that is its default."""
    from imagededup.methods import DHash, PHash

    for method in (PHash, DHash):
        files = [path for path in work.rglob("*") if path.is_file()]
        by = method(verbose=False)
        hashes = {str(path.relative_to(work)): by.encode_image(image_file=str(path)) for path in files}
        found = by.find_duplicates(encoding_map=hashes, num_enc_workers=0, num_dist_workers=0)
        yield f"imagededup {method.__name__}", {frozenset((one, other)) for one in found for other in found[one]}


def by_cleanvision(work: Path) -> Iterator[tuple[str, Pairs]]:
    """Find copies by its near and exact duplicates."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(work), verbose=False)
    with redirect_stdout(StringIO()):
        lab.find_issues({"near_duplicates": {}, "exact_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [one for kind in ("near_duplicates", "exact_duplicates") for one in lab.info[kind]["sets"]]
    names = [[str(Path(path).relative_to(work.absolute())) for path in one] for one in sets]
    yield "cleanvision", {frozenset(pair) for each in names for pair in combinations(each, 2)}


@app.command("planted")
def measure_planted(folder: Path, work: Path, copies: int = 60, seed: int = 1, small: bool = False) -> None:
    """Print the recall of each of eight transformations and of all, and how many other pairs there are, as Markdown.

    FOLDER has a folder of images per class. WORK gets the images and so many copies of each transformation. With
    --small, images of up to 64 pixels, labelaudit decodes them at 32 pixels, as it does for a network from scratch.
    imagededup and cleanvision are asked too, where they are installed.
    """
    planted, rows = plant(folder, work, copies, seed), []
    for tool in (partial(by_labelaudit, small=small), by_imagededup, by_cleanvision):
        try:
            for name, found in tool(work):
                of = {how: [pair in found for pair, made in planted.items() if made == how] for how in TRANSFORMATIONS}
                shares = [*map(np.mean, of.values()), np.mean([pair in found for pair in planted])]
                rows.append([name, *(f"{share:.2f}" for share in shares), f"{len(found - planted.keys()):,}"])
        except ImportError as error:
            print(f"{error}: left out")
    print("\n".join(table(("", *(f">{name}" for name in (*TRANSFORMATIONS, "all", "others"))), rows)))


@app.command("leaks")
def measure_leaks(
    data: Path,
    classes: str = "automobile",
    published: Annotated[Path | None, typer.Option(help="ciFAIR's duplicates_cifar10.csv.")] = None,
    order: Annotated[Path | None, typer.Option(help="CSV with the training images in order.")] = None,
) -> None:
    """Print how many test images of CIFAR-10 have a copy, by thumbnails alone, and how many published pairs are found.

    DATA has train/CLASS and test/CLASS; --order has the training images in CIFAR-10's order in its column path, as the
    published list (github.com/cvjena/cifair, meta) numbers them.
    """
    known: set[str] = set()
    if published and order:
        rows = csv.DictReader(order.open(encoding="utf-8"))
        paths = [row["path"] for row in rows if row["path"].startswith("train/")]
        known = {paths[int(row["TrainID"])] for row in csv.DictReader(published.open(encoding="utf-8"))}
    for name in classes.split(","):
        files = [path for split in ("train", "test") for path in sorted((data / split / name).iterdir())]
        images = (np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in files)
        pair_P2, _ = near_pairs(np.stack([thumbnail(x_CHW) for x_CHW in images]), None)
        is_test = np.array([path.parent.parent.name == "test" for path in files])
        across_P2 = pair_P2[is_test[pair_P2[:, 0]] != is_test[pair_P2[:, 1]]]
        train, test = (np.unique(across_P2[is_test[across_P2] == side]) for side in (False, True))
        found = {str(files[number].relative_to(data)) for number in train.tolist()}
        expected = {path for path in known if path.split("/")[1] == name}
        print(f"{name}: {len(test)} of {is_test.sum()} test images have a copy in the training split", end="; ")
        print(f"{len(found & expected)} of {len(expected)} published training images are found")


def made_up(count: int, pair_P2: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return thumbnails of 32 × 32 grey levels [U, G, G] and embeddings with norm 1 [U, D], with copies."""
    generator, size = np.random.default_rng(0), c.FEATURE_DIMENSIONS
    basis = generator.standard_normal((size, size)) * np.exp(-np.arange(size) / 25)[:, None]
    center = 0.8 * generator.standard_normal((1000, size))
    thumb_UGG, feature_UD = np.empty((count, 32, 32), dtype=np.uint8), np.empty((count, size), dtype=np.float32)
    for start in range(0, count, AT_ONCE):
        few = min(AT_ONCE, count - start)
        drawn = center[generator.integers(0, 1000, few)] + generator.standard_normal((few, size))
        feature_UD[start : start + few] = drawn @ basis
        level = np.full((few, 32, 32), 128, dtype=np.float32)
        for cells in (4, 8, 16):
            noise = generator.standard_normal((few, cells, cells), dtype=np.float32)
            level += 30 * noise.repeat(32 // cells, axis=1).repeat(32 // cells, axis=2)
        thumb_UGG[start : start + few] = level.clip(0, 255)
    one_P, other_P = pair_P2.T
    spread = 0.25 * np.sqrt((feature_UD[:1000] ** 2).mean())
    feature_UD[other_P] = feature_UD[one_P] + spread * generator.standard_normal((len(one_P), size))
    feature_UD /= np.linalg.norm(feature_UD, axis=1, keepdims=True)
    grain = 10 * generator.standard_normal((len(one_P), 32, 32))
    thumb_UGG[other_P] = (0.9 * thumb_UGG[one_P] + 25 + grain).clip(0, 255)
    return thumb_UGG, feature_UD


@app.command("many")
def measure_many(count: int) -> None:
    """Print how many copies are found among so many made-up images, in what time and memory.

    Images are noise of three sizes with embeddings of a thousand overlapping clusters. One in a hundred has a copy:
    brighter, with grain, its embedding disturbed by a quarter of the spread.
    """
    pair_P2 = np.random.default_rng(1).permutation(count)[: count // 100 * 2].reshape(-1, 2)
    thumb_UGG, feature_UD = made_up(count, pair_P2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began = time.perf_counter()
    found_P2, _ = near_pairs(thumb_UGG, feature_UD)
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    planted, found = ({tuple(sorted(pair)) for pair in each.tolist()} for each in (pair_P2, found_P2))
    share, others = len(planted & found) / len(planted), len(found - planted)
    print(f"{count:,} images: {share:.4f} of the copies are found and {others:,} other pairs, in {seconds:.0f} s")
    print(f"memory: {before:.2f} GB with the images, {memory:.2f} GB at most")


if __name__ == "__main__":
    app()
