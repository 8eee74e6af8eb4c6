"""Scoring requests as callers send them, right and wrong (FAULTS 4.8)."""

import asyncio
import threading
import time
from collections.abc import Callable

import orjson
import pytest

from app.gateway.limits import Limits
from tests.gateway.rows import PRIMARY, SECONDARY, digest
from tests.gateway.stand import (
    Asked,
    Model,
    Reply,
    Stand,
    a_route,
    a_target,
    ask,
    client,
    codes,
    plain,
    request,
    until,
)

Models = Callable[..., Model]


def test_a_request_is_scored_and_says_who_answered(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    reply = ask(stand.port, b'{"a": 1}')
    assert (reply.code, reply.document) == (200, {"model": "blue", "body": '{"a": 1}'})
    assert reply.headers["azureml-model-deployment"] == "blue"
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY, "a-token"])
def test_both_keys_and_tokens_open(stand: Stand, model: Models, key: str) -> None:
    tokens = {bytes.fromhex(digest("a-token")): time.time() + 60}
    blue = model()
    stand.apply(a_target(blue), tokens=tokens)
    assert ask(stand.port, key=key).code == 200
    assert "authorization" not in blue.asked[0].headers
    assert key.encode() not in blue.asked[0].head


WRONG = {
    "none": {},
    "empty": {"Authorization": ""},
    "no word": {"Authorization": PRIMARY},
    "another word": {"Authorization": f"Basic {PRIMARY}"},
    "not it": {"Authorization": "Bearer nothing"},
    "more than it": {"Authorization": f"Bearer {PRIMARY} {PRIMARY}"},
    "its digest": {"Authorization": f"Bearer {digest(PRIMARY)}"},
    "a late token": {"Authorization": "Bearer late"},
    "of another endpoint": {"Authorization": "Bearer theirs"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_without_a_right_key_nothing_is_told(stand: Stand, model: Models, headers: dict[str, str]) -> None:
    """The same for an endpoint that is not there: nobody learns by asking which are."""
    blue = model()
    theirs = (bytes.fromhex(digest("theirs")),)
    late = {bytes.fromhex(digest("late")): time.time() - 1}
    stand.apply_all(
        a_route(a_target(blue), tokens=late), a_route(a_target(blue), id="other-id", name="other", key_hashes=theirs)
    )
    there = ask(stand.port, headers=headers, key=None)
    nowhere = ask(stand.port, headers=headers, key=None, path="/lab/nowhere/score")
    unnamed = ask(stand.port, headers={**headers, "azureml-model-deployment": "none"}, key=None)
    assert codes([there, nowhere, unnamed]) == [401, 401, 401]
    assert there.body == nowhere.body == unnamed.body
    assert there.headers.keys() == nowhere.headers.keys()
    assert there.headers["www-authenticate"] == "Bearer"
    assert blue.asked == []


def test_an_endpoint_without_keys_is_opened_by_none(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()), key_hashes=())
    assert ask(stand.port).code == 401


def test_a_right_key_is_told_what_is_not_there(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    reply = ask(stand.port, headers={"azureml-model-deployment": "green"})
    assert (reply.code, "no deployment of the name" in reply.message) == (404, True)
    assert ask(stand.port, path="/lab/iris/other").code == 404
    assert ask(stand.port, path="/").code == 404


def test_a_stopped_endpoint_says_so(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()), is_stopped=True)
    reply = ask(stand.port)
    assert (reply.code, reply.message) == (503, "The endpoint 'iris' is stopped.")


@pytest.mark.parametrize("path", ["/LAB/Iris/score", "/lab/iris/score?a=1&b=%20"])
def test_names_have_no_case_and_questions_pass(stand: Stand, model: Models, path: str) -> None:
    blue = model()
    stand.apply(a_target(blue))
    assert ask(stand.port, path=path).code == 200
    assert blue.asked[0].line == f"POST /score{'?' + path.partition('?')[2] if '?' in path else ''} HTTP/1.1"


def test_the_clouds_address_is_the_endpoint_in_the_host(stand: Stand, model: Models) -> None:
    """Two workspaces may have one of the name: the key says which."""
    here, there = model("here"), model("there")
    theirs = (bytes.fromhex(digest("theirs")),)
    stand.apply_all(
        a_route(a_target(here)), a_route(a_target(there), id="other-id", workspace="other", key_hashes=theirs)
    )
    host = "iris.westeurope.inference.example"
    assert ask(stand.port, path="/score", host=host).document["model"] == "here"
    assert ask(stand.port, path="/score", host=host, key="theirs").document["model"] == "there"
    assert ask(stand.port, path="/score", host=host, key="nobodys").code == 401
    assert ask(stand.port, path="/score", host="none.example").code == 401
    assert ask(stand.port, path="/score", host="iris").code == 401, "a host of one label is no endpoint's"


def test_a_deployments_own_routes_are_asked(stand: Stand, model: Models) -> None:
    blue = model()
    stand.apply(a_target(blue, score_path="/v1/models/half:predict", openapi_path="/swagger.json"))
    assert ask(stand.port).code == 200
    assert ask(stand.port, b"", method="GET", path="/lab/iris/score?a=1").code == 200
    assert ask(stand.port, b"", method="GET", path="/lab/iris/swagger.json?version=3").code == 200
    assert [asked.line for asked in blue.asked] == [
        "POST /v1/models/half:predict HTTP/1.1",
        "GET /v1/models/half:predict?a=1 HTTP/1.1",
        "GET /swagger.json?version=3 HTTP/1.1",
    ]
    assert "content-length" not in blue.asked[1].headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused_and_no_page_of_another_site_is_let_in(
    stand: Stand, model: Models, method: str
) -> None:
    blue = model()
    stand.apply(a_target(blue))
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    with client(stand.port) as one:
        one.send(request(b"", preflight, key=None, method=method))
        reply = Reply(405, {}, b"") if method == "HEAD" and one.socket.recv(12) == b"HTTP/1.1 405" else one.reply()
    assert reply.code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert blue.asked == []


def test_an_answer_lets_no_page_of_another_site_in(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    reply = ask(stand.port, headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in reply.headers if name.startswith("access-control")]


HEAD = b"POST /lab/iris/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + PRIMARY.encode() + b"\r\n"
MALFORMED = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "a bare line feed": HEAD + b"X: a\nContent-Length: 5\r\n\r\nhello",
    "only line feeds": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 5\n\nhello",
    "NUL in a value": HEAD + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in the address": HEAD.replace(b"/score", b"/sc\0re") + b"Content-Length: 5\r\n\r\nhello",
    "a space before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "a folded line": HEAD + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "a chunk that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "two keys": HEAD + b"Authorization: Bearer x\r\nContent-Length: 5\r\n\r\nhello",
    "two hosts": HEAD + b"Host: y\r\nContent-Length: 5\r\n\r\nhello",
    "no host": HEAD.replace(b"Host: x\r\n", b"") + b"Content-Length: 5\r\n\r\nhello",
    "an upgrade": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
    "another version": HEAD.replace(b"HTTP/1.1", b"HTTP/3.7") + b"Content-Length: 5\r\n\r\nhello",
    "no version": b"GET /lab/iris/score\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an authority": HEAD.replace(b"/lab/iris/score", b"lab") + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_can_be_read_in_two_ways_is_not_read(stand: Stand, model: Models, raw: bytes) -> None:
    blue = model()
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        reply = one.send(raw).reply()
    assert (reply.code, blue.asked) == (400, [])
    assert ask(stand.port).code == 200


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked"])
def test_other_codings_are_not_known(stand: Stand, model: Models, coding: bytes) -> None:
    blue = model()
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        assert one.send(HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n").reply().code == 501
    assert blue.asked == []


def test_an_absolute_address_is_read_as_its_path(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    assert ask(stand.port, path="http://anywhere.example/lab/iris/score").code == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_too_long_is_refused(stand: Stand, model: Models, framing: str) -> None:
    blue = model()
    stand.apply(a_target(blue, max_body=1 << 20))
    with client(stand.port) as one:
        if framing == "length":
            one.send(request(bytes((1 << 20) + 1)))
        else:
            one.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            one.send(b"%x\r\n%b\r\n0\r\n\r\n" % ((1 << 20) + 1, bytes((1 << 20) + 1)))
        reply = one.reply()
    assert (reply.code, reply.headers["connection"]) == (413, "close")
    assert not any(len(asked.body) for asked in blue.asked)
    assert ask(stand.port, bytes(1 << 20)).code == 200


def test_the_limit_is_sixteen_megabytes(stand: Stand, model: Models) -> None:
    async def small(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"1"))

    stand.apply(a_target(model(answering=small)))
    assert ask(stand.port, bytes((16 << 20) + 1)).code == 413
    assert ask(stand.port, bytes(16 << 20)).code == 200


def test_a_body_that_comes_too_slowly_ends(stand_of: Callable[..., Stand], model: Models) -> None:
    stand = stand_of(limits=Limits(body_seconds=0.3, body_rate=1 << 20, linger_seconds=0.1))
    blue = model()
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        one.send(HEAD + b"Content-Length: 1000\r\n\r\nhal")
        reply = one.reply()
        assert (reply.code, reply.message) == (408, "The body of the request came too slowly.")
        assert one.is_ended()
    assert (blue.asked, blue.connections) == ([], 0), "a slow body takes no place at a model"


@pytest.mark.parametrize("body", [b"", b"not JSON", b'{"a": NaN}', orjson.dumps([[1.5] * 10] * 20_000)])
def test_bodies_are_the_models_matter(stand: Stand, model: Models, body: bytes) -> None:
    blue = model()
    stand.apply(a_target(blue))
    assert ask(stand.port, body).code == 200
    assert blue.asked[0].body == body


def test_who_expects_100_is_told_to_go_on(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    with client(stand.port) as one:
        one.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert one.reply().code == 100
        assert one.send(b"hello").reply().document["body"] == "hello"
    with client(stand.port) as one:
        one.send(HEAD.replace(PRIMARY.encode(), b"x") + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert one.reply().code == 401
    with client(stand.port) as one:
        one.send(HEAD + b"Expect: miracles\r\nContent-Length: 5\r\n\r\n")
        assert one.reply().code == 417


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("a" * 41, "a" * 40),
        ("with space\tand\x7f<b>", "withspaceandb"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("\u00fc\u00fc", None),
    ],
)
def test_a_callers_own_id_is_cleaned_and_comes_back(stand: Stand, model: Models, sent: str, echoed: str | None) -> None:
    blue = model()
    stand.apply(a_target(blue))
    reply = ask(stand.port, headers={"x-ms-client-request-id": sent})
    if "\x7f" in sent:
        assert reply.code == 400
        return
    assert reply.headers.get("x-ms-client-request-id") == echoed
    assert blue.asked[0].headers.get("x-ms-client-request-id") == echoed


def test_ids_are_made_where_there_are_none_or_bad_ones(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model()))
    made = [ask(stand.port, headers=headers).headers["x-request-id"] for headers in ({}, {"x-request-id": "<b>"})]
    assert len(set(made)) == 2
    assert "<" not in made[1]
    assert ask(stand.port, headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "422 Unprocessable", "302 Found", "204 No Content"]
)
def test_what_a_model_says_below_500_passes(stand: Stand, model: Models, status: str) -> None:
    async def says(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"" if status.startswith("204") else b'{"message": "column x is missing"}'
        head = f"HTTP/1.1 {status}\r\nX-Ms-Server-Version: 1\r\n".encode()
        writer.write(head + (b"\r\n" if not body else b"Content-Length: %d\r\n\r\n%b" % (len(body), body)))

    stand.apply(a_target(model(answering=says)))
    with client(stand.port) as one:
        reply = one.ask()
        assert reply.code == int(status[:3])
        assert b"column x" in reply.body or status.startswith("204")
        assert reply.headers["x-ms-server-version"] == "1"
        assert one.ask().code == reply.code
    assert stand.records()[0].model_code == reply.code


def test_a_model_that_fails_is_424_with_the_clouds_words(stand: Stand, model: Models) -> None:
    async def fails(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = "500 Internal Server Error" if asked.body == b"raise" else "503 Busy"
        headers = "x-ms-run-function-failed: true\r\n" if asked.body == b"raise" else ""
        writer.write(plain(b'{"message": "ZeroDivisionError"}', status=status, headers=headers))

    stand.apply(a_target(model(answering=fails)))
    raised, busy = ask(stand.port, b"raise"), ask(stand.port, b"other")
    assert codes([raised, busy]) == [424, 424]
    assert raised.document == {"message": "ZeroDivisionError"}
    assert raised.headers["ms-azureml-model-error-statuscode"] == "500"
    assert raised.headers["ms-azureml-model-error-reason"] == "run_function_failed"
    assert busy.headers["ms-azureml-model-error-statuscode"] == "503"
    assert [(each.code, each.model_code, each.model_reason) for each in stand.records(2)] == [
        (424, 500, "run_function_failed"),
        (424, 503, "model_error"),
    ]


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 1\n\n1",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none_is_424(stand: Stand, model: Models, raw: bytes) -> None:
    async def says(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    stand.apply(a_target(model(answering=says)))
    reply = ask(stand.port)
    assert (reply.code, reply.headers["ms-azureml-model-error-reason"]) == (424, "answer_malformed")
    assert reply.headers["azureml-model-deployment"] == "blue"


def test_interim_answers_are_passed_over(stand: Stand, model: Models) -> None:
    async def says(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plain(b"1"))

    stand.apply(a_target(model(answering=says)))
    reply = ask(stand.port)
    assert (reply.code, reply.body, "link" in reply.headers) == (200, b"1", False)


def test_an_answer_that_is_late_is_408_and_the_model_is_told(stand: Stand, model: Models) -> None:
    async def never(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        raise EOFError

    blue = model(answering=never)
    stand.apply(a_target(blue, timeout_ms=200))
    reply = ask(stand.port)
    assert (reply.code, reply.message) == (408, "'blue' did not answer within 200 ms.")
    until(lambda: blue.open == 0, "the model still works at it")
    (record,) = stand.records()
    assert (record.code, record.model_code, record.total_ms >= 200) == (408, 504, True)


def test_an_answer_comes_piece_by_piece(stand: Stand, model: Models) -> None:
    """Each piece renews the time that the next may take."""
    go = threading.Event()

    async def streams(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        while not go.is_set():
            await asyncio.sleep(0.01)
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    stand.apply(a_target(model(answering=streams)))
    with client(stand.port) as one:
        one.send(request())
        assert one._until(b"first\r\n").endswith(b"5\r\nfirst\r\n")
        go.set()
        assert one._until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        assert one.ask().code == 200


def test_an_answer_that_stalls_is_cut(stand: Stand, model: Models) -> None:
    async def stalls(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read()
        raise EOFError

    stand.apply(a_target(model(answering=stalls), timeout_ms=200))
    assert ask(stand.port).is_cut
    assert stand.records()[0].model_reason == "answer_stalled"


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_answer_without_end_is_capped(stand_of: Callable[..., Stand], model: Models, framing: str) -> None:
    async def long(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        how = b"Content-Length: 2147483648" if framing == "length" else b"Transfer-Encoding: chunked"
        writer.write(b"HTTP/1.1 200 OK\r\n" + how + b"\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
            await writer.drain()
        raise EOFError

    stand = stand_of(limits=Limits(answer_bytes=4 << 20))
    stand.apply(a_target(model(answering=long)))
    reply = ask(stand.port)
    assert reply.code == 424 if framing == "length" else reply.is_cut
    assert stand.records()[0].model_reason == "answer_too_long"


def test_http_1_0_is_answered_without_chunks(stand: Stand, model: Models) -> None:
    async def streams(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"4\r\nmore\r\n0\r\n\r\n")

    stand.apply(a_target(model(answering=streams)))
    with client(stand.port) as one:
        reply = one.send(request().replace(b"HTTP/1.1", b"HTTP/1.0")).reply()
    assert (reply.body, reply.headers.get("transfer-encoding")) == (b"somemore", None)


def test_a_head_that_comes_again_is_answered_as_if_it_were_new(stand: Stand, model: Models) -> None:
    """It is not read twice; key, endpoint, body and what was changed meanwhile are looked at all the same."""
    blue, green = model("blue"), model("green")
    stand.apply(a_target(blue))
    with client(stand.port) as one, client(stand.port) as named:
        replies = [one.ask(body) for body in (b"11", b"22", b"33")]
        assert [reply.document["body"] for reply in replies] == ["11", "22", "33"]
        assert len({reply.headers["x-request-id"] for reply in replies}) == 3
        assert {named.ask(headers={"x-request-id": "mine"}).headers["x-request-id"] for _ in range(3)} == {"mine"}
        assert one.ask(b"333").document["body"] == "333"
        assert [one.ask(b"", method="GET", path=f"/lab/iris/score?a={at}").code for at in (1, 1, 2)] == [200] * 3
        assert [asked.line for asked in blue.asked][-3:] == [f"GET /score?a={at} HTTP/1.1" for at in (1, 1, 2)]
        stand.apply(a_target(green, max_body=2))
        assert [one.ask(body).code for body in (b"44", b"444", b"55")] == [200, 413, 200]
        stand.apply(a_target(green), key_hashes=(bytes.fromhex(digest("new")),))
        assert one.ask(b"66").code == 401
        assert one.ask(b"66", key="new").code == one.ask(b"77", key="new").code == 200
        stand.apply_all()
        assert one.ask(b"77", key="new").code == 401
    bodies = [asked.body for asked in green.asked]
    assert bodies == [b"44", b"55", b"66", b"77"]


def test_a_known_head_and_more_is_two_requests(stand: Stand, model: Models) -> None:
    blue = model()
    stand.apply(a_target(blue))
    with client(stand.port) as one:
        assert one.ask(b"11").code == one.ask(b"22").code == 200
        reply = one.send(request(b"33") + request(b"44")).reply()
        assert (reply.document["body"], reply.headers["connection"]) == ("33", "close")
        assert one.is_ended()
    with client(stand.port) as one:
        assert one.ask(b"11").code == 200
        whole = request(b"22")
        one.send(whole[:40])
        until(lambda: any(stand.call(lambda: [caller.is_begun for caller in stand.router.callers])))
        assert one.send(whole[40:]).reply().document["body"] == "22"
