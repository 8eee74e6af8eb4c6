"""What callers of an endpoint notice while it changes, breaks and is mended under 200 requests a second: nothing."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.conftest import Served

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
CHANGES, UPDATES = 100, 20


@pytest.fixture(scope="module")
def pair(served: Served) -> Served:
    """Two deployments that answer, of one and of two instances; blue has the traffic."""
    served.deploy("blue")
    served.deploy("green", instance_count=2)
    served.traffic(blue=100)
    served.answered()
    return served


def test_changes_of_traffic_and_rolling_updates_lose_no_request(pair: Served) -> None:
    with pair.load().running() as load:
        for number in range(CHANGES):
            pair.traffic(**({"blue": 90, "green": 10} if number % 2 else {"blue": 10, "green": 90}))
            load.until(len(load.answers) + 4)
        for number in range(UPDATES):
            pair.update("blue", environment_variables={"WHO": f"blue-{number}"})
            pair.settled("blue")
            load.until(len(load.answers) + 20)
    assert not load.failed(), load.failed()[:3]
    assert {"blue", "green"} == set(load.shares())
    assert any(b'"blue-19"' in answer.body for answer in load.answers), "the last update answers"


def test_traffic_is_split_as_it_was_said(pair: Served) -> None:
    pair.traffic(blue=90, green=10)
    with pair.load().running() as load:
        load.until(2000)
    assert not load.failed(), load.failed()[:3]
    count, share = len(load.answers), 0.1
    deviation = (count * share * (1 - share)) ** 0.5
    assert abs(load.shares()["green"] - count * share) <= 3 * deviation


def test_a_killed_replica_takes_only_what_it_had_in_hand(pair: Served) -> None:
    pair.traffic(green=100)
    with pair.load().running() as load:
        load.until(200)
        killed_at = time.monotonic()
        pair.engine.client.kill(pair.replicas("green")[0])
        load.until(len(load.answers) + 600)
        pair.until(lambda: len(pair.replicas("green")) == 2, "the replica is replaced")
    failed = load.failed()
    assert len(failed) <= 8, "as many as one instance takes at once"
    assert all(answer.sent <= killed_at + 0.5 and answer.ended >= killed_at for answer in failed), failed


@pytest.mark.parametrize("child", ["worker", "web"])
def test_a_killed_process_of_the_studio_is_not_noticed(pair: Served, child: str) -> None:
    pair.traffic(blue=50, green=50)
    with pair.load().running() as load:
        load.until(100)
        pair.kill(child)
        load.until(len(load.answers) + 400)
    assert not load.failed(), load.failed()[:3]


def test_a_gateway_that_is_killed_loses_only_what_was_under_way(pair: Served) -> None:
    pair.traffic(blue=50, green=50)
    with pair.load().running() as load:
        load.until(200)
        killed_at = time.monotonic()
        pair.kill("gateway")
        load.until(len(load.answers) + 600)
    assert all(answer.sent <= killed_at + 0.1 for answer in load.failed()), load.failed()[:3]
    assert len(load.failed()) <= load.connections


def test_a_gateway_that_is_told_to_end_loses_nothing(pair: Served) -> None:
    with pair.load().running() as load:
        load.until(200)
        before = pair.studio.children()["gateway"]
        os.kill(before, signal.SIGTERM)
        pair.until(lambda: pair.studio.children().get("gateway") not in {None, before}, "another gateway")
        load.until(len(load.answers) + 600)
    assert not load.failed(), load.failed()[:3]


def test_a_canary_that_fails_goes_back_by_itself(pair: Served, record_property: Callable[[str, object], None]) -> None:
    pair.deploy("canary", environment_variables={"MOOD": "fail"})
    pair.traffic(blue=100)
    rollout = {"deployment": "canary", "percent": 20, "bake_seconds": 120, "alarms": {"error_rate_percent": 5}}
    with pair.load().running() as load:
        load.until(100)
        pair.ask("POST", f"{pair.at}/rollouts", rollout)
        begun = time.monotonic()
        pair.until(lambda: pair.ask("GET", pair.at)["traffic"].get("canary", 0) == 0, "the traffic comes back")
        gone = time.monotonic()
        load.until(len(load.answers) + 200)
    (found,) = pair.ask("GET", f"{pair.at}/rollouts")["value"]
    assert found["state"] == "RolledBack"
    record_property("seconds until the traffic was back", round(gone - begun, 2))
    assert {answer.code for answer in load.failed()} == {424}
    assert all(answer.sent <= gone + 0.5 for answer in load.failed())
    assert pair.ask("GET", pair.at)["traffic"]["blue"] == 100


@pytest.mark.parametrize("mood", ["crash", "hang"])
def test_a_mirror_that_crashes_or_hangs_is_not_noticed(pair: Served, mood: str) -> None:
    name = f"shadow-{mood}"
    pair.deploy(name, environment_variables={"MOOD": mood})
    pair.traffic(blue=100)
    pair.mirror(**{name: 100})
    with pair.load().running() as load:
        load.until(1000)
    pair.mirror()
    assert not load.failed(), load.failed()[:3]
    assert set(load.shares()) == {"blue"}
    pair.ask("DELETE", f"{pair.at}/deployments/{name}")


def test_answers_of_a_mirror_are_compared_with_those_that_callers_got(pair: Served) -> None:
    pair.update("blue", environment_variables={"WHO": "same"})
    pair.deploy("wrong", environment_variables={"MOOD": "wrong", "WHO": "same"})
    pair.settled("blue")
    pair.traffic(blue=100)
    pair.mirror(wrong=100)
    even, odd = pair.load(b'{"data": "even"}', rate=50), pair.load(b'{"data": "odd"}', rate=5)
    with even.running(), odd.running():
        even.until(200)
        odd.until(20)
    pair.mirror()

    def compared() -> dict[str, Any]:
        return next(iter(pair.ask("GET", f"{pair.at}/agreement?live=blue&shadow=wrong")["value"]), {"total": 0})

    pair.until(lambda: compared()["total"] >= 150, "both are compared")
    found = compared()
    assert 0 < found["equal"] < found["total"]
    worst = found["worst"][0]
    assert worst["distance"] > 0
    assert "odd" in worst["request"]
    assert "42" in worst["live"]
    assert "43" in worst["shadow"]


def test_one_that_loops_in_crashes_leaves_the_others_alone(pair: Served) -> None:
    pair.traffic(blue=100)
    with pair.load().running() as load:
        pair.deploy("broken", wait=False, environment_variables={"BROKEN": "init"})
        found = pair.settled("broken", "Failed")
        load.until(len(load.answers) + 100)
    assert not load.failed(), load.failed()[:3]
    assert found["reason"] == "UserScriptInitFailed"
    assert "it cannot start" in found["message"]
    assert "it cannot start" in pair.client.get(f"{pair.at}/deployments/broken/logs").text


def test_a_failed_update_leaves_what_answers(pair: Served) -> None:
    pair.traffic(blue=100)
    with pair.load().running() as load:
        pair.update("blue", environment_variables={"WHO": "newer", "BROKEN": "init"})
        found = pair.settled("blue", "Failed")
        load.until(len(load.answers) + 200)
        assert not load.failed(), load.failed()[:3]
        assert b"newer" not in load.answers[-1].body
        assert "it cannot start" in found["message"]
        pair.update("blue", environment_variables={"WHO": "newest", "BROKEN": None})
        pair.settled("blue")
        load.until(len(load.answers) + 200)
    assert not load.failed(), load.failed()[:3]
    assert b"newest" in load.answers[-1].body


def test_a_key_that_is_made_anew_stops_opening_and_the_other_goes_on(pair: Served) -> None:
    keys = pair.ask("POST", f"{pair.at}/list-keys")
    second = pair.load(headers={"Authorization": f"Bearer {keys['secondaryKey']}"})
    with second.running():
        second.until(100)
        pair.ask("POST", f"{pair.at}/regenerate-keys", {"key_type": "primary"})
        second.until(len(second.answers) + 200)
    assert not second.failed(), second.failed()[:3]
    first = pair.load(rate=20)
    with first.running():
        first.until(10)
    assert {answer.code for answer in first.answers} == {401}
    pair.key = pair.ask("POST", f"{pair.at}/list-keys")["primaryKey"]


def test_what_sleeps_is_woken_by_a_request_that_waits_for_it(pair: Served) -> None:
    scale = {"type": "target_utilization", "min_instances": 0, "max_instances": 1, "scale_to_zero_after": 1}
    pair.deploy("sleepy", scale_settings=scale)
    pair.until(lambda: pair.shown("sleepy")["is_asleep"], "it falls asleep")
    pair.until(lambda: not pair.replicas("sleepy"), "its container goes")
    caller = pair.load(rate=1, headers={"azureml-model-deployment": "sleepy"})
    caller.connections = 1
    with caller.running():
        caller.until(1)
    assert [answer.code for answer in caller.answers[:1]] == [200]
    pair.until(lambda: pair.shown("sleepy")["cold_start_ms"] > 0, "the cold start was measured")


def test_keys_are_in_no_log_and_in_nothing_the_engine_keeps(pair: Served) -> None:
    keys = [value for value in pair.ask("POST", f"{pair.at}/list-keys").values() if isinstance(value, str)]
    logs = [path.read_bytes() for path in (pair.studio.home / "logs").iterdir()]
    logs += [path.read_bytes() for path in (pair.studio.home / "runs").rglob("*") if path.is_file()]
    seen = [repr(pair.engine.client.inspect_container(one.id)).encode() for one in pair.engine.found({})]
    assert seen
    assert not [key for key in keys for text in (*logs, *seen) if key.encode() in text]
