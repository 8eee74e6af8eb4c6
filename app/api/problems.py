"""Errors as RFC 9457 problems: what was wrong, where, what would be right, and the id to look for in the log."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.core.errors import AtelierError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "2"


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str = "",
    where: str | None = None,
    hint: str | None = None,
    details: list[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One answer; `details` are all sentences when there is more than one."""
    body: dict[str, Any] = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    body |= {"where": where, "hint": hint, "details": details or None, "request_id": request_id}
    content = orjson.dumps({key: _text(value) for key, value in body.items() if value is not None})
    return Response(content, status, dict(headers or {}), MEDIA_TYPE)


def of(error: AtelierError, request_id: str) -> Response:
    """One of our errors; the status comes from its class."""
    headers = {"Retry-After": RETRY_SECONDS} if error.status == 503 else None
    return problem(
        error.status,
        error.code,
        error.message,
        request_id=request_id,
        where=error.where,
        hint=error.hint,
        details=error.details,
        headers=headers,
    )


async def handler(request: Request, error: Exception) -> Response:
    """For FastAPI: every error of ours, by whatever route it came."""
    assert isinstance(error, AtelierError)  # noqa: S101 (registered for these only)
    return of(error, request_id(request.scope))


async def bug_handler(request: Request, error: Exception) -> Response:
    """Anything else is a bug: a sentence and the id for the person; Starlette raises it on, the gate logs it."""
    return bug(request_id(request.scope))


def bug(request_id: str) -> Response:
    return problem(500, "InternalError", "The fault is ours; the studio's log has the details.", request_id=request_id)


async def http_handler(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405), in the same shape."""
    status = int(getattr(error, "status_code", 500))
    code = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge", 415: "UnsupportedMediaType"}.get(status, "Error")
    detail = {404: "There is nothing at this address.", 405: "This address does not take this method."}.get(
        status, str(getattr(error, "detail", ""))
    )
    return problem(status, code, detail, request_id=request_id(request.scope), headers=getattr(error, "headers", None))


async def validation_handler(request: Request, error: Exception) -> Response:
    """Parameters of the address that FastAPI could not read."""
    found = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
    where = ".".join(str(part) for part in found["loc"][1:])
    return problem(422, "Invalid", f"{where}: {found['msg']}.", where=where, request_id=request_id(request.scope))


def _text(value: Any) -> Any:
    """What came in may be half a surrogate pair, which no JSON can carry out."""
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def request_id(scope: Mapping[str, Any]) -> str:
    return str(scope.get("atelier.request_id", ""))
