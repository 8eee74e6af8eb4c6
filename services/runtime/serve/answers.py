"""What is sent back: JSON of what `run()` returned, a response that it built, or a sentence about what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
JSON = (b"content-type", b"application/json")
PLAIN = (list, dict, str)  # what most scripts return
FAILED = (b"x-ms-run-function-failed", b"true")


class Answer(NamedTuple):
    """`stream` yields the body's parts where there is one, and `body` is then empty."""

    status: int
    body: bytes
    headers: Iterable[tuple[bytes, bytes]] = (JSON,)
    stream: Iterator[bytes] | None = None


class NotJson(Exception):
    """`run()` returned what has no JSON form; the message says what, and what to return instead."""


def message(status: int, text: str, *, failed: bool = False) -> Answer:
    return Answer(status, orjson.dumps({"message": text}), (JSON, FAILED) if failed else (JSON,))


def answer(value: Any) -> Answer:
    """Of what `run()` returned. None is {}, a str is a JSON string, NaN is null. Raises NotJson."""
    if type(value) in PLAIN:
        return Answer(200, dumped(value))
    if hasattr(value, "status_code") and hasattr(value, "headers"):
        return _built(value)
    if isinstance(value, Iterator):
        return Answer(200, b"", ((b"content-type", b"text/plain; charset=utf-8"),), parts(value))
    return Answer(200, dumped({} if value is None else value))


def dumped(value: Any) -> bytes:
    """JSON; numpy's arrays and numbers are lists and numbers. Raises NotJson naming the type."""
    try:
        return orjson.dumps(value, _plain, OPTIONS)
    except TypeError as error:
        if isinstance(error.__cause__, NotJson):
            raise error.__cause__ from None
    try:  # what orjson is stricter about: integers beyond 64 bits, lone surrogates
        return json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"run() returned a value without a JSON form: {error}") from error


def parts(values: Iterator[Any]) -> Iterator[bytes]:
    """Raises NotJson for a part that is neither text nor bytes."""
    for value in values:
        if isinstance(value, str):
            yield value.encode()
        elif isinstance(value, (bytes, bytearray, memoryview)):
            yield bytes(value)
        else:
            raise NotJson(f"run() yielded a {_name(value)}; a streamed answer consists of str or bytes")


def _plain(value: Any) -> Any:
    kind = type(value).__module__.partition(".")[0]
    if kind == "numpy" and hasattr(value, "tolist"):
        plain = value.tolist()
        if type(plain).__module__.partition(".")[0] != "numpy" and not isinstance(plain, (bytes, complex)):
            return plain
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise NotJson(f"run() returned a {_name(value)}, which has no JSON form; {_advice(value)}")


def _advice(value: Any) -> str:
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return "return frame.to_dict(orient='records') instead"
    if hasattr(value, "tolist"):
        return "return its .tolist() instead"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "return text, or an AMLResponse(data, 200) for bytes as they are"
    return "return lists, dicts, strings, numbers or an AMLResponse instead"


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _built(response: Any) -> Answer:
    """Of a response of Flask's, or of ours in its place."""
    headers = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1")) for name, value in response.headers.items()
    ]
    headers = [
        each for each in headers if each[0] not in (b"content-length", b"x-ms-run-function-failed", b"connection")
    ]
    failed = response.status_code >= 500 or str(response.headers.get("x-ms-run-function-failed", "")).lower() == "true"
    if failed:
        headers.append(FAILED)
    if getattr(response, "is_streamed", False) or getattr(response, "direct_passthrough", False):
        return Answer(response.status_code, b"", headers, parts(iter(response.iter_encoded())))
    return Answer(response.status_code, response.get_data(), headers)
