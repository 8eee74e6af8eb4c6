"""Smoothed lines, without a loop over their points: gaps stay gaps, and the start is not pulled to nought."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
LARGEST = 1e300
# Below it nothing changes that could be seen.
LEAST = 1e-3
# What a point still counts for when it does not count any more.
NEGLIGIBLE = 1e-18
# Longer kernels cost less by way of their spectrum.
DIRECT = 129


def drawable(values: Values) -> Values:
    """With gaps for what no axis can hold, such as the largest number, which MLflow keeps in the place of infinity."""
    held = np.abs(values) < LARGEST
    return values if held.all() else np.where(held, values, np.nan)


def smoothed(values: Values, kind: str, weight: float) -> Values:
    """By `kind`: ema, gaussian or none, `weight` below 1. What is not finite stays as it is and counts for nothing."""
    finite = np.isfinite(values)
    if kind == "none" or weight < LEAST or finite.sum() < 3:
        return values
    result = values.copy()
    result[finite] = ema(values[finite], weight) if kind == "ema" else gaussian(values[finite], weight)
    return result


def ema(values: Values, weight: float) -> Values:
    """Exponential moving average, each divided by the sum of the weights that it had."""
    settled = min(len(values), int(np.log(NEGLIGIBLE) / np.log(weight)) + 1)
    known = np.ones(len(values))
    known[:settled] -= weight ** np.arange(1, settled + 1)
    return _recurrence((1 - weight) * values, weight) / known


def gaussian(values: Values, weight: float) -> Values:
    """By index, as wide as the moving average of this weight, over the points that there are at the ends."""
    sigma = np.sqrt(weight) / (1 - weight)
    reach = min(len(values) - 1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _convolved(values, kernel) / _convolved(np.ones_like(values), kernel)


def _recurrence(given: Values, weight: float) -> Values:
    """y[n] = weight · y[n-1] + given[n]: each round doubles how far a point looks back."""
    found, back = given, 1
    while back < len(given) and weight**back > NEGLIGIBLE:
        found = np.concatenate([found[:back], found[back:] + weight**back * found[:-back]])
        back *= 2
    return found


def _convolved(values: Values, kernel: Values) -> Values:
    reach = len(kernel) // 2
    if len(kernel) <= DIRECT:
        whole = np.convolve(values, kernel)
    else:
        size = 1 << (len(values) + len(kernel) - 2).bit_length()
        whole = np.fft.irfft(np.fft.rfft(values, size) * np.fft.rfft(kernel, size), size)
    return np.asarray(whole[reach : reach + len(values)])
