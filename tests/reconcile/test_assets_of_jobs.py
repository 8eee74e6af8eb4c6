"""Assets that jobs read and make: settled when a job is sent, registered when it completes, told in the lineage."""

from pathlib import Path

import pytest
from sqlmodel import select

from services import assets, jobs
from services.assets import Content
from services.core.errors import Conflict, NotFound
from services.core.states import AssetKind, JobStatus
from services.specs.jobs import CommandJob
from services.store.rows import Edge, Job
from tests.conftest import Stage
from tests.reconcile.conftest import Bench, Site, eventually

SETOSA = "azureml://datastores/workspaceblobstore/paths/flowers"


def registered(stage: Stage, path: str = SETOSA, type_: str = "uri_folder", name: str = "flowers") -> str:
    kind = AssetKind.model if type_.endswith("_model") else AssetKind.data
    with stage.scope() as scope:
        return assets.register(scope, kind, name, None, Content(path.ljust(64), type=type_, path=path)).id


def edges(stage: Stage) -> list[tuple[str, str, str, str, str]]:
    with stage.scope(write=False) as scope:
        return [
            (row.source_kind, row.source_id, row.target_kind, row.target_id, row.role)
            for row in scope.session.exec(select(Edge).order_by("id"))  # type: ignore[arg-type]
        ]


def flowers(stage: Stage, text: str = "1\n") -> Path:
    folder = stage.studio.folders.datastore(stage.lab.id, "workspaceblobstore") / "flowers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "iris.csv").write_text(text)
    return folder


def submitted(stage: Stage, **inputs: object) -> Job:
    spec = CommandJob.model_validate({"command": "true", "environment": {"image": "python:3.11"}, "inputs": inputs})
    with stage.scope() as scope:
        return jobs.submit(scope, spec)


def test_a_job_keeps_the_version_that_was_the_latest_when_it_was_sent(stage: Stage) -> None:
    first = registered(stage)
    job = submitted(stage, raw={"path": "azureml:flowers@latest"}, other={"path": "azureml:flowers"})
    registered(stage, SETOSA + "2")
    assert {name: asset["id"] for name, asset in job.resolved["assets"].items()} == {"raw": first, "other": first}
    assert job.spec["inputs"]["raw"]["path"] == "azureml:flowers@latest"
    assert edges(stage) == [("data", first, "job", job.id, role) for role in ("raw", "other")]


def test_a_model_is_looked_for_among_models(stage: Stage) -> None:
    model = registered(stage, SETOSA, "mlflow_model")
    job = submitted(stage, model={"path": "azureml:flowers:1", "type": "mlflow_model"})
    assert edges(stage) == [("model", model, "job", job.id, "model")]
    with pytest.raises(NotFound, match="Data asset 'flowers'") as refused:
        submitted(stage, model={"path": "azureml:flowers:1"})
    assert refused.value.where == "inputs.model.path"


def test_data_that_nobody_registered_is_in_the_lineage_by_its_address(stage: Stage) -> None:
    job = submitted(stage, raw={"path": "https://x.org/a.csv", "type": "uri_file"})
    assert edges(stage) == [("uri", "https://x.org/a.csv", "job", job.id, "raw")]


def test_another_jobs_output_leads_to_that_job(stage: Stage) -> None:
    first = submitted(stage)
    job = submitted(
        stage, a={"path": f"azureml://jobs/{first.name}/outputs/model/paths/x"}, b={"path": f"runs:/{first.name}/m"}
    )
    assert edges(stage) == [("job", first.id, "job", job.id, role) for role in ("a", "b")]
    with pytest.raises(NotFound, match="Job 'nobody'"):
        submitted(stage, a={"path": "azureml://jobs/nobody/outputs/model"})
    with pytest.raises(NotFound, match="Run 'nobody'"):
        submitted(stage, a={"path": "runs:/nobody/model"})


def test_an_output_with_a_name_is_an_asset_once_its_job_has_completed(site: Site) -> None:
    job = site.until(
        site.submit(
            "exit 0",
            outputs={
                "clean": {"name": "flowers-clean", "description": "without holes"},
                "model": {"type": "mlflow_model", "name": "flowers-model", "version": "v1"},
                "rest": {},
            },
        )
    )
    with site.stage.scope(write=False) as scope:
        data = assets.get(scope, AssetKind.data, "flowers-clean")
        model = assets.get(scope, AssetKind.model, "flowers-model")
    assert (data.version, data.type, data.description, data.created_by) == ("1", "uri_folder", "without holes", "ada")
    assert data.path == f"azureml://datastores/workspaceblobstore/paths/azureml/{job.name}/clean"
    assert (model.version, model.type, model.job_id) == ("v1", "mlflow_model", job.id)
    assert edges(site.stage) == [
        ("job", job.id, "data", data.id, "clean"),
        ("job", job.id, "model", model.id, "model"),
    ]


def test_a_job_that_failed_makes_no_asset(site: Site) -> None:
    site.until(site.submit("exit 1", outputs={"clean": {"name": "flowers-clean"}}))
    with site.stage.scope(write=False) as scope, pytest.raises(NotFound):
        assets.get(scope, AssetKind.data, "flowers-clean")


def test_a_version_that_exists_is_said_and_the_job_has_completed_all_the_same(site: Site) -> None:
    registered(site.stage)
    outputs = {"clean": {"name": "flowers", "version": "1"}, "more": {"name": "more"}}
    job = site.until(site.submit("exit 0", outputs=outputs))
    assert job.status == JobStatus.Completed
    assert "'clean' was not registered" in job.warning
    assert "'flowers:1' exists" in job.warning
    with site.stage.scope(write=False) as scope:
        assert assets.get(scope, AssetKind.data, "more").version == "1"


@pytest.mark.docker
@pytest.mark.slow
def test_a_chain_of_jobs_hands_on_what_it_made(bench: Bench) -> None:
    flowers(bench.stage, "setosa\n")
    registered(bench.stage)
    first = bench.until(
        bench.submit(
            "tr a-z A-Z < ${{inputs.raw}}/iris.csv > ${{outputs.big}}/big.csv && echo kept > outputs/kept.txt",
            inputs={"raw": {"path": "azureml:flowers:1"}},
            outputs={"big": {"name": "flowers-big"}},
        ),
        seconds=60,
    )
    assert first.status == JobStatus.Completed, first.message
    second = bench.until(
        bench.submit(
            "cat ${{inputs.a}}/big.csv ${{inputs.b}}/big.csv; echo ${{inputs.c}}; echo $AZURE_ML_INPUT_a",
            inputs={
                "a": {"path": "azureml:flowers-big@latest"},
                "b": {"path": f"azureml://jobs/{first.name}/outputs/big"},
                "c": {"path": "azureml:flowers-big@latest", "mode": "direct"},
            },
        ),
        seconds=60,
    )
    assert second.status == JobStatus.Completed, second.message
    lines = bench.log(second.name).splitlines()
    assert lines[:2] == ["SETOSA", "SETOSA"]
    assert lines[2] == f"azureml://datastores/workspaceblobstore/paths/azureml/{first.name}/big"


@pytest.mark.docker
@pytest.mark.slow
def test_another_workspaces_files_are_nobodys_input(bench: Bench) -> None:
    for path in ("mlflow-artifacts:/workspaces/ws-other/1/r/artifacts", "mlflow-artifacts:/../../token"):
        job = bench.until(bench.submit("true", inputs={"a": {"path": path}}), seconds=60)
        assert (job.status, job.exit_code) == (JobStatus.Failed, None)


def test_a_job_in_whose_files_an_asset_lies_is_not_deleted(site: Site) -> None:
    job = site.until(site.submit("exit 0", outputs={"clean": {"name": "flowers-clean"}}))
    with site.stage.scope() as scope:
        with pytest.raises(Conflict, match="data asset flowers-clean:1"):
            jobs.delete(scope, job.name)
        assets.remove(scope, assets.get(scope, AssetKind.data, "flowers-clean"))
        jobs.delete(scope, job.name)


def test_a_deleted_job_uses_nothing_any_more(site: Site) -> None:
    kept = registered(site.stage)
    flowers(site.stage)
    job = site.until(site.submit("exit 0", inputs={"raw": {"path": "azureml:flowers:1"}}))
    assert len(edges(site.stage)) == 1
    with site.stage.scope() as scope:
        jobs.delete(scope, job.name)
        assert assets.uses(scope, assets.get_by_id(scope, kept)) == []
    eventually(lambda: edges(site.stage) == [], "its edges go with it")


@pytest.mark.parametrize("path", ["LocalUpload/abc", "LocalUpload", "", "x/../LocalUpload/abc"])
def test_no_output_is_written_among_versions_that_never_change(site: Site, path: str) -> None:
    uri = f"azureml://datastores/workspaceblobstore/paths/{path}"
    job = site.until(site.submit("exit 0", outputs={"all": {"path": uri}}))
    assert (job.status, job.exit_code) == (JobStatus.Failed, None)
    assert "outputs.all.path" in job.message
