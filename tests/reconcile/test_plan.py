"""What comes next for a job: every pair of status and container has an answer, and it is the right one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.core.states import NEXT, JobStatus
from services.engines.containers import Found
from services.reconcile.plan import plan
from services.store.rows import Job

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CREATED = Found("id", "job-x-1", {}, "created")
RUNNING = replace(CREATED, status="running", started_at=T0)
ENDED = replace(RUNNING, status="exited", exit_code=0, finished_at=T0)
DEAD = replace(RUNNING, status="dead")


def job(status: str, **facts: object) -> Job:
    values = {"workspace_id": "w", "name": "j", "experiment_id": "e", "experiment_name": "e", "started_at": T0}
    return Job(**{**values, "status": JobStatus(status), **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "found", "do"),
    [
        (job("Queued"), None, "prepare"),
        (job("Queued", desired="cancel"), None, "drop"),
        (job("Queued", not_before=T0 + timedelta(seconds=5)), None, "wait"),
        (job("Preparing"), None, "prepare"),
        (job("Preparing", desired="cancel"), None, "drop"),
        (job("Starting"), None, "launch"),
        (job("Starting", desired="cancel"), None, "drop"),
        (job("Starting"), CREATED, "start"),
        (job("Starting", desired="cancel"), CREATED, "finish"),
        (job("Starting"), replace(CREATED, error="no such file"), "finish"),
        (job("Starting"), RUNNING, "running"),
        (job("Starting"), ENDED, "finish"),
        (job("Running"), RUNNING, "wait"),
        (job("Running"), ENDED, "finish"),
        (job("Running"), DEAD, "finish"),
        (job("Running"), None, "finish"),
        (job("Running", desired="cancel"), RUNNING, "stop"),
        (job("Running", desired="timeout"), RUNNING, "stop"),
        (job("Running", spec={"limits": {"timeout": 5}}), RUNNING, "stop"),
        (job("Running", spec={"limits": {"timeout": 500}}), RUNNING, "wait"),
        (job("NotResponding"), RUNNING, "running"),
        (job("NotResponding"), ENDED, "finish"),
        (job("CancelRequested", desired="cancel"), RUNNING, "stop"),
        (job("CancelRequested", desired="cancel"), ENDED, "finish"),
        (job("CancelRequested", desired="cancel"), None, "finish"),
        (job("Finalizing"), None, "collect"),
        (job("Finalizing"), ENDED, "collect"),
        (job("Completed"), ENDED, "wait"),
    ],
)
def test_the_next_action(row: Job, found: Found | None, do: str) -> None:
    assert plan(row, found, T0 + timedelta(seconds=10 if row.spec else 0)).do == do


def test_every_status_has_an_answer_for_every_container() -> None:
    for status in JobStatus:
        for found in (None, CREATED, RUNNING, ENDED, DEAD):
            for desired in ("run", "cancel", "timeout"):
                assert plan(job(str(status), desired=desired), found, T0).do


def test_every_end_goes_through_finalizing() -> None:
    for status, following in NEXT.items():
        assert JobStatus.Completed not in following or status == JobStatus.Finalizing
