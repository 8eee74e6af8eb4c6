"""A child process made by fork: it begins with all that its parent has imported, and shares that memory.

Only a parent of one thread may do that (a lock that another thread holds would stay shut in the child for ever),
and only on Linux; `can_fork` says whether it may.
"""

import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

POLL_SECONDS = 0.02
_DESCRIPTORS = 4096


def can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1


class Forked:
    """Asked and waited for like a `subprocess.Popen`."""

    def __init__(self, module: str, environment: Mapping[str, str], output: int, kept: Sequence[int] = ()) -> None:
        """Runs the module's `main` in a session of its own, with what it says going to the file `output`.

        Of what this process has open it keeps the descriptors `kept`, under their numbers.
        """
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # the collector would write to every object, and unshare it
        self.pid = os.fork()
        if self.pid == 0:
            _become(module, environment, output, kept)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 1
                return self.returncode
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(POLL_SECONDS)
        return code


def _become(module: str, environment: Mapping[str, str], output: int, kept: Sequence[int]) -> NoReturn:
    """Never returns to the parent's code: what that holds open or would do at its exit is not the child's."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        first = 3
        for number in (*sorted(kept), _DESCRIPTORS):
            os.closerange(first, number)  # the lock on the home is among them, and ends with the parent alone
            first = number + 1
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.environ.update(environment)
        sys.argv = [module]
        _call_it(module)
        importlib.import_module(module).main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (the end of a process)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call_it(module: str) -> None:
    """The name that `top` and `ps -e` show, which would be the parent's."""
    try:
        Path("/proc/self/comm").write_text(module.replace("app.", "atelier-"), encoding="ascii")
    except OSError:
        return
