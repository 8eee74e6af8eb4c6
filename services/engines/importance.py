"""What a target depends on: a random forest in a process of its own, with bounded time and memory."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.core.errors import EngineError, Unavailable

SECONDS = 60
WAIT_SECONDS = 20
AT_ONCE = 2
KEPT = 256
_ROOT = Path(__file__).resolve().parents[2]
_room = threading.BoundedSemaphore(AT_ONCE)
_lock = threading.Lock()
_known: OrderedDict[str, "Found"] = OrderedDict()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """By name: how much R² falls when it is shuffled, and how far that differs from tree to tree; `r2` out of bag."""

    r2: float
    shares: Mapping[str, tuple[float, float]]


def of(columns: Mapping[str, Sequence[float] | Sequence[str]], target: Sequence[float]) -> Found:
    """Numbers as they are, texts as categories. The same question is answered from memory.

    Raises Unavailable when it takes too long or too many ask, EngineError when it fails.
    """
    asked = orjson.dumps({"columns": dict(columns), "target": list(target)}, option=orjson.OPT_SORT_KEYS)
    key = hashlib.blake2b(asked, digest_size=16).hexdigest()
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    if not _room.acquire(timeout=WAIT_SECONDS):
        raise Unavailable("Other importances are being computed.", hint="Try it again in a minute.")
    try:
        found = _computed(asked)
    finally:
        _room.release()
    with _lock:
        _known[key] = found
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return found


def _computed(asked: bytes) -> Found:
    with tempfile.TemporaryDirectory(prefix="atelier-importance-") as folder:
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-s", "-m", "services.engines.forest"],
                input=asked,
                capture_output=True,
                timeout=SECONDS,
                env=_environment(folder),
                cwd=folder,
                check=False,
            )
        except subprocess.TimeoutExpired as cause:
            raise Unavailable(f"The importance took longer than the {SECONDS} seconds it is given.") from cause
    if ended.returncode:
        _log.warning("The forest ended with %s: %s", ended.returncode, ended.stderr[-4000:].decode(errors="replace"))
        raise EngineError("The importance could not be computed.", hint="The log of the web process says why.")
    told: dict[str, Any] = json.loads(ended.stdout)
    return Found(told["r2"], {name: (mean, spread) for name, (mean, spread) in told["shares"].items()})


def _environment(folder: str) -> dict[str, str]:
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", **one}
