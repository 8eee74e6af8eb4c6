"""What stores say when something is wrong: which datastore, in the server's words, and never a credential."""

import io
import json
import os
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines.stores import (
    S3,
    AccessKey,
    AccountKey,
    AzureBlob,
    AzureFile,
    Credentials,
    DataLakeGen1,
    Folder,
    GoogleStorage,
    Password,
    PrivateKey,
    SasToken,
    ServiceAccount,
    ServicePrincipal,
    Sftp,
    StoreSpec,
    Web,
    opened,
    probe,
)
from tests.engines.stores import servers
from tests.engines.stores.promises import paths

SECRET = "s3cr3t/With+Odd=Letters%&"


def account_key(**fields: str) -> tuple[ServiceAccount, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return ServiceAccount(json.dumps({"client_email": "ada@x", "private_key": pem, **fields})), key


CREDENTIALS: list[Credentials] = [
    AccessKey(SECRET, SECRET, SECRET),
    AccountKey(SECRET),
    SasToken(SECRET),
    ServicePrincipal("tenant", "client", SECRET),
    ServiceAccount(SECRET),
    Password(SECRET, "ada"),
    PrivateKey(SECRET, SECRET),
]


@pytest.fixture
def closed() -> str:
    """A URL that nobody answers at."""
    return f"http://127.0.0.1:{servers.free_port()}"


@pytest.fixture
def deaf() -> Iterator[str]:
    """A URL where somebody picks up and never says a word."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(50)
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


def kinds(url: str) -> list[tuple[StoreSpec, Credentials | None]]:
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 0)
    account, _ = account_key(token_uri=f"{url}/token")
    return [
        (S3("mine", "b", endpoint=url), AccessKey("AKIA", SECRET)),
        (S3("mine", "b", endpoint=url), None),
        (AzureBlob("mine", "acc", "c", endpoint=url), AccountKey(servers.ACCOUNT_KEY)),
        (AzureBlob("mine", "acc", "c", endpoint=url), SasToken(f"sv=1&sig={quote(SECRET, safe='')}")),
        (GoogleStorage("mine", "b", endpoint=url), account),
        (GoogleStorage("mine", "b", endpoint=url), None),
        (Sftp("mine", host, "ada", port=port, fingerprint="SHA256:x"), Password(SECRET)),
        (Web("mine", url), Password(SECRET, "ada")),
    ]


NUMBER = len(kinds("http://127.0.0.1:1"))


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=lambda one: type(one).__name__)
def test_credentials_do_not_show_themselves(credentials: Credentials) -> None:
    for shown in (repr(credentials), str(credentials), f"{credentials}", repr([credentials])):
        assert SECRET not in shown


@pytest.mark.parametrize("number", range(NUMBER))
def test_nobody_answers(closed: str, number: int) -> None:
    store = opened(*kinds(closed)[number], allowed_hosts=["127.0.0.1"])
    for ask in (partial(store.stat, "a"), lambda: list(store.list())):
        with pytest.raises(Unavailable, match="Datastore 'mine' does not answer") as caught:
            ask()
        assert SECRET not in str(caught.value)


@pytest.mark.slow
def test_somebody_picks_up_and_never_says_a_word(deaf: str) -> None:
    stores = [opened(*kind, allowed_hosts=["127.0.0.1"]) for kind in kinds(deaf)]
    begun = time.monotonic()
    with ThreadPoolExecutor(len(stores)) as pool:
        reports = list(pool.map(probe, stores))
    assert time.monotonic() - begun < 120  # the promise is a limit, not a speed
    for store, report in zip(stores, reports, strict=True):
        assert [row.name for row in report.failed] == (["list"] if store.read_only else ["write"])
        assert "'mine' does not answer" in report.failed[0].detail
        assert not report.can_read_only


NO_ACCOUNT = {"client_email": "x", "private_key": "x"}
PLACEHOLDERS: list[tuple[StoreSpec, Credentials | None]] = [
    (
        AzureBlob("mine", "mytestblobstore", "data"),
        AccountKey("XXXxxxXXXxXXXXxxXXXXXxXXXXXxXxx"),
    ),
    (AzureBlob("mine", "<ACCOUNT>", "<CONTAINER>"), SasToken("?xx=XXXX-XX-XX&xx=xxxx")),
    (AzureBlob("mine", "my account", "data"), None),
    (AzureBlob("mine", "no-such-account.invalid", "data"), ServicePrincipal("0000", "0000", SECRET)),
    (S3("mine", "bucket", endpoint="https://minio.invalid:9000"), AccessKey("AKIA", SECRET)),
    (S3("mine", "bucket", endpoint="not a url"), AccessKey("AKIA", SECRET)),
    (S3("mine", "bucket", endpoint="http://[bad"), AccessKey("AKIA", SECRET)),
    (S3("mine", "bucket", endpoint="http://x.invalid:99999"), AccessKey("AKIA", SECRET)),
    (S3("mine", "bucket", endpoint=f"https://ada:{SECRET}@s3.invalid"), AccessKey("AKIA", SECRET)),
    (S3("mine", "<bucket>", endpoint="https://s3.invalid"), None),
    (GoogleStorage("mine", "<bucket>", endpoint="https://gs.invalid"), ServiceAccount("{}")),
    (
        GoogleStorage("mine", "b", endpoint="https://gs.invalid"),
        ServiceAccount('{"client_email": "x", "private_key": "x"}'),
    ),
    (Sftp("mine", "<host>", "ada"), Password(SECRET)),
    (Sftp("mine", "sftp.invalid", "ada"), PrivateKey("-----BEGIN PRIVATE KEY-----")),
    (Web("mine", "https://www.invalid/data"), None),
    (Folder("mine", "/no/such/mount"), None),
]


@pytest.mark.parametrize("number", range(len(PLACEHOLDERS)))
def test_a_placeholder_opens_and_fails_on_use_by_its_name(number: int) -> None:
    spec, credentials = PLACEHOLDERS[number]
    store = opened(spec, credentials)
    asks: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: list(store.list()),
        lambda: list(store.list(recursive=False)),
        lambda: store.read("a"),
        lambda: store.open("a"),
    ]
    if not store.read_only:
        asks.append(lambda: store.write("a", io.BytesIO(b"x"), 1))
    for ask in asks:
        with pytest.raises(AtelierError, match=r"[Dd]atastore 'mine'") as caught:
            ask()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [(AzureFile("mine", "acc", "files"), "Mount the share 'files'"), (DataLakeGen1("mine", "lake"), "closed in 2024")],
)
def test_kinds_that_nothing_speaks_to_say_what_to_do(spec: StoreSpec, words: str) -> None:
    with pytest.raises(EngineError, match=f"'mine' .*{words}"):
        opened(spec)


@pytest.mark.parametrize(
    ("spec", "credentials"),
    [
        (S3("mine", "b"), AccountKey("x")),
        (AzureBlob("mine", "a", "c"), AccessKey("x", "y")),
        (GoogleStorage("mine", "b"), Password("x")),
        (Sftp("mine", "h", "u"), AccessKey("x", "y")),
        (Folder("mine", "/tmp"), Password("x")),
        (Web("mine", "https://x/"), AccountKey("x")),
        (Web("mine", "https://x/?sig=secret"), None),
        (Web("mine", "https://ada:secret@x/"), None),
        (Web("mine", "http://[bad"), None),
        (Web("mine", "http://x:99999/"), None),
        (Web("mine", "file:///etc/"), None),
        (Web("mine", "gopher://x/"), None),
    ],
)
def test_credentials_and_places_of_another_kind_are_refused(spec: StoreSpec, credentials: Credentials | None) -> None:
    with pytest.raises(Invalid, match="'mine'") as caught:
        opened(spec, credentials)
    assert "secret" not in str(caught.value)


REFUSED = "<Error><Code>AccessDenied</Code><Message>You may not, {}</Message><RequestId>1</RequestId></Error>"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 7])
def test_a_refusal_is_told_in_the_servers_words(number: int, status: int) -> None:
    heard = servers.Heard(status, REFUSED.format(SECRET))
    with heard.at() as url:
        store = opened(*kinds(url)[number], allowed_hosts=["127.0.0.1"])
        with pytest.raises(Denied, match="'a' of datastore 'mine' is refused") as caught:
            store.read("a")
    assert "AccessDenied: You may not" in str(caught.value) or store.read_only
    if number in {0, 3, 7}:
        assert SECRET not in str(caught.value)
    assert "sig=" not in str(caught.value)


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_server_in_trouble_is_asked_again_and_then_not_available(number: int) -> None:
    heard = servers.Heard(503, "<Error><Code>SlowDown</Code></Error>")
    with heard.at() as url, pytest.raises(Unavailable, match=r"'mine' does not answer: .*SlowDown"):
        opened(*kinds(url)[number]).read("a")
    assert len(heard.asked) > 1


def test_keys_that_lie_about_on_this_machine_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_SAS_KEY"):
        monkeypatch.setenv(name, "LEAKED")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", servers.ACCOUNT_KEY)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "/etc/passwd")
    heard = servers.Heard(404)
    with heard.at() as url:
        for spec in (
            S3("mine", "b", endpoint=url),
            AzureBlob("mine", "a", "c", endpoint=url),
            GoogleStorage("mine", "b", endpoint=url),
        ):
            with pytest.raises(NotFound):
                opened(spec).read("a")
        with pytest.raises(NotFound):
            opened(S3("mine", "b", endpoint=url), AccessKey("OURS", "x")).read("a")
        with pytest.raises(NotFound):
            opened(AzureBlob("mine", "a", "c", endpoint=url), SasToken("sig=ours")).read("a")
    told = json.dumps([[path, headers] for _, path, headers, _ in heard.asked])
    assert "LEAKED" not in told
    assert [bool({"authorization", "x-amz-date"} & {name.lower() for name in one[2]}) for one in heard.asked] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert heard.asked[-1][1].endswith("sig=ours")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254", "http://[::ffff:a9fe:a9fe]", "http://2852039166", "http://0.0.0.0:1"]
)
def test_where_a_cloud_hands_out_its_own_keys_is_no_place_for_data(url: str) -> None:
    for spec, credentials in (
        (S3("mine", "b", endpoint=url), None),
        (AzureBlob("mine", "a", "c", endpoint=url), None),
        (GoogleStorage("mine", "b", endpoint=url), None),
        (Sftp("mine", str(urlsplit(url).hostname), "ada"), Password("x")),
        (Web("mine", url), None),
    ):
        with pytest.raises(Invalid):
            opened(spec, credentials).stat("a")


def test_the_web_is_not_read_inside_of_the_network(folder: Path) -> None:
    (folder / "a").write_text("inside")
    with servers.web(folder, servers.Ranges) as url:
        port = urlsplit(url).port
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"0x7f.1:{port}", f"[::ffff:7f00:1]:{port}"):
            with pytest.raises(Invalid, match="inside of the network"):
                opened(Web("mine", f"http://{host}/")).read("a")
            with pytest.raises(Invalid, match="inside of the network"):
                list(opened(Web("mine", f"http://{host}/")).list())


def test_a_redirect_into_the_network_is_not_followed(folder: Path) -> None:
    (folder / "secret").write_text("inside")
    with servers.web(folder, servers.Ranges) as inside:
        heard = servers.Heard(302, headers={"Location": f"{inside}/secret"})
        with heard.at() as url:
            allowed = [str(urlsplit(url).netloc)]
            with pytest.raises(Invalid, match="inside of the network"):
                opened(Web("mine", url), allowed_hosts=allowed).read("a")


def test_a_password_does_not_follow_a_redirect() -> None:
    elsewhere = servers.Heard(200, "hello", {"Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT"})
    with elsewhere.at() as there:
        heard = servers.Heard(302, headers={"Location": f"{there}/x"})
        with heard.at() as url:
            store = opened(Web("mine", url), Password("pass", "ada"), allowed_hosts=["127.0.0.1"])
            assert store.read("a") == b"hello"
    assert "Authorization" in heard.asked[0][2]
    assert "Authorization" not in elsewhere.asked[0][2]


def test_a_page_that_links_elsewhere_is_no_list_of_files() -> None:
    links = [
        "../up",
        "/root",
        "https://evil/x",
        "//evil/x",
        "%2e%2e/x",
        "a%2fb",
        "x/y",
        "?C=N",
        "#top",
        "fine",
        "deep/",
    ]
    page = "".join(f'<a href="{link}">{link}</a>' for link in links)
    heard = servers.Heard(200, page, {"Content-Type": "text/html"})
    with heard.at() as url:
        store = opened(Web("mine", f"{url}/base"), allowed_hosts=["127.0.0.1"])
        assert paths(store.list(recursive=False)) == ["deep/", "fine"]
        with pytest.raises(EngineError, match="too deep"):
            list(store.list())


def test_a_site_without_a_list_says_so() -> None:
    heard = servers.Heard(200, "hello", {"Content-Type": "text/plain"})
    with heard.at() as url:
        store = opened(Web("mine", url), allowed_hosts=["127.0.0.1"])
        with pytest.raises(EngineError, match="'mine' shows no list"):
            list(store.list())
        assert store.read("a") == b"hello"


def test_the_web_is_for_reading(folder: Path) -> None:
    store = opened(Web("mine", "https://example.invalid"))
    for change in (
        lambda: store.write("a", io.BytesIO(b"")),
        lambda: store.rename("a", "b"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(Denied, match="'mine' is for reading"):
            change()


def test_links_lead_nowhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (folder / "there").mkdir()
    (folder / "away").symlink_to(tmp_path / "outside")
    (folder / "file").symlink_to(tmp_path / "outside" / "secret")
    (folder / "inner").symlink_to(folder / "there")
    os.mkfifo(folder / "pipe")
    store = opened(Folder("mine", str(folder)))
    assert list(store.list()) == []
    assert paths(store.list(recursive=False)) == ["there/"]
    for path in ("away/secret", "file", "inner/x", "pipe"):
        for ask in (store.stat, store.read, store.open):
            with pytest.raises((Invalid, NotFound)):
                ask(path)
    for path in ("away/new", "inner/new", "away/deep/new"):
        with pytest.raises(Invalid):
            store.write(path, io.BytesIO(b"x"))
        with pytest.raises((Invalid, NotFound)):
            store.rename("away/secret", path)
        with pytest.raises(Invalid):
            store.delete(path.replace("new", "secret"))
    store.write("file", io.BytesIO(b"new"))  # takes the link's place, not its target's
    assert sorted(one.name for one in (tmp_path / "outside").iterdir()) == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert (folder / "file").read_text() == "new"


def test_links_on_an_ssh_server_lead_nowhere(ssh: servers.Ssh, corner: str, tmp_path: Path) -> None:
    root, outside = ssh.folder / corner, tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "away").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(root), port=ssh.port, fingerprint=ssh.fingerprint)
    with opened(spec, PrivateKey(ssh.private_key)) as store:
        assert list(store.list()) == list(store.list(recursive=False)) == list(store.list("away")) == []
        for path in ("away/secret", "file"):
            for ask in (store.stat, store.read, store.open):
                with pytest.raises((Invalid, NotFound)):
                    ask(path)
        with pytest.raises((Invalid, Conflict)):
            store.write("away/new", io.BytesIO(b"x"))
        with pytest.raises(Invalid):
            store.delete("away/secret")
    assert (outside / "secret").read_text() == "secret"
    assert len(list(outside.iterdir())) == 1


def test_only_the_registered_ssh_server_is_spoken_to(ssh: servers.Ssh) -> None:
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(ssh.folder), port=ssh.port)
    with pytest.raises(Denied, match="'far' shows another key") as caught:
        opened(spec, PrivateKey(ssh.private_key)).stat("a")
    assert ssh.fingerprint in str(caught.value)


def test_another_key_does_not_open_an_ssh_server(ssh: servers.Ssh) -> None:
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(ssh.folder), port=ssh.port, fingerprint=ssh.fingerprint)
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    for credentials in (PrivateKey(pem.decode()), Password(SECRET), None):
        with pytest.raises(Denied, match=f"'far' does not let '{ssh.user}' in") as caught:
            opened(spec, credentials).stat("a")
        assert SECRET not in str(caught.value)
        assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize("kind", [0, 1])
def test_a_password_opens_a_server_that_is_known_by_any_of_its_keys(folder: Path, kind: int) -> None:
    with servers.ssh_by_password("ada", SECRET) as (port, fingerprints):
        spec = Sftp("far", "127.0.0.1", "ada", root=str(folder), port=port, fingerprint=fingerprints[kind])
        with opened(spec, Password(SECRET)) as store:
            assert probe(store, large=9 << 20).failed == ()
        with pytest.raises(Denied, match="'far' does not let 'ada' in"):
            opened(spec, Password("another")).stat("a")
        unknown = Sftp("far", "127.0.0.1", "ada", root=str(folder), port=port, fingerprint="SHA256:another")
        with pytest.raises(Denied, match="shows another key") as caught:
            opened(unknown, Password(SECRET)).stat("a")
    assert all(one in str(caught.value) for one in fingerprints)
    assert SECRET not in str(caught.value)


def test_a_connection_that_is_cut_is_told_and_made_again(folder: Path) -> None:
    (folder / "a").write_text("hello")
    with servers.ssh_by_password("ada", SECRET) as (port, fingerprints):
        spec = Sftp("far", "127.0.0.1", "ada", root=str(folder), port=port, fingerprint=fingerprints[0])
        with opened(spec, Password(SECRET)) as store:

            class Cut(io.RawIOBase):
                def readable(self) -> bool:
                    return True

                def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
                    store._client.get_channel().get_transport().close()  # type: ignore[attr-defined]
                    buffer[:] = bytes(len(buffer))
                    return len(buffer)

            with pytest.raises(Unavailable, match="'far' does not answer"):
                store.write("b", io.BufferedReader(Cut()))
            assert (store.read("a"), paths(store.list())) == (b"hello", ["a"])


def test_a_connection_that_broke_is_made_again(ssh: servers.Ssh, corner: str) -> None:
    spec = Sftp("far", "127.0.0.1", ssh.user, root=str(ssh.folder), port=ssh.port, fingerprint=ssh.fingerprint)
    with opened(spec, PrivateKey(ssh.private_key)) as store:
        store.write(corner, io.BytesIO(b"x"))
        store.close()
        assert store.read(corner) == b"x"


@pytest.mark.parametrize("later", [timedelta(hours=1), -timedelta(hours=1)])
def test_a_sas_token_opens_a_container_while_it_lasts(azure_url: str, corner: str, later: timedelta) -> None:
    expiry = (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = f"{servers.ACCOUNT}\nrwdlac\nb\nsco\n\n{expiry}\n\n\n2021-08-06\n\n"
    signature = quote(servers.signed(told), safe="")
    token = f"?sv=2021-08-06&ss=b&srt=sco&sp=rwdlac&se={quote(expiry, safe='')}&sig={signature}"
    spec = AzureBlob("blobs", servers.ACCOUNT, servers.BUCKET, prefix=corner, endpoint=azure_url)
    store = opened(spec, SasToken(token))
    if later > timedelta(0):
        store.write("a b", io.BytesIO(b"hello"))
        assert (store.read("a b"), paths(store.list())) == (b"hello", ["a b"])
        return
    with pytest.raises(Denied, match="'a' of datastore 'blobs' is refused") as caught:
        store.write("a", io.BytesIO(b"hello"))
    assert signature not in str(caught.value)
    report = probe(store)
    assert [row.name for row in report.failed] == ["write", "list"]
    assert not report.can_read_only


def test_another_key_does_not_open_an_account(azure_url: str) -> None:
    spec = AzureBlob("blobs", servers.ACCOUNT, servers.BUCKET, endpoint=azure_url)
    other = servers.ACCOUNT_KEY[::-1].lstrip("=") + "=="
    for ask in (lambda store: store.read("a"), lambda store: list(store.list())):
        with pytest.raises(Denied, match="datastore 'blobs' is refused") as caught:
            ask(opened(spec, AccountKey(other)))
        assert other not in str(caught.value)


def test_a_bucket_that_is_missing_is_told_from_a_file_that_is(s3_url: str, azure_url: str, google_url: str) -> None:
    for spec, credentials in (
        (S3("mine", "no-such-bucket", endpoint=s3_url), AccessKey("a", "b")),
        (AzureBlob("mine", servers.ACCOUNT, "no-such-bucket", endpoint=azure_url), AccountKey(servers.ACCOUNT_KEY)),
        (GoogleStorage("mine", "no-such-bucket", endpoint=google_url), None),
    ):
        store = opened(spec, credentials)
        for ask in (lambda store=store: list(store.list()), lambda store=store: store.write("a", io.BytesIO(b"x"))):
            with pytest.raises(NotFound, match="datastore 'mine'"):
                ask()


def test_a_service_account_signs_for_its_token_and_uses_it() -> None:
    heard = servers.Heard(200, json.dumps({"access_token": "T0KEN", "expires_in": 3600, "name": "a", "size": "3"}))
    with heard.at() as url:
        account, key = account_key(token_uri=f"{url}/token")
        store = opened(GoogleStorage("gs", "b", endpoint=url), account)
        store.stat("a")
        store.stat("a")
    assert [(verb, urlsplit(path).path) for verb, path, _, _ in heard.asked] == [
        ("POST", "/token"),
        ("GET", "/storage/v1/b/b/o/a"),
        ("GET", "/storage/v1/b/b/o/a"),
    ]
    assert heard.asked[1][2]["Authorization"] == "Bearer T0KEN"
    [assertion] = parse_qs(heard.asked[0][3].decode())["assertion"]
    told, _, signature = assertion.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    key.public_key().verify(raw, told.encode(), padding.PKCS1v15(), hashes.SHA256())
    claims = json.loads(urlsafe_b64decode(told.partition(".")[2] + "=="))
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == ("ada@x", f"{url}/token", 3600)


def test_a_service_account_that_is_refused_is_told_why() -> None:
    heard = servers.Heard(400, json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
    with heard.at() as url:
        account, _ = account_key(token_uri=f"{url}/token")
        with pytest.raises(Denied, match="'gs' is refused: invalid_grant: Invalid JWT Signature"):
            opened(GoogleStorage("gs", "b", endpoint=url), account).stat("a")


def test_a_token_is_not_sent_to_where_an_answer_points() -> None:
    heard = servers.Heard(200, json.dumps({"access_token": "T0KEN"}), {"Location": "http://127.0.0.1:1/steal"})
    with heard.at() as url:
        account, _ = account_key(token_uri=f"{url}/token")
        with pytest.raises(EngineError, match="to be sent to another one"):
            opened(GoogleStorage("gs", "b", endpoint=url), account).write("a", io.BytesIO(bytes(9 << 20)))


@pytest.mark.parametrize(
    "body", ["<html>", "[]", "{}", '{"name": 1, "size": "many"}', '{"name": "a", "size": "1", "updated": "soon"}']
)
def test_what_is_not_googles_server_is_told(body: str) -> None:
    heard = servers.Heard(200, body)
    with heard.at() as url:
        store = opened(GoogleStorage("gs", "b", endpoint=url))
        for ask in (lambda: store.stat("a"), lambda: store.write("a", io.BytesIO(b"x"))):
            with pytest.raises(EngineError, match="'gs' does not speak as Google's does"):
                ask()


def test_what_is_not_azures_server_is_told() -> None:
    heard = servers.Heard(200, "<html>hello</html>", {"Content-Type": "text/html"})
    with heard.at() as url, pytest.raises(AtelierError, match="datastore 'mine'"):
        list(opened(AzureBlob("mine", "a", "c", endpoint=url)).list())


@pytest.mark.parametrize("location", ["http://[bad", "ftp://x/y", "file:///etc/passwd", "http://x:99999/"])
def test_a_redirect_to_what_is_no_url_is_not_followed(location: str) -> None:
    heard = servers.Heard(302, headers={"Location": location})
    with heard.at() as url, pytest.raises(AtelierError, match="'mine'"):
        opened(Web("mine", url), allowed_hosts=["127.0.0.1"]).read("a")


def test_a_redirect_without_end_is_left() -> None:
    heard = servers.Heard(302, headers={"Location": "/again"})
    with heard.at() as url, pytest.raises(EngineError, match="redirects more than 5 times"):
        opened(Web("mine", url), allowed_hosts=["127.0.0.1"]).read("a")
