"""The programs that pages show for calling an endpoint do what they say: those that run here are run."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.ui import consume_code
from app.ui.consume_code import LANGUAGES, code

KEY = "a-key-of-nobody"
BODIES = [
    '{"input_data": {"columns": ["a b", "ü"], "data": [[1, 2.5], [null, true]]}}',
    '[[1, 2, 3], "it\'s \\"quoted\\" $HOME `id` \\\\ %s {x} )\\" ]--\\" \\"\\"\\"\\""]',
    'no JSON: it\'s $HOME `id` "quoted" \\ done',
    json.dumps({"rows": [[round(at * 0.37, 2) for at in range(30)] for _ in range(4)]}),
]


@dataclass
class Heard:
    """What the server was sent last."""

    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    uri: str = ""


@pytest.fixture
def server() -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.headers = {name.lower(): value for name, value in self.headers.items()}
            answer = b'{"answer": [0, 1]}'
            self.send_response(heard.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.uri = f"http://127.0.0.1:{listening.server_port}/lab/iris/score"
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield heard
    listening.shutdown()
    thread.join()
    listening.server_close()


def ran(language: str, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As a person would run it, with the key in the environment."""
    suffix, command = {
        "Python": ("py", [sys.executable]),
        "curl": ("sh", ["sh"]),
        "JavaScript": ("mjs", ["node"]),
        "R": ("R", ["Rscript"]),
    }[language]
    if shutil.which(command[0]) is None or (language == "curl" and shutil.which("curl") is None):
        pytest.skip(f"{command[0]} is not installed")
    file = folder / f"score.{suffix}"
    file.write_text(program, encoding="utf-8")
    return subprocess.run(
        [*command, str(file)],
        env={**os.environ, consume_code.VARIABLE: KEY, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("language", ["Python", "curl", "JavaScript", "R"])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("deployment", ["", "blue"])
def test_a_program_sends_the_body_and_prints_the_answer(
    server: Heard, tmp_path: Path, language: str, body: str, deployment: str
) -> None:
    done = ran(language, code(language, server.uri, deployment, body), tmp_path)
    assert done.returncode == 0, done.stderr
    assert '{"answer": [0, 1]}' in done.stdout
    try:
        assert json.loads(server.body) == json.loads(body)
    except ValueError:
        assert server.body.decode() == body
    assert server.headers["authorization"] == f"Bearer {KEY}"
    assert server.headers["content-type"] == "application/json"
    assert server.headers.get(consume_code.HEADER, "") == deployment


@pytest.mark.parametrize("language", ["Python", "curl", "JavaScript", "R"])
def test_a_program_says_what_went_wrong(server: Heard, tmp_path: Path, language: str) -> None:
    server.status = 424
    done = ran(language, code(language, server.uri, "", "[1]"), tmp_path)
    assert "answer" in done.stdout + done.stderr
    assert "424" in done.stdout + done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("body", BODIES)
def test_every_language_names_the_key_and_never_holds_one(language: str, body: str) -> None:
    written = code(language, "http://127.0.0.1:8510/lab/iris/score", "blue", body)
    assert consume_code.VARIABLE in written
    assert consume_code.HEADER in written
    assert "http://127.0.0.1:8510/lab/iris/score" in written


def test_raw_texts_of_c_sharp_and_r_cannot_be_left() -> None:
    body = 'x """""" )---" ]---"'
    assert f'"""""""\n{body}\n"""""""' in code("C#", "http://h/s", "", body)
    assert f'r"----[{body}]----"' in code("R", "http://h/s", "", body)
