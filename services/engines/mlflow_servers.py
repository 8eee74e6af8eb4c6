"""An MLflow server at one end of a copy: one that runs, or one started here over a folder or a SQLite file.

What is copied from is never written to: a folder is served through links from elsewhere, a database as a copy.
"""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict
from urllib.parse import quote, unquote, urlsplit

import httpx

from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable

SECONDS, CONNECT_SECONDS, START_SECONDS, STOP_SECONDS = 600, 10, 180, 10
TRIES, PAUSE_SECONDS = 6, 1.0
PIECE = 1 << 20
API, FILES = "api/2.0/mlflow", "api/2.0/mlflow-artifacts/artifacts"
DATABASE, FILES_FOLDER = "mlflow.db", "artifacts"
_NEIGHBOURS = ("", FILES_FOLDER, "mlruns", "mlartifacts")
STORAGE = ("MLFLOW_S3_", "MLFLOW_GCS_", "MLFLOW_BOTO_")  # how a store elsewhere is reached
_BUSY = frozenset({429, 502, 503, 504})
_WAL = 2
Json = Mapping[str, Any]


class Entry(TypedDict):
    """A file, or a folder, as MLflow lists it; its path begins at the root."""

    path: str
    is_dir: bool
    size: int | None


@dataclass(frozen=True)
class Places:
    """Where the files of a source on this machine lie: below these folders, and nowhere else."""

    roots: Sequence[Path] = ()

    def of(self, uri: str, *own: str) -> Path | None:
        """The folder that an artifact URI means, wherever it was when that was written; `own` are its usual parts.

        The run's or the model's id is among them, so that a URI cannot name any other folder.
        """
        parts = [part for part in unquote(urlsplit(uri).path).split("/") if part not in {"", "."}]
        tails = [list(own), *(parts[start:] for start in range(max(0, len(parts) - 6), len(parts) - 2))]
        for root in self.roots:
            for tail in tails:
                here = root.joinpath(*tail)
                if own[-2] in tail and ".." not in tail and here.is_dir() and self.holds(here):
                    return here
        return None

    def holds(self, path: Path) -> bool:
        """Whether it really lies there, links followed."""
        real = path.resolve()
        return any(real.is_relative_to(root.resolve()) for root in self.roots)


@dataclass
class Server:
    """`name` is how copies say where they came from; `places` are the files of one that was started here."""

    url: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: tuple[str, str] | None = None
    places: Places | None = None
    trusts_environment: bool = False

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            base_url=f"{self.url.rstrip('/')}/",
            headers=dict(self.headers),
            auth=self.auth,
            timeout=httpx.Timeout(SECONDS, connect=CONNECT_SECONDS),
            trust_env=self.trusts_environment,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, call: str, **asked: Any) -> Any:
        return self._asked("GET", f"{API}/{call}", params=asked)

    def post(self, call: str, body: Json, *, method: str = "POST", again: bool = True) -> Any:
        """A change; `again` says that it may be sent twice, when the first answer was lost."""
        return self._asked(method, f"{API}/{call}", json=body, again=again)

    def pages(self, call: str, key: str, *, method: str = "GET", **asked: Any) -> Iterator[Json]:
        """Every row of a list."""
        token = ""
        while True:
            now = {**asked, **({"page_token": token} if token else {})}
            page = self.get(call, **now) if method == "GET" else self.post(call, now)
            yield from page.get(key, [])
            token = page.get("next_page_token") or ""
            if not token:
                return

    def listed(self, call: str, key: str, **asked: str) -> Iterator[Entry]:
        """What lies in one folder of a run or a model."""
        for each in self.pages(call, "files", **asked):
            size = each.get("file_size")
            yield Entry(path=str(each[key]), is_dir=bool(each.get("is_dir")), size=None if size is None else int(size))

    def folder(self, path: str) -> list[Entry]:
        """What lies in a folder below the root of artifacts; empty when it is not there."""
        try:
            files = self._asked("GET", FILES, params={"path": path}).get("files", [])
        except NotFound:
            return []
        return [
            Entry(path=str(each["path"]), is_dir=bool(each.get("is_dir")), size=int(each.get("file_size") or 0))
            for each in files
        ]

    @contextmanager
    def opened(self, path: str, **asked: str) -> Iterator[Iterator[bytes]]:
        """A file in pieces. `path` is below the server's address, quoted here."""
        with self._explained(), self._client.stream("GET", quote(path), params=asked or None) as answer:
            if answer.status_code >= 300:
                answer.read()
                raise _refusal(answer)
            yield answer.iter_bytes(PIECE)

    def put(self, path: str, pieces: Iterator[bytes], size: int) -> None:
        """`path` is below the root of artifacts. Raises Invalid when there are more or fewer bytes than `size`.

        MLflow takes a body whose length is not announced for an empty one.
        """
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            with self._explained():
                answer = self._client.put(f"{FILES}/{quote(path)}", content=pieces, headers=headers)
        except Unavailable as cause:
            if isinstance(cause.__cause__, httpx.LocalProtocolError):
                raise Invalid(f"It has not the {size:,} bytes that were announced.") from cause
            raise
        if answer.status_code >= 300:
            raise _refusal(answer)

    def _asked(self, method: str, path: str, *, again: bool = True, **what: Any) -> Any:
        """Waits out a server that restarts."""
        for left in reversed(range(TRIES if again else 1)):
            try:
                with self._explained():
                    answer = self._client.request(method, path, **what)
                if answer.status_code < 300:
                    return answer.json() if answer.content else {}
                raise _refusal(answer)
            except Unavailable:
                if not left:
                    raise
                time.sleep(PAUSE_SECONDS * (TRIES - left))
        raise AssertionError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as cause:
            raise Unavailable(f"MLflow at {self.name} does not answer: {type(cause).__name__}.") from cause


@contextmanager
def opened(
    source: str, program: Sequence[str], *, more: Sequence[Path] = (), variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The server of what a person named: an address, a folder, a SQLite file or its URL.

    `program` runs MLflow's command line in this interpreter; `more` are folders where files lie besides.
    Raises Invalid for what is none of these.
    """
    if urlsplit(source).scheme in {"http", "https"}:
        with closing(_remote(source, variables if variables is not None else os.environ)) as server:
            yield server
        return
    path = _path(source)
    with TemporaryDirectory(prefix="atelier-mlflow-") as aside:
        database = path / DATABASE if path.is_dir() and (path / DATABASE).is_file() else path
        if database.is_file():
            store = f"sqlite:///{_database(database, Path(aside) / DATABASE)}"
            roots = [database.parent / each for each in _NEIGHBOURS]
        elif path.is_dir():
            store, roots = str(_shadow(path, Path(aside) / "mlruns")), [path]
        else:
            raise Invalid(f"There is no folder or file '{source}'.", where="--from")
        places = Places([*more, *(root for root in roots if root.is_dir())])
        with (
            _started(store, Path(aside), program, ["--no-serve-artifacts"]) as url,
            closing(Server(url, path.name, places=places)) as server,
        ):
            yield server


@contextmanager
def made(folder: Path, program: Sequence[str]) -> Iterator[Server]:
    """A server that writes `mlflow.db` and `artifacts` in a folder, which is made."""
    (folder / FILES_FOLDER).mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{folder.resolve() / DATABASE}"
    files = ["--serve-artifacts", "--artifacts-destination", str(folder.resolve() / FILES_FOLDER)]
    with (
        TemporaryDirectory(prefix="atelier-mlflow-") as aside,
        _started(store, Path(aside), program, files) as url,
        closing(Server(url, folder.name)) as server,
    ):
        yield server


def _remote(url: str, variables: Mapping[str, str]) -> Server:
    """With the credentials that MLflow's own clients would use, or those in the address."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    headers, auth = {}, None
    if token := variables.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif parts.username:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    elif user := variables.get("MLFLOW_TRACKING_USERNAME"):
        auth = (user, variables.get("MLFLOW_TRACKING_PASSWORD", ""))
    if workspace := variables.get("MLFLOW_WORKSPACE"):
        headers["X-MLFLOW-WORKSPACE"] = workspace
    clean = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
    server = Server(clean, f"{parts.hostname}{port}", headers, auth, trusts_environment=True)
    try:
        server.post("experiments/search", {"max_results": 1})
    except NotFound as cause:
        raise Invalid(f"There is no MLflow server at {clean}.") from cause
    return server


def _path(source: str) -> Path:
    scheme = urlsplit(source).scheme
    if scheme == "sqlite":
        return Path(unquote(source.removeprefix("sqlite:///"))).expanduser()
    if scheme == "file":
        return Path(unquote(urlsplit(source).path))
    if scheme and "://" in source:
        raise Invalid(
            f"'{scheme}' is not read directly.", hint="Start 'mlflow server' over it and name the server's address."
        )
    return Path(source).expanduser()


def _shadow(folder: Path, shadow: Path) -> Path:
    """A folder of links to a file store's parts: MLflow makes folders of its own in what it serves."""
    shadow.mkdir()
    folder = folder.resolve()
    if not any((each / "meta.yaml").is_file() for each in folder.iterdir() if each.is_dir()):
        raise Invalid(f"'{folder.name}' is no folder of MLflow's: no experiment is in it.", where="--from")
    if link := _leads_out(folder):
        raise Invalid(f"'{link}' is a link that leads out of the folder.", hint="Put what it means in its place.")
    for each in folder.iterdir():
        if each.is_dir():
            (shadow / each.name).symlink_to(each, target_is_directory=True)
    return shadow


def _leads_out(folder: Path) -> str:
    """The first link among what MLflow itself reads that would show something else of this machine."""
    for here, folders, files in os.walk(folder):
        if Path(here).name == "artifacts":
            folders.clear()
            continue
        for name in (*folders, *files):
            path = Path(here) / name
            if path.is_symlink() and not path.resolve().is_relative_to(folder):
                return str(path.relative_to(folder))
    return ""


def _database(source: Path, target: Path) -> Path:
    """A copy, without a trace beside the original."""
    with source.open("rb") as file:
        head = file.read(20)
    if not head.startswith(b"SQLite format 3\0"):
        raise Invalid(f"'{source.name}' is no SQLite database.", where="--from")
    # A closed database in WAL mode gets files beside it from whoever only reads it, unless told that nobody writes.
    is_at_rest = head[18] == _WAL and not source.with_name(f"{source.name}-wal").exists()
    address = f"{source.resolve().as_uri()}?mode=ro{'&immutable=1' if is_at_rest else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
            tables = {row[0] for row in written.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as cause:
        raise Invalid(f"'{source.name}' cannot be read: {cause}.", where="--from") from cause
    if not {"experiments", "runs", "metrics"} <= tables:
        raise Invalid(f"'{source.name}' is no database of MLflow's.", where="--from")
    return target


@contextmanager
def _started(store: str, aside: Path, program: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """The address of MLflow's own server over a store; it ends with this process. An old database is upgraded."""
    port, log = _free_port(), aside / "log"
    variables = {key: value for key, value in os.environ.items() if "MLFLOW" not in key or key.startswith(STORAGE)} | {
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRUNCATE_LONG_VALUES": "false",
        "DO_NOT_TRACK": "true",
        "ATELIER_SUPERVISOR_PID": str(os.getpid()),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, *program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, *files]
    for is_last in (False, True):
        with log.open("wb") as file:
            child = subprocess.Popen(
                command, cwd=aside, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file, process_group=0
            )
        try:
            if _answers(child, port):
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            _stopped(child)
        said = log.read_text(errors="replace")
        if is_last or not store.startswith("sqlite:"):
            break
        upgrade = [sys.executable, *program, "db", "upgrade", store]
        subprocess.run(upgrade, cwd=aside, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    raise EngineError(f"MLflow could not be started over it: {last.strip()[:300]}")


def _answers(child: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether it came up and can read its store: one over tables of an older MLflow starts, and fails when asked."""
    until, url = time.monotonic() + START_SECONDS, f"http://127.0.0.1:{port}"
    while child.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200:
                asked, where = {"max_results": 1}, f"{url}/{API}/experiments/search"
                return httpx.post(where, json=asked, timeout=START_SECONDS, trust_env=False).status_code == 200
        except httpx.HTTPError:
            pass
        if time.monotonic() > until:
            raise Unavailable(f"MLflow did not answer within {START_SECONDS} seconds.")
        time.sleep(0.1)
    return False


def _stopped(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            child.wait(STOP_SECONDS)
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refusal(answer: httpx.Response) -> AtelierError:
    try:
        said = answer.json()
        code, message = str(said.get("error_code", "")), str(said.get("message", ""))
    except (ValueError, AttributeError):
        code, message = "", re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)).strip()
    message = message[:300] or f"MLflow answered {answer.status_code}."
    if code in {"RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"} or answer.status_code == 404:
        return NotFound(message)
    if code == "RESOURCE_ALREADY_EXISTS" or answer.status_code == 409:
        return Conflict(message)
    if answer.status_code in _BUSY:
        return Unavailable(message)
    if answer.status_code in {401, 403}:
        return Denied(message)
    return Invalid(message) if answer.status_code < 500 else EngineError(message)
