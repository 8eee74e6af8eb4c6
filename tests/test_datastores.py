"""Datastores: registered from any YAML, opened without showing what opens them, kept while something needs them."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import assets, datastores, jobs, secrets
from services.assets import Content
from services.core.errors import AtelierError, Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind, JobStatus
from services.core.times import now
from services.engines import stores
from services.specs import datastores as specs
from services.specs.jobs import CommandJob
from services.store.rows import Datastore, Job
from tests.conftest import Stage

KEY = base64.b64encode(b"canary" * 11).decode()
BLOB = {
    "name": "blob",
    "type": "azure_blob",
    "account_name": "nobodyhasthis",
    "container_name": "data",
    "credentials": {"account_key": KEY},
}
CLOUD: dict[str, dict[str, Any]] = {
    "azure_blob": BLOB,
    "azure_file": {"account_name": "a", "file_share_name": "s", "credentials": {"sas_token": KEY}},
    "azure_data_lake_gen2": {
        "account_name": "a",
        "filesystem": "f",
        "credentials": {"tenant_id": "t", "client_id": "c", "client_secret": KEY},
    },
    "azure_data_lake_gen1": {
        "store_name": "s",
        "credentials": {"tenant_id": "t", "client_id": "c", "client_secret": KEY},
    },
}
GOOD = {"passed": True, "can_read_only": True, "rows": []}
BAD = {
    "passed": False,
    "can_read_only": True,
    "rows": [{"name": "write", "outcome": "failed", "detail": "refused", "seconds": 0.0}],
}


def create(stage: Stage, value: Mapping[str, Any], report: dict[str, Any] | None = None) -> Datastore:
    with stage.scope() as scope:
        return datastores.create(scope, specs.datastore(value), report)


@pytest.fixture
def shelf(stage: Stage, tmp_path: Path) -> dict[str, Any]:
    """A folder that an admin has opened, as a datastore."""
    place = tmp_path / "open" / "shelf"
    place.mkdir(parents=True)
    stage.studio.settings.data_roots = str(tmp_path / "open")
    return {"name": "shelf", "type": "folder", "path": str(place)}


@pytest.mark.parametrize("kind", CLOUD)
def test_the_clouds_kinds_register_with_placeholders(stage: Stage, kind: str):
    create(
        stage, {"name": "store", "type": kind, **{k: v for k, v in CLOUD[kind].items() if k not in ("name", "type")}}
    )
    with stage.scope() as scope:
        shown = json.dumps(datastores.as_json(datastores.get(scope, "store")))
    assert kind in shown
    assert KEY not in shown


@pytest.mark.parametrize("kind", CLOUD)
def test_a_placeholder_fails_on_use_naming_the_datastore(stage: Stage, kind: str):
    where = {"endpoint": "http://127.0.0.1:9/a"} if kind in {"azure_blob", "azure_data_lake_gen2"} else {}
    create(stage, {**CLOUD[kind], "name": "store", "type": kind, **where})
    with stage.scope() as scope, pytest.raises(AtelierError, match="'store'") as refused:
        list(datastores.opened(scope, datastores.get(scope, "store")).list(limit=1))
    assert KEY not in str(refused.value)


def test_what_opens_it_is_in_the_vault_and_nowhere_else(stage: Stage):
    row = create(stage, BLOB)
    assert KEY not in json.dumps([row.spec, row.report, row.tags]) + repr(row)
    with stage.scope() as scope:
        assert json.loads(secrets.reveal(scope, row.secret)) == {"account_key": KEY}
        for name in ("spec", "secret"):
            assert KEY not in str(getattr(row, name))


def test_the_same_again_changes_nothing_and_another_is_refused(stage: Stage):
    first, second = create(stage, BLOB), create(stage, BLOB)
    assert first.id == second.id
    for change in ({"container_name": "other"}, {"credentials": {"account_key": "other"}}, {"credentials": None}):
        with pytest.raises(Conflict, match="exists already"):
            create(stage, {**BLOB, **change})


def test_a_name_is_needed_and_is_a_name(stage: Stage):
    with pytest.raises(Invalid, match="'name' is required"):
        create(stage, {key: value for key, value in BLOB.items() if key != "name"})
    for name in ("../x", "a/b", "", "x y"):
        with pytest.raises(Invalid):
            create(stage, {**BLOB, "name": name})


def test_what_is_shown_registers_elsewhere(stage: Stage, shelf: dict[str, Any]):
    for value in (BLOB, {**shelf, "tags": {"team": "a"}, "description": "d", "read_only": True}):
        create(stage, value, GOOD)
        with stage.scope() as scope:
            before = datastores.as_json(datastores.get(scope, value["name"]))
            datastores.unregister(scope, value["name"])
        create(stage, yaml.safe_load(yaml.safe_dump(before)), GOOD)
        with stage.scope() as scope:
            after = datastores.as_json(datastores.get(scope, value["name"]))
        for same in ("name", "type", "description", "tags", "read_only", "storage"):
            assert after[same] == before[same]


def test_a_folder_is_read_and_written(stage: Stage, shelf: dict[str, Any]):
    create(stage, shelf, GOOD)
    with stage.scope() as scope:
        store = datastores.opened(scope, datastores.get(scope, "shelf"))
    store.write("a/b.txt", io.BytesIO(b"hello"), 5)
    assert (Path(shelf["path"]) / "a" / "b.txt").read_bytes() == b"hello"
    found = datastores.page_of(store)
    assert [entry.path for entry in found.rows] == ["a/"]
    stream, size = datastores.file(store, "a/b.txt")
    with stream:
        assert (stream.read(), size) == (b"hello", 5)


def test_a_folder_of_many_is_shown_page_by_page(stage: Stage, shelf: dict[str, Any]):
    for number in range(25):
        (Path(shelf["path"]) / f"f{number:02}.txt").write_text("x")
    create(stage, shelf, GOOD)
    with stage.scope() as scope:
        store = datastores.opened(scope, datastores.get(scope, "shelf"))
    seen, cursor = [], ""
    while True:
        page = datastores.page_of(store, limit=10, after=cursor)
        seen += [entry.path for entry in page.rows]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == [f"f{number:02}.txt" for number in range(25)]
    with pytest.raises(Invalid):
        datastores.page_of(store, limit=0)


def test_a_read_only_one_is_read_and_never_written(stage: Stage, shelf: dict[str, Any]):
    (Path(shelf["path"]) / "a.txt").write_text("x")
    create(stage, {**shelf, "read_only": True}, GOOD)
    with stage.scope() as scope:
        store = datastores.opened(scope, datastores.get(scope, "shelf"))
        for write in (
            lambda: store.write("b", io.BytesIO(b""), 0),
            lambda: store.rename("a.txt", "b"),
            lambda: store.delete("a.txt"),
        ):
            with pytest.raises(Denied, match="'shelf' is registered for reading"):
                write()
        with pytest.raises(Conflict, match="for reading"):
            datastores.set_default(scope, "shelf")
    assert store.read("a.txt") == b"x"
    assert datastores.probed(store)["passed"]
    assert [path.name for path in Path(shelf["path"]).iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/proc", "/var/run", "/root/.ssh", "{home}", "{home}/artifacts", "{outside}", "{link}", "{gone}"],
)
def test_only_folders_that_an_admin_has_opened_are_registered(stage: Stage, tmp_path: Path, path: str):
    inside, outside = tmp_path / "open", tmp_path / "shut"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    stage.studio.settings.data_roots = str(inside)
    named = path.format(home=stage.studio.folders.home, outside=outside, link=inside / "link", gone=inside / "gone")
    with pytest.raises(Invalid):
        create(stage, {"name": "shelf", "type": "folder", "path": named}, GOOD)


@pytest.mark.parametrize("roots", ["/", "{home}", "{parent}"])
def test_the_studios_own_home_stays_shut_whatever_is_opened(stage: Stage, roots: str):
    home = stage.studio.folders.home
    stage.studio.settings.data_roots = roots.format(home=home, parent=home.parent)
    for path in (home, home / "workspaces", home.parent):
        with pytest.raises(Invalid):
            create(stage, {"name": "shelf", "type": "folder", "path": str(path)}, GOOD)


def test_without_an_opened_folder_the_answer_says_how(stage: Stage, tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        create(stage, {"name": "shelf", "type": "folder", "path": str(tmp_path)}, GOOD)
    assert "ATELIER_DATA_ROOTS" in str(refused.value.hint)


def test_a_folder_that_was_closed_since_is_not_opened_any_more(stage: Stage, shelf: dict[str, Any]):
    row = create(stage, shelf, GOOD)
    stage.studio.settings.data_roots = ""
    with stage.scope() as scope:
        for ask in (lambda: datastores.opened(scope, row), lambda: datastores.folder(stage.studio, row)):
            with pytest.raises(Invalid, match="not below a folder"):
                ask()


def test_one_of_ours_that_failed_its_trial_is_refused_with_what_failed(stage: Stage, shelf: dict[str, Any]):
    with pytest.raises(Conflict, match="write: refused") as refused:
        create(stage, shelf, BAD)
    assert "read_only: true" in str(refused.value.hint)
    create(stage, {**shelf, "read_only": True}, BAD)
    with stage.scope() as scope:
        assert datastores.get(scope, "shelf").report == BAD


def test_a_failed_trial_does_not_block_the_clouds_kinds(stage: Stage):
    create(stage, BLOB, BAD)
    with stage.scope() as scope:
        assert datastores.as_json(datastores.get(scope, "blob"))["report"]["passed"] is False


def test_the_trial_of_a_folder_tells_what_it_can_do(stage: Stage, shelf: dict[str, Any]):
    with stage.scope() as scope:
        store = datastores.trial(scope, specs.datastore(shelf))
    assert store is not None
    report = datastores.probed(store)
    assert (report["passed"], [row["name"] for row in report["rows"]]) == (True, list(stores.probes.NAMES))
    assert list(Path(shelf["path"]).iterdir()) == []
    create(stage, shelf, report)
    with stage.scope() as scope:
        assert datastores.trial(scope, specs.datastore(shelf)) is None


def test_the_default_moves_and_is_one(stage: Stage, shelf: dict[str, Any]):
    create(stage, shelf, GOOD)
    with stage.scope() as scope:
        assert datastores.default(scope.session, scope.workspace_id).name == datastores.DEFAULT
        datastores.set_default(scope, "shelf")
        assert datastores.default(scope.session, scope.workspace_id).name == "shelf"
        assert [row.name for row in datastores.listed(scope) if row.is_default] == ["shelf"]
        with pytest.raises(Conflict, match="is the default"):
            datastores.unregister(scope, "shelf")


@pytest.mark.parametrize("name", datastores.BUILT_IN)
def test_what_came_with_the_workspace_stays(stage: Stage, name: str):
    with stage.scope() as scope, pytest.raises(Conflict, match="comes with the workspace"):
        datastores.unregister(scope, name)


def test_one_that_assets_lie_in_stays(stage: Stage):
    create(stage, BLOB)
    with stage.scope() as scope:
        content = Content("h" * 64, type="uri_folder", path="azureml://datastores/blob/paths/a")
        assets.register(scope, AssetKind.data, "iris", None, content)
        with pytest.raises(Conflict, match="1 asset lies in datastore 'blob': 'iris:1'"):
            datastores.unregister(scope, "blob")
        assert [asset.name for asset in datastores.uses(scope, "blob").assets] == ["iris"]
        assert datastores.uses(scope, datastores.DEFAULT).assets == []


def test_one_that_a_live_job_reads_stays_until_the_job_is_over(stage: Stage):
    create(stage, BLOB)
    create(stage, {**BLOB, "name": "blob2"})
    spec = {
        "name": "j1",
        "command": "ls ${{inputs.x}}",
        "environment": {"image": "debian:12"},
        "inputs": {"x": {"type": "uri_folder", "path": "azureml://datastores/blob/paths/a"}},
    }
    with stage.scope() as scope:
        jobs.submit(scope, CommandJob.model_validate(spec))
    with stage.scope() as scope:
        with pytest.raises(Conflict, match="used by 1 running job: 'j1'"):
            datastores.unregister(scope, "blob")
        datastores.unregister(scope, "blob2")
        row = scope.session.get_one(Job, jobs.get(scope, "j1").id)
        row.status, row.finished_at, row.collected_at = JobStatus.Completed, now(), now()
        scope.session.add(row)
        scope.session.flush()
        assert [job.name for job in datastores.uses(scope, "blob").jobs] == ["j1"]
        datastores.unregister(scope, "blob")
        with pytest.raises(NotFound):
            datastores.get(scope, "blob")


def test_unregistering_takes_what_opens_it_along(stage: Stage):
    row = create(stage, BLOB)
    with stage.scope() as scope:
        datastores.unregister(scope, "blob")
        with pytest.raises(NotFound):
            secrets.reveal(scope, row.secret)
    assert create(stage, BLOB).secret != row.secret


def test_authentication_is_replaced_without_being_asked_for_the_old_one(stage: Stage):
    create(stage, BLOB)
    with stage.scope() as scope:
        spec, _ = datastores.reauthenticated(scope, "blob", {"sas_token": "sig=new"})
        row = datastores.authenticate(scope, "blob", spec)
        assert json.loads(secrets.reveal(scope, row.secret)) == {"sas_token": "sig=new"}
        assert datastores.as_json(row)["authentication"] == {"type": "sas_token"}
        spec, _ = datastores.reauthenticated(scope, "blob", None)
        row = datastores.authenticate(scope, "blob", spec)
        assert (row.secret, datastores.as_json(row)["authentication"]) == ("", {"type": "none"})


def test_what_is_no_secret_of_the_authentication_is_shown(stage: Stage):
    create(stage, {**CLOUD["azure_data_lake_gen2"], "name": "lake", "type": "azure_data_lake_gen2"})
    with stage.scope() as scope:
        shown = datastores.as_json(datastores.get(scope, "lake"))["authentication"]
    assert shown == {"type": "service_principal", "tenant_id": "t", "client_id": "c"}


@pytest.mark.parametrize(
    "credentials",
    [{"password": KEY}, {"account_key": 5}, {"account_key": [KEY]}, {"account_key": KEY, "x": KEY}, KEY, [KEY]],
)
def test_credentials_of_another_kind_are_refused_without_being_repeated(stage: Stage, credentials: Any):
    create(stage, {key: value for key, value in BLOB.items() if key != "credentials"})
    with stage.scope() as scope, pytest.raises(AtelierError) as refused:
        datastores.reauthenticated(scope, "blob", credentials)
    assert KEY not in f"{refused.value} {refused.value.details} {refused.value.__cause__}"
    with pytest.raises(AtelierError) as also:
        create(stage, {**BLOB, "name": "other", "credentials": credentials})
    assert KEY not in f"{also.value} {also.value.details} {also.value.__cause__}"


def test_description_and_tags_change(stage: Stage):
    with stage.scope() as scope:
        row = datastores.change(scope, datastores.DEFAULT, description="ours", tags={"a": "b"})
        assert (row.description, row.tags) == ("ours", {"a": "b"})


def test_who_may_what(stage: Stage):
    create(stage, BLOB)
    with stage.scope(stage.cleo) as scope:
        row = datastores.get(scope, "blob")
        assert datastores.opened(scope, row).name == "blob"
        spec = specs.datastore({**BLOB, "name": "mine"})
        for ask in (
            lambda: datastores.create(scope, spec),
            lambda: datastores.trial(scope, spec),
            lambda: datastores.change(scope, "blob", description="x"),
            lambda: datastores.set_default(scope, "blob"),
            lambda: datastores.unregister(scope, "blob"),
            lambda: datastores.reauthenticated(scope, "blob", None),
            lambda: secrets.reveal(scope, row.secret),
        ):
            with pytest.raises(Denied):
                ask()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (
            {"type": "sftp", "host": "h", "host_key": "SHA256:abc", "path": "/d"},
            stores.Sftp("n", "h", "", root="/d", fingerprint="SHA256:abc"),
        ),
        ({"type": "s3", "bucket": "b", "prefix": "p"}, stores.S3("n", "b", prefix="p")),
        ({"type": "gcs", "bucket": "b"}, stores.GoogleStorage("n", "b")),
        ({"type": "http", "url": "https://h/x"}, stores.Web("n", "https://h/x")),
        (
            {"type": "azure_blob", "account_name": "a", "container_name": "c", "endpoint": "core.chinacloudapi.cn"},
            stores.AzureBlob("n", "a", "c", endpoint="https://a.blob.core.chinacloudapi.cn"),
        ),
        (
            {"type": "azure_data_lake_gen2", "account_name": "a", "filesystem": "c", "endpoint": "http://h:1/a"},
            stores.AzureBlob("n", "a", "c", endpoint="http://h:1/a"),
        ),
    ],
)
def test_what_is_written_names_the_place_that_is_meant(value: dict[str, Any], place: object):
    assert stores.written.place(specs.datastore(value), "n") == place


def test_a_host_key_is_known_by_its_fingerprint():
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIEmfuXKNOmxrnEnHOTVpKFa5G8VmL0p3M9OgZYw0Xy1D"
    made = stores.written.fingerprint(f"host ssh-ed25519 {key} comment")
    assert made == stores.written.fingerprint(f"ssh-ed25519 {key}")
    assert made.startswith("SHA256:")
    assert len(made) == 50
    with pytest.raises(Invalid, match="no public key"):
        stores.written.fingerprint("ssh-ed25519 oops")
