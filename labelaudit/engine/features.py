"""Embeddings of a frozen backbone: one pass over the images, kept in a cache for the next audit.

On a processor OpenVINO runs the bundled backbone, torch any other. Several threads call one embedder, each with a small
batch of its own: no thread waits for another within a network.

Shapes: R readable samples, B batch, C channels, H height, W width, D features.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue, in_parallel
from labelaudit.data.looks import Looked, looks_of
from labelaudit.data.pixels import PixelFormat, decode_sample
from labelaudit.data.rendering import PLAIN
from labelaudit.detect import Float32Array
from labelaudit.detect.images import UInt8Array
from labelaudit.engine.devices import Device, count_threads, is_out_of_memory, single_threaded
from labelaudit.engine.inputs import Statistics
from labelaudit.engine.lazy import torch
from labelaudit.engine.lite import lite_model, read_tensors
from labelaudit.engine.networks import pretrained_config
from labelaudit.engine.pretrained import EMBEDDED_MEAN, EMBEDDED_STD, bundled_file
from labelaudit.engine.world import ALONE, World
from labelaudit.errors import DeviceError, StorageError, brief
from labelaudit.names import Precision
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.caches import Embedded, EmbeddingCache, not_kept

BATCH = {"cpu": 8, "cuda": 64}
"""Images that a thread decodes and embeds at once: on a processor few, which stay in its cache."""
_PART = 1024
"""Images in a part of the cache: what a crash loses."""


@dataclass(frozen=True, kw_only=True)
class Embeddings(Looked):
    """Embeddings of the images that could be decoded, beside their statistics."""

    feature_RD: npt.NDArray[np.float32]


class Backbone(NamedTuple):
    """A network of pooled features [B, D]: the SHA-256 over its parameters, and how to build it, which imports timm.

    ``bundled`` is its name where OpenVINO can run it from the bundled weights, without torch.
    """

    digest: str
    build: Callable[[], torch.nn.Module]
    bundled: str | None = None


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
    device: Device,
    precision: Precision,
    world: World = ALONE,
    reporter: Reporter = QUIET,
) -> Embeddings:
    """Embed every readable image; those in the cache are not even decoded.

    Several processes of a machine divide the images, and find each other's in the cache. The backbone expects the mean
    and standard deviation (of pixel / 255) in ``statistics``.
    """
    rendering = "" if catalogue.rendering == PLAIN else f" {catalogue.rendering}"
    mean_C, std_C = statistics
    key = f"{backbone.digest} {form}{rendering} {mean_C} {std_C} {precision} looks 2"
    samples, sha256 = np.flatnonzero(catalogue.used_N).tolist(), catalogue.sha256
    wanted = {sha256[sample] for sample in samples}
    known: dict[str, Embedded] = {}
    cache = None
    with _or_warn(reporter):
        cache = EmbeddingCache(hashlib.sha256(key.encode()).hexdigest()[:24])
        known = cache.load(wanted)
    # Equal files are embedded once.
    missing = list({sha256[sample]: sample for sample in samples if sha256[sample] not in known}.values())
    if cache is not None and known:
        cached = f"{len(known):,} of {len(wanted):,}" if missing else f"All {len(wanted):,}"
        reporter.say(f"{cached} embeddings are in the cache ({cache.folder})")

    def embed_samples(numbers: list[int]) -> None:
        if not numbers:
            return
        how: Any = {"statistics": statistics, "device": device, "precision": precision, "reporter": reporter}
        embedder = build_embedder(backbone, form.size, **how)

        def work(some: Sequence[int]) -> list[Embedded]:
            images = [decode_sample(catalogue, sample, form) for sample in some]
            return _embedded(images, [sha256[sample] for sample in some], embedder)

        part: dict[str, Embedded] = {}
        workers = count_threads() + 1  # one more hides waiting for the disk
        with reporter.bar("Embedding images", len(numbers), "images") as advance, single_threaded():
            for some, found in in_parallel(numbers, work, BATCH[device.type], workers):
                part.update(zip([sha256[sample] for sample in some], found, strict=True))
                advance(len(some))
                if len(part) >= _PART or some[-1] == numbers[-1]:
                    with _or_warn(reporter):
                        if cache is not None:
                            cache.add(list(part), list(part.values()))
                    known.update(part)
                    part.clear()

    mine = missing[world.local_rank :: world.local_size]
    embed_samples(mine)
    world.wait()
    if len(mine) < len(missing):
        with _or_warn(reporter):
            known |= {} if cache is None else cache.load(wanted - set(known))
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
    decoded = [(image, sha256) for image, sha256 in zip(images, hashes, strict=True) if not isinstance(image, str)]
    arrays = [image for image, _ in decoded]
    looks = iter(looks_of(arrays, [sha256 for _, sha256 in decoded]))
    vectors = iter(embedder(np.stack(arrays)) if arrays else ())
    return [
        Embedded(vector_D=None, reason=image)
        if isinstance(image, str)
        else Embedded(vector_D=next(vectors), reason="", look=next(looks))
        for image in images
    ]


@contextlib.contextmanager
def _or_warn(reporter: Reporter) -> Iterator[None]:
    """Go on without the cache where it fails."""
    try:
        yield
    except StorageError as error:
        reporter.warn(not_kept(error))


Embedder = Callable[[UInt8Array], Float32Array]
"""Give the features [B, D] of uint8 images [B, C, H, W]."""


def build_embedder(
    backbone: Backbone, size: int, *, statistics: Statistics, device: Device, precision: Precision, reporter: Reporter
) -> Embedder:
    """Return an embedder for images of ``size`` pixels, normalized by mean and deviation of pixel / 255."""
    if backbone.bundled is not None and device.type == "cpu" and importlib.util.find_spec("openvino"):
        file = bundled_file(backbone.bundled)
        try:
            return _by_openvino(file, size, statistics, precision)
        except Exception as error:  # OpenVINO has no type of its own
            reporter.say(f"torch runs the network, OpenVINO cannot: {brief(error, 120)}")
    return _ByTorch(backbone.build(), statistics, device, precision)


def _by_openvino(file: Path, size: int, statistics: Statistics, precision: Precision) -> Embedder:
    """Return the bundled network in a file as OpenVINO runs it; raise an exception, of any type, where it cannot."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # import fails: nothing can be sent
    import openvino

    core, threads = openvino.Core(), count_threads()
    if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ValueError("this processor has no bfloat16")
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    options = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    model = lite_model(read_tensors(file), size, statistics)
    compiled = core.compile_model(model, "CPU", {**options, "INFERENCE_PRECISION_HINT": hint})

    def embedded(pixels_BCHW: UInt8Array) -> Float32Array:
        found: Mapping[int, Float32Array] = compiled.create_infer_request().infer([pixels_BCHW])
        return found[0]

    return embedded


class _ByTorch:
    """A network as torch runs it."""

    def __init__(self, backbone: torch.nn.Module, statistics: Statistics, device: Device, precision: Precision) -> None:
        self._device, self._precision = str(device), precision
        self._backbone = backbone.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        mean_C11, std_C11 = (torch.tensor(values, device=self._device).view(-1, 1, 1) for values in statistics)
        self._scale_C11, self._shift_C11 = 1.0 / (255.0 * std_C11), -mean_C11 / std_C11

    def __call__(self, pixels_BCHW: UInt8Array) -> Float32Array:
        """Embed a batch; its halves one after the other, where the device has no memory for all of it."""
        try:
            x_BCHW = torch.from_numpy(pixels_BCHW).to(self._device).contiguous(memory_format=torch.channels_last)
            enabled = self._precision == "bfloat16"
            with torch.inference_mode(), torch.autocast(x_BCHW.device.type, dtype=torch.bfloat16, enabled=enabled):
                feature_BD: torch.Tensor = self._backbone(x_BCHW.float() * self._scale_C11 + self._shift_C11)
                return feature_BD.float().cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(pixels_BCHW) == 1:
                fix = "try --device cpu, or a smaller --image-size"
                raise DeviceError("the device has no memory for one image", fix=fix) from error
        return np.concatenate([self(half_BCHW) for half_BCHW in np.array_split(pixels_BCHW, 2)])
