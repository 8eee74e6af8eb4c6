"""How far answers are apart: nothing for what means the same, and always a number."""

import json
import math
import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.answers import distance

leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    leaves | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object) -> object:
    """The same with its keys in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        random.Random(len(items)).shuffle(items)
        return {key: shuffled(each) for key, each in items}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(trees)
def test_equal_json_is_no_distance_apart_whatever_the_order_of_keys(value: object):
    assert distance(orjson.dumps(value), orjson.dumps(shuffled(value), option=orjson.OPT_INDENT_2)) == 0


@given(trees, trees)
def test_the_distance_is_the_same_both_ways_and_a_finite_number(one: object, other: object):
    a, b = orjson.dumps(one), orjson.dumps(other)
    assert distance(a, b) == distance(b, a)
    assert 0 <= distance(a, b) <= 2
    assert math.isfinite(distance(a, b))


@given(st.binary(), st.binary())
def test_any_bytes_can_be_compared(a: bytes, b: bytes):
    assert distance(a, b) == distance(b, a)
    assert distance(a, a) == 0


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("[1, 2]", "[1.0, 2.0]", 0),
        ("[100]", "[101]", 1 / 101),
        ("[0]", "[5]", 1),
        ("[-1]", "[1]", 2),
        ("1e308", "-1e308", 2),
        ("[1, 50]", "[1.1, 100]", 0.5),
        ('"yes"', '"no"', 1),
        ("true", "1", 1),
        ("null", "0", 1),
        ("[1]", "[1, 2]", 1),
        ('{"a": 1}', '{"b": 1}', 1),
        ('{"a": [1, 2]}', '{"a": [1, 4]}', 0.5),
        ("not json", "not json", 0),
        ("not json", "[1]", 1),
        ("", "[]", 1),
        ("NaN", "NaN", 0),
    ],
)
def test_numbers_differ_by_their_gap_and_everything_else_by_one(one: str, other: str, apart: float):
    assert distance(one.encode(), other.encode()) == pytest.approx(apart)


def test_deeply_nested_answers_are_compared_too():
    deep = "[" * 900 + "{}" + "]" * 900
    assert distance(deep.format(1).encode(), deep.format(2).encode()) == 0.5
    assert distance(b"[" * 5000, json.dumps([1]).encode()) == 1
