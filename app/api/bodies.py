"""Request bodies: strict JSON of a bounded size, checked against a spec with the words people understand."""

import json
import math
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request
from pydantic import BaseModel

from services.core.errors import AtelierError, Invalid
from services.specs.problems import checked

LARGEST = 16 << 20
DEPTH = 64
SECONDS = 60.0
AT_ONCE = 64 << 10
WHOLE = 2**63
Model = TypeVar("Model", bound=BaseModel)


class TooLarge(AtelierError):
    """The request is too large."""

    code, status = "TooLarge", 413


class UnsupportedMediaType(AtelierError):
    """The body must be JSON."""

    code, status = "UnsupportedMediaType", 415


class TooSlow(AtelierError):
    """The request did not arrive in time."""

    code, status = "RequestTimeout", 408


def body(model: type[Model]) -> Any:
    """A dependency that answers the request's body as `model`."""

    async def read(request: Request) -> Model:
        content = await raw(request)
        if len(content) < AT_ONCE:
            return checked(model, parsed(content))
        return await anyio.to_thread.run_sync(lambda: checked(model, parsed(content)))

    return Depends(read)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by `body`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def raw(request: Request, largest: int = LARGEST) -> bytes:
    """The bytes, once the type and the size are right."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType("The body must be JSON.", hint="Send Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("The body must not be compressed.")
    return await received(request, largest)


async def received(request: Request, largest: int) -> bytes:
    """The bytes, whatever they are. Raises TooLarge, TooSlow."""
    content = bytearray()
    try:
        with anyio.fail_after(SECONDS):
            async for piece in request.stream():
                content += piece
                if len(content) > largest:
                    raise TooLarge(f"The body is larger than {largest} bytes.")
    except TimeoutError as cause:
        raise TooSlow(f"The body did not arrive within {SECONDS:.0f} seconds.") from cause
    return bytes(content)


def parsed(content: bytes) -> Any:
    """Strict JSON. Raises Invalid naming the place for NaN, twice-given fields, depth, NUL and broken Unicode."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_mapping, parse_constant=_constant)
    except UnicodeDecodeError as cause:
        raise Invalid(f"The body is not UTF-8 (byte {cause.start}).") from cause
    except json.JSONDecodeError as cause:
        raise Invalid(
            f"The body is not JSON: {cause.msg}.", where=f"line {cause.lineno}, column {cause.colno}"
        ) from cause
    except RecursionError as cause:
        raise Invalid("The body is nested too deeply.") from cause
    except ValueError as cause:
        raise Invalid(f"The body is not JSON: {cause}.") from cause
    _walk(value, "", 0)
    return value


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Invalid(f"Field '{key[:80]}' is given twice.", where=key[:80])
        found[key] = value
    return found


def _constant(word: str) -> Any:
    raise Invalid(f"{word} is not a JSON number.")


def _walk(value: Any, where: str, depth: int) -> None:
    if depth > DEPTH:
        raise Invalid("The body is nested too deeply.", where=where[:200])
    _check(value, where)
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(key, where)
            _walk(inner, f"{where}.{key}".lstrip("."), depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{where}[{index}]", depth + 1)


def _check(value: Any, where: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("NUL is not allowed in text.", where=where)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as cause:
            raise Invalid("Half of a surrogate pair is not text.", where=where) from cause
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= WHOLE:
        raise Invalid("A whole number has at most 64 bits.", where=where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Invalid("This number is too large.", where=where)
