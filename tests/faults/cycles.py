"""The crash matrix: where a process is killed, what is under way meanwhile, and what must be true afterwards."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from services.core.states import TERMINAL
from tests.faults.rig import Rig, eventually

JOBS = 2


@dataclass
class Told:
    """What one cycle came to: what was wrong, and the seconds from the new process to the last job's end."""

    faults: list[str]
    recovery: float


@dataclass(frozen=True)
class Cycle:
    """`row` is the fault matrix's."""

    row: str
    name: str
    run: Callable[[Rig], Told]

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"


def at(failpoint: str) -> Callable[[Rig], Told]:
    """The worker dies there (`name:n`, the n-th time) with two jobs under way."""

    def run(rig: Rig) -> Told:
        worker = rig.worker(failpoint)
        names = [rig.submit(lines=8, pause=0.02) for _ in range(JOBS)]
        _died(rig, worker, failpoint)
        return _recovered(rig, dict.fromkeys(names, "Completed"), lines=8)

    return run


def building(failpoint: str) -> Callable[[Rig], Told]:
    """The same while the image that the jobs need is made; '' kills at a random moment of it."""

    def run(rig: Rig) -> Told:
        _forget_images(rig)
        worker = rig.worker(failpoint)
        names = [rig.submit(lines=8, pause=0.02) for _ in range(JOBS)]
        if failpoint:
            _died(rig, worker, failpoint)
        else:
            eventually(lambda: "Building" in rig.job(names[0]).reason, "the image is being made")
            time.sleep(random.uniform(0, 1))
            _killed(worker)
        told = _recovered(rig, dict.fromkeys(names, "Completed"), lines=8)
        made = [*_tags(rig), *_half_made(rig)]
        return Told(told.faults + ([] if len(made) == 1 else [f"left over: {made}"]), told.recovery)

    return run


def cancelling(failpoint: str) -> Callable[[Rig], Told]:
    """The worker dies before or after it stopped the container of a job that was cancelled."""

    def run(rig: Rig) -> Told:
        worker = rig.worker(failpoint)
        name = rig.submit(lines=100_000, pause=0.02)
        rig.until(name, "Running")
        rig.cancel(name)
        _died(rig, worker, failpoint)
        return _recovered(rig, {name: "Canceled"}, lines=0)

    return run


def running(kills: int) -> Callable[[Rig], Told]:
    """The worker is killed again and again while one job runs; the job does not notice."""

    def run(rig: Rig) -> Told:
        worker = rig.worker()
        name = rig.submit(lines=kills * 60, pause=0.04)
        pid = _pid(rig, rig.until(name, "Running").container_name)
        for _ in range(kills):
            time.sleep(random.uniform(0.1, 2.5))
            _killed(worker)
            worker = rig.worker()
        alive = rig.job(name).status in TERMINAL or _pid(rig, rig.job(name).container_name) == pid
        _killed(worker)
        told = _recovered(rig, {name: "Completed"}, lines=kills * 60)
        return Told(told.faults + ([] if alive else [f"run twice: {name} has another process"]), told.recovery)

    return run


def ended_meanwhile(seconds: float) -> Callable[[Rig], Told]:
    """Containers end while no worker is there, with their own exit codes."""

    def run(rig: Rig) -> Told:
        worker = rig.worker()
        names = [rig.submit(lines=20, pause=0.02), rig.submit("echo 1; sleep 0.5; exit 7")]
        for name in names:
            rig.until(name, "Running", *map(str, TERMINAL))
        _killed(worker)
        eventually(lambda: not _are_running(rig), "both containers ended")
        time.sleep(seconds)
        told = _recovered(rig, {names[0]: "Completed"}, lines=20)
        row = rig.until(names[1])
        faults = [] if (row.status, row.exit_code) == ("Failed", 7) else [f"wrong status: {row.status} {row.exit_code}"]
        took = (row.finished_at - row.started_at).total_seconds() if row.finished_at and row.started_at else -1
        if not 0 <= took < seconds + 5:
            faults.append(f"wrong status: {names[1]} took {took} s")
        return Told(told.faults + faults, told.recovery)

    return run


def anywhere(rig: Rig) -> Told:
    """Killed at a random moment of three jobs' lives."""
    worker = rig.worker()
    names = [rig.submit(lines=20, pause=0.03) for _ in range(3)]
    eventually(lambda: rig.job(names[0]).status != "Queued", "the worker is at work")
    time.sleep(random.uniform(0, 2))
    _killed(worker)
    return _recovered(rig, dict.fromkeys(names, "Completed"), lines=20)


def submitting(rig: Rig) -> Told:
    """The web process dies during a submission, before it is committed; the client tries again."""
    worker, web = rig.worker(), rig.web("before_commit")
    name = f"again-{random.getrandbits(32):08x}"
    try:
        answer = rig.post(name, key=name)
        return Told([f"submitted: {answer.status_code} {answer.text} though the web process died"], 0)
    except httpx.HTTPError:
        _died(rig, web, "before_commit")
    web = rig.web()
    first, second = rig.post(name, key=name), rig.post(name, key=name)
    faults = [] if (first.status_code, second.status_code) == (201, 201) else [f"submitted: {first.text} {second.text}"]
    told = _recovered(rig, {name: "Completed"}, lines=10, worker=worker)
    rig.stop(web)
    return Told(faults + told.faults, told.recovery)


def browsing(rig: Rig) -> Told:
    """The web process is killed while jobs run and others are submitted: the worker goes on, nothing is lost."""
    worker, web = rig.worker(), rig.web()
    names = [f"web-{random.getrandbits(32):08x}" for _ in range(3)]
    answers = [rig.post(name, key=name).status_code for name in names]
    time.sleep(random.uniform(0, 0.5))
    _killed(web)
    told = _recovered(rig, dict.fromkeys(names, "Completed"), lines=10, worker=worker)
    return Told(told.faults + ([] if set(answers) == {201} else [f"submitted: {answers}"]), told.recovery)


SUITE = (
    *(Cycle("F1", f"submit-{n}", submitting) for n in (1, 2)),
    *(Cycle("F2", f"after_claim-{n}", at(f"after_claim:{n}")) for n in (1, 5)),
    Cycle("F2", "after_starting", at("after_starting")),
    *(Cycle("F3", f"after_snapshot-{n}", at(f"after_snapshot:{n}")) for n in (1, 2)),
    *(Cycle("F4", point or "any", building(point)) for point in ("before_build", "after_build", "")),
    *(Cycle("F5", f"after_create-{n}", at(f"after_create:{n}")) for n in (1, 2)),
    *(Cycle("F6", f"after_id-{n}", at(f"after_id:{n}")) for n in (1, 2)),
    *(Cycle("F7", f"after_start-{n}", at(f"after_start:{n}")) for n in (1, 2)),
    Cycle("F8", "running", running(6)),
    *(Cycle("F9", f"down-{seconds}", ended_meanwhile(seconds)) for seconds in (0, 4)),
    *(
        Cycle("F10", point.replace(":", "-"), at(point))
        for point in ("after_finalizing", "output_collected", "file_collected:3", "file_collected:7")
    ),
    *(Cycle("F11", f"after_outputs-{n}", at(f"after_outputs:{n}")) for n in (1, 2)),
    Cycle("F11", "after_run_ended", at("after_run_ended")),
    *(Cycle("F12", f"after_terminal-{n}", at(f"after_terminal:{n}")) for n in (1, 2)),
    *(Cycle("F13", point, cancelling(point)) for point in ("before_stop", "after_stop")),
    *(Cycle("worker", f"anywhere-{n}", anywhere) for n in range(1, 8)),
    *(Cycle("web", f"anywhere-{n}", browsing) for n in range(1, 4)),
)


def drawn(cycles: int, seed: int) -> Iterator[Cycle]:
    """Every cycle of the suite, and then random ones up to `cycles`."""
    chance = random.Random(seed)
    for number in range(cycles):
        yield SUITE[number] if number < len(SUITE) else chance.choice(SUITE)


def _recovered(rig: Rig, wanted: dict[str, str], *, lines: int, worker: subprocess.Popen[bytes] | None = None) -> Told:
    """A new worker repairs it all; then the oracle is asked, and nothing may be left."""
    begun = time.monotonic()
    worker = worker or rig.worker()
    for name in wanted:
        rig.until(name)
    took = time.monotonic() - begun
    faults = [fault for name, status in wanted.items() for fault in rig.faults(name, lines=lines, status=status)]
    try:
        eventually(lambda: not rig.leftovers(), "nothing is left", seconds=60)
    except AssertionError:
        faults.append(f"left over: {rig.leftovers()}")
    rig.stop(worker)
    return Told(faults, took)


def _died(rig: Rig, process: subprocess.Popen[bytes], where: str) -> None:
    try:
        assert process.wait(60) == -signal.SIGKILL, f"it ended by itself before {where}\n{rig.said()}"
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{where} was never reached\n{rig.said()}") from None


def _killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _pid(rig: Rig, container: str) -> int:
    return int(rig.engine.client.inspect_container(container)["State"]["Pid"])


def _are_running(rig: Rig) -> bool:
    mine = {"label": "atelier.kind=job", "status": "running"}
    return bool(rig.engine.client.containers(filters=mine))


def _forget_images(rig: Rig) -> None:
    """Somebody untagged every image of this engine."""
    for tag in _tags(rig):
        rig.engine.client.remove_image(tag, force=True)


def _half_made(rig: Rig) -> list[str]:
    """What a build needs only while it goes on."""
    known = {"artifacts", "locks", "logs", "runs", "runtime", "scratch", "workspaces"}
    folders = {path.name for path in rig.home.iterdir() if path.is_dir()} - known
    return [*sorted(folders), *(path.name for path in (rig.home / "scratch").glob("*"))]


def _tags(rig: Rig) -> list[str]:
    named = [tag for image in rig.engine.client.images() for tag in image["RepoTags"] or []]
    return [tag for tag in named if tag != "<none>:<none>"]
