"""Networks and holders: an idle container whose network namespace a person's jobs in one workspace share.

A namespace costs 80 ms to make and jobs are short. Jobs in a holder share localhost and ports, so a holder
belongs to one workspace and one person, and its bridge lets no traffic through between containers.

The engine makes a second network of the same name when two ask at once, and then lets nothing join either. So
whatever is made here is made by one worker at a time: a lock in the home, which all workers of an install share.
"""

import fcntl
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

from docker import errors

from services.engines.docker.connection import APIClient, translated

BRIDGE_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}


class Networks:
    """Of one install. Idempotent by name; whatever somebody pruned is made again."""

    def __init__(self, client: APIClient, install: str, home: Path) -> None:
        self.client, self.install, self.home = client, install, home
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def holder(self, group: str, image: str) -> str:
        """The id of the running holder of `group`."""
        with self._lock:
            known = self._known.get(group)
            if known is None or not self._runs(known):
                with self._alone():
                    known = self._known[group] = self._ensured(group, image)
            return known

    def forget(self, group: str) -> None:
        """It was gone when a job wanted to join it."""
        with self._lock:
            self._known.pop(group, None)

    def network(self, group: str, *, closed: bool = False) -> str:
        """The bridge of a group, made when it is not there; from a `closed` one nothing leads out."""
        with self._lock, self._alone():
            return self._bridge(group, closed=closed)

    def gateway(self) -> str | None:
        """The address at which containers reach this host: the default bridge's, which `host-gateway` means.

        An engine that was never restarted names its subnet only; the bridge then has its first address.
        """
        try:
            [pool] = self.client.inspect_network("bridge")["IPAM"]["Config"][:1]
            return str(pool.get("Gateway") or next(ip_network(pool["Subnet"]).hosts()))
        except (errors.NotFound, KeyError, ValueError):
            networks = self.client.networks(filters={"label": f"atelier.install={self.install}"})
            for network in networks:
                for pool in network["IPAM"]["Config"] or []:
                    if pool.get("Gateway"):
                        return str(pool["Gateway"])
        return None

    @translated
    def sweep(self, keep: frozenset[str]) -> int:
        """Removes holders and networks of groups that are not kept; how many."""
        removed = 0
        mine = {"label": [f"atelier.install={self.install}", "atelier.kind=holder"]}
        for found in self.client.containers(all=True, filters=mine):
            if found["Labels"].get("atelier.name") not in keep:
                self.client.remove_container(found["Id"], force=True)
                self.forget(found["Labels"].get("atelier.name", ""))
                removed += 1
        for network in self.client.networks(filters={"label": f"atelier.install={self.install}"}):
            if network["Labels"].get("atelier.name") not in keep:
                try:
                    self.client.remove_network(network["Id"])
                    removed += 1
                except errors.APIError:
                    continue  # a job that is ending still uses it; the next sweep takes it
        return removed

    def _runs(self, id: str) -> bool:
        try:
            return bool(self.client.inspect_container(id)["State"]["Running"])
        except errors.NotFound:
            return False

    def _ensured(self, group: str, image: str) -> str:
        name = f"atelier-holder-{self.install}-{_short(group)}"
        try:
            found = self.client.inspect_container(name)
            if found["State"]["Running"]:
                return str(found["Id"])
            self.client.remove_container(found["Id"], force=True)
        except errors.NotFound:
            pass
        network = self._bridge(group)
        host = self.client.create_host_config(
            init=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=8,
            mem_limit=16 << 20,
            memswap_limit=16 << 20,
            restart_policy={"Name": "no"},
            network_mode=network,
            extra_hosts={"host.docker.internal": "host-gateway"},
        )
        made = self.client.create_container(
            image,
            entrypoint=["sh", "-c", "while :; do sleep 86400; done"],
            command=[],
            name=name,
            user="65534:65534",
            labels=self._labels("holder", group),
            host_config=host,
        )
        self.client.start(made["Id"])
        return str(made["Id"])

    def _bridge(self, group: str, *, closed: bool = False) -> str:
        name = f"atelier-{self.install}-{_short(group)}"
        mine = {"label": f"atelier.install={self.install}"}
        found = [row for row in self.client.networks(names=[name], filters=mine) if row["Name"] == name]
        if not found:
            labels = self._labels("network", group)
            self.client.create_network(
                name, driver="bridge", options=BRIDGE_OPTIONS, check_duplicate=True, labels=labels, internal=closed
            )
        for spare in sorted(found, key=lambda row: str(row["Created"]))[1:]:
            with suppress(errors.APIError):  # a job is in it
                self.client.remove_network(spare["Id"])
        return name

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.home / "networks.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _labels(self, kind: str, group: str) -> dict[str, str]:
        return {"atelier.install": self.install, "atelier.kind": kind, "atelier.name": group}


def _short(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()[:12]
