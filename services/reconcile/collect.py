"""What a job leaves behind, taken over without trust; every step can be repeated after a crash."""

from pathlib import Path

from services.core import failpoints
from services.engines import files
from services.reconcile.data import held
from services.reconcile.launch import LIVE
from services.store.rows import Job
from services.studio import Studio

NAMED = 5


def outputs(studio: Studio, job: Job) -> list[str]:
    """Moves outputs that were held back to their datastore; sentences about what was left."""
    said: list[str] = []
    for name, declared in job.resolved.get("outputs", {}).items():
        if not declared.get("collected"):
            continue
        target, source = Path(declared["target"]), held(studio, job, name)
        if not source.is_dir():
            continue
        if declared["type"] == "uri_file":
            taken = files.collect(source, target.parent, only=target.name)
        else:
            taken = files.collect(source, target)
        failpoints.reach("output_collected")
        said += _left(f"output '{name}'", taken)
    return said


def run_files(studio: Studio, job: Job, root: Path) -> list[str]:
    """Moves logs and artifacts into the run's artifact folder."""
    run = studio.folders.run(job.id)
    said: list[str] = []
    for name in LIVE:
        if (run / name).is_dir():
            said += _left(name, files.collect(run / name, (root / name).resolve()))
    return said


def _left(where: str, taken: files.Collected) -> list[str]:
    said = [f"{path} in {where} was left: it {reason}." for path, reason in taken.refused[:NAMED]]
    more = len(taken.refused) - NAMED
    return [*said, f"{more} more in {where} were left."] if more > 0 else said
