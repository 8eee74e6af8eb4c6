"""What is planned for a deployment: rows and containers on the left, actions on the right."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.core.states import ProvisioningState, ReplicaState
from services.engines.containers import Found
from services.reconcile.serving_plan import Action, back_off, failures, is_woken, plan
from services.store.serving import Deployment, Endpoint, Replica

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return AT - timedelta(seconds=seconds)


def endpoint(**fields: Any) -> Endpoint:
    return Endpoint(workspace_id="w", kind="online", name="churn", folded="churn", **fields)


def deployment(**fields: Any) -> Deployment:
    """Of one instance, the first generation of which is ready to start."""
    usual = {"launches": {"1": {"image": "one"}, "2": {"image": "two"}}}
    return Deployment(
        workspace_id="w", endpoint_id="e", kind="online", name="blue", folded="blue", **{**usual, **fields}
    )


def serving(**fields: Any) -> Deployment:
    return deployment(**{"serving_generation": 1, "provisioning_state": ProvisioningState.Succeeded, **fields})


def replica(state: ReplicaState = ReplicaState.Ready, **fields: Any) -> Replica:
    id_ = fields.pop("id", "r1")
    times = {"started_at": ago(5), **({"ready_at": ago(4)} if state != ReplicaState.Starting else {})}
    usual = {"generation": 1, "ordinal": 0, "container_name": f"rep-{id_}", **times}
    return Replica(id=id_, workspace_id="w", deployment_id="d", state=state, **{**usual, **fields})


def failed(number: int, **fields: Any) -> Replica:
    """The last one ended a moment ago, those before it each a second earlier."""
    at = ago(number)
    return replica(
        ReplicaState.Failed, id=f"f{number}", **{"ready_at": None, "ended_at": at, "message": "Exited: 1", **fields}
    )


def runs(*replicas: Replica) -> dict[str, Found]:
    return {each.container_name: Found(each.container_name, each.container_name, {}, "running") for each in replicas}


def said(
    deployment: Deployment, *replicas: Replica, found: Mapping[str, Found] | None = None, **wish: Any
) -> list[Action]:
    return plan(endpoint(**wish), deployment, replicas, runs(*replicas) if found is None else found, AT)


def test_a_new_one_is_made_ready_first() -> None:
    assert said(deployment(launches={})) == [Action("prepare", generation=1)]


def test_then_as_many_replicas_as_are_wanted_are_added() -> None:
    assert said(deployment(instance_count=2)) == [
        Action("add", generation=1, ordinal=0),
        Action("add", generation=1, ordinal=1),
    ]


@pytest.mark.parametrize(
    ("status", "do"),
    [(None, "launch"), ("created", "start"), ("running", "started"), ("exited", "ended"), ("dead", "ended")],
)
def test_a_crash_while_one_is_created_is_repaired_from_its_container(status: Any, do: str) -> None:
    one = replica(ReplicaState.Creating, started_at=None)
    found = {} if status is None else {one.container_name: Found("x", one.container_name, {}, status)}
    assert said(deployment(), one, found=found) == [Action(do, "r1")]  # type: ignore[arg-type]


def test_one_that_is_starting_is_left_alone() -> None:
    assert said(deployment(), replica(ReplicaState.Starting)) == []


def test_one_that_does_not_answer_in_time_is_late() -> None:
    probe = {"initial_delay": 2, "period": 1, "failure_threshold": 3}
    launches = {"1": {"image": "one", "spec": {"liveness_probe": probe}}}
    patient = deployment(launches=launches)
    assert said(patient, replica(ReplicaState.Starting, started_at=ago(4.9))) == []
    assert said(patient, replica(ReplicaState.Starting, started_at=ago(5.1)))[0] == Action("late", "r1")


def test_a_startup_probe_says_how_long_a_start_may_take() -> None:
    launches = {"1": {"image": "one", "spec": {"startup_probe": {"period": 100}, "liveness_probe": {"period": 1}}}}
    assert said(deployment(launches=launches), replica(ReplicaState.Starting, started_at=ago(500))) == []


def test_when_all_are_ready_it_is_settled() -> None:
    assert said(deployment(), replica()) == [Action("settle", generation=1)]
    both = deployment(instance_count=2)
    assert said(both, replica(), replica(ReplicaState.Starting, id="r2", ordinal=1)) == []


def test_what_serves_as_wished_is_left_alone() -> None:
    assert said(serving(), replica()) == []


@pytest.mark.parametrize("found", [{}, {"rep-r1": Found("x", "rep-r1", {}, "exited", exit_code=1)}])
def test_a_ready_one_whose_container_ended_is_over_before_another_takes_its_place(found: dict[str, Found]) -> None:
    assert said(serving(), replica(), found=found) == [Action("ended", "r1")]


def test_an_unhealthy_one_is_replaced() -> None:
    assert said(serving(), replica(ReplicaState.Unhealthy)) == [Action("ended", "r1")]


def test_an_update_leaves_what_serves_until_the_new_one_is_ready() -> None:
    updating = serving(generation=2, provisioning_state=ProvisioningState.Updating)
    assert said(updating, replica()) == [Action("add", generation=2, ordinal=0)]
    assert said(updating, replica(), replica(ReplicaState.Starting, id="r2", generation=2)) == []
    assert said(updating, replica(), replica(id="r2", generation=2)) == [Action("settle", generation=2)]


def test_after_an_update_what_served_before_is_drained_and_then_removed() -> None:
    updated = serving(generation=2, serving_generation=2)
    assert said(updated, replica(), replica(id="r2", generation=2)) == [Action("drain", "r1")]
    draining = replica(ReplicaState.Draining, draining_at=ago(5.9))
    assert said(updated, draining, replica(id="r2", generation=2)) == []
    draining.draining_at = ago(6.1)
    assert said(updated, draining, replica(id="r2", generation=2)) == [Action("remove", "r1")]


def test_a_draining_one_waits_for_the_time_out_of_its_requests() -> None:
    patient = serving(generation=2, serving_generation=2, spec={"request_settings": {"request_timeout_ms": 30_000}})
    rest = replica(id="r2", generation=2)
    assert said(patient, replica(ReplicaState.Draining, draining_at=ago(30)), rest) == []
    assert said(patient, replica(ReplicaState.Draining, draining_at=ago(32)), rest) == [Action("remove", "r1")]


def test_while_an_update_is_under_way_what_serves_is_kept_whole() -> None:
    updating = serving(generation=2, provisioning_state=ProvisioningState.Updating)
    new = replica(ReplicaState.Starting, id="r2", generation=2)
    assert said(updating, replica(), new, found=runs(new)) == [Action("ended", "r1")]
    lost = replica(ReplicaState.Gone, ended_at=ago(0))
    assert said(updating, lost, new) == [Action("add", generation=1, ordinal=0)]


def test_a_failed_update_leaves_what_serves_and_takes_the_rest_away() -> None:
    given_up = serving(generation=2, provisioning_state=ProvisioningState.Failed)
    assert said(given_up, replica(), replica(ReplicaState.Starting, id="r2", generation=2)) == [Action("remove", "r2")]
    assert said(given_up) == [Action("add", generation=1, ordinal=0)]


def test_a_replica_that_failed_is_tried_again_after_a_while() -> None:
    assert said(deployment(), failed(1, ended_at=ago(0.5))) == []
    assert said(deployment(), failed(1, ended_at=ago(1.5))) == [Action("add", generation=1, ordinal=0)]
    assert said(deployment(), *(failed(number) for number in (1, 2, 3))) == []
    assert [back_off([failed(0)] * number).seconds for number in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_five_failures_in_a_row_are_too_many_for_one_that_never_served() -> None:
    four, five = [[failed(number) for number in range(1, count)] for count in (5, 6)]
    assert said(deployment(), *four) == []
    assert said(deployment(), *five) == [Action("fail", generation=1, why="Exited: 1")]


def test_what_no_waiting_heals_is_tried_twice() -> None:
    broken = [failed(number, message="UserScriptImportError: no module x") for number in (1, 2)]
    assert said(deployment(), *broken) == [Action("fail", generation=1, why="UserScriptImportError: no module x")]


def test_a_start_that_took_too_long_is_not_waited_for_again() -> None:
    late = failed(1, message="UserScriptInitFailed: It did not answer within 310 s (time-out).")
    assert said(deployment(), late)[0].do == "fail"


def test_one_place_that_fails_is_enough_and_the_others_go_with_it() -> None:
    both = deployment(instance_count=2)
    rows = [replica(), *(failed(number, ordinal=1) for number in range(1, 6))]
    assert said(both, *rows) == [Action("fail", generation=1, why="Exited: 1")]


def test_what_served_and_fails_now_says_so_and_is_tried_for_as_long_as_it_is_wanted() -> None:
    crashes = [failed(number) for number in range(1, 6)]
    assert said(serving(), *crashes) == [Action("fail", generation=1, why="Exited: 1")]
    told = serving(provisioning_state=ProvisioningState.Failed)
    assert said(told, *crashes) == []
    assert said(told, *(failed(number + 60) for number in range(5))) == [Action("add", generation=1, ordinal=0)]


def test_it_has_recovered_only_when_it_is_well_for_a_while() -> None:
    told = serving(provisioning_state=ProvisioningState.Failed)
    assert said(told, replica(ready_at=ago(5))) == []
    assert said(told, replica(ready_at=ago(61))) == [Action("settle", generation=1)]


def test_failures_are_counted_back_to_the_last_that_was_well_for_a_while() -> None:
    well = failed(3, ready_at=ago(100))
    rows = [failed(1), failed(2), well, failed(200)]
    assert [each.id for each in failures(rows, 1, 0)] == ["f1", "f2", "f3"]
    assert failures([replica(ReplicaState.Gone, ended_at=ago(1))], 1, 0) == []


def test_scaling_adds_and_drains_places() -> None:
    assert said(serving(instance_count=2), replica()) == [Action("add", generation=1, ordinal=1)]
    assert said(serving(), replica(), replica(id="r2", ordinal=1)) == [Action("drain", "r2")]
    assert said(serving(), replica(), replica(ReplicaState.Starting, id="r2", ordinal=1)) == [Action("remove", "r2")]


def test_a_stopped_endpoint_has_no_replicas_and_its_deployments_stay_as_they_are() -> None:
    assert said(serving(), replica(), desired="stop") == [Action("drain", "r1")]
    assert said(serving(), desired="stop") == []
    assert said(deployment(launches={}), desired="stop") == []
    assert said(serving(), desired="run") == [Action("add", generation=1, ordinal=0)]


@pytest.mark.parametrize("wish", [{"desired": "delete"}, {}])
def test_what_is_deleted_goes_when_its_last_replica_is_gone(wish: dict[str, str]) -> None:
    given_up = serving(desired="delete" if not wish else "run")
    assert said(given_up, replica(), **wish) == [Action("drain", "r1")]
    assert said(given_up, replica(ReplicaState.Draining, draining_at=ago(1)), **wish) == []
    assert said(given_up, replica(ReplicaState.Gone, ended_at=ago(1)), **wish) == [Action("forget")]


def test_who_deletes_does_not_wait_for_the_longest_request() -> None:
    slow = serving(desired="delete", spec={"request_settings": {"request_timeout_ms": 3_600_000}})
    assert said(slow, replica(ReplicaState.Draining, draining_at=ago(61))) == [Action("remove", "r1")]


def test_one_that_sleeps_has_no_replicas_until_a_request_asks_for_it() -> None:
    asleep = serving(is_asleep=True)
    assert said(asleep, replica()) == [Action("drain", "r1")]
    gone = replica(ReplicaState.Gone, ready_at=ago(100), ended_at=ago(50))
    assert said(asleep, gone) == []
    asleep.woken_at = ago(1)
    assert said(asleep, gone) == [Action("add", generation=1, ordinal=0)]


def test_what_woke_it_before_wakes_it_no_second_time() -> None:
    stale = serving(is_asleep=True, woken_at=ago(200))
    assert not is_woken(stale, [replica(ReplicaState.Gone, ready_at=ago(100))])
    assert is_woken(stale, [])


def test_one_that_was_asked_for_before_it_slept_stays_awake() -> None:
    asked = serving(is_asleep=True, woken_at=ago(1))
    assert said(asked, replica(ready_at=ago(2))) == [Action("awake")]


def test_a_sleeping_one_shows_that_an_update_works() -> None:
    asleep = serving(is_asleep=True, generation=2, provisioning_state=ProvisioningState.Updating, instance_count=0)
    assert said(asleep) == [Action("add", generation=2, ordinal=0)]


def test_an_image_that_is_gone_is_made_ready_again() -> None:
    assert said(serving(launches={"1": {"builds": []}})) == [Action("prepare", generation=1)]
    later = serving(launches={"1": {"builds": []}}, not_before=AT + timedelta(seconds=9))
    assert said(later) == []
