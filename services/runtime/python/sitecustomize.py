"""Line-buffered output, so that a job's log is in order and lines of several processes stay whole.

Runs at the start of every Python in a job (3.6 and later); a sitecustomize further down the path still runs.
"""

import sys


def _line_buffered() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _run_the_next_one() -> None:
    import os
    from importlib.machinery import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is slow to import)
    path = [entry for entry in sys.path if os.path.abspath(entry) != here]  # noqa: PTH100
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        import importlib.util

        spec.loader.exec_module(importlib.util.module_from_spec(spec))


try:
    _line_buffered()
    _run_the_next_one()
except Exception:  # noqa: BLE001, S110 (a job must start whatever this image's Python is)
    pass
