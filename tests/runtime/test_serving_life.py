"""The runner from start to end: time-outs, callers that leave, several workers, signals, every Python of an image."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from services.engines.interpreters import interpreters
from services.specs.servers import REQUIREMENTS
from tests.conftest import free_port
from tests.runtime.served import ECHO, Served

SUPPORTED = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
SLEEPY = """
    import json, os, time
    from pathlib import Path
    DONE = []

    def init():
        pass

    def run(data):
        asked = json.loads(data)
        if "die" in asked:
            os._exit(9)
        if "until" in asked:
            Path(asked["until"] + ".began").touch()
            while not os.path.exists(asked["until"]):
                time.sleep(0.01)
        if "sleep" in asked:
            time.sleep(asked["sleep"])
        if "swallow" in asked:
            began = time.monotonic()
            while time.monotonic() < began + asked["swallow"]:
                try:
                    time.sleep(0.05)
                except BaseException:
                    pass
        DONE.append(asked.get("name"))
        return {"pid": os.getpid(), "done": DONE}
"""


@pytest.fixture
def sleepy(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path, SLEEPY, SCORING_TIMEOUT_MS="700") as served:
        yield served


def asked(served: Served, pool: ThreadPoolExecutor, gate: Path) -> "Answering":
    """A request that is in `run()` now, until the gate's file is there."""
    answering = pool.submit(served.score, {"until": str(gate), "name": "held"})
    began = gate.with_name(f"{gate.name}.began")
    served.until(began.exists)
    return Answering(gate, answering.result)


class Answering:
    def __init__(self, gate: Path, result: Callable[[], httpx.Response]) -> None:
        self._gate = gate
        self.result = result

    def end(self) -> httpx.Response:
        self._gate.touch()
        return self.result()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def test_a_run_that_takes_too_long_is_interrupted(sleepy: Served) -> None:
    answer = sleepy.score({"sleep": 600, "name": "slow"})

    assert (answer.status_code, answer.json()) == (408, {"message": "Scoring timeout after 700 ms"})
    assert answer.headers["x-ms-run-function-failed"] == "true"
    assert sleepy.score({}).json()["done"] == [None], "the next one has its turn at once"


def test_a_run_that_cannot_be_interrupted_holds_up_only_what_is_behind_it(sleepy: Served) -> None:
    answer = sleepy.score({"swallow": 3})

    assert answer.status_code == 408
    assert sleepy.client.get("/").status_code == 503, "the studio may start it again"
    sleepy.until(lambda: sleepy.is_alive)
    assert sleepy.score({}).status_code == 200


def test_probes_are_answered_while_run_works(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with Served(tmp_path, SLEEPY) as served:
        held = asked(served, pool, tmp_path / "gate")

        assert served.client.get("/").text == "Healthy"
        assert served.client.get("/swagger.json").status_code == 200
        assert held.end().status_code == 200


def test_a_caller_that_left_before_its_turn_is_not_served(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with Served(tmp_path, SLEEPY, AZUREML_LOG_LEVEL="DEBUG") as served:
        held = asked(served, pool, tmp_path / "gate")
        body = b'{"name": "gone"}'
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            served.client.get("/")
        served.until(lambda: "POST /score 499" in served.said)
        held.end()

        assert served.score({"name": "last"}).json()["done"] == ["held", "last"]


def test_what_is_in_hand_is_finished_before_the_end(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    code = SLEEPY + "\n    import atexit\n    atexit.register(lambda: print('tidied up'))\n"
    with Served(tmp_path, code) as served:
        held = asked(served, pool, tmp_path / "gate")
        waiting = pool.submit(served.score, {"name": "waiting"})
        served.until(lambda: len(psutil.Process(served.process.pid).net_connections()) >= 3)
        served.process.send_signal(signal.SIGTERM)
        served.until(lambda: not served.is_alive)

        assert held.end().status_code == 200
        assert waiting.result().json()["done"] == ["held", "waiting"]
        assert served.process.wait(10) == 0
        assert "tidied up" in served.said


def test_who_asks_before_init_is_over_is_refused(tmp_path: Path) -> None:
    code = """
        import os, time
        from pathlib import Path
        def init():
            Path("began").touch()
            while not os.path.exists("go"):
                time.sleep(0.01)
        def run(data):
            return data
    """
    served = Served(tmp_path, code)
    served.until((served.root / "began").exists)

    assert not served.is_alive
    (served.root / "go").touch()
    with served:
        assert served.stop() == 0


def test_the_end_comes_at_once_while_init_runs(tmp_path: Path) -> None:
    code = "import time\nfrom pathlib import Path\ndef init():\n    Path('began').touch()\n    time.sleep(600)\n"
    served = Served(tmp_path, code + "def run(data):\n    pass\n")
    served.until((served.root / "began").exists)

    assert served.stop() == 0


def test_workers_each_have_their_init_and_share_the_port(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with Served(tmp_path, SLEEPY, WORKER_COUNT="3") as served:
        served.until(lambda: served.said.count("is ready") == 3)
        answers = list(
            pool.map(lambda _: httpx.post(served.client.base_url.join("/score"), json={"sleep": 0.1}), range(24))
        )

        assert {each.status_code for each in answers} == {200}
        assert len({each.json()["pid"] for each in answers}) == 3, "each has some of it"
        assert served.stop() == 0
        assert not any(psutil.pid_exists(each.json()["pid"]) for each in answers)


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with Served(tmp_path, SLEEPY, WORKER_COUNT="2") as served:
        with pytest.raises(httpx.TransportError):
            served.score({"die": True})

        assert served.score({}).status_code == 200, "the other one answers"
        served.until(lambda: served.said.count("is ready") == 3)
        assert "died (exit 9); another one starts" in served.said
        assert served.stop() == 0


def test_workers_that_cannot_start_end_it(tmp_path: Path) -> None:
    code = "def init(): raise OSError('no')\ndef run(data): pass"

    assert Served(tmp_path, code, WORKER_COUNT="2").failure.startswith(
        "ATELIER-FAILURE UserScriptInitFailed: init() raised"
    )


def test_workers_do_not_outlive_who_started_them(tmp_path: Path) -> None:
    with Served(tmp_path, SLEEPY, WORKER_COUNT="2") as served:
        workers = psutil.Process(served.process.pid).children()
        served.process.kill()
        served.process.wait()

        assert len(workers) == 2
        assert not psutil.wait_procs(workers, timeout=10)[1]


def test_log_lines_are_as_many_as_the_level_says(tmp_path: Path) -> None:
    code = "import logging\ndef init(): logging.info('whispered')\ndef run(data): return data"

    with Served(tmp_path / "quiet", code, AZUREML_LOG_LEVEL="warning") as quiet:
        quiet.score({})
        assert quiet.said == ""
    with Served(tmp_path / "loud", code, AZUREML_LOG_LEVEL="DEBUG") as loud:
        loud.score({})
        loud.until(lambda: "POST /score 200" in loud.said)


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_an_answer_of_any_size_arrives_whole(tmp_path: Path, size: int) -> None:
    code = f"def init(): pass\ndef run(data): return 'x' * {size}"

    with Served(tmp_path, code) as served:
        assert served.score({}).json() == "x" * size


@pytest.mark.slow
def test_a_large_answer_is_not_held_twice(tmp_path: Path) -> None:
    megabytes = 300
    code = f"def init(): pass\ndef run(data): return 'x' * ({megabytes} << 20)"
    with Served(tmp_path, code) as served, served.client.stream("POST", "/score", json={}) as answer:
        size = sum(len(each) for each in answer.iter_raw())
        status = Path(f"/proc/{served.process.pid}/status").read_text()

    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    assert size == (megabytes << 20) + 2
    assert peak < 2.4 * megabytes, "what run() returned, its JSON, and the server itself"


def test_it_needs_nothing_writable_beside_itself(tmp_path: Path) -> None:
    copy = tmp_path / "serve"
    source = Path(__file__).parents[2] / "services" / "runtime" / "serve"
    subprocess.run(["cp", "-r", str(source), str(copy)], check=True)
    subprocess.run(["chmod", "-R", "a-w", str(copy)], check=True)
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    port = free_port()
    environment = {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-B", str(copy / "main.py"), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        ready = threading.Event()
        while not ready.wait(0.02) and process.poll() is None:
            if httpx_answers(port):
                ready.set()
        process.terminate()

    assert ready.is_set()
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)


def httpx_answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("version", SUPPORTED)
def test_every_python_of_an_image_runs_it(tmp_path: Path, version: str) -> None:
    (there,) = [each for each in interpreters() if each.version == version] or [None]
    if there is None:
        pytest.skip(f"Python {version} is not on this host")
    source = str(there.prefix / "bin" / f"python{version}")
    environment = tmp_path / "environment"
    subprocess.run([source, "-m", "venv", str(environment)], check=True, capture_output=True)
    install = [str(environment / "bin" / "pip"), "install", "-q", *REQUIREMENTS]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("no packages can be had here")

    with Served(tmp_path, SLEEPY, python=str(environment / "bin" / "python"), SCORING_TIMEOUT_MS="700") as served:
        assert served.score({}).status_code == 200
        assert served.score({"sleep": 600}).status_code == 408
        assert served.stop() == 0
    with Served(tmp_path, ECHO, python=str(environment / "bin" / "python"), WORKER_COUNT="2") as served:
        assert served.score([1]).json() == "[1]"
        assert served.stop() == 0
    served = Served(tmp_path, "import numpy", python=str(environment / "bin" / "python"))
    assert "No module named 'numpy'" in served.failure
