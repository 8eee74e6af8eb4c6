"""Every door of the running application: each route, method, mount and WebSocket is decided, or this fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlmodel import SQLModel
from starlette.routing import Mount, Route, WebSocketRoute

from app.auth import COOKIE
from tests.api.conftest import House, is_kept_out, raw
from tests.api.decided import (
    BATCH,
    BROWSER_READS,
    BROWSER_WRITES,
    DATASTORE,
    DECIDED,
    ENVIRONMENT,
    FONTS,
    INSTALL,
    JOB,
    MOUNTS,
    NOTHING,
    ONLINE,
    OPEN,
    PERSONAL,
    READS,
    SHUT,
    SIGNED_IN,
    SOCKETS,
    VERSION,
    WRITES,
    asked,
)

TRICKS = (
    "/health", "/api/health", "/api/v1/workspaces/lab/health", "/api/v1/workspaces/health", "/api/v1/workspaces/ready",
    "/api/v1/workspaces/login", "/api/v1/workspaces/static", "/api/v1/workspaces/lab/jobs/healthz",
    "/api/v1/workspaces/lab/jobs/readyz", "/api/v1/workspaces/lab/jobs/sign-in", "/api/v1/static/x", "/api/static/",
    "/api/v1/workspaces/../healthz", "/api/v1/workspaces/%2e%2e/%2e%2e/healthz", "/healthz/../api/v1/workspaces",
    "/healthz/api/v1/workspaces", "/healthz/", "/healthz%2f", "/HEALTHZ", "//healthz", "/auth/sign-in/",
    "/files/signed/",
    "/files/signed/../archive/lab/j1", "/static/../api/v1/workspaces", "/static/%2e%2e/api/v1/workspaces",
    "/static/..%2fapi/v1/workspaces", "/static/..%5capi", "/static/%252e%252e/api", "/app/static/../main.py",
    "/files/archive/lab/static", "/files/log/lab/healthz", "/metrics/healthz", "/mlflow/health", "/mlflow/static/x",
    "/mlflow/../healthz", "/mlflow/static-files/../health", "/_stcore/health", "/media/static/x", "/component/static",
    "/_stcore/stream", "/;/static/", "/api/v1/workspaces;static/", "/api/v1/workspaces?x=/static/", "/.well-known/x",
)  # fmt: skip


@dataclass(frozen=True)
class Door:
    """`kind` is http, socket or mount."""

    kind: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}".strip()


def doors(app: Any, prefix: str = "") -> Iterator[Door]:
    """What the application object itself says that it serves."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, Mount):
            inner = getattr(route.app, "_starlette_app", None)
            yield Door("mount", "", prefix + (context.path or "/"))
            if inner is not None:
                yield from doors(inner, prefix + (context.path or ""))
        elif isinstance(route, WebSocketRoute):
            yield Door("socket", "", prefix + str(context.path))
        else:
            assert isinstance(route, Route), f"{route} is of a kind that nobody has decided about"
            yield from (Door("http", method, prefix + str(context.path)) for method in sorted(context.methods or ()))


def test_every_door_is_decided(lab: House):
    found = list(doors(lab.app.app))
    assert {str(door) for door in found if door.kind == "http"} == DECIDED
    assert {door.path for door in found if door.kind == "socket"} == SOCKETS
    assert {door.path for door in found if door.kind == "mount"} == MOUNTS


@pytest.mark.parametrize("door", sorted(DECIDED - OPEN - FONTS))
def test_nobody_comes_in_without_signing_in(lab: House, door: str):
    with_nonsense = lab.anonymous(Authorization="Bearer atl_0000000000000000_x", Cookie=f"{COOKIE}=x", Origin=lab.url)
    assert is_kept_out(asked(lab.anonymous(), door, {}))
    assert is_kept_out(asked(with_nonsense, door, {}))


@pytest.mark.parametrize("door", sorted(OPEN))
def test_these_are_open(lab: House, door: str):
    answer = asked(lab.anonymous(), door)
    assert answer.status_code == {"/readyz": 503, "/files/signed": 403}.get(door.split(" ")[1], answer.status_code)
    assert door == "POST /auth/sign-in" or not is_kept_out(answer) or door == "GET /files/signed"


@pytest.mark.parametrize("path", TRICKS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_name_opens_a_door(lab: House, path: str, method: str):
    """Sent byte by byte, as no client would tidy it up."""
    answer = raw(lab, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\nContent-Length: 0\r\n\r\n")
    assert answer in {401, 403, 303}


@pytest.mark.parametrize("door", sorted(DECIDED - OPEN - FONTS - NOTHING))
def test_a_cookie_is_no_token_and_a_token_no_cookie(lab: House, door: str):
    path = door.split(" ", 1)[1]
    wrong = lab.browser("ada") if path.startswith(("/api/", "/metrics")) else lab.bearer("ada")
    assert is_kept_out(asked(wrong, door, {}))


@pytest.mark.parametrize("door", sorted(set(READS) | set(PERSONAL) | set(WRITES)))
def test_outsiders_find_nothing(lab: House, door: str):
    body = {**PERSONAL, **WRITES}.get(door)
    assert asked(lab.bearer("dan"), door, body or {"path": "x"}, READS.get(door, "")).status_code == 404


@pytest.mark.parametrize("door", sorted(set(BROWSER_READS) | set(BROWSER_WRITES)))
def test_outsiders_find_nothing_in_the_browser_either(lab: House, door: str):
    query = BROWSER_READS.get(door, "path=main.py")
    assert asked(lab.browser("dan"), door, BROWSER_WRITES.get(door), query).status_code == 404


@pytest.mark.parametrize("door", sorted(WRITES))
def test_readers_change_nothing(lab: House, door: str):
    assert asked(lab.bearer("cleo"), door, WRITES[door]).status_code == 403


@pytest.mark.parametrize("door", sorted(BROWSER_WRITES))
def test_readers_change_nothing_in_the_browser_either(lab: House, door: str):
    answer = asked(lab.browser("cleo"), door, BROWSER_WRITES[door], "path=main.py")
    assert (answer.status_code, answer.json()["code"]) == (403, "Denied")


@pytest.mark.parametrize("door", sorted(PERSONAL))
def test_readers_keep_what_is_their_own(lab: House, door: str):
    answer = asked(lab.bearer("cleo"), door, PERSONAL[door])
    assert answer.status_code == (404 if "{view}" in door else 201)


@pytest.mark.parametrize("door", sorted(READS))
def test_readers_read(lab: House, door: str):
    """What is not there is not there; nothing is refused."""
    answer = asked(
        lab.bearer("cleo"), door, {"path": "user_logs/std_log.txt"} if "links" in door else None, READS[door]
    )
    assert answer.status_code in {200, 201, 202} or (answer.status_code == 404 and door in ABSENT)


ABSENT = {
    *(door for door in READS if ONLINE in door or BATCH in door),
    "GET /api/v1/workspaces/{ws}/runs/{name}",
    "GET /api/v1/workspaces/{ws}/runs/{name}/history",
    f"GET {DATASTORE}/files/{{path:path}}",
    f"GET {JOB}/outputs/{{output}}/files",
    f"GET {JOB}/outputs/{{output}}/files/{{path:path}}",
    f"GET {ENVIRONMENT}/versions",
    f"GET {VERSION}",
    f"GET {VERSION}/build-log",
    f"GET {VERSION}/context/{{path:path}}",
    "GET /api/v1/workspaces/{ws}/views/{view}",
    "GET /api/v1/workspaces/{ws}/boards/{board}",
    "GET /api/v1/workspaces/{ws}/environments/jobs/{job}/packages",
    "GET /api/v1/workspaces/{ws}/runs:compare",
    "GET /api/v1/workspaces/{ws}/runs:significance",
}


def test_reading_changes_nothing(lab: House):
    bearer, browser = lab.bearer("ada"), lab.browser("ada")
    before = everything(lab)
    for door, query in READS.items():
        asked(bearer, door, {"path": "user_logs/std_log.txt"} if "links" in door else None, query)
    for door, query in BROWSER_READS.items():
        asked(browser, door, None, query)
    assert everything(lab) == before


def everything(lab: House) -> dict[str, list[Any]]:
    """All rows but those of sessions, which note when they were last used."""
    with lab.stage.studio.database.session(write=False) as session:
        return {
            name: [tuple(row) for row in session.connection().execute(table.select())]
            for name, table in SQLModel.metadata.tables.items()
            if name != "session"
        }


@pytest.mark.parametrize("door", sorted(INSTALL))
def test_above_all_workspaces(lab: House, door: str):
    for name, status in zip(("ada", "cleo", "dan"), INSTALL[door], strict=True):
        assert asked(lab.bearer(name), door, {"name": f"new-{name}"}).status_code == status, name


@pytest.mark.parametrize("door", sorted(SIGNED_IN - {"POST /auth/sign-out"}))
def test_whoever_is_signed_in_gets_the_screens(lab: House, door: str):
    assert not is_kept_out(asked(lab.browser("dan"), door))


@pytest.mark.parametrize("door", sorted(SHUT))
def test_what_streamlit_brings_along_is_shut(lab: House, door: str):
    assert asked(lab.browser("ada"), door).status_code == 404


def test_what_is_nothing_is_said_after_the_token_is_checked(lab: House):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert lab.bearer("ada").request(method, "/api/v2/nothing").status_code == 404
