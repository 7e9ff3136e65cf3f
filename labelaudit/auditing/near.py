"""Find images that are copies of each other, while pixels and embeddings are at hand, and write them to near.parquet.

Shapes: U images, D features, P pairs.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from labelaudit.detect import Float32Array
from labelaudit.detect.constants import PRODUCTS_AT_ONCE
from labelaudit.detect.images import ImageTable
from labelaudit.detect.near import near_pairs, projection
from labelaudit.engine.devices import count_threads
from labelaudit.progress import Reporter
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import write_near


def find_near(run: RunFolder, images: ImageTable, feature_UD: Float32Array | None, reporter: Reporter) -> None:
    """Write the near duplicates among these images; of equal ones only the first is compared with others."""
    if images.thumb_UGG is None:
        return
    first = np.sort(np.unique(images.digest_U, return_index=True)[1])
    threads = count_threads() if len(first) ** 2 > PRODUCTS_AT_ONCE else 1
    with threadpool_limits(threads), reporter.bar("Looking for copies", len(first), "images") as advance:
        feature_FD = None if feature_UD is None else projection(feature_UD)(feature_UD)[first]
        pair_P2, similarity_P = near_pairs(images.thumb_UGG[first], feature_FD, advance)
    write_near(run.near, images.sample_U[first[pair_P2]], similarity_P)
