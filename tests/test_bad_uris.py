"""URIs that lead nowhere or astray (FAULTS 4.5): each is refused with a sentence, and no secret is repeated."""

import functools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services import datastores, locations
from services.core.errors import AtelierError, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines import downloads, stores
from services.specs import datastores as specs
from tests.conftest import Stage

STORE = "azureml://datastores/workspaceblobstore"
MALFORMED = [
    "azureml://",
    "azureml://datastores",
    "azureml://datastores/workspaceblobstore",
    "azureml://datastores//paths/a",
    "azureml://datastores/a/b/paths/a",
    "azureml://evil/datastores/workspaceblobstore/paths/a",
    "azureml://subscriptions/s/datastores/workspaceblobstore/paths/a",
    "azureml://datastores/../paths/a",
    "azureml://workspaceblobstore/paths/a",
    "AZUREML:datastores/workspaceblobstore/paths/a",
    f"{STORE}/paths/a%2fb",
    f"{STORE}/paths/%2e%2e/a",
    f"{STORE}/paths/../../x",
    f"{STORE}/paths/a/../../../x",
    f"{STORE}/paths/a\\..\\b",
    f"{STORE}/paths/a\0b",
    f"{STORE}/paths/a\nb",
    f"{STORE}/paths/a ",
    f" {STORE}/paths/a",
    f"{STORE}/paths/" + "a" * 8192,
    "file:///etc/passwd",
    "file:///etc",
    "s3://",
    "s3://bucket/key",
    "gopher://127.0.0.1/x",
    "ftp://127.0.0.1/x",
    "jar:http://127.0.0.1/x!/y",
    "dict://127.0.0.1:11211/stats",
    "//127.0.0.1/x",
]
INSIDE = [
    "http://127.0.0.1:8501/api/v1/whoami",
    "http://localhost/",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:7f00:1]/",
    "http://[::1]/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://127.0.0.1./",
    "http://good.example@127.0.0.1/",
    "http://127.0.0.1#@good.example/",
]


@pytest.mark.parametrize("uri", MALFORMED, ids=[uri[:60].encode("unicode_escape").decode() for uri in MALFORMED])
def test_what_names_no_place_is_refused(lite: Stage, uri: str):
    with lite.scope() as scope, pytest.raises((Invalid, NotFound)) as refused:
        locations.located(scope, uri)
    assert len(str(refused.value)) < 700
    assert refused.value.where == "path"


@pytest.mark.parametrize(
    "uri", MALFORMED[:20], ids=[uri[:60].encode("unicode_escape").decode() for uri in MALFORMED[:20]]
)
def test_a_datastores_uri_is_read_strictly(uri: str):
    with pytest.raises(Invalid):
        datastores.parse(uri)


def test_an_unknown_datastore_is_not_found(lite: Stage):
    with lite.scope() as scope, pytest.raises(NotFound, match="Datastore 'nope' was not found"):
        locations.located(scope, "azureml://datastores/nope/paths/a")


@pytest.mark.parametrize("uri", INSIDE)
def test_addresses_inside_of_the_network_are_not_asked(tmp_path: Path, uri: str):
    with pytest.raises(AtelierError):
        downloads.fetch(uri, tmp_path / "got")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", INSIDE)
def test_no_datastore_is_registered_there_either(lite: Stage, uri: str):
    with lite.scope() as scope, pytest.raises(AtelierError):
        datastores.trial(scope, specs.datastore({"name": "site", "type": "http", "url": uri}))


@pytest.mark.parametrize("endpoint", ["http://169.254.169.254", "http://[fe80::1]", "ftp://h", "h"])
def test_an_endpoint_that_is_no_place_for_data_is_refused_on_use(lite: Stage, endpoint: str):
    spec = specs.datastore({"name": "lake", "type": "s3", "bucket": "b", "endpoint": endpoint})
    with lite.scope() as scope:
        store = datastores.trial(scope, spec)
    assert store is not None
    with pytest.raises(AtelierError, match="'lake'"):
        list(store.list(limit=1))


def test_stars_are_a_name_like_any_other(lite: Stage):
    with lite.scope() as scope:
        for path in ("**", "*", "/**"):
            place = locations.located(scope, f"{STORE}/paths/{path}")
            root = datastores.folder(scope.studio, datastores.get(scope, datastores.DEFAULT))
            assert place.local is not None
            assert place.local.parent in {root.resolve(), root.resolve().parent}
            assert not place.local.exists()


@contextmanager
def serving(answer: Any) -> Iterator[int]:
    """A server whose answers `answer(handler)` writes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/x", "http://169.254.169.254/", "file:///etc/passwd", "gopher://x/"]
)
def test_a_redirect_to_where_nobody_may_go_is_not_followed(tmp_path: Path, target: str):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target.format(port=handler.server.server_address[1]))  # type: ignore[str-bytes-safe]
        handler.end_headers()

    with serving(answer) as port, pytest.raises(AtelierError):
        downloads.fetch(f"http://127.0.0.1:{port}/", tmp_path / "got", allowed_hosts=["127.0.0.1"])
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_changes_between_two_questions_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rebinding: the name is public when it is checked, and inside when it would be asked for again."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def told(host: str, *rest: Any, **more: Any) -> Any:
        if host != "rebinding.example":
            return real(host, *rest, **more)
        asked.append(host)
        address = "192.0.0.9" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]

    monkeypatch.setattr(socket, "getaddrinfo", told)
    monkeypatch.setattr(downloads, "SECONDS", 1)
    with pytest.raises(AtelierError):
        downloads.fetch("http://rebinding.example/", tmp_path / "got")
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "http", "url": "https://user:canary@example.org/"},
        {"type": "http", "url": "https://canary@example.org/"},
        {"type": "http", "url": "https://example.org/?sig=canary"},
        {"type": "http", "url": "http://[canary/"},
        {"type": "http", "url": "http://example.org:99999/"},
        {"type": "s3", "bucket": "b", "endpoint": "https://user:canary@example.org"},
        {"type": "s3", "bucket": "b", "endpoint": "https://example.org/?sig=canary"},
        {"type": "azure_blob", "account_name": "a", "container_name": "c", "endpoint": "https://a/?sig=canary"},
    ],
)
def test_a_secret_in_the_address_of_a_datastore_is_refused_and_not_repeated(lite: Stage, value: dict[str, Any]):
    """In the path of a data asset it is kept as it was given, and tests/test_data.py holds that errors hide it."""
    with lite.scope() as scope, pytest.raises(AtelierError) as refused:
        datastores.create(scope, specs.datastore({"name": "site", **value}))
    assert "canary" not in f"{refused.value} {refused.value.details}"


def test_a_signature_that_is_over_is_told_by_the_datastores_name(lite: Stage):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        text = b"<Error><Code>AuthenticationFailed</Code><Message>Signature not valid: expired</Message></Error>"
        handler.send_response(403)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    with serving(answer) as port:
        value = {
            "name": "old",
            "type": "azure_blob",
            "account_name": "a",
            "container_name": "c",
            "endpoint": f"http://127.0.0.1:{port}/a",
            "credentials": {"sas_token": "se=2020-01-01&sig=canary"},
        }
        with lite.scope() as scope:
            store = datastores.opened(scope, datastores.create(scope, specs.datastore(value)))
        with pytest.raises(Denied, match=r"'old' is refused.*expired") as refused:
            list(store.list(limit=1))
    assert "canary" not in str(refused.value)


def test_a_certificate_that_nobody_has_signed_is_not_taken(lite: Stage, tmp_path: Path):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run([program, *words.split()], cwd=tmp_path, check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(BaseHTTPRequestHandler))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        downloads.fetch(url, tmp_path / "got", allowed_hosts=["127.0.0.1"])
    spec = specs.datastore({"name": "lake", "type": "s3", "bucket": "b", "endpoint": url})
    with lite.scope() as scope:
        store = datastores.trial(scope, spec)
    assert store is not None
    with pytest.raises(EngineError, match="'lake'"):
        list(store.list(limit=1))
    server.shutdown()
    server.server_close()


def test_a_file_that_is_listed_and_gone_is_named(tmp_path: Path):
    (tmp_path / "a").write_text("x")
    store = stores.opened(stores.Folder("shelf", str(tmp_path)))
    [entry] = list(store.list())
    (tmp_path / "a").unlink()
    with pytest.raises(NotFound, match="'a'"):
        store.open(entry.path)


def test_a_folder_whose_link_goes_round_in_circles_is_refused(lite: Stage, tmp_path: Path):
    root = tmp_path / "open"
    root.mkdir()
    (root / "loop").symlink_to(root / "loop")
    lite.studio.settings.data_roots = str(root)
    spec = specs.datastore({"name": "shelf", "type": "folder", "path": str(root / "loop")})
    with lite.scope() as scope, pytest.raises(AtelierError):
        datastores.trial(scope, spec)


def test_a_placeholder_of_the_cloud_fails_within_two_minutes(lite: Stage):
    """Whatever answers to its name here, or nobody."""
    value = {
        "name": "blob_example",
        "type": "azure_blob",
        "account_name": "mytestblobstore",
        "container_name": "data-container",
        "credentials": {"account_key": "WFhYeHh4WFhYeFhYWFh4eHhYWFhYWHh4WFhYeHhY"},
    }
    with lite.scope() as scope:
        store = datastores.opened(scope, datastores.create(scope, specs.datastore(value)))
    begun = time.monotonic()
    with pytest.raises(AtelierError, match="'blob_example'"):
        list(store.list(limit=1))
    assert time.monotonic() - begun < 120
