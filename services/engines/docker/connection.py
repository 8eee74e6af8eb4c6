"""The connection to a Docker engine: time limits on every call, one translation of what goes wrong."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import docker
import requests
import urllib3
from docker import APIClient, errors
from docker.types import CancellableStream
from docker.utils import kwargs_from_env

from services.core.errors import Conflict, EngineError, NotFound, Unavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Client = TypeVar("Client", bound=APIClient)

SECONDS = 30
# What comes out of a stream that broke half-way is urllib3's, not yet requests'.
SILENT = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
QUIET = (urllib3.exceptions.ReadTimeoutError, requests.exceptions.ReadTimeout)


class _Listening(APIClient):
    """The SDK waits for events without any limit: for ever, where nobody is behind the connection any more."""

    def get(self, url: str, **settings: Any) -> requests.Response:  # type: ignore[override]
        return super().get(url, **{**settings, "timeout": self.timeout})


class Interruptible(APIClient):
    """A client that another thread can interrupt in the middle of an answer; the engine then drops what it was at."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.canceled = threading.Event()
        self._answer: requests.Response | None = None
        super().__init__(*args, **settings)

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        answer = super().send(request, **settings)
        self._answer = answer if settings.get("stream") else None
        return answer

    def interrupt(self) -> None:
        self.canceled.set()
        answer = self._answer
        if answer is not None:
            with suppress(errors.DockerException, AttributeError, *SILENT):  # it has just ended by itself
                CancellableStream(iter(()), answer).close()


def listening(host: str | None = None, *, seconds: int) -> APIClient:
    """A client whose streams raise one of QUIET when nothing came for so many seconds."""
    return _connected(_Listening, host, seconds)


def interruptible(host: str | None = None, *, seconds: int) -> Interruptible:
    """A client for one long call that may be given up."""
    return _connected(Interruptible, host, seconds)


def connect(host: str | None = None, *, seconds: int = SECONDS) -> APIClient:
    """A client for `host` or for what DOCKER_HOST says. Raises Unavailable when nothing answers."""
    return _connected(APIClient, host, seconds)


def _connected(kind: type[Client], host: str | None, seconds: int) -> Client:
    with _own_certificates():
        try:
            settings = kwargs_from_env()
            if host:
                settings["base_url"] = host
            return kind(version="auto", timeout=seconds, **settings)
        except (errors.DockerException, *SILENT) as cause:
            raise Unavailable(f"Docker does not answer: {_short(cause)}.") from cause


def translated(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """What the SDK and requests raise, as one of our errors with the cause chained."""

    @functools.wraps(call)
    def asked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with translating():
            return call(*args, **kwargs)

    return asked


@contextmanager
def translating() -> Iterator[None]:
    try:
        yield
    except errors.NotFound as cause:
        raise NotFound(f"The engine does not know it: {explained(cause)}") from cause
    except errors.APIError as cause:
        status = cause.response.status_code if cause.response is not None else 0
        if status == 409:
            raise Conflict(f"The engine refused: {explained(cause)}") from cause
        if status in {502, 503, 504}:
            raise Unavailable(f"Docker does not answer: {explained(cause)}") from cause
        raise EngineError(f"The engine refused: {explained(cause)}") from cause
    except (errors.DockerException, *SILENT) as cause:
        raise Unavailable(f"Docker does not answer: {_short(cause)}.") from cause


def explained(cause: errors.APIError) -> str:
    """The engine's own words."""
    return str(cause.explanation or cause).strip().splitlines()[0][:500] if str(cause) else "no reason given"


def _short(cause: BaseException) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0][:300]


@contextmanager
def _own_certificates() -> Iterator[None]:
    """These two override the CA that a TLS connection to an engine was given."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ and os.environ.get("DOCKER_TLS_VERIFY")}
    try:
        yield
    finally:
        os.environ.update(kept)


__all__ = ["APIClient", "connect", "docker", "explained", "translated", "translating"]
