"""The links that MLflow's clients print open the studio's page of the same run or experiment."""

import pytest

from services import experiments, jobs
from services.store.metrics import Run
from tests.api.conftest import House

RUN, NOTEBOOK, NESTED = "ab" * 16, "cd" * 16, "12" * 16


@pytest.fixture
def house(lab: House) -> House:
    with lab.stage.scope() as scope:
        job = jobs.get(scope, "j1")
        experiment = experiments.get(scope, job.experiment_name)
        experiment.mlflow_id = "7"
        scope.session.add(experiment)
        job.run_id = RUN
        scope.session.add(job)
        for run_id, job_id in ((RUN, job.id), (NOTEBOOK, None), (NESTED, job.id)):
            scope.session.merge(Run(run_id=run_id, workspace_id=scope.workspace_id, experiment_id="7", job_id=job_id))
    return lab


@pytest.mark.parametrize(
    ("address", "page"),
    [
        (f"/files/run/{RUN}", "/job?ws=lab&job=j1"),
        (f"/files/run/{NOTEBOOK}", f"/run?ws=lab&run={NOTEBOOK}"),
        (f"/files/run/{NESTED}", f"/run?ws=lab&run={NESTED}"),
        ("/files/experiment/7", "/experiment?ws=lab&experiment=Default"),
        (f"/files/run/{'ef' * 16}", "/experiments"),
        ("/files/experiment/8", "/experiments"),
    ],
)
def test_a_printed_link_opens_the_page(house: House, address: str, page: str) -> None:
    answer = house.browser("ben").get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, page)


def test_somebody_elses_run_is_in_no_workspace_of_yours(house: House) -> None:
    with house.stage.studio.database.session(write=True) as session:
        row = session.get_one(Run, RUN)
        row.workspace_id = "other"
        session.add(row)
    assert house.browser("ben").get(f"/files/run/{RUN}").headers["location"] == "/experiments"


def test_the_page_behind_the_link_asks_to_sign_in_first(house: House) -> None:
    answer = house.anonymous(Accept="text/html").get("/mlflow/")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/auth/sign-in")
    answer = house.browser("ben").get("/mlflow/")
    assert "/app/static/run-link.js" in answer.text
