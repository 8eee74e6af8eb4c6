"""What opens endpoints, and what they are told in secret, is found nowhere it is not asked for (FAULTS C15)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services import deployments
from tests.api.conftest import House, opened
from tests.api.test_online_endpoints import ENDPOINTS, LAB, Served, served
from tests.conftest import Stage
from tests.test_canaries import SECRET, dump, shapes

HOOK = "canary-hook-T0+B0/sings"
PLAIN = "canary-of-a-variable/sings"
IRIS = f"{ENDPOINTS}/iris"
READ = (
    ENDPOINTS,
    f"{ENDPOINTS}/opened",
    f"{ENDPOINTS}/opened/events",
    f"{LAB}/secrets",
    IRIS,
    *(f"{IRIS}/{each}" for each in ("events", "deployments", "rollouts", "alerts", "requests", "requests?format=csv")),
    *(f"{IRIS}/{each}" for each in ("summary", "metrics?since=1", "agreement", "swagger.json", "deployments/blue")),
    *(f"{IRIS}/deployments/blue/{each}" for each in ("logs", "replicas", "events", "samples?since=1")),
)


def flows(served: Served, known: set[str]) -> Iterator[str]:
    """All answers but those that are asked for what opens an endpoint; adds to `known` what those said."""
    ben, cleo = served.house.bearer("ben"), served.house.bearer("cleo")
    for which in ("primary", "secondary"):
        known |= set(ben.post(f"{IRIS}/list-keys").json().values())
        yield ben.post(f"{IRIS}/regenerate-keys", json={"key_type": which}).text
    keys = ben.post(f"{IRIS}/list-keys").json()
    known |= set(keys.values())
    yield ben.post(ENDPOINTS, json={"spec": {"name": "opened", "auth_mode": "aml_token"}}).text
    known.add(str(ben.post(f"{ENDPOINTS}/opened/token").json()["accessToken"]))
    yield cleo.post(f"{IRIS}/list-keys").text
    yield cleo.post(f"{ENDPOINTS}/opened/token").text
    yield ben.put(f"{LAB}/secrets/deep", json={"value": SECRET}).text
    hooked = {"name": "loud", "on": "failed", "webhook": f"https://8.8.8.8/services/{HOOK}?k={HOOK}"}
    yield ben.put(f"{IRIS}/alerts", json={"alerts": [hooked]}).text
    yield ben.put(f"{IRIS}/alerts", json={"alerts": [{**hooked, "threshold": 5}]}).text
    yield ben.put(f"{IRIS}/alerts", json={"alerts": [{**hooked, "webhook": f"http://127.0.0.1/{HOOK}"}]}).text
    yield cleo.put(f"{IRIS}/alerts", json={"alerts": [hooked]}).text
    yield served.ask(b'{"data": 1}').text
    direct = f"http://127.0.0.1:{served.stand.port}/lab/iris/score"
    for key in (keys["primaryKey"], SECRET, f"{keys['primaryKey']}x"):
        for path in (direct, direct.replace("score", "swagger.json"), direct.replace("iris", "none")):
            yield httpx.post(path, content=b"1", headers={"Authorization": f"Bearer {key}"}, trust_env=False).text
    yield httpx.get(direct.replace("lab/iris/score", "metrics"), trust_env=False).text
    for reader in (ben, cleo):
        for path in READ:
            answer = reader.get(path)
            assert answer.status_code < 500, answer.text
            yield answer.text


def spoken(house: House, values: tuple[str, ...]) -> None:
    """The deployment has secret variables, and its server says them."""
    with house.stage.scope() as scope:
        row = deployments.get(scope, "iris", "blue")
        row.spec = {**row.spec, "environment_variables": {"DEEP": "${{secrets.deep}}", "DB_PASSWORD": PLAIN}}
        scope.session.add(row)
        [replica] = deployments.replicas(scope, row)
    log = house.stage.studio.folders.replica(replica.id) / "user_logs" / "std_log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"I am given {value}!\n" for value in values))


def found(content: bytes, known: set[str]) -> set[bytes]:
    return {shape for secret in known for shape in shapes(secret) if shape in content}


def found_below(folder: Path, known: set[str], *, but: str = "") -> dict[str, set[bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.name != but]
    assert files
    return {str(path): hits for path in files if (hits := found(path.read_bytes(), known))}


@pytest.mark.timeout(300)
def test_what_opens_an_endpoint_is_in_no_answer_no_log_and_no_copy(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    known: set[str] = {SECRET, HOOK, PLAIN}
    (tmp_path / "gateway").mkdir()
    with opened(stage) as house:
        for each in served(house, tmp_path / "gateway"):
            house.bearer("ben").put(f"{LAB}/secrets/deep", json={"value": SECRET})
            spoken(house, (SECRET, PLAIN))
            said: list[Any] = list(flows(each, known))
        assert len(known) == 3 + 4 + 1
        assert [text for text in said if found(text.encode(), known)] == []
        assert any("I am given ***!" in text for text in said), "the log was read"
        kept = known - {PLAIN}  # a variable that is written down is a row, as it is of a job
        assert found(dump(stage, tmp_path / "backup.db"), kept) == set()
        assert found(caplog.text.encode(), known) == set()
        assert caplog.records
        assert found_below(tmp_path / "gateway", known) == {}
        # What the server itself printed is in its log on this disk, as it is of a job.
        assert found_below(stage.studio.folders.home, kept, but="std_log.txt") == {}
