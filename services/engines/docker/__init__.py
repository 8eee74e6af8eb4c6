"""The Docker engine: jobs as hardened containers, found again by name and label, never removed by itself."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from docker import errors, types

from services.core.errors import AtelierError, EngineError, NotFound, Unavailable
from services.core.times import now, parse
from services.engines import listings
from services.engines.containers import (
    INSTALL,
    KIND,
    PORT,
    BuildCanceled,
    BuildWish,
    Container,
    Ended,
    EngineInfo,
    Found,
    Image,
    Mount,
    Sample,
    Stored,
    WorkingCopy,
)
from services.engines.docker import hardening, ownership, working_copies
from services.engines.docker.connection import (
    QUIET,
    Interruptible,
    connect,
    interruptible,
    listening,
    translated,
    translating,
)
from services.engines.docker.images import Images
from services.engines.docker.networks import Networks
from services.engines.docker.samples import sample_of

PROBE_SECONDS = 5
BUILD_SECONDS = 1800  # taking a large image over is one silent answer
QUIET_SECONDS = 60
# What of the home containers may see; never its keys, its databases or itself.
EXPOSED = "atelier.port"
SHOWN = ("runs", "workspaces", "artifacts/workspaces", "runtime", "ca.crt")


class DockerEngine:
    """Of one install (`install` is on every label) with its files below `home`.

    `roots` answers the further folders that containers may see. The connection is made on first use, and again
    after the engine was away.
    """

    kind: Literal["docker", "process", "fake"] = "docker"

    def __init__(
        self,
        *,
        install: str,
        home: Path,
        host: str | None = None,
        roots: Callable[[], Sequence[Path]] = tuple,
        seconds: int = 30,
    ) -> None:
        self.install, self.home = install, home.resolve()
        self._roots = roots
        self._host, self._seconds = host, seconds
        self._lock = threading.Lock()
        self._client: Any = None
        self._networks: Networks | None = None
        self._publishes: bool | None = None
        self._fresh: set[str] = set()  # made here and not started yet
        self._building: dict[str, list[Interruptible]] = {}

    @property
    def client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self._host, seconds=self._seconds)
            return self._client

    @property
    def networks(self) -> Networks:
        client = self.client
        with self._lock:
            if self._networks is None:
                self._networks = Networks(client, self.install, self.home)
            return self._networks

    @property
    def publishes(self) -> bool:
        """Whether a container's own address is not to be reached from here: its engine runs in a machine of its own."""
        if self._publishes is None:
            facts = self.client.info()
            is_rootless = any("rootless" in each for each in facts.get("SecurityOptions") or ())
            is_desktop = facts.get("OperatingSystem") == "Docker Desktop"
            self._publishes = is_rootless or is_desktop or os.uname().sysname != "Linux"
        return self._publishes

    @property
    def images(self) -> Images:
        return Images(self.client, self.home, self.install)

    @translated
    def info(self) -> EngineInfo:
        with closing(connect(self._host, seconds=PROBE_SECONDS)) as client:  # whether it answers must be known soon
            facts, version = client.info(), client.version()
            started_at, gateway = _engine_start(client), Networks(client, self.install, self.home).gateway()
        warnings = [] if listings.works() else ["Input folders may list out of order: /dev/shm cannot be used."]
        return EngineInfo(
            name="local",
            kind="docker",
            version=str(version["Version"]),
            api_version=str(version["ApiVersion"]),
            started_at=started_at,
            cpus=int(facts["NCPU"]),
            memory=int(facts["MemTotal"]),
            gateway=gateway,
            isolates=True,
            warnings=tuple(warnings),
        )

    @translated
    def clock(self) -> datetime:
        """The time of the machine that the engine runs on."""
        return parse(str(connect(self._host, seconds=PROBE_SECONDS).info()["SystemTime"]))

    def seen(self, mount: Mount) -> str:
        return mount.target

    def seen_code(self, code: WorkingCopy) -> str:
        return code.target

    @translated
    def create(self, wish: Container) -> str:
        shares = wish.holder is not None and wish.profile != "strict"
        for attempt in (1, 2):
            network = self._network(wish, shares=shares)
            try:
                return self._created(wish, network, shares=shares)
            except errors.NotFound:
                if attempt == 2 or not shares:
                    raise
                self.networks.forget(wish.holder or "")
        raise AssertionError("unreachable")

    @translated
    def start(self, id: str) -> None:
        is_fresh = id in self._fresh
        self._fresh.discard(id)
        if is_fresh or self._own(id)["State"]["Status"] == "created":  # Docker would run an ended one again
            self.client.start(id)

    @translated
    def inspect(self, name_or_id: str) -> Found:
        return _found(self.client.inspect_container(name_or_id))

    @translated
    def found(self, labels: Mapping[str, str]) -> list[Found]:
        wanted = [f"{key}={value}" for key, value in {INSTALL: self.install, **labels}.items()]
        rows = self.client.containers(all=True, filters={"label": wanted})
        found = []
        for row in rows:
            try:
                found.append(_found(self.client.inspect_container(row["Id"])))
            except errors.NotFound:
                continue
        return found

    @translated
    def stop(self, id: str, *, grace: float) -> None:
        self._own(id)
        # The SDK adds `timeout` to its own time limit.
        self.client.stop(id, timeout=int(grace))

    @translated
    def remove(self, id: str) -> None:
        try:
            facts = self._own(id)
            name = facts["Name"].lstrip("/")
            self._fresh.discard(facts["Id"])
            self.client.remove_container(facts["Id"], force=True, v=True)
            has_copy = any(mount.get("Name") == f"{name}-code" for mount in facts["Mounts"])
        except errors.NotFound:
            name, has_copy = id, True  # by name its copy is found still, where a crash came in between
        if has_copy:
            working_copies.remove(self.client, f"{name}-code")
        shutil.rmtree(self._farms(name), ignore_errors=True)

    def ended(self) -> Iterator[Ended]:
        since: int | None = None
        while True:
            with translating():
                try:
                    for event in self._events(since):
                        since = int(event["time"])
                        labels = dict(event["Actor"]["Attributes"])
                        yield Ended(event["Actor"]["ID"], labels.get("name", ""), labels)
                except QUIET:
                    continue  # nothing for a while, or nobody behind the connection: a new one tells
            raise Unavailable("Docker's event stream ended.")

    def _events(self, since: int | None) -> Iterator[dict[str, Any]]:
        """Of the ends of jobs and replicas; a connection that nothing came through for a while is given up."""
        filters = {
            "type": "container",
            "event": ["die", "oom", "destroy"],
            "label": f"{INSTALL}={self.install}",
        }
        with closing(listening(self._host, seconds=QUIET_SECONDS)) as client:
            for event in client.events(decode=True, filters=filters, since=since):
                if event["Actor"]["Attributes"].get(KIND) in {"job", "replica"}:
                    yield event

    @translated
    def sample(self, id: str) -> Sample:
        return sample_of(self.client.stats(id, stream=False, one_shot=True), now())

    @translated
    def address(self, id: str) -> tuple[str, int]:
        facts = self.client.inspect_container(id)
        port = (facts["Config"]["Labels"] or {}).get(EXPOSED, "")
        for published in (facts["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp") or ():
            return "127.0.0.1", int(published["HostPort"])
        for network in facts["NetworkSettings"]["Networks"].values():
            if port and network["IPAddress"]:
                return str(network["IPAddress"]), int(port)
        raise NotFound("This container has no address.")

    @translated
    def output(self, id: str, tail: int) -> str:
        said: bytes = self.client.logs(id, tail=tail)
        return said.decode("utf-8", "replace")

    def image(self, wish: BuildWish) -> Image | None:
        with translating():
            return self.images.image(wish)

    def build(self, wish: BuildWish, log: Path) -> Image:
        client = interruptible(self._host, seconds=BUILD_SECONDS)
        with closing(client), self._abandonable(wish.hash, client):
            try:
                with translating():
                    return Images(client, self.home, self.install, client.canceled).build(wish, log)
            except AtelierError as cause:
                if client.canceled.is_set():
                    raise BuildCanceled from cause
                raise

    def abandon(self, hash: str) -> None:
        with self._lock:
            under_way = list(self._building.get(hash, ()))
        for client in under_way:
            client.interrupt()
        with translating():
            self.images.drop_builder(hash)

    def packages(self, image: Image) -> Sequence[str]:
        with translating():
            return self.images.packages(image)

    def stored(self) -> Sequence[Stored]:
        with translating():
            return self.images.stored()

    def discard(self, reference: str) -> None:
        with translating():
            self.images.discard(reference)

    @contextmanager
    def _abandonable(self, hash: str, client: Interruptible) -> Iterator[None]:
        with self._lock:
            self._building.setdefault(hash, []).append(client)
        try:
            yield
        finally:
            with self._lock:
                self._building[hash].remove(client)
                if not self._building[hash]:
                    del self._building[hash]

    def sweep(self, keep_holders: Sequence[str]) -> int:
        return self.networks.sweep(frozenset(keep_holders))

    def _own(self, id: str) -> dict[str, Any]:
        """The facts of what is to be changed: nothing of another install is ever touched."""
        facts: dict[str, Any] = self.client.inspect_container(id)
        if (facts["Config"]["Labels"] or {}).get(INSTALL) != self.install:
            raise EngineError("This container is not of this install and is left alone.")
        return facts

    def _network(self, wish: Container, *, shares: bool) -> str:
        if wish.profile == "strict" and wish.port is None:
            return "none"
        if wish.profile == "strict" and not self.publishes:  # reached from here, and reaches nobody
            return self.networks.network(f"{wish.labels.get('atelier.workspace', 'jobs')}/closed", closed=True)
        if shares and wish.holder:
            return f"container:{self.networks.holder(wish.holder, wish.image)}"
        return self.networks.network(wish.holder or wish.labels.get("atelier.workspace", "jobs"))

    def _created(self, wish: Container, network: str, *, shares: bool) -> str:
        labels = {INSTALL: self.install, **wish.labels, **({EXPOSED: str(wish.port)} if wish.port else {})}
        roots = self._allowed()
        mounts = [entry for mount in wish.mounts for entry in self._mounts(wish, mount, roots)]
        owner = ownership.heir(hardening.user(wish))
        if owner is not None:
            self._hand_over(wish, owner)
        if wish.code is not None:
            mounts.insert(0, working_copies.mount(self.client, wish.code, f"{wish.name}-code", labels, owner))
            mounts += [
                types.Mount(
                    type="bind", source=str(hardening.checked_source(path, roots)), target=f"{wish.code.target}/{link}"
                )
                for link, path in wish.code.links.items()
            ]
        config = hardening.host_config(wish, mounts, network=network, shares_network=shares)
        if wish.port and self.publishes:
            config["port_bindings"] = {wish.port: ("127.0.0.1",)}
        made = self.client.create_container(
            wish.image,
            entrypoint=[*wish.command[:1]] or None,
            command=[*wish.command[1:]] or None,
            ports=[wish.port] if wish.port else None,
            name=wish.name,
            user=hardening.user(wish),
            labels=labels,
            environment={
                "TINI_KILL_PROCESS_GROUP": "1",
                **({PORT: str(wish.port)} if wish.port else {}),
                **wish.environment,
            },
            working_dir=wish.working_dir or (wish.code.target if wish.code else None),
            host_config=self.client.create_host_config(**config),
        )
        return str(made["Id"])

    def _hand_over(self, wish: Container, owner: tuple[int, int]) -> None:
        """The run's own files wholly; of a datastore only the folder that is written to."""
        links = wish.code.links.values() if wish.code else ()
        shown = [(mount.source.resolve(), mount.read_only) for mount in wish.mounts]
        for source, read_only in [*shown, *((path.resolve(), False) for path in links)]:
            is_private = self.home / "runs" in source.parents
            if is_private or not read_only:
                ownership.hand_over(source, owner, deep=is_private)

    def _mounts(self, wish: Container, mount: Mount, roots: Sequence[Path]) -> list[types.Mount]:
        source = hardening.checked_source(mount.source, roots)
        plain = types.Mount(type="bind", source=str(source), target=mount.target, read_only=mount.read_only)
        if not (mount.sorted and mount.read_only and source.is_dir() and listings.needs_sorting(source)):
            return [plain]
        data = f"/studio/data/{mount.target.strip('/').replace('/', '_')}"
        place = self._farms(wish.name) / mount.target.strip("/").replace("/", "_")
        listings.farm(source, place, data)
        return [
            types.Mount(type="bind", source=str(source), target=data, read_only=True),
            types.Mount(type="bind", source=str(place), target=mount.target, read_only=True),
        ]

    def _allowed(self) -> list[Path]:
        return [*(self.home / name for name in SHOWN), *(root.resolve() for root in self._roots())]

    def _farms(self, name: str) -> Path:
        return listings.TMPFS / f"atelier-{os.getuid()}-{self.install}" / name


def _found(facts: dict[str, Any]) -> Found:
    state = facts["State"]
    status: Literal["created", "running", "exited", "dead"] = (
        "running" if state["Running"] else state["Status"] if state["Status"] in {"created", "dead"} else "exited"
    )
    started, finished = _time(state.get("StartedAt")), _time(state.get("FinishedAt"))
    return Found(
        id=facts["Id"],
        name=facts["Name"].lstrip("/"),
        labels=dict(facts["Config"]["Labels"] or {}),
        status=status,
        exit_code=state["ExitCode"] if status != "running" else None,
        oom_killed=bool(state["OOMKilled"]),
        error=state.get("Error") or "",
        started_at=started,
        finished_at=max(started, finished) if started and finished else finished,  # Docker mixes up very short ones
        pid=state.get("Pid") or None,
    )


def _engine_start(client: Any) -> datetime | None:
    """The default bridge is made anew at each start of the engine."""
    try:
        return _time(client.inspect_network("bridge")["Created"])
    except errors.NotFound:
        return None


def _time(text: str | None) -> datetime | None:
    return None if not text or text.startswith("0001-") else parse(text)
