"""The worker moves a rollout on when a step has baked, and back when what it reads in the request log is too bad."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from services import deployments, endpoints, rollouts, routing
from services.core.states import ProvisioningState, ReplicaState, RolloutState
from services.core.times import now
from services.reconcile.rollouts import Advance, Back, Keep, Rollouts, Verdict, judged, trouble_of
from services.specs.rollouts import Rollout as RolloutSpec
from services.store.requests import Window
from services.store.serving import Deployment, Endpoint, Replica, Rollout
from tests.conftest import Stage
from tests.gateway.stand import Asked, Model, Stand, plain, until
from tests.reconcile.conftest import eventually, make_site, working
from tests.rolling import ENDPOINT, asked, deployment_of, endpoint_of, opened, told
from tests.serving.load import Load

AT = now()
ALARMS = {"error_rate_percent": 5, "p95_ms": 200, "min_requests": 20, "window": 30}


def baking(seconds: float, **alarms: float | None) -> Rollout:
    spec = {"deployment": "green", "bake_seconds": 60, "alarms": {**ALARMS, **alarms}}
    return Rollout(
        workspace_id="w",
        endpoint_id="e",
        target="green",
        spec=RolloutSpec.model_validate(spec).model_dump(mode="json"),
        before={"blue": 100},
        step_at=AT - timedelta(seconds=seconds),
    )


def seen(requests: int, errors: int = 0, p95: float | None = 20.0) -> Window:
    return Window(requests=requests, errors=errors, error_rate=errors / max(1, requests), p95=p95)


@pytest.mark.parametrize(
    ("rollout", "window", "verdict"),
    [
        (baking(0), seen(0, p95=None), Keep()),
        (baking(59), seen(100), Keep()),
        (baking(60), seen(100), Advance()),
        (baking(60), seen(0, p95=None), Advance()),
        (baking(-5), seen(100), Keep()),  # the clock was set back
        (baking(1), seen(19, 19), Keep()),
        (baking(60), seen(19, 19), Advance()),
        (baking(1), seen(20, 1), Keep()),
        (baking(1), seen(20, 2), Back("10.0 % of 20 requests failed, and 5 % may")),
        (baking(90), seen(20, 20), Back("100.0 % of 20 requests failed, and 5 % may")),
        (baking(1), seen(100, p95=200.0), Keep()),
        (baking(1), seen(100, p95=200.1), Back("p95 was 200 ms over 100 requests, and 200 ms may be")),
        (baking(1, p95_ms=None), seen(100, p95=9000.0), Keep()),
        (baking(1, error_rate_percent=None), seen(100, 100), Keep()),
        (baking(1, error_rate_percent=0), seen(100, 1), Back("1.0 % of 100 requests failed, and 0 % may")),
    ],
)
def test_what_is_decided(rollout: Rollout, window: Window, verdict: Verdict):
    assert judged(rollout, window, AT) == verdict


windows = st.builds(
    lambda requests, share, p95: seen(requests, round(requests * share), p95 if requests else None),
    st.integers(0, 10_000),
    st.floats(0, 1),
    st.floats(0, 10_000),
)


@given(window=windows, baked=st.floats(-10, 1000))
def test_nothing_that_is_over_a_limit_goes_on(window: Window, baked: float):
    verdict = judged(baking(baked), window, AT)
    is_told = window.requests >= 20
    is_over = is_told and (100 * window.errors > 5 * window.requests or (window.p95 or 0) > 200)
    assert isinstance(verdict, Back) is is_over
    assert not isinstance(verdict, Advance) or baked >= 60


@given(window=windows, baked=st.floats(0, 1000))
def test_trouble_goes_before_everything(window: Window, baked: float):
    assert judged(baking(baked), window, AT, trouble="the deployment failed") == Back("the deployment failed")


WELL = Deployment(
    workspace_id="w",
    endpoint_id="e",
    kind="online",
    name="green",
    folded="green",
    provisioning_state=ProvisioningState.Succeeded,
)


def changed(**fields: object) -> Deployment:
    return WELL.model_copy(update=fields)


@pytest.mark.parametrize(
    ("desired", "target", "ready", "says"),
    [
        ("run", WELL, 1, ""),
        ("stop", WELL, 1, "the endpoint was stopped"),
        ("run", None, 0, "the deployment was deleted"),
        ("run", changed(desired="delete"), 1, "the deployment was deleted"),
        ("run", changed(provisioning_state=ProvisioningState.Failed), 1, "the deployment failed"),
        ("run", changed(provisioning_state=ProvisioningState.Updating), 1, ""),
        ("run", WELL, 0, "no replica of the deployment was ready"),
        ("run", changed(is_asleep=True), 0, ""),
    ],
)
def test_what_is_trouble(desired: str, target: Deployment | None, ready: int, says: str):
    endpoint = Endpoint(workspace_id="w", kind="online", name="shop", folded="shop", desired=desired)
    assert trouble_of(endpoint, target, ready) == says


def rolling(stage: Stage, **fields: object) -> Rollouts:
    opened(stage, blue=100, green=0)
    spec = {"deployment": "green", "steps": [10, 50, 100], "bake_seconds": 3600, "alarms": ALARMS, **fields}
    with stage.scope() as scope:
        rollouts.start(scope, ENDPOINT, RolloutSpec.model_validate(spec))
    return Rollouts(stage.studio)


def latest(stage: Stage) -> Rollout:
    with stage.scope(write=False) as scope:
        return rollouts.get(scope, ENDPOINT)


def let_bake(stage: Stage) -> None:
    """As if the step had begun an hour ago."""
    with stage.scope() as scope:
        row = rollouts.get(scope, ENDPOINT)
        row.step_at -= timedelta(hours=1)
        scope.session.add(row)


def test_a_rollout_bakes_step_by_step_to_its_end(stage: Stage):
    worker = rolling(stage)
    asked(stage, "green", *[200] * 50)
    seen_ = []
    for _ in range(3):
        worker.look()  # nothing has baked yet
        seen_.append(endpoint_of(stage).traffic)
        let_bake(stage)
        worker.look()
    assert seen_ == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"blue": 0, "green": 100}]
    assert latest(stage).state == RolloutState.Succeeded
    worker.look()
    assert told(stage)[-1] == "The rollout to 'green' succeeded; it has all of the traffic"


@pytest.mark.parametrize("code", [500, 502, 424, 408])
def test_errors_bring_the_traffic_back(stage: Stage, code: int):
    worker = rolling(stage)
    asked(stage, "green", *[200] * 30, *[code] * 20)
    worker.look()
    row = latest(stage)
    assert endpoint_of(stage).traffic == {"blue": 100, "green": 0}
    assert row.state == RolloutState.RolledBack
    assert row.message == "Rolled back at 10 %: 40.0 % of 50 requests failed, and 5 % may."
    assert told(stage)[-1].startswith("The rollout to 'green' was rolled back at 10 %: 40.0 % of 50 requests failed")


def test_slow_answers_bring_the_traffic_back(lite: Stage):
    worker = rolling(lite)
    asked(lite, "green", *[200] * 30, ms=900)
    worker.look()
    assert "p95 was 9" in latest(lite).message
    assert endpoint_of(lite).traffic == {"blue": 100, "green": 0}


def test_what_others_answer_is_no_fault_of_the_target(lite: Stage):
    worker = rolling(lite)
    asked(lite, "blue", *[500] * 100)
    asked(lite, "green", *[404] * 100)
    worker.look()
    assert latest(lite).state == RolloutState.Running


def test_what_was_answered_before_the_step_does_not_count(lite: Stage):
    opened(lite, blue=100, green=0)
    asked(lite, "green", *[500] * 100, ago=5)
    with lite.scope() as scope:
        rollouts.start(scope, ENDPOINT, RolloutSpec(deployment="green"))
    Rollouts(lite.studio).look()
    assert latest(lite).state == RolloutState.Running


def test_a_target_without_a_ready_replica_loses_the_traffic_at_once(stage: Stage):
    worker = rolling(stage)
    with stage.scope() as scope:
        for row in scope.session.exec(select(Replica)):
            row.state = ReplicaState.Failed
    worker.look()
    assert latest(stage).message == "Rolled back at 10 %: no replica of the deployment was ready."
    assert endpoint_of(stage).traffic == {"blue": 100, "green": 0}


def test_stopping_the_endpoint_ends_the_rollout(lite: Stage):
    worker = rolling(lite)
    with lite.scope() as scope:
        endpoints.stop(scope, ENDPOINT)
    worker.look()
    assert latest(lite).message == "Rolled back at 10 %: the endpoint was stopped."


def test_a_person_is_faster(stage: Stage):
    """The worker decided about a step that is over: it moves nothing."""
    worker = rolling(stage)
    seen_ = latest(stage)
    with stage.scope() as scope:
        rollouts.promote(scope, ENDPOINT)
    worker._act(seen_, Advance())
    worker._act(seen_, Back("late"))
    assert endpoint_of(stage).traffic == {"blue": 50, "green": 50}
    assert latest(stage).state == RolloutState.Running


def test_whoever_moved_the_traffic_meanwhile_is_right(stage: Stage):
    worker = rolling(stage)
    with stage.scope() as scope:
        endpoints.shift(scope, endpoints.get(scope, ENDPOINT), {"blue": 20, "green": 80})
    worker.look()
    assert (latest(stage).state, latest(stage).message) == (RolloutState.Canceled, "The traffic was moved meanwhile.")
    assert endpoint_of(stage).traffic == {"blue": 20, "green": 80}


def test_one_that_had_no_share_may_go_meanwhile(lite: Stage):
    opened(lite, blue=100, old=0, green=0)
    with lite.scope() as scope:
        rollouts.start(scope, ENDPOINT, RolloutSpec(deployment="green"))
        deployments.delete(scope, ENDPOINT, "old")
    Rollouts(lite.studio).look()
    assert latest(lite).state == RolloutState.Running


def test_back_is_to_what_is_still_there(stage: Stage):
    opened(stage, blue=60, red=40, green=0)
    with stage.scope() as scope:
        rollouts.start(scope, ENDPOINT, RolloutSpec(deployment="green"))
        scope.session.delete(scope.session.get_one(Deployment, deployment_of(stage, "red").id))
    asked(stage, "green", *[500] * 50)
    Rollouts(stage.studio).look()
    assert endpoint_of(stage).traffic == {"blue": 100, "green": 0}


@contextmanager
def again_and_again(act: Callable[[], object], seconds: float) -> Iterator[None]:
    """In a thread, as the worker and the gateway do."""
    done = threading.Event()

    def loop() -> None:
        while not done.is_set():
            act()
            done.wait(seconds)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    yield
    done.set()
    thread.join(20)
    assert not thread.is_alive()


async def refusing(asked_: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(plain(b"{}", status="500 Internal Server Error"))


def reached(stage: Stage, **models: Model) -> str:
    """The replicas of the deployments are these models; the key of the endpoint."""
    with stage.scope() as scope:
        for name, model in models.items():
            wanted = Replica.deployment_id == deployment_of(stage, name).id
            for replica in scope.session.exec(select(Replica).where(wanted)):
                replica.host, replica.port = "127.0.0.1", model.port
                scope.session.add(replica)
        for row in scope.session.exec(select(Deployment)):
            row.spec = {"name": row.name, "request_settings": {"max_concurrent_requests_per_instance": 50}}
            scope.session.add(row)
        return endpoints.keys(scope, ENDPOINT).primary


def test_a_canary_that_fails_under_load_loses_the_traffic(
    lite: Stage, record_property: Callable[[str, object], None]
) -> None:
    """200 requests a second through the gateway, which reads the rows; the log is what it writes."""
    opened(lite, blue=100, green=0)
    blue, green, stand = Model("blue"), Model("green", refusing), Stand(lite.studio.folders.home)
    key = reached(lite, blue=blue, green=green)
    url = f"http://127.0.0.1:{stand.port}/lab/{ENDPOINT}/score"
    load = Load(url, {"Authorization": f"Bearer {key}"}, b"{}", rate=200)

    def follow() -> None:
        stand.router.apply(routing.table(lite.studio))

    follow()
    with again_and_again(follow, 0.05), again_and_again(Rollouts(lite.studio).look, 0.25), load.running():
        load.until(50)
        with lite.scope() as scope:
            rollouts.start(scope, ENDPOINT, RolloutSpec(deployment="green", percent=10))
        until(lambda: latest(lite).state == RolloutState.RolledBack, "the rollout is rolled back")
        load.until(len(load.answers) + 200)
    for each in (blue, green, stand):
        each.close()
    failed = load.failed()
    record_property("seconds of failures", round(failed[-1].ended - failed[0].ended, 2))
    record_property("failed requests", len(failed))
    assert {answer.code for answer in failed} == {424}
    assert all(answer.code == 200 for answer in load.answers[-100:])
    assert endpoint_of(lite).traffic == {"blue": 100, "green": 0}


def test_the_worker_looks_also_while_the_engine_is_silent(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rolling(lite)
    asked(lite, "green", *[500] * 50)
    site = make_site(lite, monkeypatch)
    site.engine.silent = True
    thread = working(site.worker)
    eventually(lambda: latest(lite).state == RolloutState.RolledBack, "the rollout is rolled back")
    site.worker.stop()
    thread.join(30)
    assert endpoint_of(lite).traffic == {"blue": 100, "green": 0}
