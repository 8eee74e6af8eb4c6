"""What models were asked and answered, kept as JSON lines where the cloud's data collector would put them.

`modelDataCollector/<endpoint>/<deployment>/<collection>/<yyyy>/<mm>/<dd>/<HH>/<id>.jsonl` in the workspace's blob
store; each line is an event in the cloud's envelope (CloudEvents), its `data` the request or the answer.
"""

import base64
import logging
import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from services.engines import files
from services.engines.routes import Capture

log = logging.getLogger("atelier.captures")
Side: TypeAlias = Literal["request", "answer"]

SIDES: dict[str, Side] = {
    "model_inputs": "request",
    "request": "request",
    "model_outputs": "answer",
    "response": "answer",
}
"""What is kept of a request by the name of the collection. Other names are filled by code in the model's container."""

FOLDER = "modelDataCollector"
FILE_LIMIT = 64 << 20
JSON_LIMIT = 4 << 20
TEXT_LIMIT = 64 << 10
"""Of a body that is no JSON, in bytes."""

_TABULAR = frozenset({"model_inputs", "model_outputs"})
_NAME = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z", re.ASCII)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Captured:
    """A request and what the model answered. `at` in seconds since 1970; a body of None was too large to be held."""

    at: float
    request_id: str
    request: bytes | None
    answer: bytes | None = None
    client_request_id: str = ""
    method: str = "POST"
    path: str = "/score"
    request_type: str = "application/json"
    answer_type: str = "application/json"


class Captures:
    """One for each process that writes: its files are its own. `dropped` counts lines that could not be written."""

    def __init__(self) -> None:
        self.instance = uuid.uuid4().hex
        self.dropped = 0
        self._numbers: dict[str, int] = {}

    def write(self, capture: Capture, collection: str, found: Sequence[Captured]) -> int:
        """Appends a line each, and says how many; never raises. Who samples has done it before."""
        if collection not in SIDES or not _NAME.match(collection):
            return 0
        hours: dict[str, list[bytes]] = {}
        for each in found:
            hour = datetime.fromtimestamp(each.at, UTC).strftime("%Y/%m/%d/%H")
            hours.setdefault(hour, []).append(line(capture, collection, each))
        written = 0
        for hour, lines in hours.items():
            try:
                self._append(Path(capture.folder), f"{collection}/{hour}", b"".join(lines))
                written += len(lines)
            except OSError as cause:
                self.dropped += len(lines)
                log.warning("Requests of %s could not be kept: %s", capture.folder, cause)
        return written

    def _append(self, folder: Path, place: str, content: bytes) -> None:
        """To the file of this process, or to its next one when that is full."""
        key = f"{folder}/{place}"
        store = folder.parents[2]  # the studio's own; below it jobs write too, and no link of theirs is taken
        store.mkdir(parents=True, exist_ok=True)
        inner = files.made_below(store, [*folder.parts[-3:], *place.split("/")])
        try:
            while True:
                number = self._numbers.get(key, 1)
                name = f"{self.instance}.jsonl" if number == 1 else f"{self.instance}-{number}.jsonl"
                with os.fdopen(os.open(name, _APPEND, 0o644, dir_fd=inner), "ab") as file:
                    if os.fstat(file.fileno()).st_size < FILE_LIMIT:
                        file.write(content)
                        return
                self._numbers[key] = number + 1
        finally:
            os.close(inner)


def line(capture: Capture, collection: str, captured: Captured) -> bytes:
    """One event, with the line's end. A body that cannot be rid of dropped columns is left out."""
    side = SIDES[collection]
    body, said = (
        (captured.request, captured.request_type) if side == "request" else (captured.answer, captured.answer_type)
    )
    deployment = Path(capture.folder)
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"/onlineEndpoints/{deployment.parent.name}/deployments/{deployment.name}",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "time": datetime.fromtimestamp(captured.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": None,
    }
    size = len(body or b"")
    try:
        if body is None or size > JSON_LIMIT:
            raise ValueError("too large")
        value = without(orjson.loads(body), capture.drop)
        event["data"] = orjson.Fragment(orjson.dumps(records(value) if collection in _TABULAR else value))
    except (ValueError, TypeError, RecursionError):  # no JSON, too large, or nested too deeply
        event["datacontenttype"] = _printable(said)
        if body and size <= TEXT_LIMIT and not capture.drop:
            event["data_base64"] = base64.b64encode(body).decode()
    event |= {"path": _printable(captured.path), "method": captured.method} if side == "request" else {}
    event |= {
        "contentrange": f"bytes 0-{max(0, size - 1)}/{size}",
        "correlationid": _printable(captured.client_request_id or captured.request_id),
        "xrequestid": captured.request_id,
        "agent": "atelier",
    }
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def without(value: Any, drop: frozenset[str]) -> Any:
    """The same without these columns: keys of records however deep, and columns of tables in the split form."""
    if not drop:
        return value
    if isinstance(value, list):
        return [without(each, drop) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        gone = {at for at, name in enumerate(value["columns"]) if str(name) in drop}
        value = {
            **value,
            "columns": _spared(value["columns"], gone),
            "data": [_spared(row, gone) for row in value["data"]],
        }
    return {key: without(each, drop) for key, each in value.items() if key not in drop}


def records(value: Any) -> Any:
    """Rows of a table as records, as the cloud's collector logs data frames; anything else as it came."""
    if isinstance(value, dict) and len(found := value.keys() & {"input_data", "dataframe_split"}) == 1:
        value = value[min(found)]
    if not isinstance(value, dict) or not isinstance(value.get("columns"), list):
        return value
    rows = value.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return value
    names = [str(name) for name in value["columns"]]
    if len(set(names)) < len(names) or any(len(row) != len(names) for row in rows):
        return value
    return [dict(zip(names, row, strict=True)) for row in rows]


def _spared(row: Any, gone: set[int]) -> Any:
    return [each for at, each in enumerate(row) if at not in gone] if isinstance(row, list) else row


def _printable(text: str) -> str:
    return text[:2048].encode("utf-8", "replace").decode()
