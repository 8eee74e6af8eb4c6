"""Scoring scripts: what a caller gets for what `run()` takes, returns and raises, and why a start fails."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.runtime.served import ECHO, Served

IMPORT = "UserScriptImportError: score.py cannot be imported"
INIT = "UserScriptInitFailed: init() raised"
EVERYTHING = """
    import json, logging, sys
    import numpy, pandas

    class Odd:
        pass

    VALUES = {
        "list": [1, 2.5, "x"],
        "text": "words",
        "json text": '{"a": 1}',
        "nothing": None,
        "array": numpy.array([[1.5, 2.5]]),
        "rows backwards": numpy.array([[1, 2], [3, 4]])[::-1],
        "words in an array": numpy.array(["a", "b"]),
        "number of numpy": {"n": numpy.float64(1.5), "i": numpy.int64(3), "b": numpy.bool_(True)},
        "not a number": [float("nan"), numpy.nan, 1.0],
        "number keys": {1: "one"},
        "big integer": 2**70,
        "frame": pandas.DataFrame({"a": [1]}),
        "series": [pandas.Series([1])],
        "bytes": b"raw",
        "odd": {"deep": [Odd()]},
        "set": {1},
    }

    def init():
        print("printed")
        logging.info("logged")

    def run(data):
        asked = json.loads(data)
        if asked.get("raise"):
            raise ValueError("the secret of the script")
        if asked.get("exit"):
            sys.exit(1)
        return VALUES[asked["give"]] if "give" in asked else data
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served"), EVERYTHING) as served:
        yield served


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ("list", '[1,2.5,"x"]'),
        ("text", '"words"'),
        ("json text", '"{\\"a\\": 1}"'),
        ("nothing", "{}"),
        ("array", "[[1.5,2.5]]"),
        ("rows backwards", "[[3,4],[1,2]]"),
        ("words in an array", '["a","b"]'),
        ("number of numpy", '{"n":1.5,"i":3,"b":true}'),
        ("not a number", "[null,null,1.0]"),
        ("number keys", '{"1":"one"}'),
        ("big integer", "1180591620717411303424"),
    ],
)
def test_what_run_returns_is_answered_as_json(everything: Served, given: str, body: str) -> None:
    answer = everything.score({"give": given})

    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-ms-server-version"]
    assert "x-ms-run-function-failed" not in answer.headers


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("frame", ("DataFrame", "to_dict(orient='records')")),
        ("series", ("Series", ".tolist()")),
        ("bytes", ("bytes", "AMLResponse")),
        ("odd", ("entry_module.Odd", "lists, dicts, strings, numbers")),
        ("set", ("set", "lists")),
    ],
)
def test_what_has_no_json_form_is_named_with_what_to_return(everything: Served, given: str, words: tuple[str]) -> None:
    answer = everything.score({"give": given})

    assert answer.status_code == 500
    assert answer.headers["x-ms-run-function-failed"] == "true"
    assert all(word in answer.json()["message"] for word in words), answer.text


@pytest.mark.parametrize("how", ["raise", "exit"])
def test_what_run_raises_is_told_in_the_log_alone(everything: Served, how: str) -> None:
    answer = everything.score({how: True})

    assert answer.status_code == 500
    assert answer.headers["x-ms-run-function-failed"] == "true"
    message = "An unexpected error occurred in scoring script. Check the logs for more info."
    assert answer.json() == {"message": message}
    assert everything.score({"give": "list"}).status_code == 200, "it answers on"
    assert "ValueError: the secret of the script" in everything.said or how == "exit"


def test_prints_and_log_lines_are_in_the_log_at_once(everything: Served) -> None:
    assert "printed" in everything.said
    assert "root - logged" in everything.said


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 200, "Healthy"),
        ("HEAD", "/", 200, ""),
        ("GET", "/score?a=1&b=x&c=1&c=two&d=null", 200, '{"a": 1, "b": "x", "c": [1, "two"], "d": null}'),
        ("OPTIONS", "/score", 200, ""),
        ("PUT", "/score", 405, "not allowed"),
        ("POST", "/", 405, "not allowed"),
        ("GET", "/nowhere", 404, "There is no /nowhere here"),
        ("GET", "/swagger.json?version=7", 404, "not supported"),
    ],
)
def test_each_route_answers_its_methods(everything: Served, method: str, path: str, status: int, words: str) -> None:
    answer = everything.client.request(method, path)

    assert answer.status_code == status
    text = answer.json() if path.startswith("/score?") else answer.text
    assert words in text


def test_a_body_that_is_no_text_is_refused(everything: Served) -> None:
    answer = everything.client.post("/score", content=b"\xff\xfe")

    assert (answer.status_code, "UTF-8" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("sent", "name", "expected"),
    [
        ({"x-request-id": "mine"}, "x-request-id", "mine"),
        ({"x-request-id": "x" * 41}, "x-request-id", "x" * 40),
        ({"x-ms-client-request-id": "y" * 41}, "x-ms-client-request-id", "y" * 40),
        ({"x-ms-client-request-id": "a b\tcé"}, "x-ms-client-request-id", "abc"),
        ({"x-ms-request-id": "old"}, "x-ms-client-request-id", "old"),
    ],
)
def test_request_ids_come_back_clean(everything: Served, sent: dict[str, str], name: str, expected: str) -> None:
    raw = {key: value.encode("latin-1") for key, value in sent.items()}

    answer = everything.client.get("/", headers=raw)

    assert answer.headers[name] == expected
    assert answer.headers["x-request-id"]


def test_a_million_rows_and_back(everything: Served) -> None:
    body = json.dumps({"rows": list(range(1_000_000))})

    answer = everything.client.post("/score", content=body)

    assert answer.status_code == 200
    assert answer.json() == body


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("import absent", f"{IMPORT}: ModuleNotFoundError: No module named 'absent' (score.py, line 1)"),
        ("def init(:", f"{IMPORT}: SyntaxError"),
        ("raise SystemExit(4)", f"{IMPORT}: SystemExit: 4"),
        ("def run(data): return data", "UserScriptFunctionNotFound: score.py has no function init()"),
        ("def init(): pass", "UserScriptFunctionNotFound: score.py has no function run()"),
        ("init = run = 1", "UserScriptFunctionNotFound: score.py has no function init()"),
        ("def init(): pass\ndef run(): pass", "UserScriptFunctionNotFound: run() needs to accept an argument"),
        ("def init(): pass\ndef run(*a): pass", "UserScriptFunctionNotFound: run() cannot accept"),
        (
            "def init():\n    1 / 0\ndef run(data): pass",
            f"{INIT} ZeroDivisionError: division by zero (score.py, line 2)",
        ),
        ("import sys\ndef init(): sys.exit(0)\ndef run(data): pass", f"{INIT} SystemExit"),
        (None, "UserScriptImportError: there is no score.py in"),
    ],
)
def test_a_start_that_fails_says_why_in_its_last_line(tmp_path: Path, code: str | None, failure: str) -> None:
    served = Served(tmp_path, code)

    assert served.failure.startswith(f"ATELIER-FAILURE {failure}"), served.said
    assert len(served.failure) < 2100


def test_a_failing_init_leaves_traceback_and_model_folder_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "deep" / "weights.bin").write_text("x")
    code = """
        def init():
            raise RuntimeError("no luck\\nat all")
        def run(data):
            pass
    """

    served = Served(tmp_path, code, AZUREML_MODEL_DIR=str(tmp_path / "models"))

    assert served.failure.endswith("init() raised RuntimeError: no luck at all (score.py, line 3)")
    assert "Traceback" in served.said
    assert "weights.bin" in served.said


def test_a_model_path_that_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "models" / "here.pkl").parent.mkdir()
    (tmp_path / "models" / "here.pkl").write_text("x")

    served = Served(tmp_path, ECHO, AZUREML_MODEL_DIR=str(tmp_path / "models" / "m" / "1"))

    expected = f"model path {tmp_path}/models/m/1 is not in the container; in {tmp_path}/models there is: here.pkl"
    assert served.failure == f"ATELIER-FAILURE ModelPathNotFound: {expected}"


def test_a_model_file_that_init_does_not_find_is_a_missing_model(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pkl").write_text("x")
    code = """
        import os
        def init():
            open(os.environ["AZUREML_MODEL_DIR"] + "/modell.pkl")
        def run(data):
            pass
    """

    served = Served(tmp_path, code, AZUREML_MODEL_DIR=str(tmp_path / "models"))

    assert served.failure.startswith("ATELIER-FAILURE ModelPathNotFound: model path ")
    assert served.failure.endswith("there is: model.pkl")


def test_a_pickle_of_another_version_names_both(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pkl").write_bytes(b"csklearn.linear_model.of_old\nRidge\n.")
    (tmp_path / "models" / "requirements.txt").write_text("scikit-learn==0.20.1\n")
    code = """
        import os, pickle
        def init():
            pickle.load(open(os.environ["AZUREML_MODEL_DIR"] + "/model.pkl", "rb"))
        def run(data):
            pass
    """

    served = Served(tmp_path, code, AZUREML_MODEL_DIR=str(tmp_path / "models"))

    assert served.failure.startswith("ATELIER-FAILURE UserScriptInitFailed: init() raised ModuleNotFoundError")
    assert "the model was saved with scikit-learn 0.20.1 (here " in served.failure


def test_the_script_finds_its_own_modules_and_not_the_runners(tmp_path: Path) -> None:
    files = {"answers.py": "WORDS = 'mine'\n", "main.py": "WORDS = 'my main'\n", "labels.txt": "a label"}
    code = """
        import answers, main, os
        def init():
            global labels
            labels = open("labels.txt").read()
        def run(data):
            return [answers.WORDS, main.WORDS, labels, __file__ == os.path.abspath("score.py")]
    """

    with Served(tmp_path, code, files=files) as served:
        assert served.score({}).json() == ["mine", "my main", "a label", True]


def test_headers_are_given_to_a_run_that_asks_for_them(tmp_path: Path) -> None:
    code = """
        def init():
            pass
        def run(data, request_headers):
            return [data, request_headers["X-Mine"], request_headers["Content-Type"]]
    """

    with Served(tmp_path, code) as served:
        assert served.score({}, **{"x-mine": "yes"}).json() == ["{}", "yes", "application/json"]


RAW = """
    from MODULE.aml_request import AMLRequest, rawhttp
    from MODULE.aml_response import AMLResponse

    def init():
        pass

    @rawhttp
    def run(request: AMLRequest):
        if request.method == "GET":
            given = [request.args.get("a"), request.args.getlist("b"), request.headers.get("x-mine")]
            return AMLResponse(given, 200, json_str=True)
        if request.path and request.args.get("teapot"):
            return AMLResponse("short and stout", 418, {"X-Kind": "pot", "Content-Type": "text/teapot"})
        if request.args.get("broken"):
            return AMLResponse("no", 503)
        if request.args.get("json"):
            return request.get_json()
        if request.args.get("parts"):
            return AMLResponse((each for each in (b"one ", b"two")), 200)
        return AMLResponse(request.get_data()[::-1], 201, {"Content-Type": "application/octet-stream"})
"""
WITHOUT_FLASK = """
    import importlib.util, sys
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *more: None if name == "flask" else found(name, *more)
"""


@pytest.fixture(scope="module", params=["flask", "no flask"])
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    module = "azureml.contrib.services" if request.param == "flask" else "azureml_inference_server_http.api"
    code = RAW.replace("MODULE", module)
    if request.param == "no flask":
        code = WITHOUT_FLASK + code
    with Served(tmp_path_factory.mktemp("raw"), code) as served:
        yield served


def test_a_raw_request_is_what_came(raw: Served) -> None:
    answer = raw.client.get("/score?a=1&b=2&b=3", headers={"x-mine": "yes"})
    assert (answer.status_code, answer.json()) == (200, ["1", ["2", "3"], "yes"])
    assert answer.headers["content-type"] == "application/json"

    answer = raw.client.post("/score", content=b"\x00\xff\x01")
    assert (answer.status_code, answer.content) == (201, b"\x01\xff\x00")
    assert answer.headers["content-type"] == "application/octet-stream"

    assert raw.client.post("/score?json=1", json={"a": 1}).json() == {"a": 1}


def test_a_response_is_sent_as_it_was_built(raw: Served) -> None:
    answer = raw.client.post("/score?teapot=1")
    assert (answer.status_code, answer.text) == (418, "short and stout")
    assert (answer.headers["x-kind"], answer.headers["content-type"]) == ("pot", "text/teapot")
    assert "x-ms-run-function-failed" not in answer.headers

    answer = raw.client.post("/score?broken=1")
    assert (answer.status_code, answer.headers["x-ms-run-function-failed"]) == (503, "true")

    answer = raw.client.post("/score?parts=1")
    assert (answer.text, answer.headers["transfer-encoding"]) == ("one two", "chunked")


STREAM = """
    import json, time
    ENDED = []
    def init():
        pass
    def run(data):
        asked = json.loads(data)
        if asked == "ended":
            return ENDED
        return parts(asked)
    def parts(asked):
        try:
            for at in range(asked.get("count", 3)):
                if at == asked.get("bad_at"):
                    yield asked.get("bad") or 1 / 0
                yield f"part {at}\\n"
        finally:
            ENDED.append(asked.get("name"))
"""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("stream"), STREAM) as served:
        yield served


def test_a_generator_is_streamed(stream: Served) -> None:
    answer = stream.score({})

    assert answer.text == "part 0\npart 1\npart 2\n"
    assert answer.headers["transfer-encoding"] == "chunked"


def test_a_stream_that_breaks_at_once_is_an_error(stream: Served) -> None:
    answer = stream.score({"bad_at": 0, "bad": {"no": "text"}})

    assert answer.status_code == 500
    assert "yielded a dict" in answer.json()["message"]
    assert stream.score({"bad_at": 0}).headers["x-ms-run-function-failed"] == "true"


def test_a_stream_that_breaks_later_breaks_the_connection(stream: Served) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        stream.score({"bad_at": 2})

    assert stream.score({}).status_code == 200


def test_a_stream_whose_reader_left_is_closed_and_holds_up_nobody(stream: Served) -> None:
    with stream.client.stream("POST", "/score", json={"count": 10_000_000, "name": "long"}) as answer:
        assert next(answer.iter_bytes()).startswith(b"part 0")
        assert stream.score({}).status_code == 200, "others are answered between its parts"

    stream.until(lambda: "long" in stream.score("ended").json())


def test_the_folder_brings_its_own_swagger(tmp_path: Path) -> None:
    files = {"swagger2.json": '{"swagger": "2.0", "info": "mine"}'}

    with Served(tmp_path, ECHO, files=files, ATELIER_DEPLOYMENT="blue") as served:
        assert served.client.get("/swagger.json").json() == {"swagger": "2.0", "info": "mine"}
        made = served.client.get("/swagger.json?version=3").json()

    assert made["openapi"].startswith("3.0")
    assert made["info"]["title"] == "blue"
