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
