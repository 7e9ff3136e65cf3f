"""Images per second of the decoding pass: labelaudit's against ImageFolder, Resize and a DataLoader with two workers.

    python -m labelaudit.reproduce.speed decode PICTURES --make 2000 --image-size 64

``--make`` writes photo-like JPEGs of 500 pixels if the folder is not there. Each round decodes every picture from its
file into labelaudit's pixel cache, which is empty each time; the other side goes through its loader once and keeps
nothing. labelaudit decodes a JPEG at a reduced scale where that is enough; this is most of the difference. Reading and
hashing the files, which labelaudit does before, is a contender of its own together with the decoding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, load_pixels
from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.ordinary import plain_batches
from labelaudit.reproduce.speed.pictures import add_make_argument, make_asked
from labelaudit.reproduce.speed.problem import empty_folder, only, subset
from labelaudit.reproduce.speed.timing import Contender, Row, take_turns

OURS, WITH_SCAN = "labelaudit decodes", "labelaudit scans and decodes"
FOLDER = "ImageFolder + Resize + DataLoader"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("data", type=Path, help="a folder with a folder of images for each class")
    add_make_argument(parser)
    parser.add_argument("--limit", type=positive, default=None, help="use so many images, evenly spaced (default: all)")
    parser.add_argument("--image-size", type=positive, default=64, help="side in pixels (default: 64)")
    parser.add_argument("--channels", type=positive, choices=(1, 3), default=3, help="grey or colour (default: 3)")
    parser.add_argument("--rounds", type=positive, default=5, help="how often each is timed (default: 5)")


def measure(asked: argparse.Namespace) -> list[Row]:
    """Time all three in turns.

    Raises:
        LabelauditError: the folder has no pictures.
    """
    make_asked(asked)
    form = PixelFormat(size=asked.image_size, channels=asked.channels)
    with empty_folder() as scratch:
        catalogue = subset(scan(asked.data), asked.limit)
        data = only(catalogue, scratch / "labels.csv")
        batches = plain_batches(catalogue, size=asked.image_size, channels=asked.channels)

        def decode() -> None:
            with empty_folder():
                load_pixels(catalogue, form)

        def scan_and_decode() -> None:
            with empty_folder():
                load_pixels(scan(data.root, labels_file=data.labels_file), form)

        count = len(catalogue)
        contenders = [
            Contender(name=FOLDER, items=count, run=lambda: sum(len(x_BCHW) for x_BCHW, _, _ in batches)),
            Contender(name=OURS, items=count, run=decode),
            Contender(name=WITH_SCAN, items=count, run=scan_and_decode),
        ]
        rates = take_turns(contenders, asked.rounds)
    side = catalogue.median_short_side
    note = f"{count} images of {side} pixels, to {asked.image_size} pixels, {asked.channels} channels"
    return [*rates.rate_rows("images/s"), *(rates.ratio_row(name, FOLDER, note=note) for name in (OURS, WITH_SCAN))]
