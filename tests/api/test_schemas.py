"""JSON schemas over REST: for whoever is signed in, as editors ask for them."""

from services import schemas
from tests.api.conftest import House


def test_an_editor_finds_every_schema(house: House):
    dan = house.bearer("dan")
    rows = dan.get("/api/v1/schemas").json()["value"]
    assert [row["name"] for row in rows] == [row["name"] for row in schemas.listed()]
    for row in rows:
        answer = dan.get("/" + row["url"].partition("://")[2].partition("/")[2])
        assert answer.headers["content-type"].startswith("application/schema+json")
        assert answer.json() == schemas.schema(row["name"])


def test_the_clouds_names_lead_to_ours_and_others_to_a_word_that_is_near(house: House):
    dan = house.bearer("dan")
    theirs = dan.get("/api/v1/schemas/managedOnlineEndpoint.schema.json")
    assert theirs.json() == schemas.schema("onlineEndpoint")
    wrong = dan.get("/api/v1/schemas/comandJob.schema.json")
    assert (wrong.status_code, wrong.json()["code"]) == (404, "NotFound")
    assert "Did you mean 'commandJob'?" in wrong.json()["detail"]
    assert dan.get("/api/v1/schemas/sparkJob.schema.json").status_code == 404
