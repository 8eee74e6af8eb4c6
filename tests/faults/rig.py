"""A studio whose processes are real and may be killed, and an oracle that knows what each job must leave behind."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services import artifacts, events, jobs, uploads
from services.core.states import TERMINAL
from services.engines.tracking import JOB_TAG, HttpTracking
from services.specs.code import Entry
from services.specs.jobs import CommandJob
from services.store.rows import Experiment, Job
from services.studio import mlflow_workspace
from tests.conftest import Stage, free_port, make_stage
from tests.faults.private_engine import PrivateEngine

ROOT = Path(__file__).parents[2]
ONCE = ("CancelRequested", "Finalizing", *TERMINAL)
PARTS = 5
# Counts aloud and in a file of its own, changes its working copy, and leaves outputs of both kinds.
COUNT = f"""\
set -e
n=$1 pause=$2 proof=$3 model=$4
echo run >> "$proof/runs"
echo touched >> count.sh.seen
[ "$(wc -l < count.sh.seen)" = 1 ]
i=0
while [ "$i" -lt "$n" ]; do i=$((i+1)); echo "$i"; echo "$i" >> "$proof/lines"; sleep "$pause"; done
for k in $(seq {PARTS}); do echo "part $k" > "$model/part-$k"; done
echo "$i" > outputs/counted.txt
echo end >> "$proof/ends"
"""


@dataclass
class Rig:
    """One home, one engine, one tracking server; workers and webs come and go."""

    stage: Stage
    engine: PrivateEngine
    tracking: HttpTracking
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    snapshot: str = ""
    port: int = field(default_factory=free_port)

    @property
    def home(self) -> Path:
        return self.stage.studio.folders.home

    def worker(self, crash_at: str = "", **settings: str) -> subprocess.Popen[bytes]:
        return self._process("app.worker", crash_at, settings)

    def web(self, crash_at: str = "") -> subprocess.Popen[bytes]:
        """Returns once it answers."""
        process = self._process("app.server", crash_at, {})
        eventually(lambda: self._is_healthy(), "the web process answers")
        return process

    def submit(self, command: str = "", *, lines: int = 10, pause: float = 0.03, **fields: object) -> str:
        spec = self.spec(command, lines=lines, pause=pause, **fields)
        with self.stage.scope() as scope:
            return jobs.submit(scope, spec, snapshot=None if command else self.snapshot).name

    def spec(self, command: str = "", *, lines: int = 10, pause: float = 0.03, **fields: object) -> CommandJob:
        """The counting job, unless another command is given."""
        wanted: dict[str, object] = {"environment": {"image": "python:3.11"}, "command": command, **fields}
        if not command:
            wanted["command"] = f"bash count.sh {lines} {pause} ${{{{outputs.proof}}}} ${{{{outputs.model}}}}"
            wanted["outputs"] = {"proof": {"type": "uri_folder"}, "model": {"type": "uri_folder", "mode": "upload"}}
        return CommandJob.model_validate(wanted)

    def post(self, name: str, *, lines: int = 10, key: str = "") -> httpx.Response:
        """Submits over REST, as the command line does."""
        spec = self.spec(lines=lines, name=name).model_dump(mode="json", by_alias=True, exclude_none=True)
        headers = {"Authorization": f"Bearer {self.stage.studio.folders.token.read_text().strip()}"}
        if key:
            headers["Idempotency-Key"] = key
        return httpx.post(
            f"http://127.0.0.1:{self.port}/api/v1/workspaces/lab/jobs",
            json={"spec": spec, "snapshot": self.snapshot},
            headers=headers,
            timeout=30,
            trust_env=False,
        )

    def cancel(self, name: str) -> None:
        with self.stage.scope() as scope:
            jobs.cancel(scope, name)

    def job(self, name: str) -> Job:
        with self.stage.scope(write=False) as scope:
            return jobs.get(scope, name)

    def until(self, name: str, *statuses: str, seconds: float = 90) -> Job:
        """The job once it has one of these statuses; any final one by default."""
        wanted = statuses or tuple(map(str, TERMINAL))
        deadline = time.monotonic() + seconds
        while True:
            row = self.job(name)
            if str(row.status) in wanted and (row.status not in TERMINAL or row.collected_at):
                return row
            assert row.status not in TERMINAL or not statuses, f"{name} is {row.status}: {row.reason} {row.message}"
            assert time.monotonic() < deadline, f"{name} is {row.status}: {row.reason} {row.message}\n{self.said()}"
            time.sleep(0.05)

    def text(self, name: str, path: str = "user_logs/std_log.txt") -> bytes:
        with self.stage.scope(write=False) as scope:
            opened, _ = artifacts.opened(scope, name, path)
            with opened as file:
                return file.read()

    def output(self, name: str, output: str, path: str) -> bytes:
        with self.stage.scope(write=False) as scope:
            opened, _ = artifacts.opened_output(scope, name, output, path)
            with opened as file:
                return file.read()

    def told(self, name: str) -> list[str]:
        """The statuses it went through, by its events."""
        with self.stage.scope(write=False) as scope:
            messages = [event.message for event in events.of(scope, "job", name)]
        return [text.removeprefix("Job is ").split(":")[0] for text in messages if text.startswith("Job is ")]

    def containers(self) -> list[str]:
        """Every container of a job that is left on the engine."""
        found = self.engine.client.containers(all=True, filters={"label": "atelier.kind=job"})
        return [name.lstrip("/") for one in found for name in one["Names"]]

    def said(self) -> str:
        """The end of what the processes wrote."""
        return (self.home / "processes.log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """In good order."""
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    def end(self) -> None:
        """No process of this studio goes on."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.processes.clear()

    def close(self) -> None:
        self.end()
        self.stage.studio.close()

    def faults(self, name: str, *, lines: int = 10, status: str = "Completed") -> list[str]:
        """What is not as it must be about a counting job that ended; nothing when all is right."""
        return [*self._story_faults(name, status), *self._count_faults(name, lines, status), *self._run_faults(name)]

    def leftovers(self) -> list[str]:
        """Containers, volumes and run folders that nobody needs; a sweep may take a moment."""
        client = self.engine.client
        volumes = [row["Name"] for row in client.volumes()["Volumes"] or []]
        with self.stage.scope(write=False) as scope:
            live = {row.id for row in jobs.listed(scope, jobs.JobQuery(limit=500)).rows if row.status not in TERMINAL}
        runs = self.home / "runs"
        folders = [path.name for path in runs.iterdir() if path.name not in live] if runs.is_dir() else []
        return [*self.containers(), *volumes, *(f"runs/{name}" for name in folders)]

    def _story_faults(self, name: str, status: str) -> list[str]:
        row, told = self.job(name), self.told(name)
        faults = []
        if str(row.status) != status:
            faults.append(f"wrong status: {name} is {row.status} ({row.reason} {row.message}), not {status}")
        if row.finished_at is None or (row.started_at and row.finished_at < row.started_at):
            faults.append(f"wrong status: {name} ended at {row.finished_at}, started at {row.started_at}")
        twice = [step for step, count in Counter(told).items() if count > 1 and step in ONCE]
        if twice or told[-1] != status:
            faults.append(f"wrong status: {name} was {', '.join(told)}")
        return faults

    def _count_faults(self, name: str, lines: int, status: str) -> list[str]:
        expected = "".join(f"{i}\n" for i in range(1, lines + 1)).encode()
        runs, counted, log = (self._proof(name, path) for path in ("runs", "lines", ""))
        faults = []
        if status != "Completed":
            log = log.removesuffix(b"Terminated\n")  # the last word of a shell whose command was stopped
            whole = b"".join(b"%d\n" % i for i in range(1, log.count(b"\n") + 1))
            if log != whole or abs(log.count(b"\n") - counted.count(b"\n")) > 1:
                faults.append(f"log: {name} wrote {counted[-20:]!r}, its log ends in {log[-20:]!r}")
            return faults + ([f"run twice: {name}"] if runs not in {b"", b"run\n"} else [])
        if runs != b"run\n" or counted != expected:
            faults.append(f"run twice or lost: {name} ran {runs!r} and counted {counted[-20:]!r}")
        if log != expected:
            faults.append(f"log: {name}'s log has {len(log.splitlines())} lines and ends in {log[-20:]!r}")
        parts = [self._proof(name, f"part-{k}", "model") for k in range(1, PARTS + 1)]
        if parts != [f"part {k}\n".encode() for k in range(1, PARTS + 1)]:
            faults.append(f"outputs: {name} has {parts}")
        if self._file(name, "outputs/counted.txt") != f"{lines}\n".encode():
            faults.append(f"outputs: {name} has {self._file(name, 'outputs/counted.txt')!r}")
        stamps = [line.split()[1] for line in self._file(name, "system_logs/lifecycle").decode().splitlines()]
        if stamps != ["started", "ended"]:
            faults.append(f"run twice: {name} was {stamps}")
        return faults

    def _run_faults(self, name: str) -> list[str]:
        """In MLflow: one run a job, ended once."""
        row = self.job(name)
        with self.stage.scope(write=False) as scope:
            experiment = scope.session.get(Experiment, row.experiment_id)
        if row.run_id is None or experiment is None or experiment.mlflow_id is None:
            return [f"tracking: {name} has no run"]
        where = mlflow_workspace(row.workspace_id)
        found = self.tracking._search(where, experiment.mlflow_id, f"tags.`{JOB_TAG}` = '{row.id}'")
        wanted = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}[str(row.status)]
        runs = [(run.run_id, run.status) for run in found if run.lifecycle_stage == "active"]
        return [] if runs == [(row.run_id, wanted)] else [f"tracking: {name} has the runs {runs}, not {row.run_id}"]

    def _proof(self, name: str, path: str, output: str = "proof") -> bytes:
        if not path:
            return self._file(name, "user_logs/std_log.txt")
        try:
            return self.output(name, output, path)
        except Exception as cause:  # noqa: BLE001 (whatever is wrong with it is what the oracle tells)
            return b"" if "not found" in str(cause) or "no file" in str(cause) else str(cause).encode()

    def _file(self, name: str, path: str) -> bytes:
        try:
            return self.text(name, path)
        except Exception as cause:  # noqa: BLE001 (as above)
            return b"" if "no file" in str(cause) else str(cause).encode()

    def _process(self, module: str, crash_at: str, settings: dict[str, str]) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "ATELIER_HOME": str(self.home),
            "ATELIER_ENGINE": "docker",
            "ATELIER_PORT": str(self.port),
            "ATELIER_STOP_GRACE": "2",
            "DOCKER_HOST": self.engine.url,
            **self.settings,
            **settings,
        }
        if crash_at:
            environment["ATELIER_CRASH_AT"] = crash_at
        with (self.home / "processes.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


def make_rig(home: Path, engine: PrivateEngine, tracking_url: str) -> Rig:
    """A stage with its code uploaded and its base image ready."""
    stage = make_stage(home)
    stage.studio.say("tracking", {"url": tracking_url})
    stage.studio.say("gateway", {"url": "http://127.0.0.1:9"})
    rig = Rig(stage, engine, HttpTracking(tracking_url))
    content = COUNT.encode()
    entry = Entry("count.sh", len(content), hashlib.sha256(content).hexdigest(), executable=True)
    with stage.scope() as scope:
        upload = uploads.begin(scope, "code", [entry])
        [landing] = uploads.landings(scope, upload.id)
    with landing.open() as file:
        file.write(content)
    landing.finish()
    with stage.scope() as scope:
        rig.snapshot = uploads.seal(scope, upload.id).id
    return rig


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it never came true: {what}"
        time.sleep(0.05)
