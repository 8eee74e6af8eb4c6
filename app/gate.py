"""The gate: a wrapper around everything the web process serves, HTTP and WebSocket. It says who comes in.

Deny by default: what is open to anybody is an exact list. Pages want a session's cookie, the REST surface and
MLflow a bearer token; neither is good for the other.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import ClientDisconnect

from app import job_gateway, run_links
from app.api.problems import bug, problem
from app.auth import COOKIE, sign_in_address
from app.origins import SAFE_METHODS, Refusal, allowed_hosts, called_rightly
from app.sockets import REVOKED, Message, Receive, Send, Watched
from services import sessions
from services.sessions import Bearer
from services.store.rows import Principal
from services.studio import Studio

log = logging.getLogger("atelier.web")
AsgiScope = MutableMapping[str, Any]
App = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

OPEN = frozenset(
    {
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
        ("GET", "/readyz"),
        ("HEAD", "/readyz"),
        ("GET", "/auth/sign-in"),
        ("POST", "/auth/sign-in"),
        ("GET", "/files/signed"),
    }
)
BEARER = ("/api/", "/mlflow/", "/metrics")
# Of Streamlit's, and of no use here: sign-in of its own, counters, an interface for agents, uploads into memory.
SHUT = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/upload_file", "/auth/login", "/auth/logout", "/oauth2callback")
INNER = ("/_stcore/", "/media/", "/component/", "/files/")
REMEMBERED_SECONDS = 0.8
TOUCH_SECONDS = 60.0
# The hash is of the one line of script in Streamlit's page.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' blob: 'wasm-unsafe-eval' 'sha256-THxz9J9+wf7rhwR2YkXJoSZ13UCmYyC+3lNDv2+8ugA='; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; media-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'self' blob: data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
    b"content-security-policy": POLICY.encode(),
}


class Gate:
    """`hosts` are further names by which the studio may be called."""

    def __init__(self, app: App, studio: Studio) -> None:
        self.app, self.studio = app, studio
        self._hosts = allowed_hosts(studio)
        self._sessions: dict[str, tuple[float, Principal | None]] = {}
        self._bearers: dict[str, tuple[float, Bearer | None]] = {}
        self._touched: dict[str, float] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope["atelier.request_id"] = request_id = secrets.token_hex(8)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, headers)
            return
        started, status = time.monotonic(), 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _secured(message.get("headers", []), request_id)
            await send(message)

        try:
            await self._admit(scope, headers)
            await self.app(scope, receive, answered)
        except Refusal as refusal:
            await self._refused(scope, headers, refusal)(scope, receive, answered)
        except ClientDisconnect:
            log.info("request %s was cut by its sender", request_id)
        except Exception:
            log.exception("request %s failed", request_id)
            if not status:
                await bug(request_id)(scope, receive, answered)
        log.info(
            "%s %s %s %.0f ms %s",
            scope["method"],
            quote(scope["path"]),  # a decoded line end would forge a line
            status,
            (time.monotonic() - started) * 1000,
            request_id,
        )

    async def _admit(self, scope: AsgiScope, headers: dict[str, str]) -> None:
        """Raises Refusal, or leaves in the scope who it is."""
        called_rightly(scope, headers, self._hosts)
        method, path = scope["method"], scope["path"]
        _cleaned(scope)
        if (method, path) in OPEN or (method in {"GET", "HEAD"} and _is_static(path)):
            return
        if path.startswith(BEARER) and not (path == run_links.ADDRESS and method == "GET"):
            bearer = await self._bearer(headers)
            is_jobs = bearer is not None and bearer.kind == "job"
            if bearer is None or (is_jobs and not job_gateway.is_open(method, path)):
                raise Refusal(401, "Unauthorized", "A valid bearer token is needed.")
            scope["atelier.bearer"], scope["atelier.principal"] = bearer, bearer.principal
            scope["atelier.alive"] = lambda: self._is_bearer(headers)
            return
        sid, principal = await self._session(headers)
        if principal is None:
            raise Refusal(401, "Unauthorized", "You are not signed in.")
        if path.startswith(SHUT):
            raise Refusal(404, "NotFound", "There is nothing at this address.")
        if method not in SAFE_METHODS and "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
            raise Refusal(403, "ForeignOrigin", "With a cookie, a change must say from which page it comes.")
        _signed(scope, sid, principal)
        scope["atelier.alive"] = lambda: self._is_alive(sid)

    async def _websocket(self, scope: AsgiScope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        try:
            called_rightly(scope, headers, self._hosts)
            _cleaned(scope)
            sid, principal = await self._session(headers)
            if principal is None:
                raise Refusal(403, "Unauthorized", "You are not signed in.")
        except Refusal:
            await receive()
            await send({"type": "websocket.close", "code": REVOKED})
            return
        _signed(scope, sid, principal)

        async def used() -> bool:
            return await self._alive(sid) is not None

        watched = Watched(receive, send, used=used, alive=lambda: self._is_alive(sid))
        try:
            await self.app(scope, watched.receive, watched.send)
        finally:
            watched.stop()

    def _refused(self, scope: AsgiScope, headers: dict[str, str], refusal: Refusal) -> App:
        """A page becomes the sign-in page; everything else a problem."""
        path = scope["path"]
        is_page = (
            scope["method"] == "GET"
            and refusal.status == 401
            and (path == run_links.ADDRESS or not path.startswith((*BEARER, *INNER)))
            and "text/html" in headers.get("accept", "*/*").replace("*/*", "text/html")
        )
        if is_page:
            query = scope.get("query_string", b"").decode("latin-1")
            target = f"{path}?{query}" if query else path
            return _redirect(sign_in_address(target))
        more = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
        return problem(
            refusal.status, refusal.code, refusal.detail, request_id=scope["atelier.request_id"], headers=more
        )

    async def _session(self, headers: dict[str, str]) -> tuple[str, Principal | None]:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is None or not cookie.value:
            return "", None
        sid = sessions.sid(cookie.value)
        return sid, await self._alive(sid)

    async def _alive(self, sid: str) -> Principal | None:
        """Who uses a session, and a note that it is in use."""
        found = await self._looked_up(sid)
        at = time.monotonic()
        if found is not None and at - self._touched.get(sid, -TOUCH_SECONDS) >= TOUCH_SECONDS:
            _keep(self._touched, sid, at)
            await anyio.to_thread.run_sync(sessions.touch, self.studio, sid)
        return found

    async def _looked_up(self, sid: str) -> Principal | None:
        at = time.monotonic()
        known = self._sessions.get(sid)
        if known is not None and at - known[0] < REMEMBERED_SECONDS:
            return known[1]
        found = await anyio.to_thread.run_sync(sessions.alive, self.studio, sid)
        _keep(self._sessions, sid, (at, found))
        return found

    async def _is_alive(self, sid: str) -> bool:
        """A look by the studio itself: a tab that is only open must not keep its session from growing old."""
        return await self._looked_up(sid) is not None

    async def _is_bearer(self, headers: dict[str, str]) -> bool:
        return await self._bearer(headers) is not None

    async def _bearer(self, headers: dict[str, str]) -> Bearer | None:
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret:
            return None
        at, key = time.monotonic(), sessions.sid(secret.strip())
        known = self._bearers.get(key)
        if known is not None and at - known[0] < REMEMBERED_SECONDS:
            return known[1]
        found = await anyio.to_thread.run_sync(sessions.of_bearer, self.studio, secret.strip())
        _keep(self._bearers, key, (at, found))
        return found


def _is_static(path: str) -> bool:
    return path.startswith(("/static/", "/app/static/")) and ".." not in path and "\\" not in path and "%" not in path


def _cleaned(scope: AsgiScope) -> None:
    """Nobody outside says who they are."""
    scope["headers"] = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(b"x-atelier-")]


def _signed(scope: AsgiScope, sid: str, principal: Principal) -> None:
    scope["atelier.sid"], scope["atelier.principal"] = sid, principal
    scope["headers"] = [
        *scope["headers"],
        (b"x-atelier-user", principal.name.encode("utf-8", "replace")),
        (b"x-atelier-session", sid.encode()),
    ]


def _secured(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    """A response's own word counts (downloads have a stricter policy)."""
    kept = [(name, value) for name, value in headers if name.lower() not in {b"server", b"x-request-id"}]
    there = {name.lower() for name, _ in kept}
    added = [(name, value) for name, value in HEADERS.items() if name not in there]
    return [*kept, *added, (b"x-request-id", request_id.encode())]


def _redirect(address: str) -> App:
    async def answer(scope: AsgiScope, receive: Receive, send: Send) -> None:
        headers = [(b"location", address.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return answer


def _keep(known: dict[str, Any], key: str, value: Any) -> None:
    if len(known) > 10_000:
        known.clear()
    known[key] = value
