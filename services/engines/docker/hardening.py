"""What a container may do: the HostConfig of a wish, by profile. Pure, so that it can be tested a lot.

No wish can ask for privilege, devices, host namespaces, ports, sockets or system folders: there is no
field for them here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from services.core.errors import Invalid
from services.engines import files
from services.engines.containers import Container, Profile

COMPAT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")


def host_config(wish: Container, mounts: Sequence[Mount], *, network: str, shares_network: bool) -> dict[str, Any]:
    """The engine's HostConfig. Memory in bytes; swap is not added to it."""
    memory = wish.memory
    config: dict[str, Any] = {
        "mounts": list(mounts),
        "init": True,
        "cap_drop": ["ALL"],
        "cap_add": capabilities(wish.profile),
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": wish.pids,
        "ipc_mode": "private",
        "shm_size": wish.shm_size or 64 << 20,
        "restart_policy": {"Name": "no"},
        "auto_remove": False,
        "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
        "ulimits": [Ulimit(name="core", soft=0, hard=0)],
        "network_mode": network,
        "read_only": wish.profile == "strict",
        "privileged": False,
    }
    if memory:
        config |= {"mem_limit": memory, "memswap_limit": memory}
    if wish.cpus:
        config["nano_cpus"] = int(wish.cpus * 1_000_000_000)
    if not shares_network and network != "none":
        config["extra_hosts"] = {"host.docker.internal": "host-gateway"}
    if wish.profile == "strict":
        config["tmpfs"] = {"/tmp": "rw,nosuid,nodev,mode=1777"}  # noqa: S108 (the container's own)
    return config


def capabilities(profile: Profile) -> list[str]:
    return list(COMPAT_CAPABILITIES) if profile == "compat" else []


def user(wish: Container) -> str:
    """`uid:gid`; the folders' owner, because without DAC_OVERRIDE even root cannot write others' folders."""
    if wish.profile != "compat" and (wish.user or "0").split(":")[0] == "0":
        return "65534:65534"
    return wish.user or "0:0"


def checked_source(source: Path, roots: Sequence[Path]) -> Path:
    """The folder or file to be mounted. Raises Invalid when it lies outside of `roots` or is special."""
    resolved = files.of_no_system(source)
    if {resolved, *resolved.parents}.isdisjoint(roots):
        raise Invalid(f"'{source}' lies outside of the folders that containers may see.")
    if not resolved.is_dir() and not resolved.is_file():
        raise Invalid(f"'{source}' is neither a folder nor a regular file.")
    return resolved
