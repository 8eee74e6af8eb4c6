"""Builds: asked for without a job, given up, looked into, and their images removed again to make room."""

from collections.abc import Iterator

import pytest

from services import assets, environments
from services.core.errors import Conflict, NotFound
from services.core.states import AssetKind, JobStatus
from services.engines.containers import Image
from services.specs.environments import Environment
from services.store.rows import Build
from tests.conftest import Stage
from tests.reconcile.conftest import Site, eventually, make_site, working


def made(site: Site, name: str = "env", *packages: str) -> str:
    """An environment; the hash by which the engine knows it."""
    spec = Environment(name=name, image="python:3.11", conda_file={"dependencies": list(packages) or ["six==1.16.0"]})
    with site.stage.scope() as scope:
        row = environments.create(scope, spec)
        scope.session.flush()
        scope.session.expunge(row)
    return environments.wish(site.stage.studio, row).hash


def build_of(site: Site, name: str = "env") -> Build:
    with site.stage.scope(write=False) as scope:
        found = environments.build_of(scope, environments.get(scope, name))
        assert found is not None
        return found


def asked(site: Site, name: str = "env") -> None:
    with site.stage.scope() as scope:
        environments.build(scope, name)


def until(site: Site, *statuses: str, name: str = "env") -> Build:
    def has() -> bool:
        with site.stage.scope(write=False) as scope:
            found = environments.build_of(scope, environments.get(scope, name))
            return found is not None and found.status in statuses

    eventually(has, f"{name} is one of {statuses}")
    return build_of(site, name)


def canceled(site: Site, name: str = "env") -> None:
    with site.stage.scope() as scope:
        environments.cancel_build(scope, name)


@pytest.fixture
def ready(site: Site) -> Iterator[Site]:
    """A site whose worker has said which engine it has."""
    eventually(lambda: site.stage.studio.fact("engine") is not None)
    yield site
    site.engine.long_builds.clear()


def test_an_environment_is_built_without_any_job(ready: Site) -> None:
    hash_ = made(ready)
    asked(ready)
    build = until(ready, "Succeeded")
    assert (build.image, build.digest) == (f"fake/{hash_}", f"sha256:{hash_}")
    assert build.packages == ["six==1.16.0"]
    with ready.stage.scope(write=False) as scope:
        assert environments.installed(scope, environments.get(scope, "env")) == ["six==1.16.0"]
        text = environments.build_log(scope, build).read_text()
    assert text.startswith("=== Build of 'env:1'")


def test_without_a_worker_nobody_knows_what_to_build_with(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    made(site)
    with pytest.raises(Conflict, match="No worker"):
        asked(site)


def test_a_build_is_asked_for_once_at_a_time_and_then_anew(ready: Site) -> None:
    hash_ = made(ready)
    ready.engine.long_builds.add(hash_)
    asked(ready)
    until(ready, "Running")
    with pytest.raises(Conflict, match="is being built"):
        asked(ready)
    ready.engine.long_builds.clear()
    until(ready, "Succeeded")
    asked(ready)
    until(ready, "Succeeded")
    with ready.stage.scope(write=False) as scope:
        text = environments.build_log(scope, build_of(ready)).read_text()
    assert text.count(f"building {hash_}") == 2, "the image was there, and it was built all the same"


def test_a_running_build_is_given_up_and_its_jobs_say_by_whom(ready: Site) -> None:
    ready.engine.long_builds.add(made(ready))
    job = ready.submit("exit 0", environment="azureml:env:1")
    until(ready, "Running")
    canceled(ready)
    assert until(ready, "Canceled").desired == "build"
    row = ready.until(job)
    assert (row.status, row.reason) == (JobStatus.Failed, "BuildCanceled")
    assert "was canceled by ada" in row.message
    with pytest.raises(Conflict, match="is not being built"):
        canceled(ready)


def test_a_canceled_build_is_started_again_by_the_next_job(ready: Site) -> None:
    ready.engine.long_builds.add(made(ready))
    asked(ready)
    until(ready, "Running")
    canceled(ready)
    until(ready, "Canceled")
    ready.engine.long_builds.clear()
    assert ready.until(ready.submit("exit 0", environment="azureml:env:1")).status == JobStatus.Completed
    assert until(ready, "Succeeded").error == ""


def test_a_build_that_nobody_has_begun_is_canceled_by_its_row(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    lite.studio.say("engine", {"kind": "fake"})
    hash_ = made(site)
    asked(site)
    canceled(site)
    thread = working(site.worker)
    until(site, "Canceled")
    assert hash_ not in site.engine.built
    site.worker.stop()
    thread.join(timeout=30)


def test_a_build_of_a_dead_worker_is_canceled_by_the_next(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site(lite, monkeypatch)
    lite.studio.say("engine", {"kind": "fake"})
    made(site)
    asked(site)
    canceled(site)
    with lite.scope() as scope:
        row = scope.session.get(Build, build_of(site).id)
        assert row is not None
        row.status = "Running"
    thread = working(site.worker)
    until(site, "Canceled")
    site.worker.stop()
    thread.join(timeout=30)


def test_a_failed_build_is_explained_by_its_last_attempt(ready: Site) -> None:
    hash_ = made(ready)
    ready.engine.broken_builds.add(hash_)
    asked(ready)
    build = until(ready, "Failed")
    with ready.stage.scope(write=False) as scope:
        said = environments.diagnosis(scope, build)
        lines = environments.build_log(scope, build).read_text().splitlines()
    assert said is not None
    assert "it was told to" in said.line
    assert lines[said.number - 1] == said.line
    ready.engine.broken_builds.clear()
    asked(ready)
    build = until(ready, "Succeeded")
    with ready.stage.scope(write=False) as scope:
        assert environments.diagnosis(scope, build) is None


def test_what_a_job_ran_on_stays_known_after_a_rebuild(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made(ready)
    job = ready.submit("exit 0", environment="azureml:env:1")
    ready.until(job)
    ready.engine.built.clear()
    monkeypatch.setattr(
        ready.engine,
        "build",
        lambda wish, log: _remember(ready, wish.hash, Image("fake/x", "sha256:ee", 1, ("six==9",))),
    )
    asked(ready)
    eventually(lambda: build_of(ready).digest == "sha256:ee")
    with ready.stage.scope(write=False) as scope:
        assert environments.lock_of_job(scope, job) == ["six==1.16.0"]
        assert environments.installed(scope, environments.get(scope, "env")) == ["six==9"]
        with pytest.raises(NotFound):
            environments.lock_of_job(scope, "nobody")


def test_an_image_that_was_there_is_looked_into(ready: Site) -> None:
    hash_ = made(ready)
    ready.engine.built[hash_] = Image("fake/there", "sha256:aa", 1, ("numpy==1.26.4",))
    job = ready.submit("exit 0", environment="azureml:env:1")
    ready.until(job)
    eventually(lambda: build_of(ready).packages == ["numpy==1.26.4"])
    with ready.stage.scope(write=False) as scope:
        assert environments.lock_of_job(scope, job) == ["numpy==1.26.4"]


class TestMakingRoom:
    def test_only_what_nothing_needs_goes(self, ready: Site) -> None:
        for name, package in (("env", "six==1.1"), ("old", "six==1.2"), ("busy", "six==1.3")):
            made(ready, name, package)
            asked(ready, name)
        sized(ready, 3)
        with ready.stage.scope() as scope:
            for name in ("old", "busy"):
                assets.archive(scope, AssetKind.environment, name, "1")
        job = ready.submit("wait", environment="azureml:busy:1")
        ready.until(job, "Running")
        with ready.stage.scope() as scope:
            kept = {each.environments[0]: each.holder for each in environments.disk(scope)}
            going = environments.prune(scope)
        assert kept == {"env:1": "version", "old:1": "", "busy:1": "job"}
        assert [(each.environments, each.size) for each in going] == [(("old:1",), 1000)]
        assert len(ready.engine.built) >= 3, "a dry run removes nothing"
        with ready.stage.scope() as scope:
            environments.prune(scope, dry_run=False)
        until(ready, "Discarded", name="old")
        assert {build_of(ready, name).status for name in ("env", "busy")} == {"Succeeded"}
        with ready.stage.scope() as scope:
            assert [each.environments for each in environments.prune(scope, versions_too=True, dry_run=False)] == [
                ("env:1",)
            ]
        until(ready, "Discarded")
        assert build_of(ready, "busy").image in {each.reference for each in ready.engine.stored()}

    def test_a_job_that_comes_between_wish_and_deed_keeps_its_image(self, ready: Site) -> None:
        hash_ = made(ready)
        ready.until(ready.submit("exit 0", environment="azureml:env:1"))
        sized(ready, 1)
        job = ready.submit("wait", environment="azureml:env:1")
        ready.until(job, "Running")
        with ready.stage.scope() as scope:
            row = scope.session.get(Build, build_of(ready).id)
            assert row is not None
            row.desired = "discard"
        eventually(lambda: build_of(ready).desired == "build")
        assert hash_ in ready.engine.built
        assert build_of(ready).status == "Succeeded"

    def test_an_image_that_went_is_built_again_when_a_job_needs_it(self, ready: Site) -> None:
        made(ready)
        asked(ready)
        sized(ready, 1)
        with ready.stage.scope() as scope:
            environments.prune(scope, versions_too=True, dry_run=False)
        until(ready, "Discarded")
        assert ready.until(ready.submit("exit 0", environment="azureml:env:1")).status == JobStatus.Completed
        until(ready, "Succeeded")

    def test_what_somebody_else_removed_is_noticed(self, ready: Site) -> None:
        made(ready)
        asked(ready)
        sized(ready, 1)
        ready.engine.built.clear()

        def noticed() -> bool:
            ready.worker.builds.measure()
            return build_of(ready).status == "Discarded"

        eventually(noticed, "it is gone")

    def test_another_workspace_that_uses_the_image_keeps_it(self, ready: Site) -> None:
        made(ready)
        asked(ready)
        sized(ready, 1)
        row = build_of(ready)
        with ready.stage.scope() as scope:
            assets.archive(scope, AssetKind.environment, "env", "1")
            scope.session.add(
                Build(workspace_id="other", engine="fake", hash=row.hash, status="Succeeded", image=row.image)
            )
            scope.session.flush()
            assert [each.holder for each in environments.disk(scope)] == ["workspace"]
            assert environments.prune(scope, versions_too=True) == []


def sized(site: Site, count: int) -> None:
    """Until that many images are known with what they take."""

    def known() -> bool:
        with site.stage.scope(write=False) as scope:
            return len(environments.disk(scope)) == count

    eventually(known, f"{count} images are measured")


def _remember(site: Site, hash_: str, image: Image) -> Image:
    site.engine.built[hash_] = image
    return image
