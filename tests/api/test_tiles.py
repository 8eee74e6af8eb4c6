"""Tiles over HTTP: by token and by cookie, who sees which runs, and that what is known is not sent twice."""

from typing import Any

import pytest

from tests.api.conftest import House
from tests.api.decided import ASKED, TILE, address
from tests.test_tiles import log, run_id

DOORS = sorted(ASKED)


def post(house: House, door: str, who: str, sent: Any = None, **headers: str) -> Any:
    path = address(door.removeprefix("POST "))
    client = house.browser(who) if path.startswith("/files") else house.bearer(who)
    return client.post(path, json=sent or TILE, headers=headers)


@pytest.mark.parametrize("door", DOORS)
def test_whoever_reads_runs_sees_their_tiles_and_others_find_nothing(house: House, door: str):
    log(house.stage, 1, {"loss": [2.0, 1.0]})
    sent = {**TILE, "runs": [run_id(1)]}
    for who in ("ada", "ben", "cleo"):
        answer = post(house, door, who, sent)
        assert (answer.status_code, answer.json()["kind"]) == (200, "figure")
    assert post(house, door, "dan", sent).status_code == 404
    house.grant("ben", "AzureML Compute Operator")
    assert post(house, door, "ben", sent).status_code == 403


@pytest.mark.parametrize("door", DOORS)
def test_a_run_of_another_workspace_is_left_out(house: House, door: str):
    log(house.stage, 1, {"loss": [1.0]}, workspace="elsewhere")
    log(house.stage, 2, {"loss": [1.0]})
    (trace,) = post(house, door, "ada", {**TILE, "runs": [run_id(1), run_id(2)]}).json()["figure"]["data"]
    assert trace["meta"] == {"run": run_id(2)}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_wrong_is_said_with_its_place(house: House, door: str):
    answer = post(house, door, "ada", {"tile": {"id": "a", "type": "line", "metrics": ["loss"], "colour": 1}})
    assert answer.status_code in {400, 422}
    assert "colour" in answer.text
    assert post(house, door, "ada", {**TILE, "runs": ["x"] * 201}).status_code == answer.status_code


def test_a_tile_that_did_not_change_is_not_sent_again(house: House):
    log(house.stage, 1, {"loss": [1.0]})
    sent = {**TILE, "runs": [run_id(1)]}
    first = post(house, DOORS[0], "ada", sent)
    known = {"If-None-Match": first.headers["etag"]}
    again = post(house, DOORS[0], "ada", sent, **known)
    assert (again.status_code, again.content) == (304, b"")
    log(house.stage, 1, {"loss": [1.0, 2.0]})
    assert post(house, DOORS[0], "ada", sent, **known).status_code == 200


def test_the_program_that_draws_is_our_own_and_kept_by_the_browser(house: House):
    answer = house.browser("cleo").get("/files/plotly.js")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/javascript")
    assert b"plotly.js v" in answer.content[:500]
    assert "max-age" in answer.headers["cache-control"]
    assert house.anonymous().get("/files/plotly.js").status_code == 401
