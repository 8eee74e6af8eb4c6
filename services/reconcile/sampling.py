"""What running containers use, one line of JSON a sample, in the run's own files."""

import logging
from concurrent.futures import Executor, Future

import orjson
from sqlmodel import select

from services.core.errors import AtelierError
from services.core.states import JobStatus
from services.core.times import iso
from services.engines.containers import Engine
from services.store.rows import Job
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
FILE = "monitoring.jsonl"
SECONDS = 5.0
BYTES = 32 << 20


class Sampling:
    """Each container is asked in its own turn; one that does not answer delays no other."""

    def __init__(self, studio: Studio, engine: Engine, pool: Executor) -> None:
        self.studio, self.engine, self._pool = studio, engine, pool
        self._asked: dict[str, Future[None]] = {}

    def look(self) -> None:
        with self.studio.scope(SYSTEM) as scope:
            rows = scope.session.exec(select(Job.id, Job.container_id).where(Job.status == JobStatus.Running)).all()
        self._asked = {id_: future for id_, future in self._asked.items() if not future.done()}
        for job_id, container_id in rows:
            if container_id and job_id not in self._asked:
                self._asked[job_id] = self._pool.submit(self._sampled, job_id, container_id)

    def _sampled(self, job_id: str, container_id: str) -> None:
        path = self.studio.folders.run(job_id) / "system_logs" / FILE
        try:
            one = self.engine.sample(container_id)
            if path.exists() and path.stat().st_size > BYTES:
                return
            line = {
                "at": iso(one.at),
                "cpu_seconds": one.cpu_seconds,
                "memory": one.memory,
                "memory_limit": one.memory_limit,
                "network_in": one.network_in,
                "network_out": one.network_out,
                "disk_read": one.disk_read,
                "disk_write": one.disk_write,
                "pids": one.pids,
            }
            with path.open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        except (AtelierError, OSError) as cause:
            log.debug("No sample of %s: %s", job_id, cause)
