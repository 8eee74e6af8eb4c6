"""What may be asked of whatever runs jobs and servers: the protocol that docker, processes and the fake all keep.

`tests/engines/suite.py` holds every implementation to these promises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from services.core.errors import EngineError

Profile = Literal["compat", "standard", "strict"]

INSTALL, WORKSPACE, KIND, NAME, ATTEMPT, SPEC = (
    "atelier.install",
    "atelier.workspace",
    "atelier.kind",
    "atelier.name",
    "atelier.attempt",
    "atelier.spec",
)
PORT = "ATELIER_PORT"
"""The variable in which a server finds the port that it is to listen on."""


@dataclass(frozen=True)
class Mount:
    """A host folder or file shown inside. `sorted` asks that listings come in lexicographic order."""

    source: Path
    target: str
    read_only: bool = False
    sorted: bool = False


@dataclass(frozen=True)
class WorkingCopy:
    """A writable copy of an immutable snapshot; `changes` is an empty folder of ours on the same host.

    With `snapshot=None` the copy starts empty. `links` are host folders that must appear under these
    relative names inside the copy (`outputs`, `logs`), writable and outside of what is copied.
    """

    snapshot: Path | None
    changes: Path
    target: str
    links: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Container:
    """What should run. `name` is the idempotency key; `labels` hold at least the install and the kind.

    Memory and shared memory in bytes, cpus in cores; None leaves the engine's default.
    `holder` names the group (workspace and person) whose network namespace may be shared; None asks for
    a network of its own. `user` is `uid:gid`. An empty `command` leaves the image's own. `port` is one on which a
    server listens and which this host must reach; where nothing is isolated another takes its place, so programs
    ask PORT in their environment.
    """

    name: str
    image: str
    command: Sequence[str]
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    code: WorkingCopy | None = None
    working_dir: str | None = None
    user: str | None = None
    memory: int | None = None
    cpus: float | None = None
    shm_size: int | None = None
    pids: int = 512
    profile: Profile = "compat"
    holder: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Found:
    """What is there. `status` is created, running, exited or dead; times are the engine's own."""

    id: str
    name: str
    labels: Mapping[str, str]
    status: Literal["created", "running", "exited", "dead"]
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pid: int | None = None


@dataclass(frozen=True)
class Ended:
    """One line of the event stream: a container of ours ended (or lost a process to memory)."""

    id: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """Counters since start (`cpu_seconds`, network and disk bytes) and levels now (memory bytes)."""

    at: datetime
    cpu_seconds: float
    memory: int
    memory_limit: int | None
    network_in: int
    network_out: int
    disk_read: int
    disk_write: int
    pids: int | None = None


@dataclass(frozen=True)
class EngineInfo:
    """`gateway` is the address at which jobs reach this host (None: they share the host's loopback)."""

    name: str
    kind: Literal["docker", "process", "fake"]
    version: str
    api_version: str
    started_at: datetime | None
    cpus: int
    memory: int
    gateway: str | None
    isolates: bool
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Image:
    """A ready image: `reference` to run it by, immutable `digest`, size in bytes."""

    reference: str
    digest: str
    size: int
    packages: Sequence[str] = ()


@dataclass(frozen=True)
class BuildWish:
    """How to make an image. Exactly one of: `context` (folder with a Dockerfile), `requirements` on a
    `base`, or neither (the base itself, pulled when absent). `hash` is the content hash of it all.

    `base` was already rewritten by the image map; `froms` says what to use for each image that a context's
    Dockerfile names. `conda` is the conda file's text: used as it is where the base image has conda, else
    `requirements` (its translation to pip) counts. `python` is the wished major.minor. `anew` builds although
    the image is there. `notes` are said at the head of the log.
    """

    hash: str
    base: str
    requirements: Sequence[str] = ()
    pip_options: Sequence[str] = ()
    python: str | None = None
    conda: str | None = None
    context: Path | None = None
    dockerfile: str = "Dockerfile"
    workspace: str = ""
    froms: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Stored:
    """An image that was built here: `size` is what would come free if it went, in bytes. `is_used`: a container
    (running or not) stands on it."""

    reference: str
    digest: str
    size: int
    is_used: bool


class BuildFailed(EngineError):
    """The environment could not be built."""

    code = "BuildFailed"


class BuildCanceled(EngineError):
    """The build was given up."""

    code = "BuildCanceled"


class ImageNotFound(EngineError):
    """The image is not here and could not be pulled."""

    code = "ImageNotFound"


class Engine(Protocol):
    """Every call has a time limit of its own. Raises Unavailable when the engine is silent, NotFound when
    the container is not there, Conflict when the name is taken, EngineError for all else."""

    kind: Literal["docker", "process", "fake"]

    def info(self) -> EngineInfo: ...

    def seen(self, mount: Mount) -> str:
        """The path at which the job sees `mount`: its target, or its source where nothing is isolated."""
        ...

    def seen_code(self, code: WorkingCopy) -> str:
        """The path of the working copy as the job sees it."""
        ...

    def create(self, wish: Container) -> str:
        """The new container's id. Prepares the working copy and sorted listings."""
        ...

    def start(self, id: str) -> None:
        """No-op on a running one; must never run an ended one again (the entry script refuses)."""
        ...

    def inspect(self, name_or_id: str) -> Found: ...

    def found(self, labels: Mapping[str, str]) -> list[Found]:
        """All with these labels, in any state."""
        ...

    def stop(self, id: str, *, grace: float) -> None:
        """TERM to everybody, KILL after `grace` seconds; returns when it has ended. No-op on an ended one."""
        ...

    def remove(self, id: str) -> None:
        """With its working copy's mount; no-op when it is gone. What lies in `changes` stays."""
        ...

    def ended(self) -> Iterator[Ended]:
        """Blocks; yields as containers of this install end. Raises Unavailable when the stream breaks."""
        ...

    def sample(self, id: str) -> Sample: ...

    def address(self, id: str) -> tuple[str, int]:
        """Host and port at which this host reaches the `port` of a running one. Raises NotFound when it has none."""
        ...

    def output(self, id: str, tail: int) -> str:
        """The last lines of what its first process wrote itself, where the engine keeps that; else empty."""
        ...

    def image(self, wish: BuildWish) -> Image | None:
        """The image if it is ready to run."""
        ...

    def build(self, wish: BuildWish, log: Path) -> Image:
        """Pull or build, appending to `log`. Raises BuildFailed, BuildCanceled, ImageNotFound or Unavailable."""
        ...

    def abandon(self, hash: str) -> None:
        """Ends what builds the wish of this hash: whoever waits for it here is told BuildCanceled. Nothing is left
        of it, also not of one that a worker left behind; no-op when there is none."""
        ...

    def packages(self, image: Image) -> Sequence[str]:
        """What pip finds installed in it, as `pip freeze` writes it; empty for an image without Python."""
        ...

    def stored(self) -> Sequence[Stored]:
        """All images of this install that were built here, not those that they stand on."""
        ...

    def discard(self, reference: str) -> None:
        """Removes an image that was built here; no-op for any other, and when it is gone or in use."""
        ...

    def sweep(self, keep_holders: Sequence[str]) -> int:
        """Removes our holders and networks that no kept group needs; the number removed."""
        ...
