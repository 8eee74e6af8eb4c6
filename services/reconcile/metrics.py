"""Care for metrics that nobody asked for: MLflow's database is analysed, histories of what was archived are thinned."""

import logging
import time
from datetime import timedelta

from sqlmodel import col, or_, select

from services.core.errors import EngineError
from services.core.times import now
from services.engines.native_metrics import NativeMetrics
from services.store.metrics import ENDED, Run
from services.store.rows import Experiment, Job
from services.studio import Studio

log = logging.getLogger("atelier.worker")
DAY_SECONDS = 86_400.0
# Where so many rows came in since, and a fifth of all: what SQLite has learnt of the tables is out of date.
GREW_BY, GREW_TO = 10_000, 1.2
A_LOOK = 200


class Metrics:
    """The worker's part. Every act may be repeated."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.native = NativeMetrics(studio.folders.mlflow)
        self._analysed_at, self._size = float("-inf"), 0
        self._after, self._through_at = "", float("-inf")

    def look(self) -> None:
        """Cheap while nothing is due."""
        self.analyse()
        self.thin()

    def analyse(self) -> None:
        """Once a day, and after many writes; when somebody writes just then, at the next look."""
        try:
            if not self.native.is_known():
                return
            size = self.native.size()
            is_old = time.monotonic() - self._analysed_at > DAY_SECONDS
            if not is_old and size < max(self._size + GREW_BY, self._size * GREW_TO):
                return
            self.native.analyse()
        except EngineError as cause:
            log.info("MLflow's database is analysed later: %s", cause)
            return
        self._analysed_at, self._size = time.monotonic(), size

    def thin(self) -> None:
        """A page of runs at each look; once all were seen, again a day later."""
        if not self.studio.settings.thin_archived_after_days or time.monotonic() - self._through_at < DAY_SECONDS:
            return
        page = self._archived()
        for run_id in page:
            if self.studio.history.thin(run_id):
                log.info("The history of run %s was thinned", run_id)
        self._after = page[-1] if page else ""
        if not page:
            self._through_at = time.monotonic()

    def _archived(self) -> list[str]:
        """The next runs, all points of which are here, whose job or experiment was archived long enough ago."""
        before = now() - timedelta(days=self.studio.settings.thin_archived_after_days)
        jobs = select(Job.id).where(col(Job.archived_at) < before)
        their_own = select(Job.run_id).where(col(Job.archived_at) < before, col(Job.run_id).is_not(None))
        experiments = select(Experiment.mlflow_id).where(
            col(Experiment.archived_at) < before, col(Experiment.mlflow_id).is_not(None)
        )
        query = select(Run.run_id).where(
            col(Run.run_id) > self._after,
            col(Run.is_checked).is_(True),
            col(Run.status).in_(ENDED),
            or_(col(Run.job_id).in_(jobs), col(Run.run_id).in_(their_own), col(Run.experiment_id).in_(experiments)),
        )
        with self.studio.database.session(write=False) as session:
            return list(session.exec(query.order_by(Run.run_id).limit(A_LOOK)))
