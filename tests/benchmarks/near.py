"""How many planted copies are found, by labelaudit and, where they are installed, imagededup and cleanvision.

    python tests/benchmarks/near.py FOLDER WORK --copies 60 --small

FOLDER has a folder of images per class. WORK gets the images and so many copies of each of eight transformations. With
``--small``, images of up to 64 pixels, labelaudit decodes them at 32 pixels, as it does for a network from scratch.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Pairs = set[frozenset[str]]

TRANSFORMATIONS = ("resized", "recompressed", "cropped", "mirrored", "recolored", "grey", "blurred", "framed")


def transformed(image: Image.Image, how: str, draw: random.Random) -> Image.Image:
    """Return a copy; recompression is done where it is saved."""
    width, height = image.size
    shrink, inner = draw.uniform(0.4, 0.8), draw.uniform(0.85, 0.95)
    left, top = (int(draw.random() * (1 - inner) * side) for side in (width, height))

    def recolored() -> Image.Image:
        made = image
        for enhancer, factors in (
            (ImageEnhance.Brightness, (0.7, 1.3)),
            (ImageEnhance.Contrast, (0.7, 1.3)),
            (ImageEnhance.Color, (0.4, 1.6)),
        ):
            made = enhancer(made).enhance(draw.choice(factors))
        return made

    makers: dict[str, Callable[[], Image.Image]] = {
        "resized": lambda: image.resize((max(8, int(width * shrink)), max(8, int(height * shrink)))),
        "recompressed": lambda: image,
        "cropped": lambda: image.crop((left, top, left + int(width * inner), top + int(height * inner))),
        "mirrored": lambda: ImageOps.mirror(image),
        "recolored": recolored,
        "grey": lambda: ImageOps.grayscale(image),
        "blurred": lambda: image.filter(ImageFilter.GaussianBlur(max(width, height) / 200)),
        "framed": lambda: ImageOps.expand(
            image, max(1, int(0.04 * min(width, height))), fill=draw.choice(("black", "white"))
        ),
    }
    return makers[how]()


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
    import torch

    from labelaudit.auditing.options import TrainingOptions
    from labelaudit.auditing.plan import plan_probe
    from labelaudit.auditing.prepare import Source, backbone_of
    from labelaudit.data.folder import scan
    from labelaudit.data.looks import look_at, table_of_looks
    from labelaudit.data.pixels import PixelFormat
    from labelaudit.detect.near import near_pairs, projection
    from labelaudit.engine.features import embed, normalization
    from labelaudit.progress import QUIET

    catalogue, cpu = scan(work), torch.device("cpu")
    settings = plan_probe(catalogue, TrainingOptions(probe="frozen", device="cpu"), cpu).settings
    statistics = normalization(settings.model, settings.weights)
    backbone = backbone_of(settings, Source(device=cpu))
    form = settings.pixel_format
    found = embed(catalogue, backbone, form, statistics=statistics, device=cpu, precision=settings.precision)
    looked = look_at(catalogue, PixelFormat(size=32, channels=3), QUIET) if small else found
    images = table_of_looks(looked.sample_R, looked.looks)
    reduced = projection(found.feature_RD)(found.feature_RD)
    for name, features in (("labelaudit", reduced), ("labelaudit, no embeddings", None)):
        start = time.process_time()
        pairs, _ = near_pairs(images.thumb_UGG, features)
        seconds = time.process_time() - start
        paths = [catalogue.paths[sample] for sample in images.sample_U.tolist()]
        yield (
            f"{name} ({1000 * seconds / len(paths):.1f} ms an image)",
            {frozenset((paths[one], paths[other])) for one, other in pairs.tolist()},
        )


def by_imagededup(work: Path) -> Iterator[tuple[str, Pairs]]:
    """Find copies by perceptual hashes, with the distance that is its default."""
    from imagededup.methods import DHash, PHash

    for method in (PHash, DHash):
        hashes = {
            str(path.relative_to(work)): method(verbose=False).encode_image(image_file=str(path))
            for path in work.rglob("*")
            if path.is_file()
        }
        found = method(verbose=False).find_duplicates(encoding_map=hashes, num_enc_workers=0, num_dist_workers=0)
        yield f"imagededup {method.__name__}", {frozenset((one, other)) for one in found for other in found[one]}


def by_cleanvision(work: Path) -> Iterator[tuple[str, Pairs]]:
    """Find copies by its near and exact duplicates."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(work), verbose=False)
    with redirect_stdout(StringIO()):
        lab.find_issues({"near_duplicates": {}, "exact_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [one for kind in ("near_duplicates", "exact_duplicates") for one in lab.info[kind]["sets"]]
    names = [[str(Path(path).relative_to(work.absolute())) for path in one] for one in sets]
    yield (
        "cleanvision",
        {frozenset((one, other)) for each in names for at, one in enumerate(each) for other in each[at + 1 :]},
    )


def report(name: str, found: Pairs, planted: dict[frozenset[str], str]) -> str:
    """Return the recall of each transformation and of all, and how many other pairs there are: a row of a table."""
    shares = [np.mean([pair in found for pair, made in planted.items() if made == how]) for how in TRANSFORMATIONS] + [
        np.mean([pair in found for pair in planted])
    ]
    return f"| {name} | {' | '.join(f'{share:.2f}' for share in shares)} | {len(found - planted.keys()):,} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    planted = plant(asked.folder, asked.work, asked.copies, asked.seed)
    print(f"| | {' | '.join(TRANSFORMATIONS)} | all | others |")
    print(f"|---|{'---|' * (len(TRANSFORMATIONS) + 2)}")
    tools: Iterable[Callable[[Path], Iterator[tuple[str, Pairs]]]] = (
        lambda work: by_labelaudit(work, small=asked.small),
        by_imagededup,
        by_cleanvision,
    )
    for tool in tools:
        try:
            for name, found in tool(asked.work):
                print(report(name, found, planted), flush=True)
        except ImportError as error:
            print(f"{error}: left out", flush=True)


if __name__ == "__main__":
    main()
