"""What is noted of runs: MLflow's word counts, but not where it knows nothing."""

import pytest

from services.store import metrics as store
from services.store.metrics import Run
from tests.conftest import Stage

RUN = "a" * 32


def noted(stage: Stage, user: str) -> str:
    with stage.studio.database.session(write=True) as session:
        store.save_run(session, Run(run_id=RUN, workspace_id=stage.lab.id, experiment_id="1", user=user))
    with stage.studio.database.session(write=False) as session:
        return session.get_one(Run, RUN).user


@pytest.mark.parametrize("nobody", ["", "unknown"])
def test_a_person_once_known_is_kept_where_mlflow_knows_none(stage: Stage, nobody: str):
    assert noted(stage, "ben") == "ben"
    assert noted(stage, nobody) == "ben"
    assert noted(stage, "ada") == "ada"
