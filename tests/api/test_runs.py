"""Runs over REST: pages by a filter, groups, files, one with its histories, and what people write on one."""

import csv
import io

import pyarrow.parquet
import pytest

from tests.api.conftest import House
from tests.recorded import recorded

PATH = "/api/v1/workspaces/lab/runs"
A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def three(houses: House) -> House:
    """Three runs in two experiments."""
    nan, infinite = float("nan"), float("inf")
    recorded(houses.stage, A, {"loss": [0.5, 0.1], "acc": [0.9]}, params={"lr": "0.1"}, tags={"team": "vision"})
    recorded(houses.stage, B, {"loss": [0.4, nan]}, params={"lr": "0.2"}, status="FAILED", start_time=1_700_000_100_000)
    recorded(houses.stage, C, {"loss": [infinite]}, experiment="wine", params={"lr": "0.1"}, parent=A)
    return houses


def test_a_page_holds_what_was_asked_for_and_nothing_else(three: House):
    asked = {"column": ["metrics.loss", "min(metrics.loss)", "params.lr"], "order_by": ["params.lr", "-created"]}
    page = three.bearer("cleo").get(PATH, params=asked).json()
    assert (page["total"], page["is_total_exact"], page["has_more"]) == (3, True, False)
    assert {each["id"]: each["cells"] for each in page["value"]} == {
        A: {"metrics.loss": 0.1, "min(metrics.loss)": 0.1, "params.lr": "0.1"},
        B: {"metrics.loss": "NaN", "min(metrics.loss)": 0.4, "params.lr": "0.2"},
        C: {"metrics.loss": "Infinity", "min(metrics.loss)": "Infinity", "params.lr": "0.1"},
    }
    assert page["value"][-1]["id"] == B
    assert page["value"][-1]["status"] == "Failed"
    assert page["value"][-1]["created"] == "2023-11-14T22:15:00.000Z"


def test_a_page_is_one_of_many(three: House):
    client = three.bearer("cleo")
    pages = [client.get(PATH, params={"limit": 2, "offset": at}).json() for at in (0, 2)]
    assert [page["has_more"] for page in pages] == [True, False]
    assert len({each["id"] for page in pages for each in page["value"]}) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"filter": 'metrics.loss < 0.2 or tags.team ~ "nobody"'}, {A}),
        ({"filter": "status = Failed"}, {B}),
        ({"experiment": "wine"}, {C}),
        ({"experiment": ["wine", "iris"]}, {A, B, C}),
        ({"search": "RUN B"}, {B}),
        ({"filter": "params.lr = 0.1", "experiment": "iris"}, {A}),
    ],
)
def test_runs_are_found_by_filter_experiment_and_words(three: House, asked: dict[str, str], found: set[str]):
    page = three.bearer("cleo").get(PATH, params=asked).json()
    assert {each["id"] for each in page["value"]} == found


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"filter": "metrics.loss <"}, "filter:15"),
        ({"column": "nothing"}, "columns"),
        ({"order_by": "nothing"}, "order_by"),
        ({"limit": "0"}, "limit"),
    ],
)
def test_a_wrong_question_says_where(three: House, asked: dict[str, str], where: str):
    answer = three.bearer("cleo").get(PATH, params=asked)
    assert (answer.status_code, answer.json()["where"]) == (422, where)


def test_groups_are_filters_that_find_their_runs(three: House):
    client = three.bearer("cleo")
    asked = {"group_by": "params.lr", "column": ["metrics.loss", "max(metrics.acc)"]}
    groups = client.get(f"{PATH}:groups", params=asked).json()["value"]
    assert {each["values"]["params.lr"]: each["count"] for each in groups} == {"0.1": 2, "0.2": 1}
    for each in groups:
        found = client.get(PATH, params={"filter": each["filter"]}).json()
        assert found["total"] == each["count"]
    assert client.get(f"{PATH}:groups").status_code == 422


def test_the_whole_list_is_a_file(three: House):
    client = three.bearer("cleo")
    asked = {"column": ["metrics.loss", "params.lr"], "filter": "params.lr = 0.1", "limit": "1"}
    text = client.get(f"{PATH}:export", params=asked)
    rows = list(csv.DictReader(io.StringIO(text.content.decode("utf-8-sig"))))
    assert {row["metrics.loss"] for row in rows} == {"0.1", "inf"}
    assert text.headers["content-disposition"].endswith("runs.csv")
    whole = client.get(f"{PATH}:export", params={**asked, "format": "parquet"})
    table = pyarrow.parquet.read_table(io.BytesIO(whole.content))
    assert sorted(table["params.lr"].to_pylist()) == ["0.1", "0.1"]
    assert three.browser("cleo").get("/files/runs-export/lab", params=asked).content == text.content
    assert client.get(f"{PATH}:export", params={"filter": "?"}).json()["where"] == "filter:1"
    assert client.get(f"{PATH}:export", params={"format": "xls"}).status_code == 422


def test_one_run_comes_with_all_that_it_logged(three: House):
    run = three.bearer("cleo").get(f"{PATH}/{A}").json()
    assert run["metrics"]["loss"] == {"last": 0.1, "step": 1, "min": 0.1, "max": 0.5, "count": 2}
    assert (run["params"], run["tags"], run["parent"]) == ({"lr": "0.1"}, {"team": "vision"}, None)
    assert [each["id"] for each in run["children"]] == [C]
    assert three.bearer("cleo").get(f"{PATH}/{C}").json()["parent"]["id"] == A


def test_histories_have_words_for_what_is_no_number(three: House):
    found = three.bearer("cleo").get(f"{PATH}/{B}/history", params={"metric": ["loss", "acc"]}).json()["value"]
    assert found[0]["value"] == [0.4, "NaN"]
    assert found[0]["step"] == [0, 1]
    assert found[0]["timestamp"] == [1_700_000_000_000, 1_700_000_001_000]
    assert found[1] == {"metric": "acc", "step": [], "timestamp": [], "value": []}


def test_names_are_counted_by_prefix(three: House):
    recorded(three.stage, A, {"val/loss": [1.0], "val/acc": [1.0]})
    found = three.bearer("cleo").get(f"{PATH}:keys", params={"search": "loss"}).json()
    assert found == {"names": ["loss", "val/loss"], "total": 2, "prefixes": {"val": 1}}
    assert three.bearer("cleo").get(f"{PATH}:keys", params={"kind": "params"}).json()["names"] == ["lr"]


def test_a_direction_is_guessed_until_somebody_says_it(three: House):
    client = three.bearer("ben")
    assert client.get(f"{PATH}:directions", params={"metric": ["loss", "acc"]}).json()["value"] == {
        "loss": False,
        "acc": True,
    }
    said = client.put(f"{PATH}:directions", json={"metric": "loss", "is_higher_better": True})
    assert said.json()["value"] == {"loss": True}
    assert client.put(f"{PATH}:directions", json={"metric": "loss"}).json()["value"] == {"loss": False}


def test_people_write_on_a_run(three: House):
    client = three.bearer("ben")
    change = {"tags": {"team": None, "owner": "ben"}, "note": "# Good", "is_starred": True, "color": "#00ff00"}
    marks = client.patch(f"{PATH}/{A}", json=change).json()
    assert marks == {"id": A, "tags": {"owner": "ben"}, "note": "# Good", "is_starred": True, "color": "#00ff00"}
    run = client.get(f"{PATH}/{A}").json()
    assert (run["note"], run["is_starred"], run["color"]) == ("# Good", True, "#00ff00")
    assert client.get(PATH, params={"filter": "starred = true"}).json()["total"] == 1
    assert client.patch(f"{PATH}/{A}", json={"color": "red"}).json()["where"] == "color"
    assert client.patch(f"{PATH}/{A}", json={"colour": "#000000"}).status_code == 422


def test_runs_of_others_are_not_here(three: House):
    ada = three.bearer("ada")
    ada.post("/api/v1/workspaces", json={"name": "other"})
    other = "/api/v1/workspaces/other/runs"
    assert ada.get(other).json()["value"] == []
    for path in ("", "/history?metric=loss"):
        assert ada.get(f"{other}/{A}{path}").status_code == 404
    assert ada.patch(f"{other}/{A}", json={"note": "x"}).status_code == 404
    assert three.bearer("dan").get(PATH).status_code == 404
