"""Filters: what is written is read, comes back in one spelling and as lines to click; errors point at a character."""

import pytest

from services.core.errors import Invalid
from services.specs import filters
from services.specs.filters import Ago, And, Compare, Expression, In, IsNull, Not, Or, Row, Rows
from services.specs.run_fields import Field
from tests.plain_runs import Dice

LOSS, LR, TEAM = Field("metrics", "loss"), Field("params", "lr"), Field("tags", "team")


def attribute(name: str) -> Field:
    return Field("attribute", name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.loss<.2", Compare(LOSS, "<", 0.2)),
        ("max( metrics.`my loss` ) >= -1e3", Compare(Field("metrics", "my loss", "max"), ">=", -1000.0)),
        ("metrics.a`b = 1", None),
        ("metrics.`a``b` = inf", Compare(Field("metrics", "a`b"), "=", float("inf"))),
        ("METRICS.loss <> 1", Compare(LOSS, "!=", 1.0)),
        ("params.lr == 0.10", Compare(LR, "=", 0.1)),
        ('params.lr = "0.10"', Compare(LR, "=", "0.10")),
        ("params.lr = adam", Compare(LR, "=", "adam")),
        ("params.lr ~ 3", Compare(LR, "~", "3")),
        ("tags.team = 3", Compare(TEAM, "=", "3")),
        ("tags.team = 'it''s'", Compare(TEAM, "=", "it's")),
        ('tags.team like "a\\%%"', Compare(TEAM, "like", "a\\%%")),
        ("name not ilike x", Not(Compare(attribute("name"), "ilike", "x"))),
        ("status in (completed, RUNNING)", In(attribute("status"), ("Completed", "Running"))),
        ("Status NOT IN ('Failed')", In(attribute("status"), ("Failed",), negated=True)),
        ("created > -7d", Compare(attribute("created"), ">", Ago(7, "d"))),
        ("starred = TRUE", Compare(attribute("starred"), "=", True)),
        ("ended is null", IsNull(attribute("ended"))),
        ("parent IS NOT NULL", IsNull(attribute("parent"), negated=True)),
        (
            "ended is null or starred = true and not name = x",
            Or(
                (
                    IsNull(attribute("ended")),
                    And(
                        (Compare(attribute("starred"), "=", True), Not(Compare(attribute("name"), "=", "x"))),
                    ),
                )
            ),
        ),
        (
            "(ended is null or starred = true) and metrics.loss < 1",
            And(
                (
                    Or((IsNull(attribute("ended")), Compare(attribute("starred"), "=", True))),
                    Compare(LOSS, "<", 1.0),
                )
            ),
        ),
    ],
)
def test_what_is_written_is_read(text: str, expected: Expression | None):
    if expected is None:
        with pytest.raises(Invalid):
            filters.parse(text)
    else:
        assert filters.parse(text) == expected


def test_times_are_read_in_every_form():
    forms = ["2026-01-31T10:00:00.123456+02:00", '"2026-01-31 08:00:00.123"', "'2026-01-31T08:00:00.1239Z'"]
    assert {str(filters.parse(f"created < {each}")) for each in forms} == {"created < 2026-01-31T08:00:00.123000Z"}
    assert str(filters.parse("created < 2026-01-31")) == "created < 2026-01-31T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "empty"),
        ("  ", 3, "empty"),
        ("loss < 1", 1, "'loss' is nothing that a run has"),
        ("metrics.loss", 13, "Expected a comparison after 'metrics.loss', found the end"),
        ("metrics.loss <", 15, "Expected a number after '<', found the end"),
        ("metrics.loss < 'x'", 16, "'metrics.loss' is a number"),
        ("metrics.loss ~ 1", 14, "cannot be asked with '~'"),
        ("metrics.loss like 1", 14, "cannot be asked with 'like'"),
        ("metrics.loss < 1 metrics.acc > 2", 18, "Expected 'and', 'or' or the end, found 'metrics.acc'"),
        ("metrics.loss < 1 and", 21, "Expected a field"),
        ("metrics.loss < 1 and and", 22, "Expected a field such as metrics.loss or status, found 'and'"),
        ("(metrics.loss < 1", 18, "Expected ')' for the '(' at column 1, found the end"),
        ("metrics.loss < 1)", 17, "found ')'"),
        ("not", 4, "Expected a field"),
        ("()", 2, "Expected a field"),
        ("name = 'x", 8, "not closed with '"),
        ('name = "x', 8, 'not closed with "'),
        ("metrics.loss < 1.2.3", 16, "'1.2.3' is no number"),
        ("metrics.loss < 1_000", 16, "'1_000' is no number"),
        ("metrics.loss & 1", 14, "'&' is not understood"),
        ("metrics.`loss < 1", 9, "Backticks are for names"),
        ("tags.team > 3", 13, "no order among numbers"),
        ("status = Done", 10, "'Done' is no status"),
        ("status ~ Run", 8, "cannot be asked with '~'"),
        ("status in Completed", 11, "Expected '(' after 'in'"),
        ("status in ()", 12, "Expected a status after 'in', found ')'"),
        ("status in (Failed Running)", 19, "Expected ')' for the '(' at column 11"),
        ("created > tomorrow", 11, "'tomorrow' is no time"),
        ("created > 2026-13-01", 11, "'2026-13-01' is no time"),
        ("created in (-7d)", 9, "cannot be asked with 'in'"),
        ("starred = 3", 11, "true or false"),
        ("ended is 3", 10, "Expected 'null' after 'is'"),
        ("ended not null", 11, "after 'not'"),
        ("min(params.lr) = 1", 5, "Expected metrics.NAME"),
        ("min(metrics.loss = 1", 18, "Expected ')' for the '(' at column 4"),
        ("at(metrics.loss, 3) = 1", 1, "for columns"),
        ("name = 'a\0b'", 10, "No database keeps"),
        ("name = '\ud800'", 9, "No database keeps"),
        ("(" * 10_000, 41, "nested at most 40"),
        ("not " * 2_500, 161, "nested at most 40"),
        ("x" * 10_001, 10_001, "at most 10,000 characters"),
        (" or ".join(["id = a"] * 201), 2001, "at most 200 comparisons"),
        (f"id in ({','.join('a' * 501)})", 1007, "at most 500 values"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_error_points_at_the_character(text: str, column: int, said: str):
    with pytest.raises(Invalid) as caught:
        filters.parse(text)
    assert said in caught.value.message
    assert caught.value.where == f"filter:{column}"
    shown, caret = caught.value.details
    assert caret.strip() == "^"
    if column <= len(text) and text[column - 1].isprintable():
        assert shown[len(caret) - 1] == text[column - 1]


def test_an_unknown_word_is_told_how_to_be_written():
    with pytest.raises(Invalid) as caught:
        filters.parse("metric.loss < 1")
    assert (caught.value.hint or "").startswith("Write metrics.loss, params.loss or tags.loss")


def test_ten_thousand_expressions_come_back_from_their_text():
    dice = Dice(1)
    for _ in range(10_000):
        expression = dice.expression(4)
        assert filters.parse(str(expression)) == expression, str(expression)


def test_lines_to_click_come_back_whenever_the_expression_is_flat():
    dice, flat = Dice(2), 0
    for _ in range(10_000):
        expression = dice.expression(dice.random.randint(0, 2))
        rows = filters.as_rows(expression)
        parts = expression.parts if isinstance(expression, And | Or) else (expression,)
        assert (rows is None) is any(isinstance(part, And | Or | Not) for part in parts)
        if rows is not None:
            assert filters.from_rows(rows) == expression
            flat += 1
    assert flat > 3000


def test_lines_hold_what_people_type():
    expression = filters.parse('params.lr = 0.1 or params.lr = "0.1" or status not in (Failed) or ended is null')
    rows = filters.as_rows(expression)
    assert rows == Rows(
        "or",
        (
            Row("params.lr", "=", ("0.1",)),
            Row("params.lr", "=", ('"0.1"',)),
            Row("status", "not in", ("Failed",)),
            Row("ended", "is null"),
        ),
    )
    assert filters.from_rows(Rows("and", (Row("name", "~", ("two words",)),))) == Compare(
        attribute("name"), "~", "two words"
    )
    assert filters.as_rows(None) == Rows()
    assert filters.from_rows(Rows()) is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("loss", "=", ("1",)), "nothing that a run has"),
        (Row("metrics.loss", "~", ("1",)), "cannot be asked"),
        (Row("metrics.loss", "<", ("",)), "needs a number"),
        (Row("metrics.loss", "<", ()), "needs a number"),
        (Row("metrics.loss", "<", ("low",)), "is a number"),
        (Row("at(metrics.loss, 1)", "<", ("1",)), "for columns"),
        (Row("name", "=", ("a\0",)), "no database keeps"),
    ],
)
def test_a_line_that_is_wrong_is_named(row: Row, said: str):
    with pytest.raises(Invalid, match="rows:2") as caught:
        filters.from_rows(Rows("and", (Row("ended", "is null"), row)))
    assert said in caught.value.message


def test_conditions_are_added_without_more_parentheses_than_needed():
    left, right = filters.parse("name = a and id = b"), filters.parse("name = c or id = d")
    assert str(filters.all_of(left, None, right)) == 'name = "a" and id = "b" and (name = "c" or id = "d")'
    assert filters.all_of(None) is None
