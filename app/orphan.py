"""A child process that outlives its supervisor would hold its port: it leaves when the supervisor is gone."""

import os
import signal
import threading
import time

VARIABLE = "ATELIER_SUPERVISOR_PID"


def exit_with_supervisor() -> None:
    """Starts a thread that ends this process (by SIGTERM to itself) once its parent is another one."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted.isdecimal():
        return

    def watch() -> None:
        while os.getppid() == int(wanted):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="orphan").start()
