"""Near duplicates: images that are resized, recompressed, slightly cropped, mirrored or re-colored copies of others.

Each image is compared with a few others: those that are nearest by their embeddings, by their thumbnails, and by the
mirror images of these. Two images are copies where a large part of one thumbnail looks like the other.

Shapes: U images, I of them at a time, G side of a thumbnail, D features, Q queries, K neighbors, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.detect import Float32Array, IntArray, NumberArray
from labelaudit.detect import constants as c
from labelaudit.detect.images import UInt8Array

Each = Callable[..., Iterable[Any]]
"""Calls a function with each of some values, as `map` does."""


def near_pairs(
    thumb_UGG: UInt8Array,
    feature_UD: Float32Array | None,
    advance: Callable[[int], None] = lambda _: None,
    each: Each = map,
) -> tuple[NumberArray, Float32Array]:
    """Return the pairs of copies [P, 2], the lower number first, and the `correlation` of their thumbnails [P].

    These are the `candidates` with a correlation of `least_alike` or more. Embeddings are those of `projection`.
    ``advance`` gets the number of images after each part. ``each`` may be the map of a pool of threads.
    """
    pair_P2, least, done = candidates(thumb_UGG, feature_UD, each), least_alike(thumb_UGG), 0
    parts = [pair_P2[start : start + c.PAIRS_AT_ONCE] for start in range(0, len(pair_P2), c.PAIRS_AT_ONCE)]

    def compared(part_P2: NumberArray) -> Float32Array:
        image_I, place_P2 = np.unique(part_P2, return_inverse=True)
        image_IGG, place_P2 = band_passed(thumb_UGG[image_I]), place_P2.reshape(part_P2.shape)
        rough_P = correlation(_pooled(image_IGG), place_P2, c.ROUGH_SCALES)
        likely_P = np.flatnonzero(rough_P >= least - c.ROUGH_MARGIN)
        image_I, place_P2 = np.unique(place_P2[likely_P], return_inverse=True)
        alike_P = np.zeros(len(part_P2), dtype=np.float32)
        alike_P[likely_P] = correlation(image_IGG[image_I], place_P2.reshape(-1, 2), c.SCALES)
        return alike_P

    found = [np.empty(0, dtype=np.float32)]
    for part_P2, alike_P in zip(parts, each(compared, parts), strict=True):
        found.append(alike_P)
        advance(int(part_P2[-1, 0]) - done)
        done = int(part_P2[-1, 0])
    advance(len(thumb_UGG) - done)
    alike_P = np.concatenate(found)
    kept_P = alike_P >= least
    return pair_P2[kept_P], np.minimum(alike_P[kept_P], 1.0)


def least_alike(thumb_UGG: UInt8Array) -> float:
    """Return the correlation from which on two of these images are copies: `LEAST_ALIKE`, or more where many are alike.

    Digits and drawings are alike without being copies. With r the correlation of pairs drawn at random, the tail of
    1 − r is taken for a power law through its quantiles of 50 and 10%; among all pairs, it gives one false copy in
    `IMAGES_PER_FALSE_COPY` images. Below `FEW_IMAGES` images, in which copies would be seen as usual, none is fitted.
    """
    count = len(thumb_UGG)
    if count < c.FEW_IMAGES:
        return c.LEAST_ALIKE
    drawn_P2 = np.random.default_rng(0).integers(0, count, (c.DRAWN_PAIRS, 2))
    image_I, place_P2 = np.unique(drawn_P2[drawn_P2[:, 0] != drawn_P2[:, 1]], return_inverse=True)
    alike_P = correlation(band_passed(thumb_UGG[image_I]), place_P2.reshape(-1, 2), c.SCALES)
    half, tenth = (max(1.0 - float(np.quantile(alike_P, share)), c.TINY) for share in (0.5, 0.9))
    power = np.log(0.5 / 0.1) / max(np.log(half / tenth), c.TINY)
    share = 2.0 / (c.IMAGES_PER_FALSE_COPY * count)
    return max(c.LEAST_ALIKE, 1.0 - tenth * float((share / 0.1) ** (1.0 / power)))


def candidates(thumb_UGG: UInt8Array, feature_UD: Float32Array | None, each: Each = map) -> NumberArray:
    """Return the pairs that may be copies [P, 2], sorted, the lower number first; each image has a few neighbors."""
    small_Ugg = _joined(_pooled(band_passed(part_UGG)) for part_UGG in _parts(thumb_UGG))
    small_UD, turned_UD = (each_Ugg.reshape(-1, c.POOLED**2) for each_Ugg in (small_Ugg, small_Ugg[:, :, ::-1]))
    project = projection(small_UD, c.THUMB_DIMENSIONS)
    base_UD, mirrored_UD = project(small_UD), project(turned_UD)
    found = [neighbors(base_UD, base_UD, each), neighbors(mirrored_UD, base_UD, each)]
    if feature_UD is not None:
        found.append(neighbors(feature_UD, feature_UD, each))
    own_UK = np.arange(len(thumb_UGG))[:, None]
    joined = np.concatenate(
        [(np.minimum(own_UK, each_UK) * len(thumb_UGG) + np.maximum(own_UK, each_UK)).ravel() for each_UK in found]
    )
    return np.stack(np.divmod(np.unique(joined), max(len(thumb_UGG), 1)), axis=1)


def neighbors(query_UD: Float32Array, base_UD: Float32Array, each: Each = map) -> IntArray:
    """Return the images nearest to each query by inner product, without the query's own: [U, K].

    Exactly up to `MOST_EXACT` images. Beyond, k-means divides the images into cells, and a query is compared with
    those of the cells nearest to it.
    """
    count, most = len(base_UD), min(c.NEIGHBORS, len(base_UD) - 1)
    if most < 1:
        return np.empty((count, 0), dtype=np.int32)
    near_UK = np.repeat(np.arange(count, dtype=np.int32)[:, None], most, axis=1)
    product_UK = np.full((count, most), -2.0, dtype=np.float32)

    def search(part_Q: NumberArray, base_B: NumberArray, base_DB: Float32Array) -> None:
        product_QB = query_UD[part_Q] @ base_DB
        place_Q = np.searchsorted(base_B, part_Q).clip(max=len(base_B) - 1)
        own_Q = np.flatnonzero(base_B[place_Q] == part_Q)
        product_QB[own_Q, place_Q[own_Q]] = -2.0
        place_Qf = _largest(product_QB, min(most, len(base_B)))
        near_QX = np.concatenate([near_UK[part_Q], base_B[place_Qf]], axis=1)
        product_QX = np.concatenate([product_UK[part_Q], np.take_along_axis(product_QB, place_Qf, axis=1)], axis=1)
        best_QK = _largest_of(product_QX, most)
        near_UK[part_Q] = np.take_along_axis(near_QX, best_QK, axis=1)
        product_UK[part_Q] = np.take_along_axis(product_QX, best_QK, axis=1)

    everyone = np.arange(count)
    for query_Q, base_B in [(everyone, everyone)] if count <= c.MOST_EXACT else _cells(query_UD, base_UD):
        step = max(1, c.PRODUCTS_AT_ONCE // len(base_B))
        parts = [query_Q[start : start + step] for start in range(0, len(query_Q), step)]
        list(each(search, parts, repeat(base_B), repeat(base_UD[base_B].T)))
    return near_UK


def _cells(query_UD: Float32Array, base_UD: Float32Array) -> Iterator[tuple[NumberArray, NumberArray]]:
    """Return the images of each cell, in their order, and before them the queries that it is one of the nearest to."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(len(base_UD) ** 0.5)
    sample_SD = base_UD[:: max(1, len(base_UD) // (c.IMAGES_OF_CELL * count))]
    means = MiniBatchKMeans(count, init="random", random_state=0, n_init=1, batch_size=c.IMAGES_AT_ONCE).fit(sample_SD)
    center_DC = _unit(means.cluster_centers_).T

    def divided(value_UD: Float32Array, cells: int) -> list[NumberArray]:
        # A copy: the largest are a view of all places, which would need √N numbers for each image.
        parts = [_largest_of(part_UD @ center_DC, cells).astype(np.int32) for part_UD in _parts(value_UD)]
        of_X = np.concatenate(parts).ravel()
        ends_C = np.cumsum(np.bincount(of_X, minlength=count))[:-1]
        return np.split(np.argsort(of_X, kind="stable") // cells, ends_C)

    for query_Q, base_B in zip(divided(query_UD, min(c.CELLS_AROUND, count)), divided(base_UD, 1), strict=True):
        if len(query_Q) and len(base_B):
            yield query_Q, base_B


def _largest(value_QB: Float32Array, few: int) -> npt.NDArray[np.intp]:
    """Return where the ``few`` largest values of each row are, in no order: [Q, few]."""
    rows, width = value_QB.shape
    blocks = width // c.BLOCK
    if blocks < 2 * few:
        return _largest_of(value_QB, few)
    # The largest values lie in the blocks with the largest maxima. A block is every n-th value, as maxima of whole rows
    # are found eight times as fast as those of values side by side.
    highest_Qb = value_QB[:, : blocks * c.BLOCK].reshape(rows, c.BLOCK, blocks).max(axis=1)
    inside_QX = (_largest_of(highest_Qb, few)[:, :, None] + blocks * np.arange(c.BLOCK)).reshape(rows, -1)
    rest_QX = np.broadcast_to(np.arange(blocks * c.BLOCK, width), (rows, width - blocks * c.BLOCK))
    place_QX = np.concatenate([inside_QX, rest_QX], axis=1)
    best_Qf = _largest_of(np.take_along_axis(value_QB, place_QX, axis=1), few)
    return np.take_along_axis(place_QX, best_Qf, axis=1)


def _largest_of(value_QX: Float32Array, few: int) -> npt.NDArray[np.intp]:
    return np.argpartition(value_QX, value_QX.shape[1] - few, axis=1)[:, value_QX.shape[1] - few :]


def band_passed(thumb_IGG: UInt8Array) -> Float32Array:
    """Return thumbnails less their surroundings, with mean 0 and norm 1: soft light and shade do not count.

    The norm includes that of noise by `GREY_NOISE` levels, so that nearly uniform images are like nothing.
    """
    x_IGG = thumb_IGG.astype(np.float32)
    side = x_IGG.shape[1]
    blurring_GG = _blurring(side)
    x_IGG -= blurring_GG @ x_IGG @ blurring_GG.T
    x_IGG -= x_IGG.mean(axis=(1, 2), keepdims=True)
    power_I11 = (x_IGG**2).sum(axis=(1, 2), keepdims=True) + (side * c.GREY_NOISE) ** 2
    passed_IGG: Float32Array = x_IGG / np.sqrt(power_I11)
    return passed_IGG


def correlation(image_IGG: Float32Array, pair_P2: NumberArray, scales: Sequence[float]) -> Float32Array:
    """Return how well one image of each pair fits a part of the other, either way round, as it is or mirrored: [P].

    That is the largest normalized cross-correlation of a whole image, shrunk to a scale, with a square of that size in
    the other one (Lewis 1995), or of both as they are. Images are those of `band_passed`.
    """
    from scipy import fft

    first_P, second_P = pair_P2.T
    count, side = image_IGG.shape[:2]
    spectrum_IGF = fft.rfft2(image_IGG)
    power_IGF = fft.rfft2(image_IGG**2)
    noise_I11 = np.maximum(1.0 - (image_IGG**2).sum(axis=(1, 2), keepdims=True), 0.0)
    one_PGG, other_PGG = image_IGG[first_P], image_IGG[second_P]
    best_P = np.einsum("pij,pij->p", one_PGG, other_PGG)
    best_P = np.maximum(best_P, np.einsum("pij,pij->p", one_PGG, other_PGG[:, :, ::-1]))
    for scale in scales:
        inner = round(side * scale)
        places, smaller_gG = side - inner + 1, _resampling(inner, side)
        part_Igg = smaller_gG @ image_IGG @ smaller_gG.T
        part_Igg -= part_Igg.mean(axis=(1, 2), keepdims=True)
        rest_I11 = noise_I11 * scale**2 + c.TINY
        part_Igg /= np.sqrt((part_Igg**2).sum(axis=(1, 2), keepdims=True) + rest_I11)
        box_GF = np.conj(fft.rfft2(np.ones((inner, inner), dtype=np.float32), s=(side, side)))
        sums_2I = [
            fft.irfft2(each_IGF * box_GF, s=(side, side))[:, :places, :places] for each_IGF in (spectrum_IGF, power_IGF)
        ]
        variance_Ipp = np.maximum(sums_2I[1] - sums_2I[0] ** 2 / inner**2, c.LEAST_PART) + rest_I11
        inverse_Ipp = (1.0 / np.sqrt(variance_Ipp)).astype(np.float32)
        for turned_Igg in (part_Igg, part_Igg[:, :, ::-1]):
            part_IGF = np.conj(fft.rfft2(turned_Igg, s=(side, side)))
            for whole_P, inner_P in ((first_P, second_P), (second_P, first_P)):
                fit_Ppp = fft.irfft2(spectrum_IGF[whole_P] * part_IGF[inner_P], s=(side, side))[:, :places, :places]
                best_P = np.maximum(best_P, (fit_Ppp * inverse_Ipp[whole_P]).max(axis=(1, 2), initial=-1.0))
    return best_P.astype(np.float32) if count else np.empty(0, dtype=np.float32)


def groups(count: int, pair_P2: NumberArray, equal_N: IntArray) -> IntArray:
    """Return the number of the group of each of ``count`` samples, −1 for those alone: [N].

    Pairs and equal images (`labelaudit.detect.kinds.equal_images`) are in one group, and what is like one of them.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    equal = np.flatnonzero(equal_N >= 0)
    node_E = count + equal_N[equal]
    ends = (pair_P2[:, 0], equal), (pair_P2[:, 1], node_E)
    one, other = (np.concatenate(each, dtype=np.int32) for each in ends)  # SciPy 1.11 takes no other numbers
    size = count + int(equal_N.max(initial=-1)) + 1
    _, group_X = connected_components(coo_array((np.ones(len(one), dtype=np.int8), (one, other)), (size, size)), False)
    _, group_N, count_G = np.unique(group_X[:count], return_inverse=True, return_counts=True)
    number_G = np.where(count_G > 1, np.cumsum(count_G > 1) - 1, -1).astype(np.int32)
    group_number_N: IntArray = number_G[group_N]
    return group_number_N


def _blurring(side: int) -> Float32Array:
    """Return the matrix that blurs ``side`` pixels by a Gaussian, reflected at the ends: [side, side]."""
    from scipy.ndimage import gaussian_filter1d

    blurring_GG: Float32Array = gaussian_filter1d(np.eye(side), c.SURROUNDINGS * side, axis=0).astype(np.float32)
    return blurring_GG


def _pooled(image_IGG: Float32Array) -> Float32Array:
    """Return images at `POOLED` × `POOLED` pixels; what noise takes from the norm stays, fine detail does not count."""
    step = image_IGG.shape[1] // c.POOLED
    mean_Igg = step * image_IGG.reshape(-1, c.POOLED, step, c.POOLED, step).mean(axis=(2, 4))
    noise_I, power_I = 1.0 - (image_IGG**2).sum(axis=(1, 2)), (mean_Igg**2).sum(axis=(1, 2))
    pooled_Igg: Float32Array = mean_Igg / np.sqrt(power_I + noise_I.clip(min=c.TINY))[:, None, None]
    return pooled_Igg


def _resampling(inner: int, side: int) -> Float32Array:
    """Return the matrix that shrinks ``side`` pixels to ``inner`` by weights that fall linearly: [inner, side]."""
    center_g = (np.arange(inner) + 0.5) * side / inner - 0.5
    weight_gG = np.maximum(0.0, 1.0 - np.abs(np.arange(side) - center_g[:, None]) * inner / side)
    shrinking_gG: Float32Array = (weight_gG / weight_gG.sum(axis=1, keepdims=True)).astype(np.float32)
    return shrinking_gG


def projection(value_UD: Float32Array, most: int = c.FEATURE_DIMENSIONS) -> Callable[[Float32Array], Float32Array]:
    """Return a function that gives the first principal components of rows, with norm 1; fitted to some of them."""
    from scipy.linalg import eigh

    sample_SD = value_UD[:: max(1, len(value_UD) // c.MOST_FITTED)].astype(np.float32)
    mean_D = sample_SD.sum(axis=0) / max(len(sample_SD), 1)
    centered_SD = sample_SD - mean_D
    last = centered_SD.shape[1] - 1
    basis_Dd = eigh(centered_SD.T @ centered_SD, subset_by_index=(max(0, last + 1 - most), last))[1]

    return lambda x_UD: _joined(_unit((part_UD - mean_D) @ basis_Dd) for part_UD in _parts(x_UD))


def _parts(value_U: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows, a few thousand at a time; once without any."""
    for start in range(0, max(len(value_U), 1), c.IMAGES_AT_ONCE):
        yield value_U[start : start + c.IMAGES_AT_ONCE]


def _joined(parts: Iterable[Float32Array]) -> Float32Array:
    return np.concatenate(list(parts))


def _unit(value_XD: npt.NDArray[Any]) -> Float32Array:
    norm_X1 = np.sqrt((value_XD**2).sum(axis=1, keepdims=True))
    unit_XD: Float32Array = (value_XD / np.maximum(norm_X1, c.TINY)).astype(np.float32)
    return unit_XD
