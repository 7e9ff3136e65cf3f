"""Time, memory and recall of the search for near duplicates among made-up images.

    python tests/benchmarks/near_scale.py 1000000

Images are noise of three sizes with embeddings of a thousand overlapping clusters. One in a hundred has a copy:
brighter, with grain, its embedding disturbed by a quarter of the spread.

Shapes: U images, D features, G side of a thumbnail, P pairs.
"""

from __future__ import annotations

import resource
import time

import numpy as np
import numpy.typing as npt
import typer

from labelaudit.detect import constants as c
from labelaudit.detect.near import near_pairs

AT_ONCE = 65536


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


def main(count: int) -> None:
    """Print how many copies are found among so many images, in what time and memory."""
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
    typer.run(main)
