"""Request and response for scripts that work with plain HTTP: Flask's where it is installed, small ones elsewhere."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

MODULES = ("azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request")


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | bytearray

    def header(self, name: bytes) -> str:
        """Empty when it did not come; `name` in small letters."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def titled(self) -> dict[str, str]:
        """All headers by their names as Flask writes them: `Content-Type`."""
        return {key.decode("latin-1").title(): value.decode("latin-1") for key, value in self.headers}


def is_asked_for() -> bool:
    """By `@rawhttp`, from whichever module the script imported it."""
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in MODULES)


def request(asked: Asked) -> Any:
    """For `run()`: a flask.Request, or a Request that has its most used parts."""
    if importlib.util.find_spec("flask") is None:
        return Request(asked)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": asked.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": asked.path,
        "QUERY_STRING": asked.query.decode("latin-1"),
        "CONTENT_TYPE": asked.header(b"content-type"),
        "CONTENT_LENGTH": str(len(asked.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(asked.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for key, value in asked.titled().items():
        if key not in ("Content-Type", "Content-Length"):
            environ["HTTP_" + key.upper().replace("-", "_")] = value
    return importlib.import_module("flask").Request(environ)


class Headers(dict):  # type: ignore[type-arg]
    """Header names whatever their case; values of the same name are joined by a comma."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        super().__init__()
        for name, value in (values or {}).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name.title(), str(value))

    def __getitem__(self, name: str) -> str:
        return str(super().__getitem__(name.title()))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).title())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.title(), default)

    def add(self, name: str, value: Any) -> None:
        self[name] = f"{self[name]}, {value}" if name in self else value

    add_header = add


class Args(dict):  # type: ignore[type-arg]
    """The first value of each query parameter, and all of them by `getlist`."""

    def __init__(self, query: bytes) -> None:
        self._all = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        super().__init__({name: values[0] for name, values in self._all.items()})

    def getlist(self, name: str) -> list[str]:
        return list(self._all.get(name, []))


class Request:
    """Method, args, headers, data and JSON of a request, where Flask is not installed. Forms and files need Flask."""

    def __init__(self, asked: Asked) -> None:
        self.method = asked.method
        self.path = asked.path
        self.query_string = asked.query
        self.args = Args(asked.query)
        self.headers = Headers(asked.titled())
        self.data = bytes(asked.body)
        self.content_type = self.headers.get("Content-Type")
        self.content_length = len(asked.body)
        self.stream = io.BytesIO(asked.body)

    @property
    def is_json(self) -> bool:
        return is_json(self.content_type or "")

    @property
    def json(self) -> Any:
        return self.get_json()

    def get_data(self, *, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        return self.data.decode() if as_text else self.data

    def get_json(self, *, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Raises ValueError for another type and for what is no JSON, unless `silent`."""
        try:
            if not (force or self.is_json):
                raise ValueError("The request's Content-Type is not application/json")
            return json.loads(self.data)
        except ValueError:
            if silent:
                return None
            raise


class Response:
    """Answers as the script built them, where Flask is not installed."""

    def __init__(
        self,
        message: Any,
        status_code: int = 200,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        self.status_code = status_code
        self.is_streamed = isinstance(message, Iterator)
        kind = "application/json" if json_str or message is None else "text/html; charset=utf-8"
        self.headers = Headers({"Content-Type": kind, "x-ms-run-function-failed": str(run_function_failed)})
        self.response: Any = json.dumps({} if message is None else message) if json_str or message is None else message
        for name, value in (response_headers or {}).items():
            self.headers[name] = value

    @property
    def data(self) -> bytes:
        return self.get_data()

    def set_data(self, value: str | bytes) -> None:
        self.response = value

    def get_data(self) -> bytes:
        return self.response.encode() if isinstance(self.response, str) else bytes(self.response)

    def iter_encoded(self) -> Iterator[Any]:
        return iter(self.response)


def flask_response() -> type:
    """AMLResponse on Flask's own Response, so that all that it can do is there."""
    base: Any = importlib.import_module("flask").Response

    class AMLResponse(base):  # type: ignore[misc]
        def __init__(
            self,
            message: Any,
            status_code: int = 200,
            response_headers: Mapping[str, str] | None = None,
            json_str: bool = False,
            run_function_failed: bool = False,
        ) -> None:
            if json_str or message is None:
                text = json.dumps({} if message is None else message)
                super().__init__(text, status=status_code, mimetype="application/json")
            else:
                super().__init__(message, status=status_code)
            if any(name.lower() == "content-type" for name in response_headers or {}):
                self.headers.remove("Content-Type")
            self.headers["x-ms-run-function-failed"] = str(run_function_failed)
            for name, value in (response_headers or {}).items():
                self.headers.add_header(name, value)

    return AMLResponse


def response() -> type:
    return Response if importlib.util.find_spec("flask") is None else flask_response()


def is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def mark(function: Callable[..., Any], module: str) -> Callable[..., Any]:
    """`@rawhttp` of one of the modules."""
    vars(sys.modules[module])["_rawHttpRequested"] = True
    return function


def request_type() -> type:
    """For scripts that name it in an annotation."""
    return Request if importlib.util.find_spec("flask") is None else importlib.import_module("flask").Request
