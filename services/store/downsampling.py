"""Fewer points of a long line, by index and never by x, so that no extreme, no end and no gap is lost."""

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def kept(values: npt.NDArray[np.float64], most: int) -> Indices:
    """Which points to draw, ascending: minimum and maximum of each bucket, the first NaN of it, and both ends.

    `values` are in the order of drawing. At most `most` points come back (but never fewer than four when
    there are as many), and all of them when there are no more than that.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    is_nan = np.isnan(values)
    has_nan = bool(is_nan.any())
    buckets = max(1, (most - 2) // (3 if has_nan else 2))
    size = -(-count // buckets)
    starts = np.arange(0, count, size)
    low = _bucketed(np.where(is_nan, np.inf, values) if has_nan else values, size, np.inf).argmin(axis=1)
    high = _bucketed(np.where(is_nan, -np.inf, values) if has_nan else values, size, -np.inf).argmax(axis=1)
    chosen = np.zeros(count, dtype=bool)  # marked, not sorted: that would cost more than all the rest
    chosen[starts + low] = chosen[starts + high] = chosen[0] = chosen[-1] = True
    if has_nan:
        gaps = _bucketed(is_nan.astype(np.float64), size, 0.0)
        holed = gaps.any(axis=1)
        chosen[(starts + gaps.argmax(axis=1))[holed]] = True
    return np.flatnonzero(chosen)


def _bucketed(values: npt.NDArray[np.float64], size: int, filler: float) -> npt.NDArray[np.float64]:
    """One row a bucket; the last is filled up with what can never win (a tie goes to the real point before it)."""
    missing = -len(values) % size
    padded = np.concatenate([values, np.full(missing, filler)]) if missing else values
    return padded.reshape(-1, size)
