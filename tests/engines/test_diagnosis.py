"""Why a build failed: logs of real failures, each with the line and the remedy that a person is told."""

import http.server
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uv
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.core.errors import EngineError
from services.engines.containers import BuildFailed, BuildWish
from services.engines.diagnosis import HEAD, diagnose
from services.engines.docker import DockerEngine
from services.engines.interpreters import interpreters
from services.engines.virtual_environments import VirtualEnvironments

PYTHONS = {one.version: one for one in interpreters()}
BASE = "atelier/python:3.11"


def failed(tmp_path: Path, *requirements: str, options: tuple[str, ...] = (), python: str = "3.11") -> str:
    """The log of a build that must fail, made with the real installer."""
    log = tmp_path / "log"
    wish = BuildWish(hash="f" * 64, base=BASE, requirements=requirements, pip_options=options, python=python)
    with pytest.raises(BuildFailed):
        VirtualEnvironments(tmp_path / "home").build(wish, log)
    return log.read_text(encoding="utf-8")


@pytest.fixture
def needs_python() -> None:
    if "3.11" not in PYTHONS:
        pytest.skip("no Python 3.11 here")


@pytest.mark.usefixtures("needs_python")
class TestRealInstalls:
    @pytest.mark.parametrize(
        ("requirements", "code", "line"),
        [
            (("six==99.99",), "NoVersion", "six==99.99"),
            (("no-such-package-as-this",), "NoVersion", "no-such-package-as-this"),
            (("cudatoolkit==11.8.*",), "CondaOnly", "cudatoolkit"),
            (("gcc_linux-64",), "CondaOnly", "gcc-linux-64"),
            (("pandas==2.2.2", "numpy==1.20.0"), "Conflict", "depends on numpy"),
            (("six=1.16",), "BadRequirement", "comparison operator"),
            (("six==1.16.0 --hash=sha256:" + "0" * 64,), "HashMismatch", "six==1.16.0"),
        ],
    )
    def test_what_the_index_does_not_have_is_named(
        self, tmp_path: Path, requirements: tuple[str, ...], code: str, line: str
    ) -> None:
        said = diagnose(failed(tmp_path, *requirements))
        assert (said.code, line in said.line) == (code, True), said

    def test_a_package_that_is_too_new_for_the_python_is_not_called_missing(self, tmp_path: Path) -> None:
        if "3.8" not in PYTHONS:
            pytest.skip("no Python 3.8 here")
        said = diagnose(failed(tmp_path, "numpy==2.1.0", python="3.8"))
        assert (said.code, "numpy==2.1.0" in said.line) == ("Python", True), said

    @pytest.mark.parametrize(
        ("index", "line"),
        [("http://127.0.0.1:9/simple", "error sending request"), ("https://nowhere.invalid/simple", "error")],
    )
    def test_an_index_that_cannot_be_reached_is_the_network(self, tmp_path: Path, index: str, line: str) -> None:
        said = diagnose(failed(tmp_path, "six", options=(f"--index-url {index}",)))
        assert (said.code, line in said.line) == ("Network", True), said

    def test_an_index_with_a_certificate_of_nobody_is_said_to_be_untrusted(self, tmp_path: Path, stranger: str) -> None:
        said = diagnose(failed(tmp_path, "six", options=(f"--index-url {stranger}/simple",)))
        assert said.code == "Certificate", said
        assert "SSL_CERT_FILE" in said.remedy

    def test_without_a_compiler_the_compiler_is_named(self, tmp_path: Path) -> None:
        folder, log = tmp_path / "package", tmp_path / "log"
        folder.mkdir()
        (folder / "setup.py").write_text(
            "from setuptools import Extension, setup\nsetup(name='x', ext_modules=[Extension('x', ['x.c'])])\n"
        )
        (folder / "x.c").write_text("int x;\n")
        uv_, place = uv.find_uv_bin(), tmp_path / "venv"
        python = PYTHONS["3.11"].prefix / "bin" / "python3.11"
        subprocess.run([uv_, "venv", "-q", "--python", str(python), str(place)], check=True)
        (tmp_path / "empty").mkdir()
        with log.open("wb") as said:
            done = subprocess.run(
                [uv_, "pip", "install", "--python", str(place), str(folder)],
                env={**os.environ, "PATH": str(tmp_path / "empty")},
                stdout=said,
                stderr=said,
            )
        assert done.returncode != 0
        found = diagnose(log.read_text())
        assert found.code == "NoCompiler", found
        assert "with a wheel" in found.remedy

    def test_a_full_disk_is_named_before_all_that_follows_from_it(self, tmp_path: Path) -> None:
        if shutil.which("mount") is None:
            pytest.skip("no mount here")
        home = tmp_path / "home"
        home.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(home)], capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        try:
            said = diagnose(failed(tmp_path, "pandas"))
        finally:
            subprocess.run(["umount", "-l", str(home)], check=True)
        assert said.code == "DiskFull", said


@pytest.mark.docker
class TestRealContexts:
    @pytest.mark.parametrize(
        ("step", "code", "line"),
        [
            ("RUN apt-get install -y gcc", "Apt", "apt-get: not found"),
            ("COPY nothere.txt .", "Dockerfile", "nothere.txt"),
            ("RUN python3 -c 'print(1/0)'", "Dockerfile", "print(1/0)"),
            ("RUN sh -c 'kill -9 $$'", "OutOfMemory", "Killed"),
            ("RUN pip install six==99.99", "NoVersion", "six==99.99"),
            ("RUN pip install --index-url http://127.0.0.1:9/simple --retries 1 six", "Network", "refused"),
            ("RUNN x", "Dockerfile", "RUNN"),
        ],
    )
    def test_the_step_that_failed_is_explained(
        self, docker_engine: DockerEngine, tmp_path: Path, step: str, code: str, line: str
    ) -> None:
        folder = docker_engine.home / "workspaces" / "context"
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(f"FROM python:3.11-slim\n{step}\n")
        wish = BuildWish(hash="e" * 64, base="", context=folder, froms={"python:3.11-slim": BASE})
        with pytest.raises(BuildFailed):
            docker_engine.build(wish, tmp_path / "log")
        said = diagnose((tmp_path / "log").read_text())
        assert (said.code, line in said.line) == (code, True), said

    def test_an_image_of_nowhere_is_not_pulled(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        with pytest.raises(EngineError) as refused:
            docker_engine.build(BuildWish(hash="1" * 64, base="localhost:9/none/such:1"), tmp_path / "log")
        assert diagnose(str(refused.value)).code == "NoRegistry"


@pytest.mark.parametrize(
    ("log", "code", "line", "remedy"),
    [
        (
            "a\n  × No solution\n  ╰─▶ Because there are no versions of nope\n",
            "NoVersion",
            "of nope",
            "name and version",
        ),
        ("ERROR: No matching distribution found for nope==1\n", "NoVersion", "nope==1", "name and version"),
        ("ERROR: No matching distribution found for cudnn\n", "CondaOnly", "cudnn", "Take it out"),
        ("x\nerror: command 'gcc' failed: No such file\nerror: end", "NoCompiler", "'gcc'", "with a compiler"),
        ("src/x.c:1: fatal error: Python.h: No such file or directory", "NoCompiler", "Python.h", "headers"),
        ("ImportError: numpy.core.multiarray failed to import", "Abi", "multiarray", "numpy below 2"),
        ("A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1", "Abi", "NumPy 1", "numpy below 2"),
        ("ModuleNotFoundError: No module named 'distutils'", "Python", "distutils", "older Python"),
        ("error: invalid peer certificate: UnknownIssuer\n", "Certificate", "UnknownIssuer", "SSL_CERT_FILE"),
        ("error sending request for url (https://x): dns error", "Network", "dns error", "pip's settings"),
        ("OSError: [Errno 28] No space left on device\nERROR: x", "DiskFull", "Errno 28", "environment prune"),
        ("toomanyrequests: You have reached your pull rate limit", "RateLimit", "pull rate limit", "mirror"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "PullDenied", "x", "log"),
        ("manifest for python:nope not found: manifest unknown", "ImageNotFound", "nope", "name and tag"),
        ("E: Unable to locate package nope\nThe command '/bin/sh' returned a non-zero code: 100", "Apt", "nope", "apt"),
        ("Temporary failure resolving 'mirror.example'\nE: Failed to fetch x", "Network", "mirror", "network"),
        ("Killed\nThe command '/bin/sh -c x' returned a non-zero code: 137", "OutOfMemory", "Killed", "more memory"),
        ("\x1b[91m/bin/sh: 1: gcc: not found\n\x1b[0m", "NoCompiler", "gcc: not found", "with a wheel"),
        ("something odd\nlast words", "Unknown", "last words", "build log"),
        ("", "Unknown", "the log is empty", "build log"),
    ],
)
def test_a_log_is_read_for_the_line_that_matters(log: str, code: str, line: str, remedy: str) -> None:
    said = diagnose(log)
    assert (said.code, line in said.line, remedy in said.remedy) == (code, True, True), said
    assert line in str(said)
    assert ".." not in str(said)


def test_only_the_last_attempt_counts_and_lines_are_numbered_as_they_stand_in_the_log() -> None:
    said = diagnose(f"{HEAD}1\nNo space left on device\n{HEAD}2\n\nERROR: No matching distribution found for x\n")
    assert (said.code, said.number) == ("NoVersion", 5)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """An HTTPS server whose certificate nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    at = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
