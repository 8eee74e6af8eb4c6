"""Five fields of cron, read strictly: seconds, randomness and days that never come are refused."""

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(
    r"\A(?P<first>\*|[A-Za-z0-9]{1,9})(?:-(?P<last>[A-Za-z0-9]{1,9}))?(?:/(?P<step>[0-9]{1,3}))?\Z", re.ASCII
)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Cron:
    """What each field allows. Days of the week count from Sunday, 0; a day fits by either when both are said."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    week_days: frozenset[int]
    any_day: bool
    any_week_day: bool


def parse(expression: str) -> Cron:
    """Raises ValueError naming the field, or that it never occurs."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(
            f"{expression[:80]!r} is not cron of five fields (minute, hour, day, month, weekday), but of {len(fields)}"
        )
    minute, hour, day, month, week_day = fields
    found = Cron(
        _field("minute", minute, 0, 59),
        _field("hour", hour, 0, 23),
        _field("day", day, 1, 31),
        _field("month", month, 1, 12, _MONTHS),
        frozenset(each % 7 for each in _field("weekday", week_day, 0, 7, _DAYS)),
        day.startswith("*"),
        week_day.startswith("*"),
    )
    if found.any_week_day and min(found.days) > max(_LONGEST_MONTHS[each - 1] for each in found.months):
        raise ValueError(f"{expression!r} never occurs")
    return found


def _field(name: str, text: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    allowed: set[int] = set()
    for part in text.split(","):
        match = _PART.match(part)
        if match is None:
            raise ValueError(f"{part[:40]!r} is no {name}: write a number, a-b, */n, or several with commas")
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        if step == 0 or (first == "*" and last):
            raise ValueError(f"{part[:40]!r} is no {name}")
        start = low if first == "*" else _number(name, first, low, high, names)
        end = high if first == "*" or (match["step"] and not last) else start
        if last:
            end = _number(name, last, low, high, names)
            if end < start:
                raise ValueError(f"{part!r} is no {name}: it runs backwards")
        allowed |= set(range(start, end + 1, step))
    return frozenset(allowed)


def _number(name: str, text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.casefold() in names:
        return names.index(text.casefold()) + low
    if not text.isdigit() or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no {name}: {low} to {high}")
    return int(text)
