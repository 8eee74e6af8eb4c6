"""Whether two small groups of numbers differ by more than luck: Welch's t-test, or Mann–Whitney's where that is due.

scipy takes a second to be imported, so it is when it is first needed.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.core.errors import Invalid

Test = Literal["welch", "mann-whitney"]
NAMES: dict[Test, str] = {"welch": "Welch's t-test", "mann-whitney": "Mann–Whitney U test"}
LEAST = 3
NORMAL = 0.05
CONFIDENCE = 0.95
ARRANGEMENTS = 20_000


@dataclass(frozen=True)
class Compared:
    """`difference` is the second mean minus the first, between `low` and `high` with 95 % confidence (Welch).

    `why` says why this test; `p` is two-sided.
    """

    test: Test
    why: str
    n: tuple[int, int]
    means: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float


def compared(before: Sequence[float], after: Sequence[float], *, test: Test | None = None) -> Compared:
    """Two groups, each of three numbers or more; NaN and infinities are left out.

    Without a named test it is Welch's where neither group speaks against a normal distribution (Shapiro–Wilk,
    p ≥ 0.05) and both vary, else Mann–Whitney's. Raises Invalid for smaller groups.
    """
    one, other = _finite(before), _finite(after)
    if min(len(one), len(other)) < LEAST:
        raise Invalid(f"Each group needs {LEAST} runs with a number; these have {len(one)} and {len(other)}.")
    chosen, why = (test, "It was asked for.") if test is not None else _chosen(one, other)
    if chosen not in NAMES:
        raise Invalid(f"'{chosen[:40]}' is no test.", hint=f"One of: {', '.join(NAMES)}.")
    low, high = _interval(one, other)
    means = (_mean(one), _mean(other))
    return Compared(chosen, why, (len(one), len(other)), means, means[1] - means[0], low, high, _p(chosen, one, other))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """By Holm's method, in the same order: what is left when so many tests were made at once."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, largest = [0.0] * len(p_values), 0.0
    for place, at in enumerate(order):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - place)))
        found[at] = largest
    return found


def spread(values: Sequence[float]) -> tuple[int, float | None, float | None]:
    """How many numbers, their mean and sample deviation; None where there are too few for it."""
    held = _finite(values)
    deviation = math.sqrt(_variance(held)) if len(held) > 1 else None
    return len(held), _mean(held) if held else None, deviation


def _chosen(one: Sequence[float], other: Sequence[float]) -> tuple[Test, str]:
    if not _variance(one) or not _variance(other):
        return "mann-whitney", "A group does not vary at all."
    if all(_scipy().shapiro(each).pvalue >= NORMAL for each in (one, other)):
        return "welch", f"Neither group speaks against a normal distribution (Shapiro–Wilk, p ≥ {NORMAL})."
    return "mann-whitney", f"A group does not look normal (Shapiro–Wilk, p < {NORMAL})."


def _p(test: Test, one: Sequence[float], other: Sequence[float]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # groups that do not vary: answered below
        if test == "welch":
            found = float(_scipy().ttest_ind(one, other, equal_var=False).pvalue)
        else:
            found = float(_scipy().mannwhitneyu(one, other, alternative="two-sided", method=_method(one, other)).pvalue)
    if math.isnan(found):
        return 1.0 if _mean(one) == _mean(other) else 0.0
    return found


def _method(one: Sequence[float], other: Sequence[float]) -> Any:
    """All arrangements are counted where there are few: with ties the approximation finds luck too seldom."""
    if math.comb(len(one) + len(other), len(one)) <= ARRANGEMENTS:
        return _scipy().PermutationMethod(n_resamples=ARRANGEMENTS)
    return "auto"


def _interval(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    difference = _mean(other) - _mean(one)
    parts = [_variance(each) / len(each) for each in (one, other)]
    if not sum(parts):
        return difference, difference
    freedom = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (one, other), strict=True))
    reach = float(_scipy().t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(sum(parts))
    return difference - reach, difference + reach


def _finite(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    if len(set(values)) == 1:  # the mean of equal numbers may differ from them in its last bit
        return 0.0
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _scipy() -> Any:
    from scipy import stats  # type: ignore[import-untyped]

    return stats
