"""What the gateway says itself: status lines, and errors as JSON in the cloud's form."""

from http import HTTPStatus

import orjson

_EXTRA = {499: "Client Closed Request", 424: "Failed Dependency"}
STATUS = {
    code: f"HTTP/1.1 {code} {_EXTRA.get(code) or HTTPStatus(code).phrase}\r\n".encode()
    for code in {*(each.value for each in HTTPStatus), *_EXTRA}
}
_NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "PayloadTooLarge",
    417: "ExpectationFailed",
    424: "ModelError",
    429: "TooManyRequests",
    431: "HeadersTooLarge",
    501: "NotImplemented",
    503: "Unavailable",
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status(code: int) -> bytes:
    """The first line; models may say numbers that nobody has a word for."""
    return STATUS.get(code) or f"HTTP/1.1 {code} -\r\n".encode()


def error(code: int, message: str) -> bytes:
    """The body."""
    return orjson.dumps({"error": {"code": _NAMES.get(code, "Error"), "message": message}})


def written(code: int, body: bytes, headers: bytes = b"", *, kind: bytes = b"application/json") -> bytes:
    """A whole answer; `headers` are lines that end."""
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status(code), kind, len(body), headers, body)
