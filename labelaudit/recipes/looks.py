"""Looking at the pictures of an audit, beside training on them.

Shapes: R rows, P of which copies are spoiled, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from labelaudit.data.parts import in_parts
from labelaudit.data.pixels import pixel_digest
from labelaudit.detect.corruption import Pictures
from labelaudit.detect.pictures import (
    PICTURE_STATISTICS,
    Look,
    picture_statistics,
    spoiled_statistics,
)
from labelaudit.names import SPOILED_KINDS
from labelaudit.progress import Reporter

_MOST_SPOILED = 500
"""More copies make the regression of `labelaudit.detect.corruption` no better; these cost a quarter of a second."""

_PART = 1024


def pictures_of_pixels(
    sample_R: npt.NDArray[np.int32],
    pixels_RCHW: npt.NDArray[np.uint8],
    generator: np.random.Generator,
    reporter: Reporter,
) -> Pictures:
    """What is known of decoded pictures, with spoiled copies of at most 500 of them.

    Args:
        sample_R: Sample numbers.
        pixels_RCHW: In memory or memory-mapped.
        generator: Draws the copies.
        reporter: Told about the progress.
    """
    rows = len(sample_R)
    value_RS = np.empty((rows, len(PICTURE_STATISTICS)), dtype=np.float32)
    digests: list[str] = []
    with reporter.bar("Looking at images", rows, "images") as advance:
        for part in in_parts(range(rows), _PART):
            x_BCHW = np.asarray(pixels_RCHW[part[0] : part[-1] + 1])
            value_RS[part[0] : part[-1] + 1] = picture_statistics(x_BCHW)
            digests += [pixel_digest(x_CHW) for x_CHW in x_BCHW]
            advance(len(part))
    spoiled_P = np.sort(generator.permutation(rows)[:_MOST_SPOILED]).astype(np.int32)
    return Pictures(
        sample_U=sample_R,
        value_US=value_RS,
        spoiled_P=spoiled_P,
        value_PMS=spoiled_statistics(np.asarray(pixels_RCHW[spoiled_P]), generator),
        digest_U=np.asarray(digests, dtype=np.str_),
    )


def pictures_of_looks(sample_R: npt.NDArray[np.int32], looks: Sequence[Look]) -> Pictures:
    """The same from what was seen while pictures were embedded.

    Args:
        sample_R: Sample numbers.
        looks: One per sample.
    """
    spoiled = [(row, look.spoiled_MS) for row, look in enumerate(looks) if look.spoiled_MS is not None]
    # Evenly over the samples, which are in the order of their classes.
    spoiled = spoiled[:: max(1, -(-len(spoiled) // _MOST_SPOILED))]
    value_RS = np.array([look.value_S for look in looks], dtype=np.float32)
    value_PMS = np.array([spoiled_MS for _, spoiled_MS in spoiled], dtype=np.float32)
    return Pictures(
        sample_U=sample_R,
        value_US=value_RS.reshape(-1, len(PICTURE_STATISTICS)),
        spoiled_P=np.array([row for row, _ in spoiled], dtype=np.int32),
        value_PMS=value_PMS.reshape(-1, len(SPOILED_KINDS), len(PICTURE_STATISTICS)),
        digest_U=np.array([look.digest for look in looks], dtype=np.str_),
    )
