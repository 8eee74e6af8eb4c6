"""Online endpoints over HTTP: made, shared out, asked through a real gateway, and taken away."""

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from app.scoring import LARGEST
from services import deployments, endpoints, routing, secrets
from services.specs.endpoints import OnlineEndpoint
from services.store.rows import Secret
from services.store.serving import Endpoint
from tests.api.conftest import House, announced, eventually
from tests.gateway.rows import a_deployment
from tests.gateway.stand import Answering, Model, Stand, plain

LAB = "/api/v1/workspaces/lab"
ENDPOINTS = f"{LAB}/online-endpoints"
MODEL_FILE = b"flavors:\n  sklearn: {}\n"
CONDA = b"dependencies:\n- python=3.11\n- pip\n- pip:\n  - mlflow\n"


@dataclass
class Served:
    """The web process beside a gateway that follows its rows; `iris` is answered by `model`."""

    house: House
    stand: Stand
    model: Model
    row: Endpoint

    def ask(self, body: bytes = b'{"data": [1]}', who: str = "ben", **fields: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **fields.pop("headers", {})}
        client = self.house.bearer(who)
        return client.post(f"{ENDPOINTS}/{self.row.name}/invoke", content=body, headers=headers, **fields)


def served(house: House, folder: Path, answering: Answering | None = None, **fields: Any) -> Iterator[Served]:
    """Its table is made anew all the time, as the gateway's is whenever a row has changed."""
    stand, model, over = Stand(folder), Model("blue", answering), threading.Event()

    def follow() -> None:
        while not over.wait(0.02):
            stand.router.apply(routing.table(house.stage.studio))

    with house.stage.scope() as scope:
        row = endpoints.create(scope, OnlineEndpoint.model_validate({"name": "iris", **fields}))
    a_deployment(house.stage, row, ports=(model.port,))
    with house.stage.scope() as scope:
        endpoints.set_traffic(scope, "iris", {"blue": 100})
    house.stage.studio.say("scoring", {"url": f"http://127.0.0.1:{stand.port}", "port": stand.port})
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield Served(house, stand, model, row)
    over.set()
    thread.join(20)
    model.close()
    stand.close()


@pytest.fixture
def keyed(house: House, tmp_path: Path) -> Iterator[Served]:
    yield from served(house, tmp_path)


@pytest.fixture
def tokened(house: House, tmp_path: Path) -> Iterator[Served]:
    yield from served(house, tmp_path, auth_mode="aml_token")


@pytest.fixture
def broken(house: House, tmp_path: Path) -> Iterator[Served]:
    async def answering(asked: Any, reader: Any, writer: Any) -> None:
        headers = "Set-Cookie: atelier_session=stolen\r\nLocation: http://127.0.0.1:1/\r\n"
        status = "302 Found" if b"away" in asked.body else "500 Internal Server Error"
        writer.write(plain(b"<script>alert(1)</script>", status=status, headers=headers))

    yield from served(house, tmp_path, answering)


def uploaded(house: House, files: dict[str, bytes]) -> str:
    """The id of an upload of data."""
    ada = house.bearer("ada")
    entries = [announced(path, content) for path, content in files.items()]
    begun = ada.post(f"{LAB}/uploads", json={"kind": "data", "entries": entries}).json()
    where = f"{LAB}/uploads/{begun['id']}"
    content = b"".join(files[each["path"]] for each in begun["missing"])
    assert ada.put(f"{where}/content", content=content).json()["complete"] or ada.post(f"{where}/seal").is_success
    ada.post(f"{where}/seal")
    return str(begun["id"])


def test_from_nothing_to_a_deployment_and_back(house: House) -> None:
    ben = house.bearer("ben")
    made = ben.post(ENDPOINTS, json={"spec": {"name": "iris", "auth_mode": "key", "tags": {"a": "1"}}})
    assert made.status_code == 201
    assert made.json()["scoring_uri"].endswith("/lab/iris/score")
    assert made.json()["studio_uri"] == f"{house.url}/endpoint?ws=lab&name=iris"
    assert ben.post(ENDPOINTS, json={"spec": {"name": "IRIS"}}).status_code == 409
    at = uploaded(house, {"model/MLmodel": MODEL_FILE, "model/conda.yaml": CONDA})
    spec = {"name": "blue", "model": {"path": f"azureml://uploads/{at}/model"}}
    blue = ben.post(f"{ENDPOINTS}/iris/deployments", json={"spec": spec, "all_traffic": True})
    assert blue.status_code == 201, blue.text
    assert (blue.json()["provisioning_state"], blue.json()["server"]) == ("Creating", "mlflow")
    here = f"{ENDPOINTS}/iris/deployments/blue"
    assert ben.post(f"{here}/scale", json={"instance_count": 2}).json()["instance_count"] == 2
    changed = ben.patch(here, json={"spec": {"environment_variables": {"LEVEL": "debug"}}})
    assert changed.json()["generation"] == 2
    same = ben.put(here, json={"spec": {**spec, "environment_variables": {"LEVEL": "debug"}, "instance_count": 2}})
    assert same.json()["generation"] == 2
    assert ben.get(f"{here}/replicas").json()["value"] == []
    assert ben.get(f"{here}/logs").status_code == 404
    assert [each["message"] for each in ben.get(f"{here}/events").json()["value"]][:2] == [
        "Deployment 'blue' was created",
        "Deployment 'blue' went from 1 instance to 2 instances",
    ]
    assert [each["name"] for each in ben.get(f"{ENDPOINTS}/iris/deployments").json()["value"]] == ["blue"]
    refused = ben.patch(f"{ENDPOINTS}/iris", json={"traffic": {"blue": 100}})
    assert (refused.status_code, refused.json()["where"]) == (422, "traffic.blue")
    assert ben.delete(here).json()["desired"] == "delete"
    assert ben.delete(f"{ENDPOINTS}/iris").status_code == 202
    assert ben.get(f"{ENDPOINTS}/iris").json()["provisioning_state"] == "Deleting"


@pytest.mark.parametrize(
    ("traffic", "where"),
    [
        ({"blue": 50}, "traffic"),
        ({"blue": 110, "green": -10}, "traffic.blue"),
        ({"blue": 100.5}, "traffic.blue"),
        ({"blu": 100}, "traffic"),
        ({"blue": "all"}, "traffic.blue"),
    ],
)
def test_traffic_that_cannot_be_is_422(keyed: Served, traffic: dict[str, Any], where: str) -> None:
    answer = keyed.house.bearer("ben").patch(f"{ENDPOINTS}/iris", json={"traffic": traffic})
    assert (answer.status_code, answer.json()["where"]) == (422, where), answer.text


def test_a_change_that_somebody_else_made_first_is_412(keyed: Served) -> None:
    ben = keyed.house.bearer("ben")
    for place in (f"{ENDPOINTS}/iris", f"{ENDPOINTS}/iris/deployments/blue"):
        seen = ben.get(place).headers["etag"]
        body = {"description": "x"} if place.endswith("iris") else {"spec": {"instance_count": 1}}
        stale = ben.patch(place, json=body, headers={"If-Match": '"99"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "PreconditionFailed")
        assert seen
    seen = ben.get(f"{ENDPOINTS}/iris").headers["etag"]
    assert ben.patch(f"{ENDPOINTS}/iris", json={"description": "x"}, headers={"If-Match": seen}).status_code == 200
    assert ben.patch(f"{ENDPOINTS}/iris", json={"description": "y"}, headers={"If-Match": seen}).status_code == 412


def test_keys_are_told_to_who_may_and_are_in_no_cache(keyed: Served) -> None:
    house = keyed.house
    answer = house.bearer("ben").post(f"{ENDPOINTS}/iris/list-keys")
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"primaryKey", "secondaryKey"}
    with house.stage.scope() as scope:
        assert answer.json()["primaryKey"] == endpoints.keys(scope, "iris").primary
    assert house.bearer("ben").post(f"{ENDPOINTS}/iris/token").status_code == 409
    cleo = house.bearer("cleo")
    for verb in ("list-keys", "token", "regenerate-keys", "invoke"):
        body = {"key_type": "primary"} if verb == "regenerate-keys" else {}
        assert cleo.post(f"{ENDPOINTS}/iris/{verb}", json=body).status_code == 403
    for who in ("ben", "cleo"):
        client = house.bearer(who)
        shown = client.get(ENDPOINTS).text + client.get(f"{ENDPOINTS}/iris").text
        shown += client.get(f"{ENDPOINTS}/iris/events").text + client.get(f"{ENDPOINTS}/iris/deployments").text
        assert all(key not in shown for key in answer.json().values())


def test_a_request_is_sent_on_as_it_is(keyed: Served) -> None:
    answer = keyed.ask(b'{"data":  [1, 2]}', headers={"x-ms-client-request-id": "mine"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"model": "blue", "body": '{"data":  [1, 2]}'}
    assert answer.headers["azureml-model-deployment"] == "blue"
    assert answer.headers["x-request-id"]
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    asked = keyed.model.asked[-1]
    assert "authorization" not in asked.headers
    assert "cookie" not in asked.headers
    assert keyed.ask(b"a,b\n1,2\n", headers={"Content-Type": "text/csv"}).json()["body"] == "a,b\n1,2\n"
    assert keyed.model.asked[-1].headers["content-type"] == "text/csv"


def test_one_deployment_can_be_asked(keyed: Served) -> None:
    other = Model("green")
    a_deployment(keyed.house.stage, keyed.row, "green", ports=(other.port,))
    try:
        eventually(lambda: keyed.ask(params={"deployment": "green"}).status_code == 200, "green answers")
        answer = keyed.ask(params={"deployment": "green"})
        assert (answer.json()["model"], answer.headers["azureml-model-deployment"]) == ("green", "green")
        assert keyed.ask(params={"deployment": "purple"}).status_code == 404
    finally:
        other.close()


def test_a_try_is_kept_apart_from_what_callers_send(keyed: Served) -> None:
    keyed.ask(params={"test": "true"})
    keyed.ask()

    def kinds() -> list[str]:
        return sorted(each.kind for each in keyed.stand.requests.listed(keyed.row.id, limit=10))

    eventually(lambda: len(kinds()) == 2, "both were written")
    assert kinds() == ["live", "test"]


def test_a_key_that_was_made_anew_is_used_at_once(keyed: Served) -> None:
    assert keyed.ask().status_code == 200
    ben = keyed.house.bearer("ben")
    assert ben.post(f"{ENDPOINTS}/iris/regenerate-keys", json={"key_type": "primary"}).status_code == 200
    assert keyed.ask().status_code == 200


def test_tokens_are_made_by_the_studio_for_itself(tokened: Served) -> None:
    assert [tokened.ask().status_code for _ in range(3)] == [200, 200, 200]
    issued = tokened.house.bearer("ben").post(f"{ENDPOINTS}/iris/token").json()
    assert set(issued) == {"accessToken", "expiryTimeUtc", "expires_at"}
    direct = {"Authorization": f"Bearer {issued['accessToken']}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{tokened.stand.port}/lab/iris/score"
    eventually(lambda: httpx.post(url, content=b"{}", headers=direct, trust_env=False).is_success, "it opens")


def test_what_a_model_answers_is_never_run_or_followed(broken: Served) -> None:
    answer = broken.ask()
    assert (answer.status_code, answer.headers["ms-azureml-model-error-statuscode"]) == (424, "500")
    away = broken.ask(b'"away"')
    assert away.status_code in {302, 424}
    for each in (answer, away):
        assert "set-cookie" not in each.headers
        assert "location" not in each.headers
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["content-security-policy"] == "default-src 'none'; sandbox"


def gzip_bomb() -> bytes:
    """A hundred megabytes in a hundred kilobytes, packed once more."""
    return gzip.compress(gzip.compress(bytes(100 << 20), 1), 1)


@pytest.mark.parametrize(
    ("coding", "body", "code"),
    [
        ("gzip", lambda: gzip.compress(b'{"a": 1}'), 200),
        ("deflate", lambda: zlib.compress(b'{"a": 1}'), 200),
        ("gzip", lambda: gzip.compress(bytes(100 << 20), 1), 502),
        ("gzip, gzip", gzip_bomb, 502),
        ("br", lambda: b"x", 502),
        ("gzip", lambda: b"not packed", 502),
    ],
    ids=["gzip", "deflate", "a hundred megabytes", "twice", "unknown", "broken"],
)
def test_an_answer_that_unfolds_takes_no_more_room_than_others(
    house: House, tmp_path: Path, coding: str, body: Callable[[], bytes], code: int
) -> None:
    packed = body()

    async def answering(asked: Any, reader: Any, writer: Any) -> None:
        writer.write(plain(packed, headers=f"Content-Encoding: {coding}\r\n"))

    for each in served(house, tmp_path, answering):
        answer = each.ask()
        assert answer.status_code == code, answer.text
        assert code != 200 or answer.json() == {"a": 1}


def test_a_model_that_says_401_is_asked_once(house: House, tmp_path: Path) -> None:
    async def answering(asked: Any, reader: Any, writer: Any) -> None:
        writer.write(plain(b"{}", status="401 Unauthorized", headers="X-Ms-Odd: \u20ac\u00ff\r\n"))

    for each in served(house, tmp_path, answering):
        assert each.ask().status_code == 401
        assert len(each.model.asked) == 1


@pytest.mark.parametrize("deployment", ["é", "\u20ac", "a\r\nX-Evil: 1", " blue"])
def test_a_deployment_whose_name_is_none_is_not_found(keyed: Served, deployment: str) -> None:
    answer = keyed.ask(params={"deployment": deployment})
    assert answer.status_code in {404, 422}, answer.text
    assert keyed.model.asked == []


def test_ids_of_callers_may_be_any_bytes(keyed: Served) -> None:
    assert keyed.ask(headers={"x-ms-client-request-id": "caf\u00e9".encode("latin-1")}).status_code in {200, 422}


def test_large_bodies_are_refused(keyed: Served) -> None:
    before = len(keyed.model.asked)
    assert keyed.ask(b"x" * (LARGEST + 1)).status_code == 413
    assert len(keyed.model.asked) == before


def test_without_a_gateway_it_is_said(house: House) -> None:
    with house.stage.scope() as scope:
        endpoints.create(scope, OnlineEndpoint(name="iris"))
    ben = house.bearer("ben")
    asked: dict[str, Any] = {"content": b"{}", "headers": {"Content-Type": "application/json"}}
    answer = ben.post(f"{ENDPOINTS}/iris/invoke", **asked)
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
    house.stage.studio.say("scoring", {"url": "http://127.0.0.1:1"})
    answer = ben.post(f"{ENDPOINTS}/iris/invoke", **asked)
    assert (answer.status_code, answer.json()["detail"]) == (503, "The scoring gateway does not answer.")


def test_it_is_stopped_and_started(keyed: Served) -> None:
    ben = keyed.house.bearer("ben")
    assert ben.post(f"{ENDPOINTS}/iris/stop").json()["desired"] == "stop"
    eventually(lambda: keyed.ask().status_code == 503, "callers are told")
    assert ben.post(f"{ENDPOINTS}/iris/start").json()["desired"] == "run"
    eventually(lambda: keyed.ask().status_code == 200, "it answers again")


def test_logs_are_text(keyed: Served) -> None:
    stage = keyed.house.stage
    with stage.scope() as scope:
        replica = deployments.replicas(scope, deployments.get(scope, "iris", "blue"))[0]
    log = stage.studio.folders.replica(replica.id) / "user_logs" / "std_log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("one\n<script>two</script>\n")
    answer = keyed.house.bearer("cleo").get(f"{ENDPOINTS}/iris/deployments/blue/logs", params={"lines": 1})
    assert answer.text == "<script>two</script>\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    other = keyed.house.bearer("cleo").get(f"{ENDPOINTS}/iris/deployments/blue/logs", params={"container": "x"})
    assert (other.status_code, other.json()["where"]) == (422, "container")


def test_secrets_go_in_and_never_come_out(house: House) -> None:
    ben, cleo = house.bearer("ben"), house.bearer("cleo")
    put = ben.put(f"{LAB}/secrets/door", json={"value": "open-sesame"})
    assert (put.status_code, put.json()["name"], put.json()["version"]) == (200, "door", 1)
    assert ben.put(f"{LAB}/secrets/door", json={"value": "open-sesame-2"}).json()["version"] == 2
    listed = cleo.get(f"{LAB}/secrets")
    assert [each["name"] for each in listed.json()["value"]] == ["door"]
    assert "sesame" not in put.text + listed.text
    assert cleo.put(f"{LAB}/secrets/door", json={"value": "x"}).status_code == 403
    for name in ("1x", "a.b", "endpoint%2Fx%2Fprimary"):
        assert ben.put(f"{LAB}/secrets/{name}", json={"value": "x"}).status_code in {404, 422}
    wrong = ben.put(f"{LAB}/secrets/door", json={"value": ["open-sesame"]})
    assert wrong.status_code == 422
    assert "sesame" not in wrong.text
    with house.stage.scope() as scope:
        assert secrets.reveal(scope, "user/door") == "open-sesame-2"
        assert {row.name for row in scope.session.exec(select(Secret))} == {"user/door"}
    assert ben.delete(f"{LAB}/secrets/door").status_code == 204
    assert ben.delete(f"{LAB}/secrets/door").status_code == 404
    assert ben.get(f"{LAB}/secrets").json()["value"] == []
