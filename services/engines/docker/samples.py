"""What Docker's statistics mean, on cgroup v1 and v2."""

from datetime import datetime
from typing import Any

from services.engines.containers import Sample


def sample_of(stats: dict[str, Any], at: datetime) -> Sample:
    """Memory without the page cache that the kernel would give back, as `docker stats` counts it."""
    memory = stats.get("memory_stats") or {}
    inside = memory.get("stats") or {}
    cache = inside.get("total_inactive_file", inside.get("inactive_file", 0))
    networks = (stats.get("networks") or {}).values()
    limit = memory.get("limit")
    return Sample(
        at=at,
        cpu_seconds=(stats.get("cpu_stats") or {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9,
        memory=max(0, memory.get("usage", 0) - cache),
        memory_limit=limit if limit and limit < 1 << 60 else None,
        network_in=sum(network.get("rx_bytes", 0) for network in networks),
        network_out=sum(network.get("tx_bytes", 0) for network in networks),
        disk_read=_bytes(stats, "read"),
        disk_write=_bytes(stats, "write"),
        pids=(stats.get("pids_stats") or {}).get("current"),
    )


def _bytes(stats: dict[str, Any], operation: str) -> int:
    rows = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    return sum(int(row["value"]) for row in rows if row.get("op", "").lower() == operation)
