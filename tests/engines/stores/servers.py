"""Real servers for the stores' tests, each on a free port: found here, or fetched by their own installers."""

import base64
import hashlib
import hmac
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import paramiko
import platformdirs
import pytest
from filelock import FileLock

UV = Path(sys.executable).with_name("uv")
ACCOUNT = "devstoreaccount1"  # Azurite's own, printed in its manual
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
BUCKET = "atelier"
SECONDS = 60


@contextmanager
def s3() -> Iterator[str]:
    """moto's S3 with a bucket; its URL. It lives in an environment of its own: its needs are not the studio's."""
    tool = _tool("moto[s3]", "flask", "flask-cors")
    with _running([*tool, "moto_server", "-H", "127.0.0.1", "-p"]) as url:
        httpx.put(f"{url}/{BUCKET}").raise_for_status()
        yield url


@contextmanager
def google() -> Iterator[str]:
    tool = _tool("gcp-storage-emulator", "setuptools<81")
    argv = [*tool, "gcp-storage-emulator", "start", "--host", "127.0.0.1", "--in-memory", "--default-bucket", BUCKET]
    with _running([*argv, "--port"]) as url:
        yield url


@contextmanager
def azure(folder: Path) -> Iterator[str]:
    """Azurite with a container; the account's URL."""
    argv = [str(_azurite()), "--blobHost", "127.0.0.1", "--location", str(folder), "--silent", "--disableTelemetry"]
    with _running([*argv, "--skipApiVersionCheck", "--blobPort"]) as url:
        account = f"{url}/{ACCOUNT}"
        now = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        told = "".join(f"{name}:{value}\n" for name, value in now.items())
        resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
        signature = signed(f"PUT{chr(10) * 12}{told}{resource}")
        headers = {**now, "Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
        httpx.put(f"{account}/{BUCKET}?restype=container", headers=headers).raise_for_status()
        yield account


def signed(text: str) -> str:
    """As Azure signs."""
    return base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)).decode()


@dataclass(frozen=True)
class Ssh:
    port: int
    user: str
    private_key: str
    fingerprint: str
    folder: Path


@contextmanager
def ssh(folder: Path) -> Iterator[Ssh]:
    """OpenSSH's server for whoever runs the tests, with keys of its own."""
    server = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd here; Debian's package is openssh-server")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "client.pub", folder / "authorized")
    (folder / "files").mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # a server of root's wants it
    lines = [
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication yes",
        "KbdInteractiveAuthentication no",
        "PidFile none",
        "MaxStartups 100",
        "PerSourcePenalties no",
        "Subsystem sftp internal-sftp",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    if subprocess.run([server, "-t", "-f", str(folder / "config")], capture_output=True).returncode:
        lines.remove("PerSourcePenalties no")  # new in OpenSSH 9.8
        (folder / "config").write_text("\n".join(lines) + "\n")
    argv = [server, "-D", "-e", "-f", str(folder / "config"), "-o", "ListenAddress=127.0.0.1", "-p"]
    with _running(argv) as url:
        told = subprocess.run(["ssh-keygen", "-l", "-f", str(folder / "host.pub")], capture_output=True, text=True)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        port = int(url.rpartition(":")[2])
        yield Ssh(port, user, (folder / "client").read_text(), told.stdout.split()[1], folder / "files")


class _Doorkeeper(paramiko.ServerInterface):
    def __init__(self, user: str, password: str) -> None:
        self._known = (user, password)

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        is_known = (username, password) == self._known
        return paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Sftp(paramiko.SubsystemHandler):
    """Behind the door is OpenSSH's own SFTP."""

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        argv = [_sftp_server()]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            answering = Thread(target=self._answered, args=(process, channel), daemon=True)
            answering.start()
            with suppress(OSError, EOFError):
                while piece := channel.recv(1 << 15):
                    process.stdin.write(piece)
            process.stdin.close()
            answering.join()

    def _answered(self, process: "subprocess.Popen[bytes]", channel: paramiko.Channel) -> None:
        assert process.stdout is not None
        with suppress(OSError, EOFError):  # whoever asked has gone
            while piece := process.stdout.read(1 << 15):
                channel.sendall(piece)


@contextmanager
def ssh_by_password(user: str, password: str) -> Iterator[tuple[int, list[str]]]:
    """A server that lets somebody in by a password, which OpenSSH's does only for the machine's own users.

    Its port, and the fingerprints of its two keys.
    """
    _sftp_server()
    keys: list[paramiko.PKey] = [paramiko.RSAKey.generate(2048), paramiko.ECDSAKey.generate()]
    transports = []

    def served(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError, paramiko.SSHException, EOFError):  # whoever wants another key hangs up
                transport = paramiko.Transport(connection)
                transports.append(transport)
                for key in keys:
                    transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", _Sftp)
                transport.start_server(server=_Doorkeeper(user, password))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=served, args=(listener,), daemon=True).start()
        told = [base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=") for key in keys]
        yield listener.getsockname()[1], [f"SHA256:{one}" for one in told]
        listener.shutdown(socket.SHUT_RDWR)
        for transport in transports:
            transport.close()


def _sftp_server() -> str:
    found = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh:/usr/libexec")
    if found is None:
        pytest.skip("there is no sftp-server here; Debian's package is openssh-sftp-server")
    return found


class WholeFiles(SimpleHTTPRequestHandler):
    """What comes with Python: no ranges."""

    def log_message(self, *_: object) -> None: ...


class Ranges(WholeFiles):
    """With one range for a request, as large servers have it."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None or not path.is_file():
            super().do_GET()
            return
        size, start = path.stat().st_size, int(found[1])
        end = min(size, int(found[2]) + 1 if found[2] else size)
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            self.wfile.write(file.read(end - start))


@contextmanager
def web(folder: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Heard:
    """A server that gives the same answer to everybody and remembers what was asked."""

    def __init__(self, status: int, body: str = "", headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @contextmanager
    def at(self) -> Iterator[str]:
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heard.asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(heard.status)
                for name, value in heard.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(heard.body.encode())))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(heard.body.encode())

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 (the names are http.server's)

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _tool(package: str, *others: str) -> list[str]:
    """A Python program in an environment of its own, which uv makes and keeps."""
    if not UV.exists():
        pytest.skip("uv is not beside this Python, and brings the server")
    argv = [str(UV), "tool", "run", "--from", package]
    for other in others:
        argv += ["--with", other]
    ready = subprocess.run([*argv, "python", "-c", ""], capture_output=True, text=True, timeout=240)
    if ready.returncode:
        pytest.skip(f"{package} cannot be had here: {ready.stderr.strip()[-200:]}")
    return argv


def _azurite() -> Path:
    if found := shutil.which("azurite-blob"):
        return Path(found)
    home = platformdirs.user_cache_path("atelier-tests") / "azurite"
    program = home / "node_modules" / ".bin" / "azurite-blob"
    npm = shutil.which("npm")
    if not program.exists() and npm is None:
        pytest.skip("there is neither Azurite nor npm here, which brings it")
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "lock"):
        if not program.exists():
            argv = [str(npm), "install", "--no-audit", "--no-fund", "--prefix", str(home), "azurite@3"]
            came = subprocess.run(argv, capture_output=True, text=True, timeout=240)
            if came.returncode:
                pytest.skip(f"npm cannot bring Azurite: {came.stderr.strip()[-200:]}")
    return program


@contextmanager
def _running(argv: list[str]) -> Iterator[str]:
    """The program with a free port as its last argument, for as long as it is needed."""
    port = free_port()
    with subprocess.Popen([*argv, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(f"{argv[0]} does not start: {process.communicate()[1][-2000:]}")
                time.sleep(0.05)
            Thread(target=_drained, args=(process,), daemon=True).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _drained(process: "subprocess.Popen[str]") -> None:
    if process.stderr is not None:
        for _ in process.stderr:
            pass


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
