"""Counters of the gateway since it started, and their text for Prometheus."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 60_000.0)
"""Upper ends of the buckets, in milliseconds."""


@dataclass(slots=True)
class Numbers:
    """Of one deployment, or of what reached none."""

    codes: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total_ms: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    mirrored: int = 0
    mirrors_left_out: int = 0

    def add(self, code: int, ms: float, bytes_in: int, bytes_out: int) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        self.buckets[bisect_left(BOUNDS, ms)] += 1
        self.total_ms += ms
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out


@dataclass(frozen=True, slots=True)
class Labelled:
    """Whose numbers they are, and what is under way now."""

    workspace: str
    endpoint: str
    deployment: str
    numbers: Numbers
    in_flight: int = 0
    waiting: int = 0
    copies: int = 0
    instances: int = 0


def text(rows: Iterable[Labelled], connections: int, malformed: int) -> str:
    """In Prometheus' text format. Names are checked when they are given: nothing in them needs escaping."""
    known = list(rows)
    lines = _family("requests_total", "counter", "Requests answered, by status class.")
    for row in known:
        classes: dict[str, int] = {}
        for code, count in row.numbers.codes.items():
            name = str(code) if code in {401, 408, 413, 424, 429, 499} else f"{code // 100}xx"
            classes[name] = classes.get(name, 0) + count
        lines += [f"{_name('requests_total', row, code=name)} {count}" for name, count in sorted(classes.items())]
    lines += _family("request_duration_seconds", "histogram", "From the first byte of a request to the last answered.")
    for row in known:
        lines += _histogram(row)
    for name, help_, values in (
        ("request_bytes_total", "Bytes of request bodies.", [row.numbers.bytes_in for row in known]),
        ("response_bytes_total", "Bytes of answers' bodies.", [row.numbers.bytes_out for row in known]),
        ("mirrored_total", "Copies sent to a shadow deployment.", [row.numbers.mirrored for row in known]),
        ("mirrored_left_out_total", "Copies that were not sent: too many, or it is down.",
         [row.numbers.mirrors_left_out for row in known]),
    ):  # fmt: skip
        lines += _family(name, "counter", help_)
        lines += [f"{_name(name, row)} {value}" for row, value in zip(known, values, strict=True)]
    for name, help_, values in (
        ("in_flight", "Requests that instances work at.", [row.in_flight for row in known]),
        ("queued", "Requests that wait for an instance.", [row.waiting for row in known]),
        ("mirrored_in_flight", "Copies under way.", [row.copies for row in known]),
        ("instances", "Instances that are ready.", [row.instances for row in known]),
    ):
        lines += _family(name, "gauge", help_)
        lines += [f"{_name(name, row)} {value}" for row, value in zip(known, values, strict=True)]
    lines += [
        *_family("connections", "gauge", "Open connections of callers."),
        f"atelier_scoring_connections {connections}",
    ]
    lines += [
        *_family("malformed_total", "counter", "Requests that are no HTTP."),
        f"atelier_scoring_malformed_total {malformed}",
    ]
    return "\n".join(lines) + "\n"


def _histogram(row: Labelled) -> list[str]:
    lines, total = [], 0
    for bound, count in zip((*BOUNDS, None), row.numbers.buckets, strict=True):
        total += count
        end = "+Inf" if bound is None else f"{bound / 1000:g}"
        lines.append(f"{_name('request_duration_seconds_bucket', row, le=end)} {total}")
    lines.append(f"{_name('request_duration_seconds_sum', row)} {row.numbers.total_ms / 1000:.6f}")
    lines.append(f"{_name('request_duration_seconds_count', row)} {total}")
    return lines


def _family(name: str, kind: str, help_: str) -> list[str]:
    return [f"# HELP atelier_scoring_{name} {help_}", f"# TYPE atelier_scoring_{name} {kind}"]


def _name(name: str, row: Labelled, **more: str) -> str:
    labels = {"workspace": row.workspace, "endpoint": row.endpoint, "deployment": row.deployment, **more}
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"atelier_scoring_{name}{{{inside}}}"
