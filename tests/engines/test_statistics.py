"""Tests of two small groups: known numbers, the choice of the test, and groups that do not vary."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.core.errors import Invalid
from services.engines import statistics

numbers = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=3, max_size=12)


def test_welchs_numbers_are_those_of_the_textbook():
    """Student's sleep data (1908), as R's t.test prints it: t = -1.8608, df = 17.776, p = 0.07939."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = statistics.compared(first, second, test="welch")
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert found.means == (pytest.approx(0.75), pytest.approx(2.33))
    assert (found.low, found.high) == (pytest.approx(-0.2054832, abs=1e-6), pytest.approx(3.3654832, abs=1e-6))


@given(before=numbers, after=numbers)
def test_it_agrees_with_scipy_and_says_the_same_of_the_two_turned_round(before: list[float], after: list[float]):
    found = statistics.compared(before, after, test="welch")
    turned = statistics.compared(after, before, test="welch")
    assert found.low <= found.difference <= found.high
    assert (turned.p, turned.difference) == (pytest.approx(found.p), -found.difference)
    if len(set(before)) > 1 and len(set(after)) > 1:
        expected = stats.ttest_ind(after, before, equal_var=False)
        reach = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == (pytest.approx(reach.low), pytest.approx(reach.high))


def test_the_test_is_chosen_by_how_the_groups_look():
    normal, skewed = [1.0, 1.2, 0.9, 1.1, 1.05], [1.0, 1.0, 1.01, 1.0, 50.0, 1.0]
    assert statistics.compared(normal, [each + 1 for each in normal]).test == "welch"
    found = statistics.compared(normal, skewed)
    assert (found.test, found.n) == ("mann-whitney", (5, 6))
    assert "does not look normal" in found.why
    assert statistics.compared([1.0] * 3, normal).why == "A group does not vary at all."


def test_three_against_three_are_never_called_certain_by_ranks():
    """Of the 20 ways to part six numbers two are as far apart as can be: 0.1, with ties as well."""
    for before, after in (([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), ([1.0] * 3, [2.0] * 3)):
        assert statistics.compared(before, after, test="mann-whitney").p == pytest.approx(0.1)


def test_groups_that_do_not_vary_are_compared_without_a_warning():
    assert statistics.compared([0.1] * 3, [0.1] * 4).p == 1
    found = statistics.compared([0.1] * 3, [0.3] * 3, test="welch")
    assert (found.p, found.low, found.high) == (pytest.approx(0), pytest.approx(0.2), pytest.approx(0.2))


def test_what_is_no_number_does_not_count():
    found = statistics.compared([1, 2, 3, math.nan], [1, 2, 3, math.inf])
    assert found.n == (3, 3)
    with pytest.raises(Invalid):
        statistics.compared([1, 2, math.nan], [1, 2, 3])
    with pytest.raises(Invalid):
        statistics.compared([1, 2, 3], [1, 2, 3], test="bayes")  # type: ignore[arg-type]


def test_many_tests_at_once_are_corrected():
    assert statistics.adjusted([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
    assert statistics.adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.adjusted([]) == []
