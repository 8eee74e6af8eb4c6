"""Jobs read from and write to stores elsewhere as if they were here; what a store refuses is not lost."""

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from services import artifacts, datastores
from services.core.errors import Unavailable
from services.core.states import JobStatus
from services.engines.stores import Store
from services.engines.stores.objects import ObjectStore
from services.reconcile import collect
from services.reconcile.data import held
from services.specs import datastores as specs
from tests.engines.stores import servers
from tests.reconcile.conftest import Site, eventually


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with servers.s3() as url:
        yield url


def registered(site: Site, url: str, **more: object) -> Store:
    written = {
        "name": "lake",
        "type": "s3",
        "bucket": servers.BUCKET,
        "endpoint": url,
        "region": "us-east-1",
        "credentials": {"access_key_id": "key", "secret_access_key": "secret"},
        **more,
    }
    with site.stage.scope() as scope:
        row = datastores.create(scope, specs.datastore(written), {"passed": True, "can_read_only": True, "rows": []})
        return datastores.opened(scope, row)


def put(store: Store, path: str, text: str) -> None:
    store.write(path, io.BytesIO(text.encode()), len(text))


def test_an_input_is_fetched_once_and_again_when_it_has_changed(site: Site, s3_url: str) -> None:
    store = registered(site, s3_url, prefix="a")
    put(store, "flowers/iris.csv", "1")
    put(store, "flowers/deep/more.csv", "2")
    uri = "azureml://datastores/lake/paths/flowers"
    inputs = {"raw": {"path": uri}, "one": {"path": f"{uri}/iris.csv", "type": "uri_file"}}
    job = site.until(site.submit("exit 0", inputs=inputs))
    assert job.status == JobStatus.Completed, job.message
    mounts = {mount.target.rpartition("/INPUT_")[2]: mount.source for mount in site.engine.created[-1].mounts}
    assert (mounts["raw"] / "deep" / "more.csv").read_text() == "2"
    assert mounts["one/iris.csv"].read_text() == "1"
    put(store, "flowers/iris.csv", "changed")
    site.until(site.submit("exit 0", inputs=inputs))
    assert (mounts["raw"] / "iris.csv").read_text() == "changed"


def test_outputs_lie_in_the_store_when_the_job_is_over(site: Site, s3_url: str) -> None:
    store = registered(site, s3_url, prefix="b")
    with site.stage.scope() as scope:
        datastores.set_default(scope, "lake")
    outputs = {"all": {}, "table": {"type": "uri_file", "path": "azureml://datastores/lake/paths/t/${{name}}.csv"}}
    name = site.submit("wait", outputs=outputs)
    job = site.until(name, "Running")
    for output, file in (("all", "x/y.txt"), ("table", f"{name}.csv")):
        path = held(site.stage.studio, job, output) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(output)
    site.engine.end(job.container_name, 0)
    ended = site.until(name)
    assert (ended.status, ended.warning) == (JobStatus.Completed, "")
    assert store.read(f"azureml/{name}/all/x/y.txt") == b"all"
    assert store.read(f"t/{name}.csv") == b"table"
    with site.stage.scope(write=False) as scope:
        assert [file.path for file in artifacts.output(scope, name, "all")] == ["x/y.txt"]
        assert [file.path for file in artifacts.output(scope, name, "table")] == [f"{name}.csv"]
        stream, size = artifacts.opened_output(scope, name, "all", "x/y.txt")
    assert (stream.read(), size) == (b"all", 3)


def test_what_a_store_does_not_take_is_kept_in_the_workspace(site: Site, s3_url: str) -> None:
    registered(site, s3_url, bucket="nobody-made-this-one")
    name = site.submit("wait", outputs={"all": {"path": "azureml://datastores/lake/paths/x", "name": "kept"}})
    job = site.until(name, "Running")
    (held(site.stage.studio, job, "all") / "a.txt").write_text("precious")
    site.engine.end(job.container_name, 0)
    ended = site.until(name)
    assert ended.status == JobStatus.Completed
    uri = f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/all"
    assert f"Output 'all' was kept at {uri}" in ended.warning
    assert "lake" in ended.warning
    with site.stage.scope(write=False) as scope:
        stream, _ = artifacts.opened_output(scope, name, "all", "a.txt")
    assert stream.read() == b"precious"


@pytest.mark.parametrize("patient", [True, False])
def test_a_store_that_is_away_is_waited_for_and_then_given_up(
    site: Site, s3_url: str, monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    registered(site, s3_url, prefix="c")
    is_away = True
    write = ObjectStore.write

    def moody(self: ObjectStore, path: str, *rest: Any) -> Any:
        if is_away:
            raise Unavailable("Datastore 'lake' does not answer.")
        return write(self, path, *rest)

    monkeypatch.setattr(ObjectStore, "write", moody)
    monkeypatch.setattr(collect, "PATIENCE", timedelta(minutes=5 * patient))
    name = site.submit("wait", outputs={"all": {"path": "azureml://datastores/lake/paths/x"}})
    job = site.until(name, "Running")
    (held(site.stage.studio, job, "all") / "a.txt").write_text("precious")
    site.engine.end(job.container_name, 0)
    if patient:
        eventually(lambda: "does not answer" in site.job(name).reason, "it waits")
        is_away = False
    warning = site.until(name).warning
    assert ("was kept at" in warning) is not patient


def test_a_place_that_nobody_can_reach_fails_the_job_and_is_named(site: Site) -> None:
    registered(site, "http://127.0.0.1:9")
    job = site.until(site.submit("exit 0", inputs={"raw": {"path": "azureml://datastores/lake/paths/x"}}), seconds=120)
    assert job.status == JobStatus.Failed
    assert "lake" in job.message


def test_a_store_that_is_for_reading_takes_no_output(site: Site, s3_url: str) -> None:
    registered(site, s3_url, read_only=True)
    job = site.until(site.submit("exit 0", outputs={"all": {"path": "azureml://datastores/lake/paths/x"}}))
    assert (job.status, job.exit_code) == (JobStatus.Failed, None)
    assert "for reading only" in job.message
