"""Data assets: what is uploaded is found by content, a URI stays as it is, files are read wherever they lie."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import yaml
from sqlmodel import select

from services import assets, data, datastores, jobs, previews, uploads
from services.core.errors import AtelierError, Conflict, Denied, Invalid, NotFound, Unavailable
from services.core.states import AssetKind, JobStatus
from services.core.times import now
from services.engines import tables
from services.specs.code import Entry
from services.specs.data import DataAsset
from services.specs.datastores import datastore
from services.specs.jobs import CommandJob
from services.store.rows import Asset, Edge, Experiment, Job
from services.studio import Scope
from tests.conftest import Stage

IRIS = "length,species\n" + "".join(f"{place / 10},{'ab'[place % 2]}\n" for place in range(100))
CANARY = "canary-3f9a"


def uploaded(scope: Scope, files: Mapping[str, str]) -> str:
    """As a client sends them; the upload's id."""
    entries = [
        Entry(path, len(text.encode()), hashlib.sha256(text.encode()).hexdigest()) for path, text in files.items()
    ]
    state = uploads.begin(scope, "data", entries)
    for path, _ in state.missing:
        landing = uploads.landing(scope, state.id, path)
        with landing.open() as target:
            target.write(files[path].encode())
        landing.finish()
    assert state.complete or uploads.seal(scope, state.id).complete
    return state.id


def made(scope: Scope, files: Mapping[str, str] | None = None, **changes: object) -> Asset:
    """A folder `iris` with one table, unless told otherwise."""
    spec = DataAsset.model_validate({"name": "iris", "path": "./here", **changes})
    return data.create(scope, spec, upload=uploaded(scope, files or {"iris.csv": IRIS}))


def at_uri(scope: Scope, path: str, **changes: object) -> Asset:
    return data.create(scope, DataAsset.model_validate({"name": "far", "path": path, **changes}))


def waited(view: previews.View) -> previews.State:
    until = time.monotonic() + 60
    while (state := previews.profile(view)).is_under_way:
        assert time.monotonic() < until, "the profile was not made"
        time.sleep(0.05)
    return state


def waited_diff(old: previews.View, new: previews.View) -> previews.State:
    until = time.monotonic() + 60
    while (state := previews.diff(old, new)).is_under_way:
        assert time.monotonic() < until, "the comparison was not made"
        time.sleep(0.05)
    return state


def test_the_hash_of_what_is_uploaded_is_that_of_its_files(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        first, again = made(scope), made(scope, version="1")
        assert first.id == again.id
        assert (first.version, first.hash) == ("1", uploaded(scope, {"iris.csv": IRIS}))
        assert first.path == f"azureml://datastores/workspaceblobstore/paths/LocalUpload/{first.hash}/"
        assert first.facts == {"size": len(IRIS), "files": 1}
        assert data.is_kept(first)
        with pytest.raises(Conflict, match="another content"):
            made(scope, {"iris.csv": "other"}, version="1")
        assert made(scope, {"iris.csv": "other"}).version == "2"


def test_a_single_file_keeps_its_name_and_several_are_no_file(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        asset = made(scope, {"iris.csv": IRIS}, type="uri_file")
        assert asset.path.endswith("/iris.csv")
        with pytest.raises(Invalid, match="one file"):
            made(scope, {"a.csv": IRIS, "b.csv": IRIS}, type="uri_file", name="two")
        with pytest.raises(Invalid, match="MLTable"):
            made(scope, type="mltable", name="table")
        with pytest.raises(NotFound):
            data.create(scope, DataAsset(name="x", path="./x"), upload="ab" * 32)


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/a/iris.csv?sig=x",
        "wasbs://box@account.blob.core.windows.net/iris.csv",
        "azureml://datastores/nowhere/paths/a/b.csv",
        "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/workspaceblobstore/paths/a",
        "abfss://fs@account.dfs.core.windows.net/x",
        "s3://bucket/x",
        "mlflow-artifacts:/x",
    ],
)
def test_a_uri_is_kept_as_it_is_and_never_checked(stage: Stage, uri: str) -> None:
    with stage.scope(stage.ben) as scope:
        asset = at_uri(scope, uri)
        assert asset.path == uri
        assert asset.hash == hashlib.sha256(f"uri_folder\0{uri}".encode()).hexdigest()
        assert at_uri(scope, uri, version="1").id == asset.id
        with pytest.raises(Conflict):
            at_uri(scope, f"{uri}2", version="1")


@pytest.mark.parametrize(
    "path",
    ["./iris.csv", "/etc/passwd", "file:///etc/passwd", "C:\\x", "azureml:iris:1", "azureml:iris@latest", "x\n://y",
     "azureml://datastores/workspaceblobstore/paths/../../x", "azureml://datastores/workspaceblobstore/paths/%2e%2e/x",
     "azureml://nothing", "http://x/\x00"],
)  # fmt: skip
def test_what_is_no_place_for_data_is_refused_by_its_field(lite: Stage, path: str) -> None:
    with lite.scope(lite.ben) as scope, pytest.raises(Invalid) as found:
        at_uri(scope, path)
    assert found.value.where == "path"


def test_what_show_prints_makes_an_equal_one(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        for asset in (made(scope, type="uri_file", tags={"a": "1"}), at_uri(scope, "https://example.com/x")):
            shown = yaml.safe_load(yaml.safe_dump(data.as_json(asset)))
            fields = set(DataAsset.model_fields) & set(shown)
            again = data.create(scope, DataAsset.model_validate({key: shown[key] for key in fields}))
            assert again.id == asset.id


def test_readers_make_nothing_and_see_everything(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        made(scope)
    with stage.scope(stage.cleo) as scope:
        with pytest.raises(Denied):
            at_uri(scope, "https://example.com/x")
        asset = data.get(scope, "iris")
        assert [file.path for file in data.contents(scope, asset).listing().files] == ["iris.csv"]
    with pytest.raises(NotFound), stage.scope(stage.dan):
        pass


def test_files_are_listed_page_by_page_and_opened_by_their_path(stage: Stage) -> None:
    files = {f"{'ab'[place % 2]}/{place}.csv": f"{place}\n" for place in range(6)}
    with stage.scope(stage.ben) as scope:
        contents = data.contents(scope, made(scope, files))
    whole, page = contents.listing(), contents.listing(most=4)
    assert [file.path for file in whole.files] == sorted(files)
    assert (whole.size, whole.is_whole, page.is_whole) == (12, True, False)
    rest = contents.listing(most=4, after=page.files[-1].path)
    assert [file.path for file in (*page.files, *rest.files)] == sorted(files)
    assert rest.is_whole
    opened, size = contents.opened("b/3.csv")
    with opened:
        assert (opened.read(), size) == (b"3\n", 2)


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "link", "folder-link/token", "", ".", "a\\..\\x", "%2e%2e/x", "no"]
)
def test_no_path_leaves_the_asset(stage: Stage, path: str) -> None:
    folders = stage.studio.folders
    folders.token.write_text(CANARY)
    root = folders.datastore(stage.lab.id, "workspaceblobstore") / "harm"
    root.mkdir(parents=True)
    (root / "link").symlink_to(folders.token)
    (root / "folder-link").symlink_to(folders.home)
    with stage.scope(stage.ben) as scope:
        contents = data.contents(scope, at_uri(scope, "azureml://datastores/workspaceblobstore/paths/harm"))
    assert contents.listing().files == ()
    with pytest.raises((NotFound, Invalid)):
        contents.opened(path)


def test_a_link_out_of_the_datastore_is_not_followed(stage: Stage) -> None:
    root = stage.studio.folders.datastore(stage.lab.id, "workspaceblobstore")
    root.mkdir(parents=True, exist_ok=True)
    (root / "out").symlink_to(stage.studio.folders.home)
    with stage.scope(stage.ben) as scope, pytest.raises(Invalid):
        data.contents(scope, at_uri(scope, "azureml://datastores/workspaceblobstore/paths/out"))


@pytest.mark.parametrize("place", ["{home}", "{home}/artifacts", "/etc", "/", "{home}/workspaces"])
def test_a_map_shows_nothing_of_the_system_and_nothing_of_the_studio(stage: Stage, place: str) -> None:
    home = stage.studio.settings.home
    target = place.format(home=home)
    Path(target).mkdir(parents=True, exist_ok=True)
    (home / "maps.yml").write_text(yaml.safe_dump({"urls": [{"match": "https://mapped/", "use": f"{target}/"}]}))
    with stage.scope(stage.ben) as scope, pytest.raises(Invalid):
        data.contents(scope, at_uri(scope, "https://mapped/"))


def test_a_mapped_url_is_read_from_its_folder(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "iris.csv").write_text(IRIS)
    mapped = {"urls": [{"match": "https://mapped/", "use": f"{tmp_path}/there/"}]}
    (stage.studio.settings.home / "maps.yml").write_text(yaml.safe_dump(mapped))
    with stage.scope(stage.ben) as scope:
        contents = data.contents(scope, at_uri(scope, "https://mapped/iris.csv", type="uri_file"))
    assert [(file.path, file.size) for file in contents.listing().files] == [("iris.csv", len(IRIS))]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A plain web server without ranges, with a file in it; its address."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "iris.csv").write_text(IRIS)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_lies_behind_a_url_is_read_there_when_an_admin_allows_the_host(lite: Stage, web: str) -> None:
    with lite.scope(lite.ben) as scope:
        asset = at_uri(scope, f"{web}/iris.csv", type="uri_file")
        shut = data.contents(scope, asset)
        lite.studio.settings.allowed_url_hosts = web.removeprefix("http://")
        seen = previews.view(scope, asset)
    with pytest.raises(Invalid, match="inside of the network"):
        shut.listing()
    assert [(file.path, file.size) for file in seen.contents.listing().files] == [("iris.csv", len(IRIS))]
    found = previews.preview(seen)
    assert isinstance(found, tables.TablePreview)
    assert found.rows[1] == (0.1, "b")


def test_a_path_of_a_datastore_elsewhere_is_read_there(lite: Stage, web: str) -> None:
    lite.studio.settings.allowed_url_hosts = web.removeprefix("http://")
    with lite.scope() as scope:
        datastores.create(scope, datastore({"name": "far", "type": "http", "url": web}))
    with lite.scope(lite.ben) as scope:
        place = "azureml://datastores/far/paths/"
        single = previews.view(scope, at_uri(scope, f"{place}iris.csv", type="uri_file"))
        whole = data.contents(scope, at_uri(scope, place, name="whole"))
        gone = data.contents(scope, at_uri(scope, f"{place}no.csv", type="uri_file", name="gone"))
    assert [file.path for file in whole.listing().files] == ["iris.csv"]
    found = previews.preview(single)
    assert isinstance(found, tables.TablePreview)
    assert found.rows[0] == (0.0, "a")
    with pytest.raises(NotFound, match="far"):
        gone.listing()


@pytest.mark.parametrize(
    "uri",
    [
        f"https://example.com/iris.csv?sv=1&sig={CANARY}",
        f"https://ada:{CANARY}@example.com/iris.csv",
        f"s3://key:{CANARY}@bucket/x",
        f"wasbs://box@account.blob.core.windows.net/iris.csv?sig={CANARY}",
        f"ftp://ada:{CANARY}@example.com/x",
    ],
)
def test_no_secret_of_a_uri_is_in_the_error_that_it_causes(lite: Stage, uri: str) -> None:
    with lite.scope(lite.ben) as scope:
        asset = at_uri(scope, uri, type="uri_file")
        with pytest.raises(AtelierError) as found:
            previews.view(scope, asset)
    assert CANARY not in f"{found.value!s} {found.value!r} {data.shown_uri(uri)}"


def ended_job(scope: Scope, name: str = "j1") -> Job:
    """A job with an output `table` that has been written."""
    spec = CommandJob.model_validate({"command": "x", "environment": {"image": "debian:12"}, "name": name})
    job = jobs.submit(scope, spec)
    folder = scope.studio.folders.datastore(scope.workspace_id, "workspaceblobstore") / "made" / name
    folder.mkdir(parents=True)
    (folder / "iris.csv").write_text(IRIS)
    declared = {"path": f"azureml://datastores/workspaceblobstore/paths/made/{name}", "type": "uri_folder"}
    job.resolved = {**job.resolved, "outputs": {"table": declared}}
    job.status, job.collected_at, job.run_id = JobStatus.Completed, now(), "ab" * 16
    scope.session.get_one(Experiment, job.experiment_id).mlflow_id = "1"
    scope.session.add(job)
    scope.session.flush()
    return job


@pytest.mark.parametrize(
    ("uri", "role"),
    [
        ("azureml://jobs/j1/outputs/table", "table"),
        ("azureml://jobs/j1/outputs/table/paths/", "table"),
        (f"runs:/{'ab' * 16}/model", "artifacts"),
    ],
)
def test_what_a_job_made_says_which_job(stage: Stage, uri: str, role: str) -> None:
    with stage.scope(stage.ben) as scope:
        job = ended_job(scope)
        asset = at_uri(scope, uri)
        edges = scope.session.exec(select(Edge).where(Edge.target_id == asset.id)).all()
        assert [(edge.source_kind, edge.source_id, edge.role) for edge in edges] == [("job", job.id, role)]
        assert asset.path == uri
        found = data.maker(scope, asset)
        assert found is not None
        assert found.name == "j1"
        with pytest.raises(NotFound, match="nowhere"):
            at_uri(scope, "azureml://jobs/nowhere/outputs/table", name="other")


def test_the_files_of_a_jobs_output_are_read_where_they_lie(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        ended_job(scope)
        contents = data.contents(scope, at_uri(scope, "azureml://jobs/j1/outputs/table"))
    assert [file.path for file in contents.listing().files] == ["iris.csv"]


def test_a_job_that_reads_a_version_is_among_its_readers_and_keeps_it(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        asset = made(scope)
        spec = {"command": "cat ${{inputs.in}}", "environment": {"image": "debian:12"}, "name": "reader"}
        inputs = {"in": {"type": "uri_folder", "path": "azureml:iris@latest"}}
        jobs.submit(scope, CommandJob.model_validate({**spec, "inputs": inputs}))
        assert [(reader.job.name, reader.role) for reader in data.readers(scope, asset)] == [("reader", "in")]
        with pytest.raises(Conflict, match="reader"):
            assets.remove(scope, asset)


def test_a_preview_is_of_the_file_that_says_most_unless_one_is_named(stage: Stage) -> None:
    files = {"notes.txt": "hello", "deep/iris.csv": IRIS, ".hidden.csv": "x", "_more.csv": "y"}
    with stage.scope(stage.ben) as scope:
        seen = previews.view(scope, made(scope, files))
    table, text = previews.preview(seen, rows=3), previews.preview(seen, "notes.txt")
    assert isinstance(table, tables.TablePreview)
    assert (table.path, table.rows, table.more) == ("deep/iris.csv", ((0.0, "a"), (0.1, "b"), (0.2, "a")), True)
    assert isinstance(text, tables.TextPreview)
    assert text.text == "hello"
    with pytest.raises(NotFound):
        previews.preview(seen, "nothing.csv")


def test_an_mltable_is_previewed_and_profiled_as_the_table_that_it_describes(stage: Stage) -> None:
    table = "paths:\n  - pattern: ./*.csv\ntransformations:\n  - read_delimited:\n      delimiter: ','\n  - take: 7\n"
    with stage.scope(stage.ben) as scope:
        asset = made(scope, {"MLTable": table, "iris.csv": IRIS, "other.txt": "x"}, type="mltable")
        seen = previews.view(scope, asset)
    found = previews.preview(seen)
    assert isinstance(found, tables.TablePreview)
    assert len(found.rows) == 7
    previews.ask_profile(seen)
    state = waited(seen)
    assert state.result is not None, state.error
    assert state.result["rows"] == 7


def test_a_profile_is_made_once_and_kept_by_content(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        seen = previews.view(scope, made(scope))
        twin = previews.view(scope, made(scope, name="twin"))
    assert previews.profile(seen).status == "NotAsked"
    assert previews.ask_profile(seen).is_under_way
    state = waited(seen)
    assert (state.status, state.error) == ("Ready", "")
    assert state.result is not None
    assert [(each["name"], each["count"]) for each in state.result["columns"]] == [("length", 100), ("species", 100)]
    assert previews.profile(twin) == state
    assert previews.ask_profile(twin) == state
    assert previews.ask_profile(seen, anew=True).is_under_way
    again = waited(seen)
    assert again.result is not None
    assert again.at != state.at


def test_a_profile_that_fails_says_why_and_can_be_asked_for_again(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        seen = previews.view(scope, made(scope, {"x.txt": "no table"}))
    previews.ask_profile(seen)
    state = waited(seen)
    assert state.status == "Failed"
    assert "table" in state.error
    assert previews.ask_profile(seen).is_under_way
    assert waited(seen).status == "Failed"


def test_a_profile_is_made_by_one_at_a_time_and_the_lock_of_who_is_gone_counts_for_nothing(lite: Stage) -> None:
    with lite.scope(lite.ben) as scope:
        seen = previews.view(scope, made(scope))
    place = seen.cache / f"{seen.key}.json"
    place.parent.mkdir(parents=True)
    held = previews._held(place)
    assert held is not None
    assert previews.profile(seen).status == "Queued"
    assert previews.ask_profile(seen).status == "Queued"
    previews.os.close(held)
    assert previews.profile(seen).status == "NotAsked"
    previews.ask_profile(seen)
    assert waited(seen).status == "Ready"


def test_too_many_profiles_at_once_are_refused(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "WAITING", 0)
    with lite.scope(lite.ben) as scope:
        seen = previews.view(scope, made(scope))
    with pytest.raises(Unavailable, match="being made"):
        previews.ask_profile(seen)
    assert previews.profile(seen).status == "NotAsked"


def test_two_versions_differ_in_files_columns_and_rows(stage: Stage) -> None:
    wide = "length,species,width\n" + "".join(f"{place},x,{place}\n" for place in range(50))
    with stage.scope(stage.ben) as scope:
        old = previews.view(scope, made(scope, {"iris.csv": IRIS, "gone.txt": "x", "same.txt": "s"}))
        new = previews.view(scope, made(scope, {"iris.csv": wide, "new.txt": "x", "same.txt": "s"}))
    previews.ask_diff(old, new)
    state = waited_diff(old, new)
    assert state.result is not None, state.error
    found = tables.Diff.from_json(state.result)
    assert (found.files_added, found.files_removed, found.files_same) == (("new.txt",), ("gone.txt",), 1)
    assert [change.path for change in found.files_changed] == ["iris.csv"]
    assert [column.name for column in found.columns_added] == ["width"]
    assert (found.old_rows, found.new_rows) == (100, 50)


def test_files_of_one_size_are_told_apart_by_their_bytes(stage: Stage) -> None:
    large = "x" * (3 << 20)
    with stage.scope(stage.ben) as scope:
        old = previews.view(scope, made(scope, {"a.txt": f"1{large}", "b.txt": f"1{large}"}))
        new = previews.view(scope, made(scope, {"a.txt": f"2{large}", "b.txt": f"1{large}"}))
    previews.ask_diff(old, new)
    state = waited_diff(old, new)
    assert state.result is not None, state.error
    assert [change["path"] for change in state.result["files_changed"]] == ["a.txt"]
    assert state.result["files_same"] == 1


def test_the_list_shows_the_latest_of_each_name(stage: Stage) -> None:
    with stage.scope(stage.ben) as scope:
        made(scope)
        made(scope, {"iris.csv": "v2"})
        at_uri(scope, "https://example.com/x")
        found = assets.listed(scope, AssetKind.data)
    assert [(row.name, row.version) for row in found.rows] == [("far", "1"), ("iris", "2")]
