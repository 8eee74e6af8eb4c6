"""What a caller and a model may take: seconds and bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """A body may take `body_seconds` and after that a second for each `body_rate` bytes of it.

    Bodies up to `held_bytes` are kept whole, so that they can be sent again and copied; longer ones are passed on as
    they come. `callers` are connections, with a key or without; `copies` mirrored requests in flight for one
    deployment.
    """

    header_bytes: int = 32 << 10
    header_count: int = 128
    header_seconds: float = 10.0
    idle_seconds: float = 75.0
    body_seconds: float = 20.0
    body_rate: int = 4096
    held_bytes: int = 256 << 10
    answer_bytes: int = 1 << 30
    stall_seconds: float = 60.0
    linger_seconds: float = 2.0
    connect_seconds: float = 3.0
    callers: int = 16_384
    copies: int = 16
    sleepers: int = 1000
    grace_seconds: float = 1.0
    drain_seconds: float = 10.0
