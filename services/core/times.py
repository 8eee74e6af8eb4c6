"""Time is aware UTC, passed in where it decides something."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def iso(at: datetime | None) -> str | None:
    """RFC 3339 with milliseconds and `Z`, as the REST surface and the CLI print it."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """The inverse of `iso`; also reads the nanoseconds that engines print. Raises ValueError."""
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{tail[len(digits) :]}"
    else:
        text = head
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def since_epoch(milliseconds: int | None) -> datetime | None:
    """As MLflow keeps times."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Duration, never negative: clocks step back."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())


def spoken(duration: float | None) -> str:
    """`1h 02m 03s`, the way people read durations."""
    if duration is None:
        return ""
    if duration < 10:
        return f"{duration:.1f}s"
    whole = int(duration)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
