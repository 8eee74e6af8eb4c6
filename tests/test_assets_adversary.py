"""What a stranger tries on what a workspace keeps: nothing breaks, nothing leaks, nothing hangs in the air."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services import assets, datastores, jobs, locations, models
from services.assets import Content
from services.core.errors import AtelierError, Conflict, Invalid, NotFound
from services.core.states import AssetKind
from services.reconcile.made import register
from services.specs import datastores as specs
from services.specs.jobs import CommandJob
from services.specs.models import Model
from services.store.rows import Asset
from services.studio import Scope
from tests.api.conftest import House, opened
from tests.api.conftest import house as house
from tests.conftest import Stage

WORDS = (
    "", "1", "latest", "j1", "x", "\0", "a\0b", "%", "_", "..", "../..", "a/b", "a\"b", "a'b", "$.x", "a\\b", "[0]",
    "\ud7ff\uffff", "\u0661", "🦉", "ａ", "NaN", "-1", "9" * 30, "9" * 255, "9" * 256, "a" * 5000, "azureml:j1:1",
)  # fmt: skip
BODIES: tuple[Any, ...] = (
    None, [], "x", 1, {}, {"spec": {}}, {"spec": None}, {"spec": []}, {"spec": {"name": None, "path": None}},
    {"description": None, "tags": None}, {"tags": {"": ""}}, {"tags": {"a\"b": "x"}}, {"tags": None},
    {"tags": {f"k{number}": "v" for number in range(2000)}}, {"stage": "x" * 5000}, {"stage": None}, {"label": "x"},
    {"version": "9" * 255}, {"version": None}, {"version": 1}, {"version": "1"}, {"path": "../x"}, {"path": ""},
    {"path": "a" * 5000}, {"note": "x" * 5000}, {"note": None},
)  # fmt: skip


@pytest.fixture
def busy(stage: Stage) -> Iterator[House]:
    with opened(stage) as house:
        house.job("j1")
        house.assets()
        yield house


def routes(house: House) -> list[tuple[str, str, list[str]]]:
    """Method, path and query parameters of what belongs to assets, as OpenAPI tells them."""
    found = []
    for path, methods in house.app.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        noun = path.removeprefix("/api/v1/workspaces/{ws}/").partition("/")[0]
        if noun not in {"data", "models", "environments", "components", "datastores", "lineage", "schemas"}:
            continue
        for method, said in methods.items():
            query = [each["name"] for each in said.get("parameters", []) if each["in"] == "query"]
            found.append((method.upper(), path, query))
    return sorted(found)


def filled(path: str, word: str) -> str:

    for name in ("name", "version", "label", "path:path", "path", "job", "kind", "id"):
        path = path.replace(f"{{{name}}}", quote(word, safe=""))
    return path.replace("{ws}", "lab")


@pytest.mark.slow
def test_nothing_is_answered_by_a_fault_of_ours(busy: House) -> None:
    client = busy.bearer("ada")
    faults: list[str] = []

    def ask(method: str, path: str, **what: Any) -> None:
        answer = client.request(method, path, **what)
        if answer.status_code >= 500 and answer.status_code != 503:
            faults.append(f"{method} {path[:120]} {str(what)[:120]}: {answer.status_code}")

    for method, path, query in routes(busy):
        if "disk" in path or "prune" in path:
            continue
        right = filled(path.replace("{label}", "x").replace("{version}", "1"), "j1")
        for word in WORDS:
            ask(method if method != "DELETE" else "GET", filled(path, word or "x"))
            for name in query if method == "GET" else ():
                ask("GET", right, params={name: word})
                ask("GET", right, params={name: f"{word}={word}"})
        if method in {"POST", "PUT", "PATCH"}:
            for body in BODIES:
                ask(method, right, json=body)
    assert not faults, "\n".join(faults[:40])


def made(scope: Scope, name: str = "iris", version: str | None = None, content: str = "a") -> Asset:
    return assets.register(
        scope, AssetKind.data, name, version, Content(content * 64, type="uri_folder", path=f"https://x.org/{content}")
    )


def together(*acts: Any) -> list[str]:
    """Each in a transaction of its own that has read before any of them writes; what came of each."""
    ready = threading.Barrier(len(acts))

    def act(each: Any) -> str:
        try:
            each(ready)
        except AtelierError as cause:
            return cause.code
        return ""

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def meet(ready: threading.Barrier) -> None:
    """SQLite has one writer, so nobody else comes."""
    try:
        ready.wait(1)
    except threading.BrokenBarrierError:
        pass


def test_what_two_delete_at_once_is_gone_and_neither_sees_a_fault(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope)

    def gone(ready: threading.Barrier) -> None:
        with stage.scope() as scope:
            row = assets.get(scope, AssetKind.data, "iris", "1")
            meet(ready)
            assets.remove(scope, row)

    assert sorted(together(gone, gone)) == ["", "NotFound"]


@pytest.mark.parametrize("verb", ["archive", "change", "label"])
def test_what_is_deleted_meanwhile_is_not_found_by_who_changes_it(stage: Stage, verb: str) -> None:
    with stage.scope() as scope:
        made(scope)

    def gone(ready: threading.Barrier) -> None:
        with stage.scope() as scope:
            row = assets.get(scope, AssetKind.data, "iris", "1")
            assets.remove(scope, row)
            meet(ready)

    def changed(ready: threading.Barrier) -> None:
        with stage.scope() as scope:
            row = assets.get(scope, AssetKind.data, "iris", "1")
            meet(ready)
            if verb == "archive":
                assets.archive(scope, AssetKind.data, "iris", "1")
            elif verb == "change":
                assets.change(scope, row, description="x")
            else:
                assets.set_label(scope, row, "champion")

    said = together(gone, changed)
    assert set(said) <= {"", "NotFound", "Conflict"}, said
    with stage.scope() as scope:
        made(scope, version="1", content="b")
    with stage.scope() as scope, pytest.raises(NotFound):
        assets.get(scope, AssetKind.data, "iris", label="champion")


def test_two_who_put_one_label_leave_one(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope, version="1"), made(scope, version="2", content="b")

    def put(version: str) -> Any:
        def act(ready: threading.Barrier) -> None:
            with stage.scope() as scope:
                row = assets.get(scope, AssetKind.data, "iris", version)
                meet(ready)
                assets.set_label(scope, row, "champion")

        return act

    said = together(put("1"), put("2"))
    assert set(said) <= {"", "Conflict"}, said
    with stage.scope() as scope:
        assert assets.get(scope, AssetKind.data, "iris", label="champion").version in {"1", "2"}


def test_a_version_that_a_job_takes_while_it_is_deleted_is_either_used_or_gone(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope)
    spec = {
        "command": "ls ${{inputs.data}}",
        "environment": {"image": "debian:12"},
        "inputs": {"data": {"type": "uri_folder", "path": "azureml:iris:1"}},
    }

    def submitted(ready: threading.Barrier) -> None:
        with stage.scope() as scope:
            jobs.submit(scope, CommandJob.model_validate({**spec, "name": "reader"}))
            meet(ready)

    def gone(ready: threading.Barrier) -> None:
        with stage.scope() as scope:
            row = assets.get(scope, AssetKind.data, "iris", "1")
            meet(ready)
            assets.remove(scope, row)

    said = together(submitted, gone)
    assert sorted(said) in (["", "Conflict"], ["", "NotFound"]), said


def test_a_version_of_many_digits_is_a_name_and_counts_nothing(stage: Stage) -> None:
    with stage.scope() as scope:
        assert made(scope, version="9" * 255).version == "9" * 255
        assert made(scope, content="b").version == "1"
        assert made(scope, content="c").version == "2"


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "./../secret", "%2e%2e/secret/..", "a/.."])
def test_no_mapped_address_leads_out_of_what_it_is_mapped_to(lite: Stage, tmp_path: Path, path: str) -> None:
    home = lite.studio.settings.home
    (tmp_path / "open").mkdir()
    (home / "maps.yml").write_text(f'urls: [{{match: "https://all.example/", use: "{tmp_path}/open/"}}]')
    with lite.scope() as scope, pytest.raises(Invalid, match="leads out"):
        locations.located(scope, f"https://all.example/{path}")
    with lite.scope() as scope:
        assert locations.located(scope, "https://all.example/a/b..c").local == tmp_path / "open" / "a" / "b..c"


@pytest.mark.parametrize("name", ["azureml_anonymous", "CliV2AnonymousEnvironment"])
@pytest.mark.parametrize("kind", list(AssetKind))
def test_nobody_puts_a_version_where_what_nobody_named_is_looked_for(lite: Stage, kind: AssetKind, name: str) -> None:
    """Inline definitions are found by their hash: who could lay another one there would run in all jobs."""
    wanted = Content("a" * 64, type="uri_folder", path="https://x.org/good")
    with lite.scope(lite.ben) as scope, pytest.raises(Invalid, match="nobody named"):
        assets.register(scope, kind, name, "a" * 32, Content("b" * 64, type="uri_folder", path="https://x.org/evil"))
    with lite.scope() as scope:
        assert assets.anonymous(scope, kind, name, wanted).path == "https://x.org/good"


def test_a_stage_is_of_models_and_a_description_has_an_end(house: House) -> None:
    house.assets()
    client, here = house.bearer("ada"), "/api/v1/workspaces/lab"
    refused = client.patch(f"{here}/data/j1/versions/1", json={"stage": "Production"})
    assert (refused.status_code, refused.json()["where"]) == (422, "stage")
    for noun in ("data", "models", "environments"):
        long = client.patch(f"{here}/{noun}/j1/versions/1", json={"description": "x" * 10_001})
        assert (long.status_code, long.json()["where"]) == (422, "description")
    stage = "s" * 255
    assert client.patch(f"{here}/models/j1/versions/1", json={"stage": stage}).json()["stage"] == stage
    assert client.patch(f"{here}/models/j1/versions/1", json={"stage": stage + "s"}).status_code == 422


def test_a_datastore_is_needed_in_whatever_case_its_uri_is_written(stage: Stage) -> None:
    place = {"name": "far", "type": "azure_blob", "account_name": "account", "container_name": "c"}
    with stage.scope() as scope:
        datastores.create(scope, specs.datastore(place))
        path = "azureml://DataStores/far/paths/a"
        assets.register(scope, AssetKind.data, "iris", None, Content("a" * 64, type="uri_folder", path=path))
        with pytest.raises(Conflict, match="iris:1"):
            datastores.unregister(scope, "far")


def test_a_jobs_named_model_gets_no_number_that_was_given_before(lite: Stage) -> None:
    """MLflow gives none twice, and would move it to another while somebody reads it."""
    with lite.scope() as scope:
        models.create(scope, Model(name="net", path="https://x.org/net.onnx"))
        assets.remove(scope, models.get(scope, "net", "1"))
        output = {"type": "custom_model", "name": "net"}
        spec = {"name": "t", "command": "x", "environment": {"image": "debian:12"}, "outputs": {"m": output}}
        job = jobs.submit(scope, CommandJob.model_validate(spec))
        path = "azureml://datastores/workspaceblobstore/paths/azureml/t/m"
        job.resolved = {**job.resolved, "outputs": {"m": {"path": path, "type": "custom_model"}}}
        assert register(scope, job) == []
        assert models.get(scope, "net").version == "2"
