"""What people wrote on runs is told to MLflow, which stays the record; its silence is waited out."""

import logging
import time
from collections.abc import Callable

from services.core.errors import EngineError, NotFound, Unavailable
from services.engines.tracking import Tracking
from services.store import metrics as store
from services.store.metrics import Tag
from services.studio import Studio, mlflow_workspace

log = logging.getLogger("atelier.worker")
MOST = 500
# What a client changed at the same moment may have come in on either side of ours: the tee is a second behind.
AGAIN_SECONDS = 5.0


class RunMarks:
    """The worker's part. Every act may be repeated."""

    def __init__(self, studio: Studio, tracking: Callable[[], Tracking | None]) -> None:
        self.studio, self._tracking = studio, tracking
        self._told: dict[tuple[str, str, str], float] = {}

    def look(self) -> None:
        """Cheap while nothing is wished for."""
        with self.studio.database.session(write=False) as session:
            wished = store.wished_tags(session, MOST)
            session.expunge_all()
        due = [key for key, at in self._told.items() if time.monotonic() - at > AGAIN_SECONDS]
        tracking = self._tracking() if wished or due else None
        if tracking is None:
            return
        try:
            for workspace_id, tag in wished:
                self._tell(tracking, workspace_id, tag)
            for key in due:
                self._compare(tracking, *key)
        except Unavailable as cause:
            log.info("What was written on runs waits: %s", cause)

    def _tell(self, tracking: Tracking, workspace_id: str, tag: Tag) -> None:
        value = tag.value if tag.wish == "set" else None
        try:
            tracking.tag_run(mlflow_workspace(workspace_id), tag.run_id, tag.key, value)
        except Unavailable:
            raise
        except (NotFound, EngineError) as cause:  # a run that is gone there, or what MLflow does not take
            log.warning("MLflow did not take tag '%s' of run %s: %s", tag.key[:80], tag.run_id, cause)
        with self.studio.database.session(write=True) as session:
            store.granted(session, tag)
        self._told[workspace_id, tag.run_id, tag.key] = time.monotonic()

    def _compare(self, tracking: Tracking, workspace_id: str, run_id: str, key: str) -> None:
        """The tag as MLflow has it by now, whoever was last."""
        try:
            value = tracking.run(mlflow_workspace(workspace_id), run_id).tags.get(key)
        except NotFound:
            value = None
        with self.studio.database.session(write=True) as session:
            if value is None:
                store.remove_tag(session, run_id, key)
            else:
                store.save_tags(session, [(run_id, key, value)])
        del self._told[workspace_id, run_id, key]
