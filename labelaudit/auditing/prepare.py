"""Turn a catalogue and settings into what the training loop takes: inputs, labels and a network.

Shapes: R rows that take part in the training.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from labelaudit.auditing.own import read_embeddings
from labelaudit.data.catalogue import Catalogue, in_parts, trainable
from labelaudit.data.looks import look_at, looks_of, table_of_looks
from labelaudit.data.pixels import Pixels, load_pixels
from labelaudit.detect import NumberArray
from labelaudit.detect.constants import MOST_COPIED
from labelaudit.detect.images import ImageStatistics, ImageTable, copy_statistics
from labelaudit.engine.devices import Device
from labelaudit.engine.draws import derive_seed
from labelaudit.engine.features import Backbone, Embeddings, embed, normalization
from labelaudit.engine.inputs import FeatureInputs, ImageInputs, Inputs, Statistics, channel_statistics
from labelaudit.engine.lazy import torch
from labelaudit.engine.networks import is_ours, linear_head
from labelaudit.engine.pretrained import build_network, embedded_digest, network_digest
from labelaudit.engine.settings import SCRATCH, TrainingSettings
from labelaudit.engine.world import ALONE, World
from labelaudit.errors import DataError
from labelaudit.progress import Reporter
from labelaudit.run.documents import OWN_EMBEDDINGS

_PART = 1024


def _table_of_pixels(
    sample_R: npt.NDArray[np.int32],
    pixels_RCHW: npt.NDArray[np.uint8],
    generator: np.random.Generator,
    reporter: Reporter,
) -> ImageTable:
    """Return the statistics of decoded images, and of corrupted copies of at most 500 of them."""
    looks: list[ImageStatistics] = []
    with reporter.bar("Looking at images", len(sample_R), "images") as advance:
        for part in in_parts(range(len(sample_R)), _PART):
            looks += looks_of([*pixels_RCHW[part[0] : part[-1] + 1]], [""] * len(part))
            advance(len(part))
    copied_P = np.sort(generator.permutation(len(looks))[:MOST_COPIED]).astype(np.int32)
    copy_PMS = copy_statistics(np.asarray(pixels_RCHW[copied_P]), generator)
    return replace(table_of_looks(sample_R, looks), copied_P=copied_P, copy_PMS=copy_PMS)


def numbered_as(held_out: Catalogue, training: Catalogue) -> Catalogue:
    """Return held-out images with labels and rendering of the training data; a class it lacks is a DataError."""
    foreign = sorted(set(held_out.classes) - set(training.classes))
    if foreign:
        what = f"{held_out.root} has a class that the training data lacks: {foreign[0]!r}"
        raise DataError(what, fix="use the same class folders")
    number_N = np.array([training.classes.index(name) for name in held_out.classes], dtype=np.int32)
    return replace(held_out, classes=training.classes, label_N=number_N[held_out.label_N], rendering=training.rendering)


Loaded = TypeVar("Loaded", Embeddings, Pixels)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Data that is ready to train on: R rows; files with damaged pixels are set aside in the catalogue.

    Rows are normalized by the ``statistics``. ``image_table`` is of the images themselves, where it was asked for.
    """

    catalogue: Catalogue
    inputs: Inputs
    sample_R: npt.NDArray[np.int32]
    statistics: Statistics
    image_table: ImageTable | None = None

    @property
    def given_R(self) -> NumberArray:
        """The given labels, int64."""
        return self.catalogue.label_N[self.sample_R].astype(np.int64)

    @property
    def label_R(self) -> torch.Tensor:
        """The same for torch."""
        return torch.from_numpy(self.given_R)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a training needs beside its settings: device, processes, where network weights and embeddings come from."""

    device: Device
    weights_file: Path | None = None
    embeddings: Path | None = None
    offline: bool = False
    world: World = ALONE


def prepare(
    catalogue: Catalogue,
    settings: TrainingSettings,
    source: Source,
    reporter: Reporter,
    *,
    statistics: Statistics | None = None,
    look: bool = False,
) -> Prepared:
    """Decode or embed the images, and check that they can be trained on; raise a DataError where too few are readable.

    A validation split gets the ``statistics`` of the training data, and need not be trainable.
    """
    inputs: Inputs
    image_table, is_validation = None, statistics is not None
    if settings.kind == "frozen":

        def load(usable: Catalogue) -> Embeddings:
            if settings.model == OWN_EMBEDDINGS:
                looked = look_at(usable, settings.pixel_format, reporter)
                feature_RD = read_embeddings(source.embeddings, usable).take(looked.sample_R)
                return Embeddings(feature_RD=feature_RD, **vars(looked))
            return embed(
                usable,
                backbone_of(settings, source),
                settings.pixel_format,
                statistics=normalization(settings.model, settings.weights),
                device=source.device,
                precision=settings.precision,
                world=source.world,
                reporter=reporter,
            )

        catalogue, found = _loaded(catalogue, load, source.world, is_validation=is_validation)
        sample_R, feature_RD = found.sample_R, found.feature_RD
        statistics = statistics or FeatureInputs.statistics(feature_RD)
        inputs = FeatureInputs(feature_RD, statistics=statistics, device=source.device)
        if look:
            image_table = table_of_looks(sample_R, found.looks)
    else:

        def decode(usable: Catalogue) -> Pixels:
            return load_pixels(usable, settings.pixel_format, reporter=reporter, processes=source.world.local_size)

        catalogue, pixels = _loaded(catalogue, decode, source.world, is_validation=is_validation)
        sample_R, pixels_RCHW = pixels.sample_R, pixels.array_RCHW
        if statistics is None:
            scratch = settings.weights == SCRATCH or is_ours(settings.model)
            statistics = channel_statistics(pixels_RCHW) if scratch else normalization(settings.model, settings.weights)
        augment, (mean_C, std_C) = settings.augmentation, statistics
        inputs = ImageInputs(pixels_RCHW, mean_C=mean_C, std_C=std_C, augment=augment, device=source.device)
        if look:
            generator = np.random.default_rng(derive_seed(settings.seed, "spoiled pictures"))
            image_table = _table_of_pixels(sample_R, pixels_RCHW, generator, reporter)
    return Prepared(
        catalogue=catalogue,
        inputs=inputs,
        sample_R=sample_R,
        statistics=statistics,
        image_table=image_table,
    )


def with_embeddings(prepared: Prepared, source: Source) -> Prepared:
    """Return the same rows with the embeddings that the user gave as inputs."""
    feature_RD = read_embeddings(source.embeddings, prepared.catalogue).take(prepared.sample_R)
    statistics = FeatureInputs.statistics(feature_RD)
    inputs = FeatureInputs(feature_RD, statistics=statistics, device=source.device)
    return replace(prepared, inputs=inputs, statistics=statistics)


def make_network(settings: TrainingSettings, prepared: Prepared, source: Source, *, number: int = 0) -> torch.nn.Module:
    """Build the network that is trained: the ``number``-th of a method that trains several."""
    classes, seed = len(prepared.catalogue.classes), settings.seed + 1_000_003 * number
    if settings.kind == "train":
        return _build(settings, source, classes, seed)
    return linear_head(len(prepared.statistics[0]), classes, seed=seed)


def backbone_of(settings: TrainingSettings, source: Source) -> Backbone:
    """Return the network that is frozen; it is built only where its digest is not known."""
    build = cache(lambda: _build(settings, source, 0, settings.seed))
    if settings.weights == "embedded":
        return Backbone(embedded_digest(settings.model), build, settings.model)
    return Backbone(network_digest(build()), build)


def _build(settings: TrainingSettings, source: Source, classes: int, seed: int) -> torch.nn.Module:
    return build_network(settings, classes, seed=seed, weights_file=source.weights_file, offline=source.offline)


def _loaded(
    catalogue: Catalogue, load: Callable[[Catalogue], Loaded], world: World, *, is_validation: bool
) -> tuple[Catalogue, Loaded]:
    """Load the data without the files whose pixels are damaged, and again without an image that these leave alone."""
    while True:
        loaded = load(catalogue)
        _require_same(catalogue, loaded.failures, world)
        catalogue = catalogue.set_aside(loaded.failures)
        if not is_validation:
            catalogue = trainable(catalogue)
        elif not catalogue.used_N.any():
            raise DataError(f"none of the images in {catalogue.root} can be read", fix="check the folder")
        if int(catalogue.used_N.sum()) == len(loaded.sample_R):
            return catalogue, loaded


def _require_same(catalogue: Catalogue, failures: Mapping[int, str], world: World) -> None:
    """Raise a DataError in all processes where an image can be read by some of them only."""
    each = world.each((platform.node(), failures))

    def compare() -> None:
        for machine, found in each:
            for sample in sorted(found.keys() ^ failures.keys()):
                where, why = (machine, found[sample]) if sample in found else (platform.node(), failures[sample])
                what = f"{catalogue.root / catalogue.paths[sample]} cannot be read on {where}, but elsewhere: {why}"
                raise DataError(what, fix="give every machine the same files at the same place")

    world.once(compare)
