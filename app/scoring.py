"""Scoring for people: the studio asks the gateway as any caller would, and hands the answer back as it was.

Who calls it has asked `endpoints.scorable` first. What opens the endpoint never leaves this process.
"""

import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from services import endpoints
from services.core.errors import EngineError, Invalid, NotFound, Unavailable
from services.core.times import now
from services.endpoints import Issued
from services.store.rows import Workspace
from services.store.serving import Endpoint
from services.studio import Studio

LARGEST = 16 << 20
LARGEST_ANSWER = 64 << 20
CLIENTS_ID = "x-ms-client-request-id"
DEPLOYMENT = "azureml-model-deployment"
TEST = "x-atelier-test"
LONGEST = 600  # seconds
MOST = 16
"""Requests at once: each keeps one of the threads that also answer everybody else."""
_PATIENCE = 5.0  # seconds
_places = threading.BoundedSemaphore(MOST)
_OURS = frozenset(
    {"authorization", "host", "content-length", "connection", "transfer-encoding", "upgrade", "te", "cookie", "expect"}
)
_HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade"})
_opened: dict[tuple[str, str], Issued] = {}


@dataclass(frozen=True)
class Answer:
    """As the caller of an endpoint gets it; header names in small letters, `ms` until the last byte was here."""

    code: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    ms: float

    @property
    def deployment(self) -> str:
        return self.headers.get(DEPLOYMENT, "")


def scored(
    studio: Studio,
    endpoint: Endpoint,
    body: bytes,
    deployment: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    is_test: bool = False,
) -> Answer:
    """The model's answer, or the gateway's for it. `is_test` keeps it out of what live requests are counted by.

    Raises Unavailable where no gateway answers, EngineError for an answer larger than 64 MB or later than ten
    minutes, Invalid for headers that cannot be sent.
    """
    sent = {"content-type": "application/json"}
    sent |= {name.lower(): value for name, value in (headers or {}).items() if name.lower() not in _OURS}
    if deployment:
        sent[DEPLOYMENT] = deployment
    if is_test:
        sent[TEST] = "1"
    return _asked(studio, endpoint, "POST", "score", body, sent)


def swagger(studio: Studio, endpoint: Endpoint, deployment: str | None = None) -> dict[str, Any]:
    """What a deployment says that it takes (OpenAPI). Raises NotFound where it says nothing, and as `scored`."""
    answer = _asked(studio, endpoint, "GET", "swagger.json", b"", {DEPLOYMENT: deployment} if deployment else {})
    try:
        found = orjson.loads(answer.body) if answer.code == 200 else None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise NotFound(f"Endpoint '{endpoint.name}' does not say what it takes.")
    return found


def _asked(
    studio: Studio, endpoint: Endpoint, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    """A key or token that was just made may be a moment ahead of the gateway's table: that is waited out. A 401 of the
    model itself, which says whose it is, is its answer."""
    with studio.database.session(write=False) as session:
        workspace = session.get_one(Workspace, endpoint.workspace_id).name
    url = f"{_inside(studio)}/{quote(workspace, safe='')}/{quote(endpoint.name, safe='')}/{path}"
    until, was_kept = time.monotonic() + _PATIENCE, _place(endpoint) in _opened
    while True:
        opener = _opener(studio, endpoint)
        answer = _sent(method, url, body, {**headers, "authorization": f"Bearer {opener.token}"})
        if answer.code != 401 or answer.deployment or time.monotonic() > until:
            return answer
        if was_kept:
            _opened.pop(_place(endpoint), None)
            was_kept = False
        time.sleep(0.05)


def _sent(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    if not _places.acquire(timeout=_PATIENCE):
        raise Unavailable(
            "The studio sends as many requests to endpoints as it can.", hint="Ask the endpoint itself, or try again."
        )
    try:
        start = time.perf_counter()
        code, told, received = _streamed(method, url, body, {**headers, "accept-encoding": "identity"})
    finally:
        _places.release()
    plain = _plain(told.get("content-encoding", ""), received)
    kept = {name.lower(): value for name, value in told.items() if name.lower() not in _HOPS}
    return Answer(code, kept, plain, (time.perf_counter() - start) * 1000)


def _streamed(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, httpx.Headers, bytes]:
    """As it came over the wire."""
    received, until = bytearray(), time.monotonic() + LONGEST
    try:
        with _client().stream(method, url, content=body, headers=dict(headers)) as answer:
            answer.headers.encoding = "latin-1"
            for piece in answer.iter_raw():
                received += piece
                if len(received) > LARGEST_ANSWER:
                    raise _too_large()
                if time.monotonic() > until:
                    raise EngineError(f"The answer was not whole after {LONGEST} s.", hint="Ask the endpoint itself.")
    except (httpx.LocalProtocolError, UnicodeEncodeError) as cause:
        raise Invalid("A header of the request, or the deployment's name, holds what cannot be sent.") from cause
    except httpx.ReadTimeout as cause:
        raise EngineError(f"No answer came within {LONGEST} s.", hint="Ask the endpoint itself.") from cause
    except httpx.HTTPError as cause:
        raise Unavailable(
            "The scoring gateway does not answer.", hint="'atelier status' shows whether it runs."
        ) from cause
    return answer.status_code, answer.headers, bytes(received)


def _plain(coding: str, body: bytes) -> bytes:
    """The body itself, where a model packs it unasked. What it grows to is measured while it grows."""
    coding = coding.strip().lower()
    if coding in {"", "identity"} or not body:
        return body
    if coding not in {"gzip", "deflate"}:
        raise EngineError(f"The answer is in a coding that is not read here: {coding[:80]!r}.")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = unpacking.decompress(body, LARGEST_ANSWER + 1)
    except zlib.error as cause:
        raise EngineError(f"The answer is said to be {coding}, and is not.") from cause
    if len(plain) > LARGEST_ANSWER:
        raise _too_large()
    return plain


def _too_large() -> EngineError:
    return EngineError(f"The answer is larger than {LARGEST_ANSWER >> 20} MB.")


def _opener(studio: Studio, endpoint: Endpoint) -> Issued:
    """Kept while it is good: keys are in the vault, and a token a request would be a row a request."""
    found = _opened.get(_place(endpoint))
    if found is None or found.expires_at <= now() + timedelta(minutes=1):
        found = _opened[_place(endpoint)] = endpoints.opener(studio, endpoint)
    return found


def _place(endpoint: Endpoint) -> tuple[str, str]:
    """With the key's hash: a key that was made anew is another one."""
    return endpoint.id, endpoint.key_hashes.get("primary", "")


def _inside(studio: Studio) -> str:
    """The gateway as this host reaches it, whatever its public address."""
    fact = studio.fact("scoring")
    if fact is None:
        raise Unavailable("The scoring gateway does not run.", hint="'atelier up' starts it.")
    return str(fact.value["url"]).rstrip("/")


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    """The gateway keeps the times that the deployment says; no thread of ours is kept for longer than `LONGEST`."""
    return httpx.Client(timeout=httpx.Timeout(LONGEST, connect=5), trust_env=False, follow_redirects=False)
