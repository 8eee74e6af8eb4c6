"""Runs as the tee leaves them, without an MLflow behind: for what only reads them."""

from collections.abc import Mapping, Sequence

from services import experiments
from services.metric_tee import Tee
from services.store.metrics import Point, Run
from tests.conftest import Stage

START = 1_700_000_000_000


def recorded(
    stage: Stage,
    run_id: str,
    metrics: Mapping[str, Sequence[float]] | None = None,
    *,
    experiment: str = "iris",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    **fields: object,
) -> None:
    """A run that no job made; values of metrics by step, one a second from START on."""
    with stage.scope() as scope:
        row = experiments.ensure(scope, experiment)
        row.mlflow_id = row.mlflow_id or f"x-{experiment}"
        mlflow_id = row.mlflow_id
    about: dict[str, object] = {"run_id": run_id, "workspace_id": stage.lab.id, "experiment_id": mlflow_id}
    about |= {"name": f"run {run_id[0]}", "parent_run_id": parent}
    about |= {"status": "FINISHED", "start_time": START, "end_time": START + 60_000, "user": "maria"}
    run = Run.model_validate({**about, **fields})
    tee = Tee(stage.studio)
    try:
        tee.run(run)
        for key, values in (metrics or {}).items():
            tee.points(run_id, [Point(key, value, START + 1000 * at, at) for at, value in enumerate(values)])
        tee.params(run_id, params or {})
        tee.tags(run_id, {**(tags or {}), **({"mlflow.parentRunId": parent} if parent else {})})
        tee.flush()
    finally:
        tee.close()
