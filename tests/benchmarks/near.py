"""How many planted copies are found, by labelaudit and, where they are installed, imagededup and cleanvision.

    python tests/benchmarks/near.py FOLDER WORK --copies 60 --small

FOLDER has a folder of images per class. WORK gets the images and so many copies of each of eight transformations. With
``--small``, images of up to 64 pixels, labelaudit decodes them at 32 pixels, as it does for a network from scratch.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan_probe
from labelaudit.auditing.prepare import Source, backbone_of
from labelaudit.data.folder import scan
from labelaudit.data.looks import look_at, table_of_looks
from labelaudit.data.pixels import PixelFormat
from labelaudit.detect.near import near_pairs, projection
from labelaudit.engine.features import embed, normalization
from labelaudit.progress import QUIET
from labelaudit.report.markdown import table

Pairs = set[frozenset[str]]

TRANSFORMATIONS = ("resized", "recompressed", "cropped", "mirrored", "recolored", "grey", "blurred", "framed")


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


def main(folder: Path, work: Path, copies: int = 60, seed: int = 1, small: bool = False) -> None:
    """Print the recall of each transformation and of all, and how many other pairs there are, as Markdown."""
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


if __name__ == "__main__":
    typer.run(main)
