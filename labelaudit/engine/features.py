"""Embeddings of a frozen backbone: one pass over the images, kept in a cache for the next audit.

Shapes: R readable samples, B batch, D features.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from labelaudit.data.catalogue import Catalogue, in_parallel
from labelaudit.data.images import UInt8Array
from labelaudit.data.looks import looks_of
from labelaudit.data.pixels import PixelFormat, decode_sample
from labelaudit.data.rendering import PLAIN
from labelaudit.detect.images import ImageStatistics
from labelaudit.engine.devices import single_threaded
from labelaudit.engine.embedder import Embedder, build_embedder
from labelaudit.engine.inputs import Statistics
from labelaudit.engine.networks import pretrained_config
from labelaudit.engine.parallel import ALONE, World
from labelaudit.engine.pretrained import EMBEDDED_MEAN, EMBEDDED_STD
from labelaudit.errors import StorageError
from labelaudit.names import Precision
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.caches import Embedded, EmbeddingCache, not_kept

BATCH = {"cpu": 8, "cuda": 64}
"""Images that a thread decodes and embeds at once: on a processor few, which stay in its cache."""
_PART = 1024
"""Images in a part of the cache: what a crash loses."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Embeddings and statistics of the images that could be decoded, and by sample number why others could not."""

    feature_RD: npt.NDArray[np.float32]
    sample_R: npt.NDArray[np.int32]
    failures: dict[int, str]
    looks: list[ImageStatistics]


class Backbone(NamedTuple):
    """A network of pooled features [B, D]: the SHA-256 over its parameters, and how to build it.

    Building it imports timm, so that is left to where an image is not in the cache.
    """

    digest: str
    build: Callable[[], nn.Module]


def normalization(model: str, weights: str) -> Statistics:
    """Return the mean and standard deviation (of pixel / 255) that a pretrained network expects."""
    if weights == "embedded":
        return EMBEDDED_MEAN, EMBEDDED_STD
    config = pretrained_config(model)
    if config is None:
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(config.mean), tuple(config.std)


def embed(
    catalogue: Catalogue,
    backbone: Backbone,
    form: PixelFormat,
    *,
    statistics: Statistics,
    device: torch.device,
    precision: Precision,
    world: World = ALONE,
    reporter: Reporter = QUIET,
) -> Embeddings:
    """Embed every readable image; those in the cache are not even decoded.

    Several processes of a machine divide the images among them, and find each other's embeddings in the cache. The
    backbone expects the mean and standard deviation (of pixel / 255) in ``statistics``.
    """
    rendering = "" if catalogue.rendering == PLAIN else f" {catalogue.rendering}"
    mean_C, std_C = statistics
    key = f"{backbone.digest} {form}{rendering} {mean_C} {std_C} {precision} looks 1"
    shelf = _Shelf(hashlib.sha256(key.encode()).hexdigest()[:24], reporter)
    samples, sha256 = np.flatnonzero(catalogue.used_N).tolist(), catalogue.sha256
    wanted = {sha256[sample] for sample in samples}
    known = shelf.load(wanted)
    # Equal files are embedded once.
    missing = list({sha256[sample]: sample for sample in samples if sha256[sample] not in known}.values())
    if len(missing) < len(samples):
        cached = f"{len(samples) - len(missing)} of {len(samples)}" if missing else f"All {len(samples)}"
        reporter.say(f"{cached} embeddings are in the cache ({shelf.folder})")

    def embed_samples(numbers: list[int]) -> None:
        if not numbers:
            return
        embedder = build_embedder(
            backbone.build(), form.size, statistics=statistics, device=device, precision=precision, reporter=reporter
        )

        def work(some: Sequence[int]) -> list[Embedded]:
            images = [decode_sample(catalogue, sample, form) for sample in some]
            return _embedded(images, [sha256[sample] for sample in some], embedder)

        part: dict[str, Embedded] = {}
        workers = torch.get_num_threads() + 1  # one more hides waiting for the disk
        with reporter.bar("Embedding images", len(numbers), "images") as advance, single_threaded():
            for some, found in in_parallel(numbers, work, BATCH[device.type], workers):
                part.update(zip([sha256[sample] for sample in some], found, strict=True))
                advance(len(some))
                if len(part) >= _PART or some[-1] == numbers[-1]:
                    shelf.add(list(part), list(part.values()))
                    known.update(part)
                    part.clear()

    mine = missing[world.local_rank :: world.local_size]
    embed_samples(mine)
    world.wait()
    if len(mine) < len(missing):
        known.update(shelf.load(wanted - set(known)))
        # What the other processes could not put into the cache.
        embed_samples([sample for sample in missing if sha256[sample] not in known])
    found_of = {sample: known[sha256[sample]] for sample in samples}
    vectors = [found.vector_D for found in found_of.values() if found.vector_D is not None]
    return Embeddings(
        feature_RD=np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32),
        sample_R=np.array([sample for sample, found in found_of.items() if not found.reason], dtype=np.int32),
        failures={sample: found.reason for sample, found in found_of.items() if found.reason},
        looks=[found.look for found in found_of.values() if not found.reason and found.look is not None],
    )


def _embedded(images: Sequence[UInt8Array | str], hashes: Sequence[str], embedder: Embedder) -> list[Embedded]:
    """Return one result per image, in order: its embedding and statistics, or why it could not be decoded."""
    arrays = [image for image in images if not isinstance(image, str)]
    vectors = iter(embedder(np.stack(arrays)) if arrays else ())
    return [
        Embedded(vector_D=None, reason=look)
        if isinstance(look, str)
        else Embedded(vector_D=next(vectors), reason="", look=look)
        for look in looks_of(images, hashes)
    ]


class _Shelf:
    """The cache, or none after its first failure, which is a warning."""

    def __init__(self, key: str, reporter: Reporter) -> None:
        self._reporter = reporter
        self._cache: EmbeddingCache | None = None
        self.folder: Path | None = None
        with self._warned():
            self._cache = EmbeddingCache(key)
            self.folder = self._cache.folder

    def load(self, wanted: set[str]) -> dict[str, Embedded]:
        with self._warned():
            if self._cache is not None:
                return self._cache.load(wanted)
        return {}

    def add(self, hashes: Sequence[str], results: Sequence[Embedded]) -> None:
        features = next((len(found.vector_D) for found in results if found.vector_D is not None), 1)
        with self._warned():
            if self._cache is not None:
                self._cache.add(hashes, results, features)

    @contextlib.contextmanager
    def _warned(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._cache = None
            self._reporter.warn(not_kept(error))
