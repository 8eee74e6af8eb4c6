"""Follows the database: whoever commits a change of traffic, keys or replicas is obeyed within 50 ms."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import psycopg

from services import routing
from services.core.errors import AtelierError
from services.core.times import now
from services.engines.routes import Routes, Table
from services.store.database import Watch
from services.store.serving import Deployment
from services.studio import Studio

log = logging.getLogger("atelier.gateway")
TICK = 0.02
LISTEN_SECONDS = 0.5
FULL_SECONDS = 10.0
REST_SECONDS = 0.5


class Reload:
    """A thread. A database that does not answer changes nothing: the last table is followed until it is back."""

    def __init__(self, studio: Studio, routes: Routes) -> None:
        self._studio, self._routes = studio, routes
        self._table: Table | None = None
        self._stopping, self.is_loaded = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="reload")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        watch: Watch | None = None
        while not self._stopping.is_set():
            try:
                watch = watch or self._studio.database.watch()
                self._follow(watch)
            except (AtelierError, psycopg.Error) as cause:
                log.warning("The table of routes is not read: %s", cause)
            except Exception:
                log.exception("The table of routes is not read")
            if watch is not None:
                watch.close()
                watch = None
            self._stopping.wait(REST_SECONDS)

    def _follow(self, watch: Watch) -> None:
        """Until something fails. A full look now and then finds what was changed without a word."""
        looked = 0.0
        is_sqlite = self._studio.database.is_sqlite
        while not self._stopping.is_set():
            changed = watch.changed(LISTEN_SECONDS)
            if changed or monotonic() - looked > FULL_SECONDS:
                looked = monotonic()
                self._load()
            if is_sqlite:
                self._stopping.wait(TICK)

    def _load(self) -> None:
        table = routing.table(self._studio)
        if table != self._table:
            self._routes.apply(table)
            self._table = table
        self.is_loaded.set()


def waker(studio: Studio) -> Callable[[str], None]:
    """Says in the rows that a deployment is asked for, from a thread of its own."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="wake")

    def wake(deployment_id: str) -> None:
        pool.submit(woken, deployment_id)

    def woken(deployment_id: str) -> None:
        try:
            with studio.database.session(write=True) as session:
                row = session.get(Deployment, deployment_id)
                if row is not None:
                    row.woken_at = now()
                    session.add(row)
        except AtelierError as cause:
            log.warning("A deployment could not be woken: %s", cause)

    return wake
