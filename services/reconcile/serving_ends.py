"""What an ended container of a deployment means: the facts in this order, the first that holds counts.

1. it is gone, or the engine restarted: nobody's fault  2. it did not answer  3. it never started  4. memory
5. what the server itself said of its end  6. its exit code and the end of its log
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.core.states import ReplicaState
from services.engines.containers import Found
from services.reconcile.classify import KILLS
from services.store.serving import Replica

FAILURE = re.compile(r"ATELIER-FAILURE (?P<code>[A-Za-z]+): ?(?P<message>.*)", re.ASCII)
SHOWN_LINES = 8
LONGEST = 3000
# The cloud's server ends so when init() failed.
_INIT_FAILED = 3


@dataclass(frozen=True)
class Ended:
    """`state` is Failed when it counts against the deployment, else Gone. `message` begins with a word for programs."""

    state: ReplicaState
    message: str
    exit_code: int | None = None


def verdict(
    replica: Replica,
    found: Found | None,
    *,
    tail: Sequence[str],
    memory: int,
    server: str,
    engine_started_at: datetime | None,
) -> Ended:
    """`tail` is the end of its log as it may be shown, `memory` its limit in bytes."""
    if replica.state == ReplicaState.Unhealthy:
        return Ended(ReplicaState.Failed, replica.message or "Unhealthy: It did not answer.")
    if found is None:
        return Ended(ReplicaState.Gone, "ContainerLost: Something outside the studio removed the container.")
    began = replica.started_at or found.started_at
    if began is not None and engine_started_at is not None and began < engine_started_at:
        return Ended(ReplicaState.Gone, "EngineRestarted: The engine restarted.", found.exit_code)
    if found.error:
        return Ended(ReplicaState.Failed, f"StartError: {found.error[:LONGEST]}", found.exit_code)
    if found.oom_killed:
        text = f"OutOfMemory: It used more than the {memory / (1 << 30):.3g} GiB of memory that an instance has."
        return Ended(ReplicaState.Failed, f"{text} Choose a larger instance_type.", found.exit_code)
    for line in reversed(tail):
        if said := FAILURE.search(line):
            return Ended(ReplicaState.Failed, f"{said['code']}: {said['message']}"[:LONGEST], found.exit_code)
    code = "UserScriptInitFailed" if server == "azureml" and found.exit_code == _INIT_FAILED else "Exited"
    what = "killed from outside" if found.exit_code in KILLS else f"exit code {found.exit_code}"
    shown = "\n".join([f"{code}: The server ended ({what}).", *tail[-SHOWN_LINES:]])
    return Ended(ReplicaState.Failed, shown[:LONGEST], found.exit_code)
