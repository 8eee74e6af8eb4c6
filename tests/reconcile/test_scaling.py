"""How many instances answer: up at once, down after a minute, to none after a while, and never against a person."""

import time
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from services import deployments, endpoints
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import now
from services.reconcile import scaling
from services.reconcile.scaling import STEADY, Load, Scaling, limits, scaled, sleeps, wanted
from services.specs.deployments import ScaleSettings
from services.store.requests import Gauge, Record, Sample
from services.store.serving import Deployment, Replica
from tests.conftest import Stage
from tests.rolling import ENDPOINT, deployment_of, endpoint_of, opened

SETTINGS = ScaleSettings(type="target_utilization", min_instances=1, max_instances=10)
WITHIN = (1, 10)


@pytest.mark.parametrize(
    ("load", "takes", "count"),
    [
        (Load(1), 1, 1),
        (Load(0), 1, 1),
        (Load(1, concurrency=0.7), 1, 1),
        (Load(1, concurrency=0.71), 1, 2),
        (Load(1, concurrency=1.0), 1, 2),
        (Load(1, concurrency=1.0), 4, 1),
        (Load(2, concurrency=2.8), 1, 4),
        (Load(3, concurrency=70), 10, 10),
        (Load(3, concurrency=700), 10, 10),
        (Load(2, cpu=0.7), 1, 2),
        (Load(2, cpu=0.95), 1, 3),
        (Load(2, concurrency=0.1, cpu=0.95), 1, 3),
        (Load(2, concurrency=3.5, cpu=0.1), 1, 5),
    ],
)
def test_how_many_are_wanted(load: Load, takes: int, count: int):
    assert wanted(SETTINGS, load, takes=takes, within=WITHIN) == count


@pytest.mark.parametrize(
    ("fields", "count", "found"),
    [
        ({}, 1, (1, 1)),
        ({}, 3, (1, 3)),
        ({"min_instances": 0, "max_instances": 4}, 1, (1, 4)),
        ({"min_instances": 2}, 1, (2, 2)),
        ({"min_instances": 2, "max_instances": 5}, 1, (2, 5)),
    ],
)
def test_the_least_and_the_most(fields: dict[str, Any], count: int, found: tuple[int, int]):
    row = Deployment(
        workspace_id="w", endpoint_id="e", kind="online", name="b", folded="b", spec={"instance_count": count}
    )
    assert limits(ScaleSettings(type="target_utilization", **fields), row) == found


loads = st.builds(Load, st.integers(0, 20), st.floats(0, 1000), st.floats(0, 1))


@given(load=loads, takes=st.integers(1, 50), low=st.integers(1, 5), more=st.integers(0, 20))
def test_the_limits_hold_and_more_load_never_wants_fewer(load: Load, takes: int, low: int, more: int):
    within = (low, low + more)
    count = wanted(SETTINGS, load, takes=takes, within=within)
    busier = Load(load.ready, load.concurrency * 1.5, load.cpu)
    assert within[0] <= count <= within[1]
    assert wanted(SETTINGS, busier, takes=takes, within=within) >= count


@pytest.mark.parametrize(
    ("count", "looks", "found"),
    [
        (1, [(100, 3)], 3),
        (3, [(100, 3)], 3),
        (3, [(100, 1)], 3),
        (3, [(41, 1), (100, 1)], 3),
        (3, [(40, 1), (100, 1)], 1),
        (5, [(40, 2), (70, 4), (100, 1)], 4),
        (3, [(40, 2), (70, 4), (100, 1)], 3),
    ],
)
def test_up_at_once_and_down_to_what_was_enough_for_a_minute(count: int, looks: list[tuple[float, int]], found: int):
    assert scaled(count, looks, 100) == found


@given(looks=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 20)), min_size=1), count=st.integers(1, 20))
def test_never_below_what_is_wanted_now(looks: list[tuple[float, int]], count: int):
    looks = sorted(looks, key=lambda look: look[0])
    found = scaled(count, looks, 100)
    assert found >= looks[-1][1]
    assert found == max(count, looks[-1][1]) or 100 - looks[0][0] >= STEADY


@given(gaps=st.lists(st.floats(0.1, 30), min_size=1, max_size=50))
def test_what_is_remembered_covers_the_span_and_little_more(gaps: list[float]):
    kept: deque[tuple[float, int]] = deque()
    at = 0.0
    for gap in gaps:
        at += gap
        scaling._remember(kept, at, 1, STEADY)
    assert all(at - when < STEADY for when, _ in list(kept)[1:])
    assert at - kept[0][0] >= STEADY or len(kept) == len(gaps)


@pytest.mark.parametrize(
    ("fields", "idle", "is_so"),
    [
        ({"min_instances": 0}, 299, False),
        ({"min_instances": 0}, 300, True),
        ({"min_instances": 0, "scale_to_zero_after": 5}, 5, True),
        ({"min_instances": 1}, 10_000, False),
        ({}, 10_000, False),
    ],
)
def test_who_sleeps(fields: dict[str, Any], idle: float, is_so: bool):
    assert sleeps(ScaleSettings(type="target_utilization", **fields), idle) is is_so


def self_scaling(stage: Stage, **settings: object) -> Scaling:
    """`blue`, which takes two requests at once on half a processor, and has been there for ten minutes."""
    opened(stage, blue=100)
    ago = now() - timedelta(minutes=10)
    with stage.scope() as scope:
        row = scope.session.get_one(Deployment, deployment_of(stage, "blue").id)
        row.created_at = ago
        row.spec = {
            "name": "blue",
            "scale_settings": {"type": "target_utilization", "min_instances": 1, "max_instances": 8, **settings},
            "request_settings": {"max_concurrent_requests_per_instance": 2},
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
        }
        for replica in scope.session.exec(select(Replica)):
            replica.ready_at = ago
            scope.session.add(replica)
        scope.session.add(row)
    return Scaling(stage.studio)


def load(stage: Stage, concurrency: float) -> None:
    """So many requests at once, for the last ten seconds: each takes 100 ms."""
    row, endpoint, at = deployment_of(stage, "blue"), endpoint_of(stage), int(time.time())
    stage.studio.requests.write(
        [
            Record(
                at=at - second - 0.15,
                workspace_id=row.workspace_id,
                endpoint_id=endpoint.id,
                endpoint=endpoint.name,
                deployment_id=row.id,
                deployment=row.name,
                total_ms=100,
            )
            for second in range(10)
            for _ in range(round(concurrency * 10))
        ]
    )


def gauge(stage: Stage, in_flight: int) -> None:
    row, endpoint = deployment_of(stage, "blue"), endpoint_of(stage)
    told = Gauge(time.time(), row.workspace_id, endpoint.id, endpoint.name, row.id, row.name, in_flight)
    stage.studio.requests.write([], gauges=[told])


def told(stage: Stage) -> list[str]:
    with stage.scope(write=False) as scope:
        return [event.message for event in deployments.events(scope, deployment_of(stage, "blue"))]


def test_many_requests_bring_more_instances_at_once(stage: Stage):
    worker = self_scaling(stage)
    load(stage, 5.6)
    worker.look()
    assert deployment_of(stage, "blue").instance_count == 4
    assert told(stage)[-1].startswith("'blue' was scaled from 1 to 4 instances: 5.6 requests at once")


def test_fewer_requests_bring_fewer_instances_after_a_minute(lite: Stage):
    worker = self_scaling(lite)
    load(lite, 5.6)
    worker.look()
    memory = worker._memories[deployment_of(lite, "blue").id]
    memory.looked_at -= 100
    memory.wanted = deque([(at - 61, 2) for at, _ in memory.wanted])
    lite.studio.requests.forget(endpoint_of(lite).id)
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 2
    assert told(lite)[-1].startswith("'blue' was scaled from 4 to 2 instances")


def test_busy_processors_bring_more_instances(lite: Stage):
    worker = self_scaling(lite)
    row = deployment_of(lite, "blue")
    lite.studio.requests.sample([Sample(time.time() - 1, row.id, "r", 50.0, 1 << 20)])
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 2


def test_long_requests_count_while_they_are_under_way(lite: Stage):
    """None has been answered yet, so that only the gauge knows of them."""
    worker = self_scaling(lite)
    gauge(lite, 2)
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 1
    memory = worker._memories[deployment_of(lite, "blue").id]
    memory.looked_at -= 100
    memory.under_way = deque([(at - 10, count) for at, count in memory.under_way])
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 2


def test_the_load_is_looked_at_as_often_as_is_said(lite: Stage):
    worker = self_scaling(lite, polling_interval=30)
    worker.look()
    load(lite, 5.6)
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 1


def test_who_is_asked_nothing_falls_asleep(stage: Stage):
    worker = self_scaling(stage, min_instances=0, scale_to_zero_after=60)
    worker.look()
    row = deployment_of(stage, "blue")
    assert (row.is_asleep, row.instance_count) == (True, 1)
    assert told(stage) == ["'blue' fell asleep after 10m 00s without a request"]
    worker.look()
    assert len(told(stage)) == 1


@pytest.mark.parametrize("what", ["answered", "under way", "woken", "ready"])
def test_who_was_asked_or_came_up_just_now_stays_awake(lite: Stage, what: str):
    worker = self_scaling(lite, min_instances=0, scale_to_zero_after=60)
    match what:
        case "answered":
            load(lite, 0.1)
        case "under way":
            gauge(lite, 1)
        case _:
            with lite.scope() as scope:
                row = scope.session.get_one(Deployment, deployment_of(lite, "blue").id)
                replica = scope.session.exec(select(Replica)).one()
                if what == "woken":
                    row.woken_at = now()
                else:
                    replica.ready_at = now()
                scope.session.add_all((row, replica))
    worker.look()
    assert not deployment_of(lite, "blue").is_asleep


@pytest.mark.parametrize(
    "fields",
    [
        {"provisioning_state": ProvisioningState.Updating},
        {"provisioning_state": ProvisioningState.Failed},
        {"provisioning_state": ProvisioningState.Creating},
        {"desired": "delete"},
        {"is_asleep": True},
        {"generation": 2},
        {"kind": "batch"},
        {"spec": {"name": "blue"}},
    ],
)
def test_these_are_left_alone(lite: Stage, fields: dict[str, Any]):
    worker = self_scaling(lite)
    load(lite, 5.6)
    with lite.scope() as scope:
        row = scope.session.get_one(Deployment, deployment_of(lite, "blue").id)
        for name, value in fields.items():
            setattr(row, name, value)
        scope.session.add(row)
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 1


def test_a_stopped_endpoint_scales_nothing(lite: Stage):
    worker = self_scaling(lite, min_instances=0)
    with lite.scope() as scope:
        endpoints.stop(scope, ENDPOINT)
    worker.look()
    assert not deployment_of(lite, "blue").is_asleep


def test_a_person_is_faster(stage: Stage):
    """What was decided about a deployment that has changed since is not written."""
    worker = self_scaling(stage)
    with stage.scope(write=False) as scope:
        seen = scaling._scaling(scope.session)[0]
    with stage.scope() as scope:
        row = scope.session.get_one(Deployment, seen.row.id)
        row.generation += 1
        scope.session.add(row)
    worker._write(seen, 7, "late")
    assert deployment_of(stage, "blue").instance_count == 1
    assert told(stage) == []


def test_the_ready_ones_count(lite: Stage):
    worker = self_scaling(lite)
    with lite.scope() as scope:
        ready = scope.session.exec(select(Replica)).one()
        other = ready.model_copy(update={"id": "other", "ordinal": 1, "state": ReplicaState.Starting})
        scope.session.add(Replica.model_validate(other.model_dump()))
    with lite.scope(write=False) as scope:
        assert scaling._scaling(scope.session)[0].ready == 1
    row = deployment_of(lite, "blue")
    lite.studio.requests.sample([Sample(time.time() - 1, row.id, "r", 45.0, 1 << 20)])
    worker.look()
    assert deployment_of(lite, "blue").instance_count == 2
