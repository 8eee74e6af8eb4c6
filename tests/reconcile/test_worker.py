"""The worker on an engine of memory: what is wanted becomes true, whatever goes wrong in between."""

import pytest

from app.worker import Worker, engine_for
from services import events, jobs
from services.core.states import JobStatus
from services.engines.fake_containers import FakeEngine
from services.store.rows import Job
from tests.conftest import Stage
from tests.reconcile.conftest import Site, eventually, make_site, working


def test_a_job_runs_and_leaves_nothing_on_the_engine(site: Site) -> None:
    job = site.until(site.submit("exit 0"))
    assert (job.status, job.exit_code) == (JobStatus.Completed, 0)
    assert job.started_at
    assert job.finished_at
    eventually(lambda: not site.engine.found({}), "the container is removed")
    assert [run.status for run in site.tracking.runs.values()] == ["FINISHED"]
    eventually(lambda: not site.stage.studio.folders.run(job.id).exists(), "the run folder is removed")


def test_its_story_is_told_in_order(site: Site) -> None:
    name = site.submit("exit 0")
    site.until(name)
    with site.stage.scope(write=False) as scope:
        told = [event.message.split(":")[0] for event in events.of(scope, "job", name)]
    assert [line for line in told if line.startswith("Job is")] == [
        f"Job is {status}" for status in ("Preparing", "Starting", "Running", "Finalizing", "Completed")
    ]


def test_a_failing_command_fails_its_job(site: Site) -> None:
    job = site.until(site.submit("exit 3"))
    assert (job.status, job.reason, job.exit_code) == (JobStatus.Failed, "UserError", 3)


def test_a_running_job_is_cancelled(site: Site) -> None:
    name = site.submit("wait")
    site.until(name, "Running")
    with site.stage.scope() as scope:
        jobs.cancel(scope, name)
    job = site.until(name)
    assert job.status == JobStatus.Canceled
    assert "Canceled by ada" in job.message


def test_a_queued_job_is_cancelled_without_ever_starting(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    name = site.submit("wait")
    with lite.scope() as scope:
        jobs.cancel(scope, name)
    thread = working(site.worker)
    job = site.until(name)
    assert job.status == JobStatus.Canceled
    assert "before it started" in job.message
    assert site.engine.created == []
    site.worker.stop()
    thread.join(timeout=30)


def test_a_job_that_takes_too_long_is_stopped(site: Site) -> None:
    job = site.until(site.submit("wait", limits={"timeout": 1}))
    assert (job.status, job.reason) == (JobStatus.Failed, "Timeout")


def test_a_container_that_somebody_removed_is_lost_never_completed(site: Site) -> None:
    name = site.submit("wait")
    job = site.until(name, "Running")
    site.engine.lose(job.container_name)
    site.worker._full.set()
    assert site.until(name).reason == "ContainerLost"


def test_a_broken_build_fails_its_jobs_and_says_why(site: Site) -> None:
    with site.stage.scope() as scope:
        from services import environments
        from services.specs.environments import Environment

        made = environments.create(
            scope, Environment(name="broken", image="python:3.11", conda_file={"dependencies": ["six"]})
        )
    site.engine.broken_builds.add(environments.wish(site.stage.studio, made).hash)
    job = site.until(site.submit("exit 0", environment="azureml:broken:1"))
    assert (job.status, job.reason) == (JobStatus.Failed, "BuildFailed")
    assert "it was told to" in job.message


def test_while_the_engine_is_silent_jobs_are_not_responding_and_then_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.SILENT_SECONDS", 0.5)
    monkeypatch.setattr("app.worker.PROBE_SECONDS", 0.1)
    name = site.submit("wait")
    job = site.until(name, "Running")
    site.engine.silent = True
    site.until(name, "NotResponding")
    late = site.submit("exit 0")
    site.engine.silent = False
    site.until(name, "Running")
    assert site.until(late).status == JobStatus.Completed
    site.engine.end(job.container_name, 0)
    assert site.until(name).status == JobStatus.Completed


def test_a_worker_that_comes_later_adopts_what_runs(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    thread = working(site.worker)
    name = site.submit("wait")
    job = site.until(name, "Running")
    site.worker.stop()
    thread.join(timeout=30)
    site.engine.end(job.container_name, 5)
    site.worker = Worker(lite.studio, site.engine)
    thread = working(site.worker)
    ended = site.until(name)
    assert (ended.exit_code, site.engine.started) == (5, [job.container_name])
    site.worker.stop()
    thread.join(timeout=30)


def test_two_workers_start_each_job_once(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    names = [site.submit("exit 0") for _ in range(40)]
    workers = [site.worker, Worker(lite.studio, site.engine)]
    threads = [working(worker) for worker in workers]
    assert {site.until(name, seconds=60).status for name in names} == {JobStatus.Completed}
    assert len(site.engine.started) == len(set(site.engine.started)) == 40
    for worker, thread in zip(workers, threads, strict=True):
        worker.stop()
        thread.join(timeout=30)


def test_jobs_that_ended_take_no_place_while_they_wait_for_mlflow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.stage.studio.settings, "parallel_jobs", 1)
    site.tracking.silent = True
    names = [site.submit("exit 0") for _ in range(3)]
    for name in names:
        site.until(name, "Finalizing")
    site.tracking.silent = False
    assert {site.until(name).status for name in names} == {JobStatus.Completed}


def test_who_waits_for_a_place_is_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.stage.studio.settings, "parallel_jobs", 1)
    first = site.submit("wait")
    site.until(first, "Running")
    waiting = [site.submit("exit 0") for _ in range(3)]
    eventually(lambda: all("place" in site.job(name).reason for name in waiting), "all are told")
    with site.stage.scope() as scope:
        jobs.cancel(scope, waiting[-1])
    assert site.until(waiting[-1]).status == JobStatus.Canceled
    site.engine.end(site.job(first).container_name, 0)
    assert {site.until(name).status for name in waiting[:-1]} == {JobStatus.Completed}


def test_a_stale_worker_writes_nothing(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    name = site.submit("wait")
    attempts = site.worker.jobs.attempts
    stale = attempts._claimed(site.job(name).id)
    assert stale is not None
    with lite.studio.database.session(write=True) as session:
        row = session.get(Job, stale.id)
        assert row is not None
        row.lock_token = "another|1|1|x"
        session.add(row)
    assert not attempts._advance(stale, JobStatus.Starting)
    assert site.job(name).status == JobStatus.Preparing


def test_an_unknown_container_of_ours_is_swept_and_no_other_is_touched(site: Site) -> None:
    from services.engines.containers import Container

    mine = {"atelier.install": site.stage.studio.install, "atelier.kind": "job", "atelier.job": "gone"}
    site.engine.create(Container(name="mine", image="x", command=["wait"], labels=mine))
    site.engine.create(Container(name="other", image="x", command=["wait"], labels={"atelier.kind": "endpoint"}))
    site.worker._full.set()
    eventually(lambda: [one.name for one in site.engine.found({})] == ["other"], "the orphan is gone")


def test_jobs_wait_for_a_place(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    lite.studio.settings.parallel_jobs = 2
    site = make_site(lite, monkeypatch)
    thread = working(site.worker)
    names = [site.submit("wait") for _ in range(3)]
    running = [site.until(name, "Running") for name in names[:2]]
    eventually(lambda: "Waiting for a place" in site.job(names[2]).reason, "it says that it waits")
    site.engine.end(running[0].container_name, 0)
    site.until(names[2], "Running")
    site.worker.stop()
    thread.join(timeout=30)


def test_a_job_on_another_engine_is_left_alone_until_that_engine_is_back(
    lite: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(lite, monkeypatch)
    thread = working(site.worker)
    name = site.submit("wait")
    job = site.until(name, "Running")
    site.worker.stop()
    thread.join(timeout=30)

    other = FakeEngine(install=lite.studio.install)
    other.kind = "process"
    elsewhere = Worker(lite.studio, other)
    thread = working(elsewhere)
    assert "runs on the fake engine" in site.until(name, "NotResponding").reason
    assert site.until(site.submit("exit 0")).status == JobStatus.Completed
    elsewhere.stop()
    thread.join(timeout=30)

    site.worker = Worker(lite.studio, site.engine)
    thread = working(site.worker)
    site.until(name, "Running")
    site.engine.end(job.container_name, 0)
    assert site.until(name).status == JobStatus.Completed
    site.worker.stop()
    thread.join(timeout=30)


def test_docker_once_used_is_waited_for(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert engine_for(lite.studio).kind == "process"
    lite.studio.say("engine", {"kind": "docker", "state": "ready"})
    assert engine_for(lite.studio).kind == "docker"


def test_mlflow_away_does_not_fail_a_job(site: Site) -> None:
    site.tracking.silent = True
    name = site.submit("exit 0")
    site.until(name, "Finalizing")
    site.tracking.silent = False
    assert site.until(name).status == JobStatus.Completed
