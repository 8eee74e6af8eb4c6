"""Filters of runs: `metrics.loss < 0.2 and (params.lr = 0.1 or tags.team ~ "vision") and created > -7d`.

    expression   comparisons joined by `and`, `or`, `not` and parentheses; `and` binds closer than `or`
    comparison   FIELD = != < <= > >= VALUE · FIELD ~ TEXT · FIELD [not] like TEXT · FIELD [not] ilike TEXT
                 FIELD [not] in (VALUE, …) · FIELD is [not] null
    field        as services.specs.run_fields spells it, without at(…)
    value        0.2, -1e3, inf · "text" or 'text', the quote inside doubled · a bare word
                 -7d (w, d, h, m, s ago) · 2026-01-31 or 2026-01-31T12:00:00Z, bare or in quotes
                 Completed, Running, … for status · true or false for starred

Words of the language are written in any case. What an expression means is the same on every database:

- There are two truth values. A comparison with a value that is missing is false, `!=` and `not in` included, and
  `not` turns every false into true: `not (metrics.loss < 1)` finds runs without a loss, `metrics.loss >= 1` does not.
- NaN is a value, so `is null` is false of it, but nothing compares with it: every comparison is false.
- A parameter compares as a number with a number (`params.lr = 0.1` finds "0.10" and "1e-1"; one that is no finite
  number equals none and has no order among them), and as text with a text (`params.lr = "0.1"`). Tags are text.
- Text compares by code point, with case. `~` (contains) and `ilike` take the letters a–z for the same as A–Z.
  In patterns `%` is any text, `_` one character, and a backslash takes the next character as it is.
- Times are of milliseconds; what is missing of a time (a run that has not ended) is missing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from services.core import times
from services.core.errors import Invalid
from services.core.states import JobStatus
from services.specs.run_fields import AGGREGATES, AT, ATTRIBUTES, Field, unquoted
from services.specs.run_fields import field as read_field

LONGEST = 10_000
DEEPEST = 40
MOST_VALUES = 500
MOST_COMPARISONS = 200
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "like", "ilike"]
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_STATUSES = {each.casefold(): each.value for each in JobStatus}
_FLAGS = {"true": True, "false": False}
_UNKEPT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Ago:
    """A time before now: `-7d`."""

    amount: int
    unit: str

    @property
    def seconds(self) -> int:
        return self.amount * _SECONDS[self.unit]

    def __str__(self) -> str:
        return f"-{self.amount}{self.unit}"


Value = float | str | bool | datetime | Ago


@dataclass(frozen=True)
class Compare:
    field: Field
    op: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.op} {_written(self.field, self.value)}"


@dataclass(frozen=True)
class In:
    field: Field
    values: tuple[Value, ...]
    negated: bool = False

    def __str__(self) -> str:
        inside = ", ".join(_written(self.field, each) for each in self.values)
        return f"{self.field} {'not in' if self.negated else 'in'} ({inside})"


@dataclass(frozen=True)
class IsNull:
    field: Field
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.field} is {'not null' if self.negated else 'null'}"


@dataclass(frozen=True)
class Not:
    part: "Expression"

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, And | Or) else f"not {self.part}"


@dataclass(frozen=True)
class And:
    """Of two parts at least."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, And | Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Of two parts at least."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


Leaf = Compare | In | IsNull
Expression = Leaf | Not | And | Or


def parse(text: str) -> Expression:
    """Raises Invalid whose `where` is `filter:<column from 1>` and whose details show the place."""
    if len(text) > LONGEST:
        raise _error(text, LONGEST, f"A filter has at most {LONGEST:,} characters.")
    if found := _UNKEPT.search(text):
        raise _error(text, found.start(), "No database keeps this character.")
    return _Parser(text).whole()


def all_of(*parts: "Expression | None") -> Expression | None:
    """Those that are given, all true at once; None when there are none."""
    given = [part for part in parts if part is not None]
    flat = [each for part in given for each in (part.parts if isinstance(part, And) else (part,))]
    return And(tuple(flat)) if len(flat) > 1 else flat[0] if flat else None


def fields(expression: Expression) -> Iterator[Field]:
    """What it asks of a run, with repetitions."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from fields(part)
        case Not(part):
            yield from fields(part)
        case _:
            yield expression.field


@dataclass(frozen=True)
class Row:
    """A line of the click builder. `op` may also be `in`, `not in`, `is null`, `is not null`.

    `values` are as people type them: without quotes, but where a text would be read as a number.
    """

    field: str
    op: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """One word joins all lines."""

    join: Literal["and", "or"] = "and"
    rows: tuple[Row, ...] = ()


def as_rows(expression: Expression | None) -> Rows | None:
    """None when the expression is richer than lines with one word between them."""
    if expression is None:
        return Rows()
    joined = isinstance(expression, And | Or)
    rows = [_row(part) for part in (expression.parts if isinstance(expression, And | Or) else (expression,))]
    if any(row is None for row in rows):
        return None
    return Rows("or" if joined and isinstance(expression, Or) else "and", tuple(row for row in rows if row is not None))


def from_rows(rows: Rows) -> Expression | None:
    """The inverse; None without lines. Raises Invalid whose `where` is `rows:<line from 1>`."""
    leaves: list[Expression] = []
    for number, row in enumerate(rows.rows, 1):
        try:
            leaves.append(_leaf(row))
        except Invalid as cause:
            cause.where = f"rows:{number}"
            raise
    if len(leaves) < 2:
        return leaves[0] if leaves else None
    return And(tuple(leaves)) if rows.join == "and" else Or(tuple(leaves))


def operators(field: Field) -> tuple[str, ...]:
    """What the field can be asked, in the order in which a menu offers it."""
    null = ("is null", "is not null")
    if field == Field("attribute", "status"):
        return ("=", "!=", "in", "not in", *null)
    order = ("=", "!=", "<", "<=", ">", ">=")
    match field.type:
        case "number":
            return (*order, "in", "not in", *null)
        case "time":
            return (*order[2:], "=", "!=", *null)
        case "flag":
            return ("=", "!=")
    return ("=", "!=", "~", "in", "not in", "like", "ilike", *order[2:], *null)


def is_storable(text: str) -> bool:
    """Whether a database can keep it: neither NUL nor half of a character."""
    return _UNKEPT.search(text) is None


def like_pieces(pattern: str) -> list[str | None]:
    """A pattern taken apart: text to find literally, "" for one character, None for any text."""
    pieces: list[str | None] = []
    literal = ""
    signs = iter(pattern)
    for sign in signs:
        if sign in "%_":
            pieces += [literal] if literal else []
            pieces.append(None if sign == "%" else "")
            literal = ""
        else:
            literal += next(signs, "\\") if sign == "\\" else sign
    return [*pieces, literal] if literal else pieces


@dataclass(frozen=True)
class _Token:
    kind: Literal["field", "word", "number", "ago", "date", "text", "sign", "end"]
    text: str
    at: int

    def __str__(self) -> str:
        return f"'{self.text[:40]}'" if self.kind != "end" else "the end"

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


# In this order: the first that fits at a place is taken.
_TOKENS = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<field>(?:metrics|params|tags)\.(?:`(?:[^`]|``)+`|[A-Za-z0-9_][A-Za-z0-9_./-]*))
  | (?P<date>\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?(?![\w.]))
  | (?P<ago>-\d{1,6}[wdhms](?!\w))
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])|[+-]?inf(?!\w))
  | (?P<word>[A-Za-z_][\w.-]*)
  | (?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
  | (?P<sign><=|>=|!=|<>|==|[=<>~(),])
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "like", "ilike", "is", "null"})
_SIGNS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "~",
}  # fmt: skip
_PATTERNS: dict[str, Operator] = {"like": "like", "ilike": "ilike"}


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = self.comparisons = 0
        self.tokens = list(_tokens(text))
        self.place = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        token = self.next
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def whole(self) -> Expression:
        first = self.next
        if first.kind == "end":
            raise self.error("The filter is empty.", hint="Write something like: metrics.loss < 0.2")
        found = self.any()
        if self.next.kind != "end":
            raise self.error(f"Expected 'and', 'or' or the end, found {self.next}.")
        return found

    def any(self) -> Expression:
        return self.joined("or", self.every, Or)

    def every(self) -> Expression:
        return self.joined("and", self.one, And)

    def joined(self, word: str, part: Callable[[], Expression], made: type[And] | type[Or]) -> Expression:
        parts = [part()]
        while self.next.is_word(word):
            self.take()
            parts.append(part())
        return made(tuple(parts)) if len(parts) > 1 else parts[0]

    def one(self) -> Expression:
        token = self.next
        if not (token.is_word("not") or token.text == "("):
            return self.leaf()
        if self.depth >= DEEPEST:
            raise self.error(f"A filter is nested at most {DEEPEST} levels deep.")
        self.take()
        self.depth += 1
        if token.kind == "word":
            found: Expression = Not(self.one())
        else:
            found = self.any()
            self.close(token)
        self.depth -= 1
        return found

    def close(self, opened: _Token) -> None:
        if self.next.text != ")":
            raise self.error(f"Expected ')' for the '(' at column {opened.at + 1}, found {self.next}.")
        self.take()

    def leaf(self) -> Expression:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise self.error(f"A filter has at most {MOST_COMPARISONS} comparisons.")
        field = self.field()
        token = self.take()
        if token.is_word("is"):
            negated = self.word("not")
            if not self.word("null"):
                raise self.error(f"Expected 'null' after 'is', found {self.next}.")
            self.check(field, "is not null" if negated else "is null", token)
            return IsNull(field, negated)
        negated = token.is_word("not")
        operator = self.take() if negated else token
        if operator.is_word("in"):
            self.check(field, "in", token)
            return In(field, self.values(field), negated)
        op = _PATTERNS.get(operator.text.lower()) if operator.kind == "word" else None
        if op is None and not negated and operator.kind == "sign":
            op = _SIGNS.get(operator.text)
        if op is None:
            expected = "'in', 'like' or 'ilike' after 'not'" if negated else f"a comparison after '{field}'"
            raise self.error(
                f"Expected {expected}, found {operator}.", operator, hint=f"One of: {', '.join(operators(field))}."
            )
        self.check(field, op, token)
        found = Compare(field, op, self.value(field, op))
        return Not(found) if negated else found

    def word(self, word: str) -> bool:
        """Takes it where it stands next."""
        if self.next.is_word(word):
            self.take()
            return True
        return False

    def field(self) -> Field:
        token = self.take()
        if token.kind == "field":
            return _keyed(token)
        if token.kind != "word" or token.text.lower() in _KEYWORDS:
            raise self.error(f"Expected a field such as metrics.loss or status, found {token}.", token)
        if self.next.text == "(" and token.text.lower() in {AT, *AGGREGATES}:
            return self.called(token)
        if token.text.lower() in ATTRIBUTES:
            return Field("attribute", token.text.lower())
        name = token.text.rpartition(".")[2][:60] or "NAME"
        raise self.error(
            f"{token} is nothing that a run has.",
            token,
            hint=f"Write metrics.{name}, params.{name} or tags.{name}, or one of: {', '.join(ATTRIBUTES)}.",
        )

    def called(self, function: _Token) -> Field:
        if function.text.lower() == AT:
            raise self.error(
                "at(…) is for columns: a filter has no values at a step.", function, hint="Use last, min or max."
            )
        opened = self.take()
        token = self.take()
        if token.kind != "field" or not token.text.lower().startswith("metrics."):
            raise self.error(f"Expected metrics.NAME in '{function.text}(…)', found {token}.", token)
        self.close(opened)
        return Field("metrics", _keyed(token).name, function.text.lower())

    def check(self, field: Field, op: str, at: _Token) -> None:
        if op not in operators(field):
            raise self.error(
                f"'{field}' cannot be asked with '{op}'.", at, hint=f"It can with {', '.join(operators(field))}."
            )

    def values(self, field: Field) -> tuple[Value, ...]:
        opened = self.next
        if opened.text != "(" or opened.kind != "sign":
            raise self.error(f"Expected '(' after 'in', found {opened}.")
        self.take()
        found = [self.value(field, "in")]
        while self.next.text == "," and self.next.kind == "sign":
            if len(found) >= MOST_VALUES:
                raise self.error(f"'in' takes at most {MOST_VALUES} values.")
            self.take()
            found.append(self.value(field, "in"))
        self.close(opened)
        return tuple(found)

    def value(self, field: Field, op: str) -> Value:
        token = self.take()
        if token.kind in {"end", "sign", "field"} or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            raise self.error(f"Expected {_expected(field)} after '{op}', found {token}.", token)
        is_text = token.kind == "text"
        try:
            return _value(field, op, _content(token.text) if is_text else token.text, is_text=is_text)
        except Invalid as cause:
            raise self.error(cause.message, token, hint=cause.hint) from cause

    def error(self, message: str, at: _Token | None = None, *, hint: str | None = None) -> Invalid:
        return _error(self.text, (at or self.next).at, message, hint=hint)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            raise _error(text, at, *_unread(text, at))
        kind = found.lastgroup
        if kind != "space":
            yield _Token(kind, found[0], at)  # type: ignore[arg-type]  # the groups' names are the kinds
        at = found.end()
    yield _Token("end", "", len(text))


def _unread(text: str, at: int) -> tuple[str, str | None]:
    if text[at] in "\"'":
        return f"The text that begins here is not closed with {text[at]}.", None
    if text[at] == "`":
        return "Backticks are for names: metrics.`my loss`.", None
    if number := re.match(r"[+-]?[\d.][\w.]*", text[at:], re.ASCII):
        return f"'{number[0][:40]}' is no number.", "Put text in quotes."
    return f"'{text[at]}' is not understood here.", "Put text in quotes."


def _error(text: str, at: int, message: str, hint: str | None = None) -> Invalid:
    """Shows the line's part around the place with a caret below."""
    error = Invalid(message, where=f"filter:{at + 1}", hint=hint)
    start = max(0, at - 50)
    shown = "".join(sign if sign.isprintable() else " " for sign in text[start : at + 30])
    error.details = [shown, " " * (at - start) + "^"]
    return error


def _keyed(token: _Token) -> Field:
    kind, _, name = token.text.partition(".")
    return Field(kind.lower(), unquoted(name))  # type: ignore[arg-type]  # the expression knows only these three


def _content(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _expected(field: Field) -> str:
    if field == Field("attribute", "status"):
        return "a status"
    if field.kind == "params":
        return "a number or a text"
    return {"number": "a number", "time": "a time", "flag": "true or false", "text": "a text"}[field.type]


def _value(field: Field, op: str, text: str, *, is_text: bool) -> Value:
    """What was written, as the field takes it; `is_text` when it stood in quotes."""
    if field == Field("attribute", "status"):
        if text.casefold() not in _STATUSES:
            raise Invalid(f"'{text[:40]}' is no status.", hint=f"One of: {', '.join(_STATUSES.values())}.")
        return _STATUSES[text.casefold()]
    if field.type == "number":
        if is_text or (number := _number(text)) is None:
            raise Invalid(f"'{field}' is a number, '{text[:40]}' is none.")
        return number
    if field.type == "time":
        return _time(text)
    if field.type == "flag":
        if text.lower() not in _FLAGS:
            raise Invalid(f"'{field}' is true or false, not '{text[:40]}'.")
        return _FLAGS[text.lower()]
    number = None if is_text else _number(text)
    if number is not None and field.kind == "params" and op not in {"~", "like", "ilike"}:
        return number
    if number is not None and op in {"<", "<=", ">", ">="}:
        raise Invalid(f"'{field}' is text: it has no order among numbers.", hint="Put the value in quotes.")
    return text


def _number(text: str) -> float | None:
    token = _TOKENS.fullmatch(text)
    return float(text) if token is not None and token.lastgroup == "number" else None


def _time(text: str) -> datetime | Ago:
    if found := re.fullmatch(r"-(\d{1,6})([wdhms])", text.lower(), re.ASCII):
        return Ago(int(found[1]), found[2])
    try:
        at = times.parse(text).astimezone(UTC)
    except (ValueError, OverflowError) as cause:
        raise Invalid(
            f"'{text[:40]}' is no time.", hint="Write -7d, -12h, 2026-01-31 or 2026-01-31T12:00:00Z."
        ) from cause
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _written(field: Field, value: Value) -> str:
    if isinstance(value, str):
        return value if field == Field("attribute", "status") else '"' + value.replace('"', '""') + '"'
    return _plain(value)


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float | int):
        return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))
    return str(value)


def _row(part: Expression) -> Row | None:
    match part:
        case Compare(field, op, value):
            return Row(str(field), op, (_typed(field, value),))
        case In(field, values, negated):
            return Row(str(field), "not in" if negated else "in", tuple(_typed(field, each) for each in values))
        case IsNull(field, negated):
            return Row(str(field), "is not null" if negated else "is null")
    return None


def _typed(field: Field, value: Value) -> str:
    """As people type it: a text in quotes only where it would be read as something else."""
    if not isinstance(value, str):
        return _plain(value)
    is_plain = value == value.strip() and value[:1] not in {'"', "'"} and value and _number(value) is None
    return value if is_plain else _written(field, value)


def _leaf(row: Row) -> Leaf:
    field = read_field(row.field)
    if field.step is not None:
        raise Invalid("at(…) is for columns: a filter has no values at a step.", hint="Use last, min or max.")
    if row.op not in operators(field):
        raise Invalid(
            f"'{field}' cannot be asked with '{row.op[:20]}'.", hint=f"It can with {', '.join(operators(field))}."
        )
    if row.op in {"is null", "is not null"}:
        return IsNull(field, row.op == "is not null")
    values = tuple(_value_typed(field, row.op, text) for text in row.values)
    if not values or len(values) > MOST_VALUES:
        raise Invalid(f"'{field} {row.op}' needs {_expected(field)}.")
    if row.op in {"in", "not in"}:
        return In(field, values, row.op == "not in")
    op: Operator = row.op  # type: ignore[assignment]  # operators() knows no other
    return Compare(field, op, values[0])


def _value_typed(field: Field, op: str, text: str) -> Value:
    if not is_storable(text):
        raise Invalid("The value has a character that no database keeps.")
    stripped = text.strip()
    token = _TOKENS.fullmatch(stripped)
    is_text = token is not None and token.lastgroup == "text"
    if not stripped:
        raise Invalid(f"'{field} {op}' needs {_expected(field)}.")
    return _value(field, op, _content(stripped) if is_text else stripped, is_text=is_text)
