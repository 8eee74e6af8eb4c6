"""How far apart two answers to the same request are."""

from typing import Any

import orjson


def distance(a: bytes, b: bytes) -> float:
    """0 for equal JSON, whatever the order of keys; else the largest difference in it.

    Two numbers differ by their gap relative to the larger of them (at most 2), anything else by 1: other text,
    another length, a missing key. What is not JSON is compared byte by byte.
    """
    if a == b:
        return 0.0
    try:
        pairs = [(orjson.loads(a), orjson.loads(b))]
    except orjson.JSONDecodeError:
        return 1.0
    worst = 0.0
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            pairs += [(value, other[key]) for key, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            pairs += zip(one, other, strict=True)
        else:
            worst = max(worst, _apart(one, other))
    return worst


def _apart(one: Any, other: Any) -> float:
    if (
        type(one) is not bool
        and type(other) is not bool
        and isinstance(one, int | float)
        and isinstance(other, int | float)
    ):
        size = max(abs(one), abs(other))
        return abs(one / size - other / size) if size else 0.0
    return 0.0 if type(one) is type(other) and one == other else 1.0
