"""How the studio may be called: foreign hosts, foreign pages, doubled headers, WebSockets of strangers."""

import socket

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.auth import COOKIE
from tests.api.conftest import House, is_kept_out, raw
from tests.api.decided import ANNOUNCEMENT, BROWSER_WRITES, WRITES, asked


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "localhost.", "[::2]", ""]
)
def test_a_foreign_host_is_misdirected(lab: House, host: str):
    for path in ("/", "/healthz", "/api/v1/workspaces", "/mlflow/health", "/static/x", "/_stcore/health"):
        answer = lab.anonymous(Authorization=f"Bearer {lab.token('ada')}", Host=host).get(path)
        assert answer.status_code == 421, path


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "https://localhost"]
)
def test_a_page_of_another_site_changes_nothing(lab: House, origin: str):
    token, cookie = f"Bearer {lab.token('ada')}", f"{COOKIE}={lab.cookie('ada')}"
    doors = {*WRITES, *BROWSER_WRITES, "POST /auth/sign-in", "POST /auth/sign-out"}
    for door in sorted(each for each in doors if not each.startswith("GET ")):
        client = lab.anonymous(Authorization=token, Cookie=cookie, Origin=origin)
        answer = asked(client, door, WRITES.get(door) or BROWSER_WRITES.get(door), "path=main.py")
        assert (answer.status_code, answer.json()["code"]) == (403, "ForeignOrigin"), door


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_the_browser_says_of_the_site_counts(lab: House, site: str):
    client = lab.browser("ada")
    client.headers["Sec-Fetch-Site"] = site
    assert asked(client, "POST /files/uploads/{ws}", ANNOUNCEMENT).status_code == 403


def test_a_cookie_alone_changes_nothing(lab: House):
    client = lab.anonymous(Cookie=f"{COOKIE}={lab.cookie('ada')}")
    assert asked(client, "POST /files/uploads/{ws}", ANNOUNCEMENT).status_code == 403
    client.headers["Sec-Fetch-Site"] = "same-origin"
    assert asked(client, "POST /files/uploads/{ws}", ANNOUNCEMENT).status_code == 201


@pytest.mark.parametrize("header", ["Host: evil.example", "Authorization: Bearer x", "Origin: http://evil.example"])
def test_a_header_given_twice_is_refused(lab: House, header: str):
    name = header.partition(":")[0]
    first = {
        "Host": "",
        "Authorization": f"Authorization: Bearer {lab.token('ada')}\r\n",
        "Origin": f"Origin: {lab.url}\r\n",
    }
    head = f"GET /api/v1/whoami HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\n{first[name]}{header}\r\n\r\n"
    assert raw(lab, head) == 400


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Content-Length: -1",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
    ],
)
def test_a_body_has_one_length(lab: House, lengths: str):
    """What two readers could cut at different places is not read at all."""
    head = f"POST /api/v1/workspaces HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\n"
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
    assert raw(lab, f"{head}Authorization: Bearer {lab.token('ada')}\r\n{lengths}\r\n\r\n", body) in {400, 501}


@pytest.mark.parametrize(
    "path", ["/_stcore/stream", "/", "/mlflow/health", "/api/v1/workspaces", "/healthz", "/files/log"]
)
@pytest.mark.parametrize("who", ["nobody", "no origin", "foreign origin", "foreign host", "bearer"])
def test_no_websocket_opens_for_strangers(lab: House, path: str, who: str):
    own = {"Cookie": f"{COOKIE}={lab.cookie('ada')}"}
    headers, origin, host = {
        "nobody": ({}, lab.url, "127.0.0.1"),
        "no origin": (own, None, "127.0.0.1"),
        "foreign origin": (own, "http://evil.example", "127.0.0.1"),
        "foreign host": (own, f"http://evil.example:{lab.port}", "evil.example"),
        "bearer": ({"Authorization": f"Bearer {lab.token('ada')}"}, lab.url, "127.0.0.1"),
    }[who]
    with socket.create_connection(("127.0.0.1", lab.port)) as line, pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{host}:{lab.port}{path}", sock=line, origin=origin, additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == 403


def test_a_signed_in_page_opens_its_websocket(lab: House):
    headers = {"Cookie": f"{COOKIE}={lab.cookie('ada')}"}
    with connect(f"ws://127.0.0.1:{lab.port}/_stcore/stream", origin=lab.url, additional_headers=headers, proxy=None):
        pass


def test_nobody_outside_says_who_they_are(lab: House):
    claims = {"X-Atelier-User": "ada", "X-Atelier-Session": "x", "x-atelier-session": "y"}
    assert is_kept_out(lab.anonymous(**claims).get("/_stcore/health"))
    assert (
        lab.anonymous(**claims, Authorization=f"Bearer {lab.token('dan')}").get("/api/v1/whoami").json()["name"]
        == "dan"
    )


def test_a_method_cannot_be_smuggled(lab: House):
    client = lab.bearer("cleo")
    client.headers["X-HTTP-Method-Override"] = "DELETE"
    assert client.get("/api/v1/workspaces/lab?_method=DELETE").json()["name"] == "lab"
    assert client.post("/api/v1/workspaces/lab").status_code in {404, 405}
