"""Embeddings of a frozen backbone: one pass over the pictures, kept for the next audit.

Shapes: R readable samples, B batch, D features.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import nn

from labelaudit.data.catalogue import Catalogue, in_parts
from labelaudit.data.images import UInt8Array
from labelaudit.data.pixels import PixelFormat, decode_stream, pixel_digest
from labelaudit.data.rendering import PLAIN
from labelaudit.detect.images import ImageStatistics, copy_statistics, image_statistics
from labelaudit.engine.devices import is_out_of_memory
from labelaudit.engine.inputs import Augment, ImageInputs
from labelaudit.engine.parallel import ALONE, World
from labelaudit.engine.weights import EMBEDDED_MEAN, EMBEDDED_STD, network_digest
from labelaudit.errors import DeviceError, StorageError
from labelaudit.names import Precision
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.caches import Embedded, EmbeddingCache, not_kept

_BATCH = 64
_SPOILED = "0123"
"""The pictures whose content hash begins with one of these digits have spoiled copies: a quarter, always the same."""

_PART = 1024
"""Pictures in a part of the cache: what a crash loses."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Embeddings of the pictures that could be decoded.

    Attributes:
        feature_RD: float32.
        sample_R: Sample number of each row.
        failures: Reason by sample number, for pictures whose pixels turned out damaged.
        looks: What is known of the picture of each row.
    """

    feature_RD: npt.NDArray[np.float32]
    sample_R: npt.NDArray[np.int32]
    failures: dict[int, str]
    looks: list[ImageStatistics]


def normalisation(model: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (of pixel / 255) that a pretrained network expects."""
    if weights == "embedded":
        return EMBEDDED_MEAN, EMBEDDED_STD
    config = timm.get_pretrained_cfg(model)
    if config is None:
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(config.mean), tuple(config.std)


def embed(
    catalogue: Catalogue,
    backbone: nn.Module,
    form: PixelFormat,
    *,
    mean_C: tuple[float, ...],
    std_C: tuple[float, ...],
    device: torch.device,
    precision: Precision,
    world: World = ALONE,
    reporter: Reporter = QUIET,
) -> Embeddings:
    """Embed every readable picture; those that the cache has are not even decoded.

    Several processes of a machine divide the pictures among them, and find each other's embeddings in the cache.

    Args:
        catalogue: The samples.
        backbone: A network that gives pooled features [B, D].
        form: How pictures are decoded for it.
        mean_C: Mean that it expects, of pixel / 255.
        std_C: Standard deviation that it expects.
        device: Where it runs.
        precision: In which number format.
        world: The processes that all embed the same pictures.
        reporter: Told about the progress.
    """
    backbone = backbone.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    rendering = "" if catalogue.rendering == PLAIN else f" {catalogue.rendering}"
    shelf = _Shelf(_cache_key(backbone, f"{form}{rendering}", mean_C, std_C, precision), reporter)
    samples = np.flatnonzero(catalogue.readable_N).tolist()
    wanted = {catalogue.sha256[sample] for sample in samples}
    known = shelf.load(wanted)
    # Equal files are embedded once.
    missing = list(
        {catalogue.sha256[sample]: sample for sample in samples if catalogue.sha256[sample] not in known}.values()
    )
    if not missing:
        reporter.say(f"All {len(samples)} embeddings are in the cache ({shelf.folder})")
    elif len(missing) < len(samples):
        reporter.say(f"{len(samples) - len(missing)} of {len(samples)} embeddings are in the cache ({shelf.folder})")
    embedder = _Embedder(backbone, mean_C, std_C, device, precision)

    def embed_samples(numbers: list[int]) -> None:
        with reporter.bar("Embedding images", len(numbers), "images") as advance:
            for samples_of_part in in_parts(numbers, _PART):
                results: list[Embedded] = []
                for decoded, pictures in decode_stream(catalogue, samples_of_part, form, part=_BATCH):
                    results.extend(embedder.embed(pictures, [catalogue.sha256[sample] for sample in decoded]))
                    advance(len(decoded))
                hashes = [catalogue.sha256[sample] for sample in samples_of_part]
                shelf.add(hashes, results, embedder.features)
                known.update(zip(hashes, results, strict=True))

    mine = missing[world.local_rank :: world.local_size]
    embed_samples(mine)
    world.wait()
    if len(mine) < len(missing):
        known.update(shelf.load(wanted - set(known)))
        # What the other processes could not put into the cache.
        embed_samples([sample for sample in missing if catalogue.sha256[sample] not in known])
    failures = {sample: found.reason for sample in samples if (found := known[catalogue.sha256[sample]]).reason}
    kept = [sample for sample in samples if sample not in failures]
    vectors = [vector for sample in kept if (vector := known[catalogue.sha256[sample]].vector_D) is not None]
    feature_RD = np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
    looks = [look for sample in kept if (look := known[catalogue.sha256[sample]].look) is not None]
    return Embeddings(feature_RD=feature_RD, sample_R=np.array(kept, dtype=np.int32), failures=failures, looks=looks)


class _Shelf:
    """The cache, or none after its first failure, which is a warning."""

    def __init__(self, key: str, reporter: Reporter) -> None:
        self._reporter = reporter
        self._cache: EmbeddingCache | None = None
        with self._warned():
            self._cache = EmbeddingCache(key)

    @property
    def folder(self) -> Path | None:
        return None if self._cache is None else self._cache.folder

    def load(self, wanted: set[str]) -> dict[str, Embedded]:
        with self._warned():
            if self._cache is not None:
                return self._cache.load(wanted)
        return {}

    def add(self, hashes: Sequence[str], results: Sequence[Embedded], features: int) -> None:
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


class _Embedder:
    def __init__(
        self,
        backbone: nn.Module,
        mean_C: tuple[float, ...],
        std_C: tuple[float, ...],
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._backbone, self._device, self._precision = backbone, device, precision
        self._mean_C, self._std_C = mean_C, std_C
        self.features = 1

    @torch.inference_mode()
    def embed(self, pictures: Sequence[UInt8Array | str], hashes: Sequence[str]) -> list[Embedded]:
        """One result per picture, in order; ``hashes`` are those of the files."""
        arrays = [picture for picture in pictures if not isinstance(picture, str)]
        vectors = iter(self._forward(arrays) if arrays else ())
        values = iter(image_statistics(np.stack(arrays)) if arrays else ())
        return [
            Embedded(vector_D=None, reason=picture)
            if isinstance(picture, str)
            else Embedded(vector_D=next(vectors), reason="", look=_look(picture, sha256, next(values)))
            for picture, sha256 in zip(pictures, hashes, strict=True)
        ]

    def _forward(self, arrays: Sequence[UInt8Array]) -> npt.NDArray[np.float32]:
        """Embeddings of a batch; of its halves, where the device has no memory for all of it."""
        half = len(arrays) // 2
        try:
            return self._forward_at_once(arrays)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if not half:
                raise DeviceError(
                    "the device has no memory for one image", fix="try --device cpu, or a smaller --image-size"
                ) from error
        return np.concatenate([self._forward(arrays[:half]), self._forward(arrays[half:])])

    def _forward_at_once(self, arrays: Sequence[UInt8Array]) -> npt.NDArray[np.float32]:
        inputs = ImageInputs(
            torch.from_numpy(np.stack(arrays)),
            mean_C=self._mean_C,
            std_C=self._std_C,
            augment=Augment(name="none"),
            device=self._device,
        )
        x_BCHW = inputs.batch(torch.arange(len(arrays)), None)
        enabled = self._precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled):
            feature_BD: npt.NDArray[np.float32] = self._backbone(x_BCHW).float().cpu().numpy()
        self.features = feature_BD.shape[1]
        return feature_BD


def _look(x_CHW: UInt8Array, sha256: str, value_S: npt.NDArray[np.float32]) -> ImageStatistics:
    copy_MS = None
    if sha256.startswith(tuple(_SPOILED)):
        # Drawn from the content: the same whatever else is in the folder, and in the cache.
        copy_MS = copy_statistics(x_CHW[None], np.random.default_rng(int(sha256[:16], 16)))[0]
    return ImageStatistics(digest=pixel_digest(x_CHW), value_S=value_S, copy_MS=copy_MS)


def _cache_key(
    backbone: nn.Module, form: str, mean_C: tuple[float, ...], std_C: tuple[float, ...], precision: Precision
) -> str:
    text = f"{network_digest(backbone)} {form} {mean_C} {std_C} {precision} looks 1"
    return hashlib.sha256(text.encode()).hexdigest()[:24]
