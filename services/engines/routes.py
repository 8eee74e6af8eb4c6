"""Where scoring requests go: the table that the gateway follows, as plain data, swapped whole.

Pure values, made of rows by `services/routing.py`; whatever carries requests (our gateway, HAProxy) keeps `Routes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backend:
    """One replica that is ready, at the address at which this host reaches it."""

    id: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Capture:
    """What is kept of requests and answers: of each collection the share from 0 to 1, and columns left out."""

    collections: Mapping[str, float]
    folder: str
    drop: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment. Times in milliseconds; `max_concurrent` of each backend, `max_body` in bytes.

    `is_asleep`: scaled to zero; a request for it waits at most `wake_ms` while the worker wakes it.
    """

    id: str
    name: str
    backends: Sequence[Backend]
    score_path: str = "/score"
    openapi_path: str = "/swagger.json"
    timeout_ms: int = 5000
    max_concurrent: int = 1
    queue_ms: int = 500
    max_body: int = 16 << 20
    is_asleep: bool = False
    wake_ms: int = 60_000
    capture: Capture | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One online endpoint. Hashes are SHA-256 digests; `tokens` map one to when it expires, in seconds since 1970.

    `traffic` and `mirror` are percent by deployment name. `is_stopped`: answers 503 and says so.
    """

    id: str
    workspace_id: str
    workspace: str
    name: str
    key_hashes: Sequence[bytes]
    tokens: Mapping[bytes, float]
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    targets: Mapping[str, Target]
    sticky: str = ""
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """All routes by (workspace, endpoint), both without case (core.names.folded)."""

    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)


class Routes(Protocol):
    """A data plane. `apply` returns when requests that come from now on follow `table`; none is dropped by it."""

    def apply(self, table: Table) -> None: ...
