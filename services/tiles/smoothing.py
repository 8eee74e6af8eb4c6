"""Smoothed lines, without a loop over their points: gaps stay gaps, and the start is not pulled to nought."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
BLOCK = 64
DIRECT = 129


def smoothed(values: Values, kind: str, weight: float) -> Values:
    """By `kind`: ema, gaussian or none, `weight` below 1. What is not finite stays as it is and counts for nothing."""
    finite = np.isfinite(values)
    if kind == "none" or weight <= 0 or finite.sum() < 3:
        return values
    result = values.copy()
    result[finite] = ema(values[finite], weight) if kind == "ema" else gaussian(values[finite], weight)
    return result


def ema(values: Values, weight: float) -> Values:
    """Exponential moving average, each divided by the sum of the weights that it had."""
    known = 1 - weight ** np.arange(1, len(values) + 1)
    return _recurrence((1 - weight) * values, weight) / known


def gaussian(values: Values, weight: float) -> Values:
    """By index, as wide as the moving average of this weight, over the points that there are at the ends."""
    sigma = np.sqrt(weight) / (1 - weight)
    reach = min(len(values) - 1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _convolved(values, kernel) / _convolved(np.ones_like(values), kernel)


def _recurrence(given: Values, weight: float) -> Values:
    """y[n] = weight · y[n-1] + given[n]: within blocks by one product, from block to block by the same question."""
    if len(given) <= BLOCK:
        return np.asarray(_powers(weight)[: len(given), : len(given)] @ given)
    padded = np.concatenate([given, np.zeros(-len(given) % BLOCK)]).reshape(-1, BLOCK)
    within = padded @ _powers(weight).T
    carried = _recurrence(within[:, -1].copy(), weight**BLOCK)
    within[1:] += carried[:-1, None] * weight ** np.arange(1, BLOCK + 1)
    return np.asarray(within.reshape(-1)[: len(given)])


def _powers(weight: float) -> Values:
    """Lower triangular: what a point in a block still counts for at a later one."""
    apart = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    return np.where(apart >= 0, weight ** np.maximum(apart, 0).astype(np.float64), 0.0)


def _convolved(values: Values, kernel: Values) -> Values:
    reach = len(kernel) // 2
    if len(kernel) <= DIRECT:
        whole = np.convolve(values, kernel)
    else:
        size = 1 << (len(values) + len(kernel) - 2).bit_length()
        whole = np.fft.irfft(np.fft.rfft(values, size) * np.fft.rfft(kernel, size), size)
    return np.asarray(whole[reach : reach + len(values)])
