"""The runs that a tile is drawn for: what they are called here, and their colours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, or_, select

from services.core import colors
from services.store.metrics import Run, Tag
from services.store.rows import Job
from services.studio import Scope

MOST = 200
COLOR = "atelier.color"
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Shown:
    """`id` is how a run is named everywhere: by its job, or by MLflow's id where no job made it."""

    run: Run
    job: Job | None
    color: str

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def id(self) -> str:
        return self.job.name if self.job is not None else self.run_id

    @property
    def label(self) -> str:
        """What people call it."""
        if self.job is not None:
            return self.job.display_name or self.job.name
        return self.run.name or self.run_id


def shown(scope: Scope, names: Sequence[str]) -> list[Shown]:
    """In the order of `names`, each once, at most MOST; what is not here is left out."""
    wanted = list(dict.fromkeys(names))
    here = (Job.workspace_id == scope.workspace_id, col(Job.deleted_at).is_(None))
    named = or_(col(Job.name).in_(wanted), col(Job.run_id).in_(wanted))
    jobs = {job.run_id: job for job in scope.session.exec(select(Job).where(*here, named)) if job.run_id}
    by_name = {job.name: run_id for run_id, job in jobs.items()}
    ids = list(dict.fromkeys(by_name.get(name, name) for name in wanted))
    mine = (Run.workspace_id == scope.workspace_id, Run.lifecycle_stage == "active")
    runs = {run.run_id: run for run in scope.session.exec(select(Run).where(*mine, col(Run.run_id).in_(ids)))}
    chosen = select(Tag).where(col(Tag.run_id).in_(runs), Tag.key == COLOR, Tag.wish != "remove")
    given = {tag.run_id: tag.value for tag in scope.session.exec(chosen) if _COLOR.fullmatch(tag.value)}
    known = [runs[run_id] for run_id in ids if run_id in runs]
    return [Shown(run, jobs.get(run.run_id), given.get(run.run_id) or colors.of(run.run_id)) for run in known[:MOST]]
