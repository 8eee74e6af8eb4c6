"""One request and its answer: finds an instance, sends, retries once, answers, and says how it went."""

from time import perf_counter, time
from typing import TYPE_CHECKING

from app.gateway import answers
from app.gateway.fleet import Entry, Fleet, Instance
from app.gateway.line import SHORT, Line
from services.core.names import folded
from services.engines.routes import Target
from services.store.requests import Kind, Record

if TYPE_CHECKING:
    from app.gateway.caller import Caller
    from app.gateway.copies import Pair

SCORE, SWAGGER = b"score", b"swagger.json"
_NO_BODY = frozenset({204, 304})
_LAST_CHUNK = b"0\r\n\r\n"
RETRY_AFTER = b"retry-after: 1\r\n"


class Exchange:
    """Made when the head of a request is whole. `pieces` is the body as far as it is held, `size` all that came of it.

    `go` looks for an instance; then `start`, `received` and one of `_done`, `refuse`, `expired`, `abandoned`.
    """

    __slots__ = (
        "agent", "answer_size", "arrived", "at", "began", "body_at", "caller", "client_id", "code", "entry", "fleet",
        "head_at", "headers", "in_flight", "instance", "is_answering", "is_chunked", "is_going", "is_held", "is_over",
        "is_retry", "is_whole", "kept", "kind", "length", "line", "method", "model_code", "model_reason", "note",
        "pairs", "passed_over", "path", "pieces", "queued", "reason", "replica", "request_id", "sent_at", "size",
        "sticky", "suffix", "wanted",
    )  # fmt: skip

    def __init__(self, caller: "Caller", method: str, path: bytes, suffix: bytes, began: float) -> None:
        self.caller, self.method, self.path, self.suffix = caller, method, path, suffix
        self.began, self.at = began, time()
        self.body_at = self.sent_at = self.head_at = 0.0
        self.entry: Entry | None = None
        self.fleet: Fleet | None = None
        self.instance: Instance | None = None
        self.line: Line | None = None
        self.headers: list[bytes] = []
        self.pieces: list[bytes] = []
        self.size = self.answer_size = self.model_code = self.in_flight = self.queued = 0
        self.length: int | None = None
        self.is_held = True
        self.is_going = self.is_whole = self.is_answering = self.is_over = self.is_retry = self.is_chunked = False
        self.wanted = self.sticky = self.agent = self.client_id = self.request_id = b""
        self.reason = self.model_reason = self.note = self.replica = ""
        self.kind: Kind = "live"
        self.passed_over: set[Instance] | None = None
        self.kept: list[bytes] | None = None
        self.pairs: list[Pair] | None = None

    def go(self) -> None:
        """Finds the deployment and an instance of it: now, or when one is free or awake."""
        entry = self.entry
        assert entry is not None  # noqa: S101 (who has no right key does not come here)
        self.is_going = True
        if entry.route.is_stopped:
            self.refuse(503, f"The endpoint '{entry.route.name}' is stopped.")
            return
        if self.wanted:
            fleet = entry.fleets.get(folded(self.wanted.decode("latin-1")))
            if fleet is None:
                self.refuse(404, f"'{entry.route.name}' has no deployment of the name that the request asks for.")
                return
        else:
            fleet = entry.choose(self.sticky)
            if fleet is None:
                self.refuse(404, f"'{entry.route.name}' has no deployment with positive weight.")
                return
        if not fleet.instances and not fleet.target.is_asleep:
            fleet = self._instead(fleet)
        if self.size > fleet.target.max_body:
            self.fleet = fleet
            self.refuse(413, f"The body is longer than {fleet.target.max_body} bytes.")
            return
        self._into(fleet)

    def _instead(self, fleet: Fleet) -> Fleet:
        """Another deployment with weight, where this one has no instance and the caller did not ask for it."""
        other = None if self.wanted or self.entry is None else self.entry.instead()
        if other is None:
            return fleet
        self.note = f"'{fleet.target.name}' has no instance"
        return other

    def _into(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.in_flight, self.queued = fleet.in_flight, len(fleet.waiting)
        router = self.caller.router
        if self.entry is not None and self.entry.mirrors and self.is_held and self.kind == "live":
            router.copies.of(self, self.entry.mirrors)
        if fleet.target.capture is not None and self.is_held:
            self.kept = [] if self.kept is None else self.kept
        instance = fleet.free() if not fleet.waiting else None
        if instance is not None:
            self.start(instance)
        elif not fleet.instances and fleet.target.is_asleep:
            self._wait_to_wake(fleet)
        elif self.queued >= fleet.room or not fleet.target.queue_ms:
            self.refuse(429, f"'{fleet.target.name}' works at as many requests as it can.", RETRY_AFTER)
        else:
            self._wait(fleet, fleet.target.queue_ms)

    def _wait_to_wake(self, fleet: Fleet) -> None:
        router = self.caller.router
        router.wake(fleet)
        if self.queued >= router.limits.sleepers:
            self.refuse(429, f"'{fleet.target.name}' is being woken, and enough requests wait for it.", RETRY_AFTER)
        else:
            self._wait(fleet, fleet.target.wake_ms)

    def _wait(self, fleet: Fleet, ms: float) -> None:
        fleet.waiting.append(self)
        self.caller.deadline = perf_counter() + ms / 1000
        if not self.is_whole:
            self.caller.hold(True)

    def start(self, instance: Instance) -> None:
        """Takes a place at the instance and sends, over a connection that is open or a new one."""
        assert self.fleet is not None  # noqa: S101
        self.fleet.taken(instance)
        self.instance = instance
        at = perf_counter()
        if not self.sent_at:
            self.sent_at = at
        self.caller.deadline = at + self.fleet.target.timeout_ms / 1000
        while instance.idle and not self.is_retry:
            line = instance.idle.pop()
            if not line.transport.is_closing():
                self._send(line)
                return
        if not self.is_whole:
            self.caller.hold(True)
        self.caller.router.connect(instance, self)

    def connected(self, line: Line) -> None:
        """A new connection is there."""
        if self.is_over or line.instance is not self.instance:
            line.idle()
        else:
            self._send(line)

    def unreachable(self, instance: Instance) -> None:
        """Nothing was sent: another instance of the same deployment, then another deployment that has weight."""
        instance.down_until = perf_counter() + 1.0
        if self.is_over or self.instance is not instance or self.fleet is None:
            return
        self.passed_over = (self.passed_over or set()) | {instance}
        self._free()
        other = self.fleet.free(self.passed_over)
        if other is not None:
            self.start(other)
            return
        if all(each in self.passed_over for each in self.fleet.instances):
            fleet = self._reachable()
            if fleet is None:
                self.refuse(503, f"No instance of '{self.fleet.target.name}' can be reached.", RETRY_AFTER)
                return
            self.note, self.fleet = f"'{self.fleet.target.name}' cannot be reached", fleet
            other = fleet.free(self.passed_over)
        if other is not None:
            self.start(other)
        else:
            self._wait(self.fleet, self.fleet.target.queue_ms)

    def _reachable(self) -> Fleet | None:
        if self.wanted or self.entry is None or self.passed_over is None:
            return None
        for name, _ in self.entry.weights:
            fleet = self.entry.fleets[name]
            if any(each not in self.passed_over for each in fleet.instances):
                return fleet
        return None

    def _send(self, line: Line) -> None:
        assert self.fleet is not None  # noqa: S101
        self.line = line
        if self.is_whole:
            line.begin(self, [self.head(line.instance, self.fleet.target, self.size), *self.pieces])
            return
        self.is_held = False
        line.begin(self, [self.head(line.instance, self.fleet.target, self.length)])
        pieces, self.pieces = self.pieces, []
        for piece in pieces:
            self.more(piece)
        if not self.is_over and not line.is_full:
            self.slow(False)

    def head(self, instance: Instance, target: Target, length: int | None) -> bytes:
        """Of the request to the instance: without the key, and with one framing."""
        wanted, mark, query = self.suffix.partition(b"?")
        path = target.score_path if wanted == SCORE else target.openapi_path
        framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
        return b"%b %b%b%b HTTP/1.1\r\nhost: %b\r\n%b%bx-request-id: %b\r\n\r\n" % (
            self.method.encode(), path.encode(), mark, query, instance.address, b"".join(self.headers),
            b"" if length == 0 and self.method == "GET" else framing, self.request_id,
        )  # fmt: skip

    def more(self, piece: bytes) -> None:
        """Of a body that is too long to be held."""
        if self.line is None:
            self.pieces.append(piece)
        elif self.length is None:
            self.line.transport.writelines([b"%x\r\n" % len(piece), piece, b"\r\n"])
        else:
            self.line.transport.write(piece)

    def ended(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self.body_at = perf_counter()
        if not self.is_going:
            self.go()
        elif self.line is not None:
            if self.length is None:
                self.line.transport.write(_LAST_CHUNK)
            if self.fleet is not None:
                self.caller.deadline = self.body_at + self.fleet.target.timeout_ms / 1000

    def slow(self, is_slow: bool) -> None:
        if self.is_whole:
            return
        self.caller.hold(is_slow)
        if is_slow and self.fleet is not None:
            self.caller.deadline = perf_counter() + self.fleet.target.timeout_ms / 1000
        elif not is_slow:
            self.caller.await_body()

    def received(self, line: Line) -> None:
        if not self.is_answering:
            if line.is_head:
                self._answer(line)
            return
        pieces, line.pieces = line.pieces, []
        self._pass_on(pieces)
        if self.is_over:
            return
        if line.is_complete:
            if self.is_chunked:
                self.caller.transport.write(_LAST_CHUNK)
            self._done()
        elif pieces and self.fleet is not None and not self.caller.is_stalled:
            self.caller.deadline = perf_counter() + self.fleet.target.timeout_ms / 1000

    def _answer(self, line: Line) -> None:
        """The head, and what is here of the body; short answers leave in one piece."""
        fleet, caller, status = self.fleet, self.caller, line.status
        assert fleet is not None  # noqa: S101
        self.is_answering = True
        self.head_at = perf_counter()
        self.model_code = status
        self.code = code = status if status < 500 else 424
        head = [answers.status(code), *line.headers]
        if code == 424:
            self.model_reason = "run_function_failed" if line.is_failed_run else "model_error"
            head.append(_model_error(self.model_code, self.model_reason))
        head += (fleet.label, self.ids())
        if caller.closes or not self.is_whole:
            caller.closes = True
            head.append(b"connection: close\r\n")
        pieces, line.pieces = line.pieces, []
        if line.is_complete:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.answer_size = len(body)
            if self.kept is not None:
                self._keep([body])
            head.append(b"\r\n" if code in _NO_BODY else b"content-length: %d\r\n\r\n" % len(body))
            if len(body) < SHORT:
                head.append(body)
                caller.transport.write(b"".join(head))
            else:
                caller.transport.writelines([b"".join(head), body])
            self._done()
            return
        if (line.length or 0) > caller.router.limits.answer_bytes:
            self.is_answering = False
            self._broken("answer_too_long")
            return
        if line.length is not None:
            head.append(b"content-length: %d\r\n" % line.length)
        elif caller.is_old:
            caller.closes = True
        else:
            self.is_chunked = True
            head.append(b"transfer-encoding: chunked\r\n")
        head.append(b"\r\n")
        caller.transport.write(b"".join(head))
        caller.deadline = self.head_at + fleet.target.timeout_ms / 1000
        self._pass_on(pieces)

    def _pass_on(self, pieces: list[bytes]) -> None:
        if not pieces:
            return
        size = sum(map(len, pieces))
        self.answer_size += size
        if self.answer_size > self.caller.router.limits.answer_bytes:
            self.cut(self.line, "answer_too_long")
            return
        if self.kept is not None:
            self._keep(pieces)
        if self.is_chunked:
            pieces = [b"%x\r\n" % size, *pieces, b"\r\n"]
        self.caller.transport.writelines(pieces)

    def _keep(self, pieces: list[bytes]) -> None:
        """For comparing and capturing; an answer that is too long for that is not kept."""
        if self.answer_size > self.caller.router.limits.held_bytes:
            self.kept = None
        elif self.kept is not None:
            self.kept += pieces

    def ids(self) -> bytes:
        """Lines of the answer that say which request it was."""
        if self.client_id:
            return b"x-request-id: %b\r\nx-ms-client-request-id: %b\r\n" % (self.request_id, self.client_id)
        return b"x-request-id: %b\r\n" % self.request_id

    def _done(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            if self.is_whole:
                line.release()
            else:
                line.abort()
        self._over()
        self.caller.answered(self.is_whole)

    def cut(self, line: Line | None, reason: str) -> None:
        """Once more, on a new connection, if nothing came of the answer and the body is still held: the instance may
        have closed the old one just then. An answer that ends early must not look whole: the caller's is broken too."""
        self.line = None
        if self.is_over:
            return
        if self.is_answering:
            if line is not None and line.asker is self:
                line.abort()
            self.code, self.model_reason = 424, reason
            self._over()
            self.caller.abort()
        elif line is not None and line.is_reused and not line.is_begun and self.is_held and not self.is_retry:
            self.is_retry = True
            instance = self.instance
            assert instance is not None and self.fleet is not None  # noqa: S101, PT018
            self._free()
            again = instance if not instance.is_gone else self.fleet.free()
            if again is None:
                self._wait(self.fleet, self.fleet.target.queue_ms)
            else:
                self.start(again)
        else:
            self._broken(reason)

    def _broken(self, reason: str) -> None:
        self.model_code, self.model_reason = self.model_code or 502, reason
        self.refuse(424, f"The model gave no answer that can be passed on: {reason}.", _model_error(502, reason))

    def refuse(self, code: int, message: str, headers: bytes = b"") -> None:
        """Answers in the gateway's own words."""
        if self.is_over:
            return
        if self.line is not None:
            self.line.abort()
            self.line = None
        self.code, self.reason = code, message
        body = answers.error(code, message)
        self.answer_size = len(body)
        label = self.fleet.label if self.fleet is not None else b""
        self.caller.say(answers.written(code, body, headers + label + self.ids() + self.caller.ending(self.is_whole)))
        self._over()
        self.caller.answered(self.is_whole)

    def expired(self) -> None:
        """The deadline that the caller's connection keeps for this request has passed."""
        fleet = self.fleet
        if self.is_answering:
            if self.caller.is_stalled:
                self.abandoned("the caller does not read its answer")
                self.caller.abort()
            else:
                self.cut(self.line, "answer_stalled")
        elif fleet is None or (not self.is_whole and not self.caller.is_held):
            self.refuse(408, "The body of the request came too slowly.")
        elif self.instance is not None:
            self.model_code, self.model_reason = 504, "timeout"
            self.refuse(408, f"'{fleet.target.name}' did not answer within {fleet.target.timeout_ms} ms.")
        elif fleet.target.is_asleep and not fleet.instances:
            seconds = fleet.target.wake_ms / 1000
            self.refuse(
                503, f"'{fleet.target.name}' is being woken, which takes longer than {seconds:g} s.", RETRY_AFTER
            )
        elif not fleet.instances:
            self.refuse(503, f"'{fleet.target.name}' has no instance that is ready.", RETRY_AFTER)
        else:
            self.refuse(429, f"'{fleet.target.name}' was too busy for {fleet.target.queue_ms} ms.", RETRY_AFTER)

    def abandoned(self, reason: str = "the caller has gone") -> None:
        """Nobody waits for the answer: the instance is told, and its place is free."""
        if self.is_over:
            return
        if self.line is not None:
            self.line.abort()
            self.line = None
        self.code, self.reason = 499, reason
        self._over()

    def _free(self) -> None:
        instance, self.instance = self.instance, None
        if instance is not None and self.fleet is not None:
            self.replica = instance.backend.id
            self.fleet.freed(instance)

    def _over(self) -> None:
        """Frees what is held and writes it down; once."""
        self.is_over = True
        fleet = self.fleet
        if self.instance is None and fleet is not None and self in fleet.waiting:
            fleet.waiting.remove(self)
        self._free()
        if self.entry is not None:
            self.caller.router.note(self, self.entry)

    def record(self, end: float) -> Record:
        """For the request log."""
        entry, fleet = self.entry, self.fleet
        assert entry is not None  # noqa: S101
        route, sent = entry.route, self.sent_at
        asked = self.body_at or sent or end
        return Record(
            self.at,
            route.workspace_id,
            route.id,
            route.name,
            fleet.target.id if fleet is not None else "",
            fleet.target.name if fleet is not None else "",
            self.replica,
            self.method,
            self.path.decode("latin-1"),
            "HTTP/1.0" if self.caller.is_old else "HTTP/1.1",
            self.code,
            self.reason or self.note,
            self.model_code,
            self.model_reason,
            self.size,
            self.answer_size,
            self.agent.decode("latin-1"),
            self.request_id.decode(),
            self.client_id.decode(),
            (end - self.began) * 1000,
            (asked - self.began) * 1000,
            (end - self.head_at) * 1000 if self.head_at else 0.0,
            (sent - asked) * 1000 if sent > asked else 0.0,
            self.kind,
            self.in_flight,
            self.queued,
        )


def _model_error(code: int, reason: str) -> bytes:
    return f"ms-azureml-model-error-statuscode: {code}\r\nms-azureml-model-error-reason: {reason}\r\n".encode()
