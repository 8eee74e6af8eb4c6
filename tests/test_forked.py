"""Copies of a process: what they say, how they end, and what of their parent they do not keep."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")
PARENT = """
import os, sys, subprocess
from app.forked import Forked, can_fork
from filelock import FileLock

class Child:
    @staticmethod
    def main():
        print("in", os.environ["PLACE"], os.getsid(0) == os.getpid(), flush=True)
        {child}

sys.modules["child"] = Child
lock = FileLock("lock")
lock.acquire()
with open("said", "wb") as file:
    child = Forked("child", {{"PLACE": "lab"}}, file.fileno())
{parent}
"""


def run(folder: Path, child: str, parent: str) -> str:
    """What the parent printed."""
    code = PARENT.format(child=child, parent=parent)
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("child", "code"),
    [("pass", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1), ("raise ValueError('why')", 1)],
)
def test_its_end_is_told(tmp_path: Path, child: str, code: int) -> None:
    assert run(tmp_path, child, "print(child.wait(30))") == str(code)
    said = (tmp_path / "said").read_text()
    assert said.startswith("in lab True\n")
    assert ("ValueError: why" in said) == ("ValueError" in child)


def test_it_ends_by_a_signal_even_where_its_parent_would_not(tmp_path: Path) -> None:
    parent = """
import signal
os.kill(child.pid, signal.SIGTERM)
print(child.wait(30))
"""
    assert run(tmp_path, "import time; time.sleep(60)", parent) == str(-signal.SIGTERM)


def test_waiting_has_a_limit(tmp_path: Path) -> None:
    parent = """
try:
    child.wait(0.1)
except subprocess.TimeoutExpired:
    print(child.poll())
os.kill(child.pid, 9)
child.wait(30)
"""
    assert run(tmp_path, "import time; time.sleep(60)", parent) == "None"


def test_the_lock_on_the_home_ends_with_the_parent(tmp_path: Path) -> None:
    parent = """
os.execv(sys.executable, [sys.executable, "-c", f'''
import os
from filelock import FileLock
FileLock("lock").acquire(timeout=5)
print("free")
os.kill({child.pid}, 9)
'''])
"""
    assert run(tmp_path, "import time; time.sleep(60)", parent) == "free"


def test_a_process_of_several_threads_makes_none(tmp_path: Path) -> None:
    parent = """
import threading, time
before = can_fork()
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
print(before, can_fork())
child.wait(30)
"""
    assert run(tmp_path, "pass", parent) == "True False"


def test_it_keeps_the_descriptors_that_it_is_given_and_no_others(tmp_path: Path) -> None:
    """A listening socket is handed over so: who waits in it is found by the copy."""
    code = """
import os, socket, sys
from app.forked import Forked

class Child:
    @staticmethod
    def main():
        given = socket.socket(fileno=int(os.environ["GIVEN"]))
        print(given.accept()[1] is not None, os.path.exists(f"/proc/self/fd/{os.environ['OTHER']}"), flush=True)

sys.modules["child"] = Child
other, given, third = (socket.create_server(("127.0.0.1", 0)) for _ in range(3))
caller = socket.create_connection(given.getsockname())
with open("said", "wb") as file:
    numbers = {"GIVEN": str(given.fileno()), "OTHER": str(other.fileno())}
    child = Forked("child", numbers, file.fileno(), (given.fileno(),))
given.close()
print(child.wait(30))
"""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0", done.stderr
    assert (tmp_path / "said").read_text() == "True False\n"
