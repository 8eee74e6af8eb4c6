"""The mini-batch driver, started as a container starts it: what scripts and models may rely on."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.engines.interpreters import interpreters
from tests.runtime.desk import Desk

SUPPORTED = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
NAMES = """
    import os
    def run(mini_batch):
        return [os.path.basename(path) for path in mini_batch]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.input.mkdir()
    return made


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_python_of_an_image_runs_it(desk: Desk, version: str) -> None:
    (there,) = [each for each in interpreters() if each.version == version] or [None]
    if there is None:
        pytest.skip(f"Python {version} is not on this host")
    desk.files("b", "a", "deep/c")
    process = desk.start(NAMES, python=str(there.prefix / "bin" / f"python{version}"))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert desk.lines == ["a", "b", "c"], "sorted, and nested folders are gone into"


def test_the_order_is_the_inputs_however_workers_race(desk: Desk) -> None:
    desk.files(*(f"f{number:02d}" for number in range(20)))
    script = """
        import os, time
        def run(mini_batch):
            time.sleep(0.2 if mini_batch[0].endswith("00") else 0)
            return [f"{os.path.basename(path)} {os.getpid()}" for path in mini_batch]
    """
    assert desk.run(script, workers=4) == 0
    names, processes = zip(*(line.split() for line in desk.lines), strict=True)
    assert names == tuple(sorted(names))
    assert len(set(processes)) > 1
    assert "20 files in 10 mini-batches of up to 2, 4 worker processes" in desk.said


def test_init_is_once_a_process_and_shutdown_at_its_end(desk: Desk) -> None:
    desk.files("a", "b", "c", "d")
    script = """
        print("loaded", flush=True)
        def init():
            print("init")
        def run(mini_batch):
            print("run", len(mini_batch))
            return mini_batch
        def shutdown():
            print("shutdown")
    """
    assert desk.run(script) == 0
    assert desk.log("stdout/process000.stdout.txt").split("\n") == [
        "loaded", "init", "run 2", "run 2", "shutdown", "",
    ]  # fmt: skip


def test_arguments_of_the_platform_and_of_the_program_arrive(desk: Desk) -> None:
    desk.files("a")
    script = """
        import argparse, json, os, sys
        def init():
            global found
            parser = argparse.ArgumentParser()
            parser.add_argument("--rate", type=float)
            parser.add_argument("--mini_batch_size", type=int)
            found, _ = parser.parse_known_args()
        def run(mini_batch):
            return [json.dumps([found.rate, found.mini_batch_size, os.environ["AZUREML_BI_OUTPUT_PATH"]])]
    """
    assert desk.run(script, "--rate", "0.5", "--misspellt_switch", "7", mini_batch_size=3) == 0
    assert json.loads(desk.lines[0]) == [0.5, 3, str(desk.root / "out")]


def test_a_script_may_ask_what_its_mini_batch_is(desk: Desk) -> None:
    desk.files("a", "b", "c")
    script = """
        def run(mini_batch, mini_batch_context):
            return [mini_batch_context.minibatch_index for _ in mini_batch]
    """
    assert desk.run(script) == 0
    assert desk.lines == ["0", "0", "1"]


TABLE = "pd.DataFrame({'name': ['x y'] * len(mini_batch), 'value': [1.5] * len(mini_batch)})"
RETURNED: list[tuple[str, str, list[str]]] = [
    ("a list, one str a line", "return [1, 'two']", ["1", "two"]),
    ("a table without header and index, spaces between", f"return {TABLE}", ['"x y" 1.5', '"x y" 1.5']),
    ("a series", "return pd.Series([3, 4])", ["3", "4"]),
    ("an array", "return pd.Series([3, 4]).to_numpy()", ["3", "4"]),
    ("a generator of texts", "yield 'a'\n    yield 'b'", ["a", "b"]),
    ("a generator of tables", f"yield {TABLE}", ['"x y" 1.5', '"x y" 1.5']),
    ("nothing", "return []", []),
]


@pytest.mark.parametrize(("what", "body", "lines"), RETURNED, ids=[row[0] for row in RETURNED])
def test_what_run_may_return(desk: Desk, what: str, body: str, lines: Sequence[str]) -> None:
    desk.files("a", "b")
    assert desk.run(f"import pandas as pd\ndef run(mini_batch):\n    {body}\n") == 0, desk.said
    assert desk.lines == lines, what


@pytest.mark.parametrize("body", ["return None", "return 'text'", "return {'a': 1}", "return 3"])
def test_what_it_may_not(desk: Desk, body: str) -> None:
    desk.files("a", "b")
    assert desk.run(f"def run(mini_batch):\n    {body}\n") == 1
    assert "a list or a DataFrame is expected" in desk.said
    assert "Error: Every mini-batch failed" in desk.said


def test_a_summary_writes_no_file(desk: Desk) -> None:
    desk.files("a", "b", "c")
    assert desk.run(NAMES, output_action="summary_only") == 0
    assert list((desk.root / "out").glob("*")) == []
    assert (desk.summary["items_done"], desk.summary["mini_batches_done"]) == (3, 2)


FAILING = """
    import os, pathlib
    def run(mini_batch):
        if any(path.endswith("bad") for path in mini_batch):
            with open("tries", "a") as file:
                file.write("x")
            raise ValueError("no good")
        return mini_batch
"""


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"error_threshold": -1}, 0),
        ({"error_threshold": 2}, 0),
        ({"error_threshold": 1}, 1),
        ({"error_threshold": 0}, 1),
        ({"mini_batch_error_threshold": 1}, 0),
        ({"mini_batch_error_threshold": 0}, 1),
    ],
)
def test_thresholds_count_items_and_mini_batches(desk: Desk, settings: dict[str, int], code: int) -> None:
    desk.files("a", "b", "c", "d-bad")
    assert desk.run(FAILING, **settings) == code
    assert desk.summary["items_failed"] == 2
    assert desk.result.exists() is (code == 0)
    if code:
        assert "Error: " in desk.said
        assert "failed, which is more than the" in desk.said
    else:
        assert [Path(line).name for line in desk.lines] == ["a", "b"]
    told = desk.log("error.txt")
    assert "ValueError: no good" in told
    assert str(desk.input / "d-bad") in told
    assert "Traceback" in told


def test_a_threshold_among_the_arguments_counts(desk: Desk) -> None:
    desk.files("a", "b", "c", "d-bad")
    assert desk.run(FAILING, "--error_threshold", "0") == 1
    assert desk.run(FAILING, "--eror_threshold", "0") == 0, "a misspelt one is not for us"


def test_a_failed_mini_batch_is_tried_again(desk: Desk) -> None:
    desk.files("a", "b-bad", "c", "d")
    assert desk.run(FAILING, max_retries=2) == 0
    assert (desk.root / "work" / "tries").read_text() == "xxx"
    assert (desk.summary["mini_batches_retried"], desk.summary["mini_batches_failed"]) == (2, 1)


def test_fewer_items_than_files_is_a_failure_whose_rows_are_kept(desk: Desk) -> None:
    desk.files("a", "b", "c", "d")
    script = "def run(mini_batch):\n    return ['one']\n"
    assert desk.run(script, error_threshold=2) == 0
    assert desk.lines == ["one", "one"]
    assert (desk.summary["items_failed"], desk.summary["mini_batches_failed"]) == (2, 2)
    assert desk.run(script, error_threshold=1) == 1


def test_one_that_hangs_is_killed_and_tried_again(desk: Desk) -> None:
    desk.files("a", "b", "c", "d")
    script = """
        import os, subprocess, time
        def run(mini_batch):
            if mini_batch[0].endswith("a") and not os.path.exists("hung"):
                with open("hung", "w") as file:
                    file.write(str(subprocess.Popen(["sleep", "600"]).pid))
                time.sleep(600)
            return mini_batch
    """
    assert desk.run(script, timeout=1, max_retries=1) == 0, desk.said
    assert len(desk.lines) == 4
    assert "run() took longer than 1 s, and its process was killed" in desk.said
    child = int((desk.root / "work" / "hung").read_text())
    wait(lambda: not alive(child))


def test_one_that_is_killed_for_memory_is_tried_again(desk: Desk) -> None:
    desk.files("a", "b", "c", "d")
    script = """
        import os, signal
        def run(mini_batch):
            yield from mini_batch[:1]
            if mini_batch[0].endswith("a") and not os.path.exists("killed"):
                open("killed", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            yield from mini_batch[1:]
    """
    assert desk.run(script, max_retries=1) == 0, desk.said
    assert [Path(line).name for line in desk.lines] == ["a", "b", "c", "d"], "and no row of the first try is left"
    assert "probably because there was no memory left" in desk.said
    assert desk.summary["workers_killed"] == 1


def test_a_script_that_leaves_fails_its_mini_batch_only(desk: Desk) -> None:
    desk.files("a", "b", "c", "d")
    script = """
        import os, sys
        def run(mini_batch):
            if mini_batch[0].endswith("a"):
                sys.exit("enough")
            if mini_batch[0].endswith("c"):
                os._exit(7)
            return mini_batch
    """
    assert desk.run(script, mini_batch_size=1) == 0
    assert [Path(line).name for line in desk.lines] == ["b", "d"]
    assert "SystemExit: enough" in desk.said
    assert "its process ended with exit code 7" in desk.said


STARTS = [
    ("def init():\n    raise OSError('no such model')\ndef run(b):\n    return b\n", "init() failed: OSError"),
    ("import os\ndef init():\n    os._exit(9)\ndef run(b):\n    return b\n", "its process ended with exit code 9"),
    ("import time\ndef init():\n    time.sleep(60)\ndef run(b):\n    return b\n", "init() took longer than 0.5 s"),
    ("import os\nos._exit(1)\n", "Before init() was done its process ended with exit code 1"),
    ("def predict(b):\n    return b\n", "has no function run(mini_batch)"),
    ("import nothing_of_that_name\n", "ModuleNotFoundError"),
]


@pytest.mark.parametrize(("script", "why"), STARTS)
def test_workers_that_do_not_come_up_end_the_job_and_say_why(desk: Desk, script: str, why: str) -> None:
    desk.files("a")
    assert desk.run(script, init_timeout=0.5 if "sleep" in script else 30) == 1
    assert "Error: No worker comes up." in desk.said
    assert why in desk.said


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"inputs": []}, "there are no inputs"),
        ({"what": 1}, "what"),
        ({"inputs": ["NOWHERE"]}, "NOWHERE is not set"),
        ({"flavor": "mlflow"}, "Either a script or an MLflow model"),
    ],
)
def test_settings_that_make_no_sense_are_said(desk: Desk, settings: dict[str, Any], why: str) -> None:
    desk.files("a")
    assert desk.run(NAMES, **settings) == 1
    assert why in desk.said


def test_an_empty_input_is_said(desk: Desk) -> None:
    assert desk.run(NAMES) == 1
    assert "the input is empty" in desk.said


def test_a_single_file_and_several_inputs(desk: Desk) -> None:
    desk.files("b", "more/a")
    desk.variables = {"ONE": str(desk.input / "b"), "TWO": str(desk.input / "more")}
    assert desk.run(NAMES, inputs=["ONE", "TWO"]) == 0
    assert desk.lines == ["b", "a"]


def test_an_mltable_that_names_files(desk: Desk) -> None:
    desk.files("one.csv", "two.csv", "three.txt", "deep/four.csv")
    (desk.input / "MLTable").write_text("paths:\n  - pattern: ./*.csv\n  - file: ./three.txt\n")
    assert desk.run(NAMES, types={"IN": "mltable"}) == 0, desk.said
    assert desk.lines == ["four.csv", "one.csv", "two.csv", "three.txt"]
    (desk.input / "MLTable").write_text("paths:\n  - file: one.csv\ntransformations:\n  - read_delimited: {}\n")
    assert desk.run(NAMES, types={"IN": "mltable"}) == 1
    assert "is not worked on file by file" in desk.said


def test_an_older_result_is_replaced_and_nothing_half_is_ever_there(desk: Desk) -> None:
    desk.files("a", "b")
    desk.result.parent.mkdir()
    desk.result.write_text("old\n")
    process = desk.start("import time\ndef run(b):\n    print('on it', flush=True)\n    time.sleep(600)\n", timeout=600)
    log = desk.root / "work" / "logs" / "user" / "stdout" / "process000.stdout.txt"
    wait(lambda: log.exists() and "on it" in log.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert [path.name for path in desk.result.parent.iterdir()] == ["predictions.csv"]
    assert desk.lines == ["old"]
    assert desk.run(NAMES) == 0
    assert desk.lines == ["a", "b"]


def test_workers_go_with_their_driver(desk: Desk) -> None:
    desk.files("a")
    script = "import os, time\ndef run(b):\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    process = desk.start(script, timeout=600)
    pid = desk.root / "work" / "pid"
    wait(lambda: pid.exists() and pid.read_text())
    worker = int(pid.read_text())
    process.kill()
    process.communicate(timeout=30)
    wait(lambda: not alive(worker))


def test_progress_reaches_the_run(desk: Desk) -> None:
    desk.files(*"abcde")
    with recorder() as heard:
        desk.variables = {"MLFLOW_TRACKING_URI": heard.url, "MLFLOW_RUN_ID": "j1", "MLFLOW_TRACKING_TOKEN": "secret"}
        assert desk.run(NAMES) == 0
    last = {metric["key"]: metric["value"] for body in heard.bodies for metric in body["metrics"]}
    assert last == {"mini_batches_total": 3, "mini_batches_done": 3, "mini_batches_failed": 0, "items_failed": 0}
    assert {body["run_id"] for body in heard.bodies} == {"j1"}
    assert heard.tokens == {"Bearer secret"}
    assert "secret" not in desk.said
    assert desk.said.splitlines()[-2].startswith("3 of 3 mini-batches, 5 of 5 items")


def test_a_studio_that_does_not_answer_stops_nothing(desk: Desk) -> None:
    desk.files("a")
    desk.variables = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9/mlflow", "MLFLOW_RUN_ID": "j1"}
    assert desk.run(NAMES) == 0
    assert desk.said.count("Progress could not be sent") == 1


def test_names_that_are_no_text_are_files_too(desk: Desk) -> None:
    for name in (b"a\xff", b"b\xff-bad"):
        Path(os.fsdecode(bytes(desk.input) + b"/" + name)).write_bytes(b"x")
    assert desk.run(FAILING, mini_batch_size=1) == 0, desk.said
    assert desk.result.read_bytes() == bytes(desk.input) + b"/a\xff\n"
    assert "b\\udcff-bad" in desk.said


def test_a_script_sees_no_module_of_the_driver(desk: Desk) -> None:
    desk.files("a")
    (desk.root / "work" / "code").mkdir(parents=True)
    for name in ("rows", "models", "settings", "worker"):
        (desk.root / "work" / "code" / f"{name}.py").write_text("OWN = True\n")
    script = """
        import models, rows, settings, worker
        def run(mini_batch):
            return [models.OWN and rows.OWN and settings.OWN and worker.OWN]
    """
    assert desk.run(script) == 0, desk.said
    assert desk.lines == ["True"]


@dataclass
class Heard:
    """What was sent to MLflow's door."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


@contextmanager
def recorder() -> Iterator[Heard]:
    heard = Heard()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/mlflow/api/2.0/mlflow/runs/log-batch"
            heard.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            heard.tokens.add(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        heard.url = f"http://127.0.0.1:{server.server_port}/mlflow"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


def wait(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
