"""What an ended container means: the facts in this order, the first that holds counts.

1. we cancelled it  2. our time limit  3. it never started  4. killed for memory  5. a child killed for memory
6. the engine restarted  7. killed by somebody else  8. it is gone  9. its own exit code
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.core.states import JobStatus
from services.core.times import iso, seconds
from services.engines.containers import Found

_TERM, _KILL, _RESTARTED = 143, 137, 255
KILLS = frozenset({_TERM, _KILL, _RESTARTED})
_STARTS = (
    ("executable file not found", "The command was not found in the image."),
    ("no such file or directory", "The command or a file that it needs was not found in the image."),
    ("permission denied", "The command may not be executed (permission denied)."),
    ("exec format error", "The command is not a program for this machine (exec format error)."),
    ("mount", "A folder could not be mounted."),
    ("port is already allocated", "A port is taken."),
)
# What shells, Python, Java and libc say when a process or thread could not be started.
_TOO_MANY = (
    "Cannot fork",
    "fork: Resource temporarily unavailable",
    "can't start new thread",
    "BlockingIOError: [Errno 11]",
    "unable to create native thread",
    "pthread_create failed",
)


@dataclass(frozen=True)
class Asked:
    """What we know of the job: `timeout` in seconds, `memory` in bytes."""

    canceled_by: str = ""
    cancel_requested_at: datetime | None = None
    timed_out: bool = False
    timeout: int | None = None
    started_at: datetime | None = None
    memory: int | None = None
    engine_started_at: datetime | None = None
    log_tail: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """How a job ended; `message` and `warning` are for the person."""

    status: JobStatus
    reason: str
    message: str = ""
    warning: str = ""
    exit_code: int | None = None
    finished_at: datetime | None = None


def verdict(found: Found | None, asked: Asked) -> Verdict:
    """`found` is None when the engine knows nothing of the container any more."""
    code = found.exit_code if found else None
    at = found.finished_at if found else None
    if asked.cancel_requested_at is not None:
        return Verdict(JobStatus.Canceled, "Canceled", _canceled(found, asked), "", code, at)
    if asked.timed_out:
        return Verdict(JobStatus.Failed, "Timeout", f"Exceeded limits.timeout = {asked.timeout} s.", "", code, at)
    if found is None or (found.status == "dead" and code is None):
        message = "The container is gone: somebody removed it, or its host was restarted. Its exit code is not known."
        return Verdict(JobStatus.Failed, "ContainerLost", message, "", None, at)
    if found.error and found.started_at is None:
        return Verdict(JobStatus.Failed, "StartError", _start_error(found.error), "", code, at)
    if found.oom_killed and code:
        return Verdict(JobStatus.Failed, "OutOfMemory", _out_of_memory(asked.memory, code), "", code, at)
    if found.oom_killed:
        return Verdict(JobStatus.Completed, "", "", "A child process was killed for memory.", code, at)
    if code in KILLS and _engine_restarted(found, asked, code):
        return Verdict(
            JobStatus.Failed, "EngineRestarted", "The Docker engine restarted and took the job with it.", "", code, at
        )
    if code in {_TERM, _KILL}:
        message = "Something outside the studio stopped the container."
        return Verdict(JobStatus.Failed, "KilledExternally", message, "", code, at)
    if code == 0:
        return Verdict(JobStatus.Completed, "", "", "", 0, at)
    return Verdict(JobStatus.Failed, "UserError", _user_error(code, asked.log_tail), "", code, at)


def _canceled(found: Found | None, asked: Asked) -> str:
    said = f"Canceled by {asked.canceled_by or 'somebody'} at {iso(asked.cancel_requested_at)}"
    if found is None or found.started_at is None:
        return f"{said}, before it started."
    took = seconds(asked.cancel_requested_at, found.finished_at)
    signal = "SIGKILL" if found.exit_code == _KILL else "SIGTERM"
    return f"{said}; stopped with {signal} after {took or 0:.0f} s."


def _start_error(error: str) -> str:
    folded = error.casefold()
    plain = next((said for sign, said in _STARTS if sign in folded), "The container could not be started.")
    return f"{plain} The engine says: {error.strip()[:400]}"


def _out_of_memory(memory: int | None, code: int) -> str:
    limit = f"used more than the {memory / (1 << 30):.3g} GiB limit" if memory else "the machine has no more memory"
    also = "" if code == _KILL else f" A child process was killed and the command ended with exit code {code}."
    return f"Killed: {limit}. Raise resources.memory or use less.{also}"


def _engine_restarted(found: Found, asked: Asked, code: int) -> bool:
    engine = asked.engine_started_at
    if engine is None or asked.started_at is None or engine <= asked.started_at:
        return False
    if code == _RESTARTED or found.finished_at is None:
        return True
    return engine - timedelta(seconds=60) <= found.finished_at <= engine + timedelta(seconds=10)


def _user_error(code: int | None, tail: Sequence[str]) -> str:
    said = f"The command ended with exit code {code}."
    hints = {126: " 126 means: found, but may not be executed.", 127: " 127 means: a command was not found."}
    said += hints.get(code or 0, "")
    if any(sign in line for line in tail for sign in _TOO_MANY):
        said += " It seems to have started too many processes or threads at once; their number is limited."
    return f"{said}\n" + "\n".join(tail) if tail else said
