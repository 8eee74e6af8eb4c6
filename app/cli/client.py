"""The REST surface as the command line uses it: finds the studio, sends the token, turns problems into errors."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

from app import presence
from app.cli import common
from services.core.errors import AtelierError, Conflict, Denied, EngineError, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx

SECONDS, SENDING_SECONDS = 60, 600
_CLASSES: dict[int, type[AtelierError]] = {
    400: Invalid,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    422: Invalid,
    413: Invalid,
    415: Invalid,
    502: EngineError,
    503: Unavailable,
}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
NOT_RUNNING = "Start one with: atelier up --detach"


class Client:
    """Of the studio at ATELIER_ENDPOINT, or of the one that runs on the home."""

    def __init__(self, url: str = "", bearer: str = "") -> None:
        from app.cli.wire import httpx

        self.url = url or endpoint()
        headers = {"Authorization": f"Bearer {bearer or token(self.url)}", "User-Agent": "atelier-cli"}
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers=headers,
            timeout=SECONDS,
            trust_env=False,
            verify=self.url.startswith("https:"),  # reading all certificates takes a while, and nobody asks for them
        )

    def ask(self, method: str, path: str, *, json: Any = None, params: Any = None, headers: Any = None) -> Any:
        """The answer's JSON, None when it is empty."""
        answer = self.answer(method, path, json=json, params=params, headers=headers)
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, **what: Any) -> "httpx.Response":
        """Raises the error that the studio named, Unavailable when none answers."""
        answer = self.reached(method, path, **what)
        if answer.status_code >= 400:
            raise refusal(answer)
        return answer

    def reached(self, method: str, path: str, **what: Any) -> "httpx.Response":
        """Whatever is answered. Raises Unavailable when nobody does."""
        from app.cli.wire import httpx

        try:
            return self._http.request(method, path, **what)
        except httpx.ConnectError as cause:
            raise _nobody(self.url, cause) from cause
        except httpx.HTTPError as cause:
            raise Unavailable(f"The studio at {self.url} does not answer: {type(cause).__name__}.") from cause

    def all(self, path: str, *, params: Any = None, most: int = 0) -> list[Any]:
        """Every row of a list, page after page; at most `most` when that is given."""
        rows: list[Any] = []
        asked = dict(params or {})
        while True:
            page = self.ask("GET", path, params=asked)
            rows += page["value"]
            if not page.get("next_cursor") or (most and len(rows) >= most):
                return rows[:most] if most else rows
            asked["cursor"] = page["next_cursor"]

    def save(self, path: str, target: Path) -> None:
        """Streams a file to disk; it is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        with self._http.stream("GET", path) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise refusal(answer)
            with part.open("wb") as file:
                for piece in answer.iter_bytes(1 << 20):
                    file.write(piece)
        part.replace(target)

    def pour(self, path: str, target: BinaryIO) -> None:
        """Streams an answer on, such as to standard output."""
        with self._http.stream("GET", path) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise refusal(answer)
            target.writelines(answer.iter_bytes())

    def send(self, path: str, pieces: Iterator[bytes], length: int) -> Any:
        """Streams a body of known length."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        return self.answer("PUT", path, content=pieces, headers=headers, timeout=SENDING_SECONDS).json()


def in_workspace(path: str = "") -> str:
    return f"/workspaces/{quote(common.workspace(), safe='')}{path}"


def part(text: str) -> str:
    """A name as a segment of a path."""
    return quote(text, safe="")


def named(name: str, what: str = "workspace") -> str:
    """The name itself. Raises Invalid for none, as from a script's empty variable: it would mean all of them."""
    if not name.strip() or name in {".", ".."} or "/" in name:
        article = "an" if what[:1] in "aeiou" else "a"
        raise Invalid(f"'{name}' is no name of {article} {what}.", where="--name")
    return name


def endpoint() -> str:
    """ATELIER_ENDPOINT, what was configured, or the studio on the home. Raises Unavailable when there is none."""
    given = os.environ.get("ATELIER_ENDPOINT") or common.configured().get("endpoint")
    if given:
        return _address(str(given).rstrip("/"))
    found = presence.running(common.home())
    if not found:
        raise Unavailable("No studio is running.", hint=NOT_RUNNING)
    return str(found["url"])


def _address(url: str) -> str:
    try:
        is_one = urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise Invalid(f"'{url}' is no address of a studio, such as http://127.0.0.1:8501.", where="ATELIER_ENDPOINT")
    return url


def token(url: str) -> str:
    """ATELIER_TOKEN, or the local owner's, which is for studios of this machine. Raises Denied when there is none."""
    given = os.environ.get("ATELIER_TOKEN")
    if given:
        return given
    if urlsplit(url).hostname not in LOOPBACK and url != common.configured().get("public_url"):
        raise Denied(f"There is no token to sign in with at {url}.", hint="Set ATELIER_TOKEN.")
    try:
        return (common.home() / "token").read_text(encoding="utf-8").strip()
    except OSError as cause:
        raise Denied("There is no token to sign in with.", hint="Set ATELIER_TOKEN.") from cause


def _nobody(url: str, cause: Exception) -> Unavailable:
    if "SSL" in str(cause) or "CERTIFICATE" in str(cause):
        return Unavailable(f"The certificate of {url} is not trusted: {cause}.", hint="Is the address right?")
    if urlsplit(url).hostname in LOOPBACK:
        return Unavailable(f"No studio answers at {url}.", hint=NOT_RUNNING)
    return Unavailable(f"No studio answers at {url}.", hint="Is ATELIER_ENDPOINT right?")


def _of_the_gateway(said: dict[str, Any]) -> str:
    """Its answers go to callers of an endpoint, who know the cloud's form of errors."""
    error = said.get("error")
    return str(error.get("message") or "") if isinstance(error, dict) else ""


def refusal(answer: "httpx.Response") -> AtelierError:
    """The error that a problem+json describes."""
    try:
        said = answer.json()
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    kind = _CLASSES.get(answer.status_code, AtelierError)
    message = said.get("detail") or _of_the_gateway(said) or f"The studio answered {answer.status_code}."
    if answer.status_code == 401:
        message, said["hint"] = (
            "The studio does not know this token.",
            "Set ATELIER_TOKEN, or use the home of the studio.",
        )
    if answer.status_code >= 500 and said.get("request_id"):
        message += f" (request {said['request_id']})"
    error = kind(message, where=said.get("where"), hint=said.get("hint"))
    error.details = list(said.get("details") or [])
    error.code = said.get("code") or error.code
    return error
