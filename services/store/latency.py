"""Histograms of latencies in buckets that grow by 2 %: small, added up freely, percentiles to 1 %."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LOWEST_MS = 0.01
GROWTH = 1.02
BUCKETS = 1048
"""The last one begins above two and a half hours."""

Counts: TypeAlias = NDArray[np.int64]
_LOG = math.log(GROWTH)
_MIDDLES = LOWEST_MS * GROWTH ** (np.arange(BUCKETS) - 0.5)
_WIDTH = 6


def bucket(ms: float) -> int:
    """The number of the bucket; what is shorter than the lowest is in the first, what is longer in the last."""
    if not ms > LOWEST_MS:
        return 0
    return math.ceil(min(BUCKETS - 1.0, math.log(ms / LOWEST_MS) / _LOG))


def packed(counts: Mapping[int, int]) -> bytes:
    """Six bytes for each bucket that is not empty."""
    order = sorted(counts)
    return np.array(order, "<u2").tobytes() + np.array([counts[each] for each in order], "<u4").tobytes()


def unpacked(blob: bytes) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Numbers of buckets, and how many latencies each holds."""
    size = len(blob) // _WIDTH
    return np.frombuffer(blob, "<u2", size), np.frombuffer(blob, "<u4", size, size * 2)


def merged(one: bytes, other: bytes) -> bytes:
    """Both together."""
    numbers, counts = unpacked(one)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    numbers, counts = unpacked(other)
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        found[number] = found.get(number, 0) + count
    return packed(found)


def dense(blobs: Sequence[bytes], rows: Sequence[int], size: int) -> Counts:
    """A table of `size` rows by bucket, in which each blob is added to the row of that number."""
    table = np.zeros((size, BUCKETS), np.int64)
    for row, blob in zip(rows, blobs, strict=True):
        numbers, counts = unpacked(blob)
        table[row, numbers] += counts
    return table


def percentiles(table: Counts, wanted: Sequence[float]) -> NDArray[np.float64]:
    """Milliseconds by row of `table` and percent wanted: of the sorted latencies the nearest rank; NaN without any."""
    summed = table.cumsum(axis=1)
    total = summed[:, -1]
    found = np.full((len(table), len(wanted)), np.nan)
    for row in np.flatnonzero(total):
        ranks = np.maximum(1, np.ceil(np.asarray(wanted) / 100 * total[row] - 1e-9))
        found[row] = _MIDDLES[np.searchsorted(summed[row], ranks)]
    return found
