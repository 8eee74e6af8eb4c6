"""Lineage: where things came from, what came of them, and what changed between two jobs; on both databases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from services import assets, comparisons, environments, jobs, lineage
from services.assets import Content
from services.core.errors import Invalid, NotFound
from services.core.states import AssetKind
from services.lineage import Graph
from services.specs.environments import Environment
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace
from services.store.rows import Asset, Build, Edge, Job
from services.studio import Scope
from services.workspaces import create
from tests.conftest import Stage


def asset(scope: Scope, kind: AssetKind, name: str, content: str = "") -> Asset:
    type_ = {"data": "uri_folder", "model": "mlflow_model"}.get(kind, "")
    return assets.register(scope, kind, name, None, Content(content or name, type=type_, path=f"azureml://x/{name}"))


def job(scope: Scope, name: str, **changes: Any) -> Job:
    spec = {"command": "echo", "environment": {"image": "debian:12"}, "name": name, **changes}
    return jobs.submit(scope, CommandJob.model_validate(spec))


def read(scope: Scope, source: Asset | Job, by: Asset | Job, role: str = "") -> None:
    lineage.record(scope, end(source), end(by), role)


def end(row: Asset | Job) -> lineage.End:
    return ("job" if isinstance(row, Job) else str(row.kind), row.id)


def chain(scope: Scope, length: int) -> list[Asset | Job]:
    """data → job → model → job → model …"""
    made: list[Asset | Job] = [asset(scope, AssetKind.data, "iris")]
    for place in range(1, length):
        is_job = place % 2 == 1
        made.append(job(scope, f"j{place}") if is_job else asset(scope, AssetKind.model, f"m{place}"))
        read(scope, made[-2], made[-1], "out")
    return made


def levels(graph: Graph, *, environments_too: bool = False) -> dict[str, int]:
    return {node.label: node.level for node in graph.nodes if environments_too or node.kind != "environment"}


def test_an_edge_is_kept_once_however_often_it_is_told(stage: Stage):
    with stage.scope() as scope:
        for _ in range(3):
            lineage.record(scope, ("uri", "https://x/y.csv"), ("job", "j"), "data")
        assert len(scope.session.exec(select(Edge)).all()) == 1


def test_a_graph_goes_both_ways_and_three_levels(stage: Stage):
    with stage.scope() as scope:
        made = chain(scope, 9)
        middle = made[4]
        graph = lineage.around(scope, "model", middle.id)
        assert levels(graph) == {"m4": 0, "j3": -1, "m2": -2, "j1": -3, "j5": 1, "m6": 2, "j7": 3}
        shown = {node.label: node for node in graph.nodes}
        assert (shown["j1"].earlier, shown["j7"].later, shown["m4"].earlier, shown["m4"].later) == (1, 1, 0, 0)
        assert all(link.role for link in graph.links)
        assert levels(lineage.around(scope, "model", middle.id, direction="up", levels=1)) == {"m4": 0, "j3": -1}
        assert levels(lineage.around(scope, "model", middle.id, direction="down", levels=1)) == {"m4": 0, "j5": 1}


def test_what_is_opened_shows_one_level_more(stage: Stage):
    with stage.scope() as scope:
        made = chain(scope, 9)
        graph = lineage.around(scope, "model", made[4].id, levels=1, opened={end(made[5])})
        assert levels(graph) == {"m4": 0, "j3": -1, "j5": 1, "m6": 2}
        assert next(node for node in graph.nodes if node.label == "m6").later == 1


def test_the_environment_of_a_job_comes_from_its_row(stage: Stage):
    with stage.scope() as scope:
        first, second = job(scope, "a"), job(scope, "b")
        environment = environments.resolve(scope, Environment(image="debian:12"))
        scope.session.add(
            Build(
                workspace_id=stage.lab.id, engine="docker", hash=environment.hash, status="Succeeded", digest="sha256:1"
            )
        )
        scope.session.flush()
        graph = lineage.around(scope, "job", "a", direction="up")
        (node,) = (each for each in graph.nodes if each.kind == "environment")
        assert (node.label, node.digest, node.hash) == ("debian:12", "sha256:1", environment.hash)
        below = lineage.around(scope, "environment", environment.id, direction="down")
        assert {node.label for node in below.nodes} == {"debian:12", first.name, second.name}
        assert {row.name for row, _ in lineage.used_by(scope, environment)} == {"a", "b"}


def test_nodes_carry_what_proves_where_they_came_from(stage: Stage):
    with stage.scope() as scope:
        data, trained = asset(scope, AssetKind.data, "iris", "the-hash"), job(scope, "train", display_name="Train it")
        trained.snapshot_id, trained.resolved = "ab" * 32, {"digest": "sha256:2"}
        read(scope, data, trained, "table")
        nodes = {node.kind: node for node in lineage.around(scope, "job", trained.id).nodes}
        assert (nodes["job"].label, nodes["job"].name, nodes["job"].status) == ("Train it", "train", "Queued")
        assert (nodes["job"].snapshot, nodes["job"].digest, nodes["job"].type) == ("ab" * 32, "sha256:2", "command")
        assert (nodes["data"].label, nodes["data"].version, nodes["data"].hash) == ("iris", "1", "the-hash")
        assert nodes["data"].created_at == data.created_at


def test_a_thing_is_found_by_its_name_too(stage: Stage):
    with stage.scope() as scope:
        data, reader = asset(scope, AssetKind.data, "iris"), job(scope, "train")
        read(scope, data, reader)
        by_name = [
            lineage.around(scope, *what).root for what in (("data", "iris:1"), ("data", "iris"), ("job", "train"))
        ]
        assert by_name == [end(data), end(data), end(reader)]


def test_data_that_nobody_registered_has_a_place(stage: Stage):
    with stage.scope() as scope:
        reader = job(scope, "train")
        lineage.record(scope, ("uri", "https://host/folder/iris.csv"), end(reader), "table")
        graph = lineage.around(scope, "job", "train", direction="up")
        assert levels(graph) == {"train": 0, "iris.csv": -1}
        below = lineage.around(scope, "uri", "https://host/folder/iris.csv")
        assert levels(below) == {"train": 1, "iris.csv": 0}


def test_much_used_data_shows_the_latest_jobs_and_how_many_more(stage: Stage):
    with stage.scope() as scope:
        data = asset(scope, AssetKind.data, "iris")
        for place in range(20):
            read(scope, data, job(scope, f"j{place}"))
        graph = lineage.around(scope, "data", data.id)
        assert sum(node.kind == "job" for node in graph.nodes) == lineage.NEXT
        assert next(node for node in graph.nodes if node.kind == "data").later == 20 - lineage.NEXT
        wide = lineage.around(scope, "data", data.id, opened={end(data)})
        assert sum(node.kind == "job" for node in wide.nodes) == 20


def test_a_graph_that_is_too_large_says_so(lite: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lineage, "MOST_NODES", 5)
    with lite.scope() as scope:
        made = chain(scope, 9)
        graph = lineage.around(scope, "data", made[0].id, levels=9)
        assert len(graph.nodes) == 5
        assert not graph.is_whole


def test_what_came_later_is_linked_to_what_it_read_earlier(lite: Stage):
    with lite.scope() as scope:
        data, trained, model = chain(scope, 3)
        judge = job(scope, "judge")
        read(scope, model, judge, "model")
        read(scope, data, judge, "table")
        graph = lineage.around(scope, "model", model.id)
        assert lineage.Link(end(data), end(judge), "table") in graph.links
        assert lineage.Link(end(data), end(trained), "out") in graph.links


def test_a_circle_ends(lite: Stage):
    with lite.scope() as scope:
        one = job(scope, "one")
        lineage.record(scope, ("uri", "https://x/y"), end(one))
        lineage.record(scope, end(one), ("uri", "https://x/y"))
        graph = lineage.around(scope, "job", "one", levels=20)
        assert levels(graph).keys() == {"one", "y"}
        assert len([link for link in graph.links if ("uri", "https://x/y") in (link.source, link.target)]) == 2


def test_a_deleted_job_keeps_its_place(lite: Stage):
    with lite.scope() as scope:
        _, gone, model = chain(scope, 3)
        scope.session.delete(gone)
        scope.session.flush()
        graph = lineage.around(scope, "model", model.id)
        assert [(node.label, node.status) for node in graph.nodes if node.kind == "job"] == [("Deleted job", "Deleted")]
        assert levels(graph)["iris"] == -2


def test_another_workspace_is_never_shown(stage: Stage):
    with stage.scope(workspace=None) as scope:
        create(scope, Workspace(name="other"))
    with stage.scope(workspace="other") as scope:
        theirs = job(scope, "theirs")
        lineage.record(scope, ("uri", "https://shared/x"), end(theirs))
    with stage.scope() as scope:
        ours = job(scope, "ours")
        lineage.record(scope, ("uri", "https://shared/x"), end(ours))
        assert levels(lineage.around(scope, "uri", "https://shared/x")) == {"x": 0, "ours": 1}
        for kind in ("job", "data", "model"):
            with pytest.raises(NotFound):
                lineage.around(scope, kind, theirs.id)


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"kind": "banana"}, "kind"),
        ({"levels": 0}, "levels"),
        ({"levels": 1000}, "levels"),
        ({"direction": "left"}, "direction"),
    ],
)
def test_what_cannot_be_asked_is_said(lite: Stage, asked: dict[str, Any], where: str):
    with lite.scope() as scope:
        job(scope, "one")
        with pytest.raises(Invalid) as told:
            lineage.around(scope, asked.pop("kind", "job"), "one", **asked)
        assert told.value.where == where


def test_which_jobs_used_a_version(stage: Stage):
    with stage.scope() as scope:
        old, new = asset(scope, AssetKind.data, "iris", "one"), asset(scope, AssetKind.data, "iris", "two")
        first, second, third = (job(scope, name) for name in ("first", "second", "third"))
        read(scope, old, first, "table")
        for reader in (second, third):
            read(scope, new, reader, "table")
        assert [(row.name, role) for row, role in lineage.used_by(scope, new)] == [
            ("third", "table"),
            ("second", "table"),
        ]
        assert [row.name for row, _ in lineage.used_by(scope, old)] == ["first"]


def snapshot(stage: Stage, row: Job, digit: str, files: Mapping[str, str]) -> None:
    row.snapshot_id = digit * 64
    folder: Path = stage.studio.folders.snapshot(row.workspace_id, row.snapshot_id)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def test_what_changed_between_two_jobs(stage: Stage):
    with stage.scope() as scope:
        data = [asset(scope, AssetKind.data, "iris", content) for content in ("one", "two")]
        rows = [
            job(
                scope,
                f"run{place}",
                command="python train.py --rate ${{inputs.rate}} --data ${{inputs.data}}",
                inputs={
                    "rate": 0.1 * place,
                    "same": 5,
                    "data": {"type": "uri_folder", "path": f"azureml:iris:{place}"},
                },
                environment={"image": f"debian:1{place}"},
                environment_variables={"TOKEN": f"hush{place}", "SAME": "1"},
                limits={"timeout": 60 * place},
            )
            for place in (1, 2)
        ]
        snapshot(stage, rows[0], "a", {"train.py": "one", "gone.py": "x", "lib/same.py": "y"})
        snapshot(stage, rows[1], "b", {"train.py": "two", "new.py": "x", "lib/same.py": "y"})
        for place, row in enumerate(rows, 1):
            build = Build(workspace_id=stage.lab.id, engine="docker", hash=f"h{place}")
            build.packages = [f"numpy==1.{place}", "pandas==2.0", *(["six==1.0"] if place == 2 else [])]
            scope.session.add(build)
            scope.session.flush()
            row.build_id, row.resolved = build.id, {**row.resolved, "digest": f"sha256:{place}"}
            row.git = {"branch": "main", "commit": f"c{place}"}
        found = comparisons.compare(scope, "run1", "run2").sections
        changes = {title: {each.name: (each.before, each.after) for each in found[title]} for title in found}
        assert changes["parameters"] == {"rate": ("0.1", "0.2")}
        assert changes["inputs"] == {"data": ("iris:1", "iris:2")}
        assert set(changes["code"]) == {"train.py", "gone.py", "new.py"}
        assert (changes["code"]["gone.py"][1], changes["code"]["new.py"][0]) == ("", "")
        assert changes["environment"]["image"] == ("debian:11", "debian:12")
        assert changes["environment"]["digest"] == ("sha256:1", "sha256:2")
        assert changes["packages"] == {"numpy": ("1.1", "1.2"), "six": ("", "1.0")}
        assert changes["variables"] == {"TOKEN": ("a value", "another value")}
        assert changes["settings"]["limits"] == ("timeout: 60", "timeout: 120")
        assert changes["git"] == {"commit": ("c1", "c2")}
        assert "command" not in changes
        assert "hush" not in repr(found)
        assert data[0].version == "1"


def test_a_job_and_its_twin_differ_in_nothing(lite: Stage):
    with lite.scope() as scope:
        job(scope, "one", inputs={"x": 1})
        job(scope, "two", inputs={"x": 1})
        assert comparisons.compare(scope, "one", "two").sections == {}
        with pytest.raises(NotFound):
            comparisons.compare(scope, "one", "nobody")
