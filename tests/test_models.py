"""Models on both databases: origins, numbers, types, approval; and how MLflow's registry and ours become equal."""

import hashlib
from typing import Any

import pytest
from sqlmodel import select

from services import access, assets, lineage, models, uploads
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind
from services.engines.fake_tracking import FakeTracking
from services.engines.tracking import ModelVersion
from services.reconcile.registry import Registry
from services.reconcile.registry_acts import Name
from services.reconcile.registry_plan import (
    MARK,
    Adopt,
    Agree,
    Forget,
    Give,
    Label,
    Lose,
    Mine,
    Move,
    Stay,
    Take,
    merged,
    plan,
)
from services.specs.code import Entry
from services.specs.models import Model as Spec
from services.store.rows import Asset, AssetLabel, Edge, Event
from services.studio import Scope
from tests.conftest import Stage

MLMODEL = b"flavors:\n  sklearn:\n    sklearn_version: 1.5.0\n"


def uploaded(stage: Stage, contents: dict[str, bytes]) -> str:
    entries = [Entry(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()]
    with stage.scope() as scope:
        begun = uploads.begin(scope, "data", entries)
        for path, content in contents.items() if not begun.complete else ():
            landing = uploads.landing(scope, begun.id, path)
            with landing.open() as target:
                target.write(content)
            landing.finish()
        if not begun.complete:
            uploads.seal(scope, begun.id)
    return f"azureml://uploads/{begun.id}/"


def made(stage: Stage, name: str = "iris", /, **fields: Any) -> Asset:
    path = fields.pop("path", "") or uploaded(stage, {"MLmodel": MLMODEL, "model.pkl": b"x"})
    with stage.scope(stage.ben) as scope:
        return models.create(scope, Spec.model_validate({"name": name, "path": path, **fields}))


def test_the_same_is_a_no_op_and_another_content_a_conflict(stage: Stage):
    first = made(stage, version="1")
    assert made(stage, version="1").id == first.id
    other = uploaded(stage, {"MLmodel": MLMODEL, "model.pkl": b"y"})
    with pytest.raises(Conflict, match="another content"):
        made(stage, version="1", path=other)
    assert made(stage, path=other).version == "2"


def test_a_number_is_never_given_twice(stage: Stage):
    made(stage)
    second = made(stage)
    with stage.scope() as scope:
        assets.remove(scope, models.get(scope, "iris", second.version))
    assert made(stage).version == "3"


def test_facts_are_read_and_nothing_is_loaded(stage: Stage):
    row = made(stage)
    assert row.facts["flavors"] == {"sklearn": {"sklearn_version": "1.5.0"}}
    assert (row.facts["files"], row.facts["size"]) == (2, len(MLMODEL) + 1)
    assert row.facts["formats"] == ["pickle"]
    assert models.content_hash(row) in row.path
    assert models.content_hash(made(stage, "far", path="https://example.com/x.onnx")) == ""


@pytest.mark.parametrize(
    ("type_", "contents", "wanted"),
    [
        (None, {"MLmodel": MLMODEL}, "mlflow_model"),
        (None, {"deep/MLmodel": MLMODEL}, "custom_model"),
        ("custom_model", {"MLmodel": MLMODEL}, "custom_model"),
        ("triton_model", {"resnet/1/model.onnx": b"x"}, "triton_model"),
        ("triton_model", {"resnet/config.pbtxt": b"x"}, "triton_model"),
        ("mlflow_model", {"model.pkl": b"x"}, None),
        ("triton_model", {"model.onnx": b"x"}, None),
    ],
)
def test_a_type_is_what_the_files_are(lite: Stage, type_: str | None, contents: dict[str, bytes], wanted: str | None):
    said = {"type": type_} if type_ else {}
    path = uploaded(lite, contents)
    if wanted is None:
        with pytest.raises(Invalid) as refused:
            made(lite, path=path, **said)
        assert refused.value.where == "type"
    else:
        assert made(lite, path=path, **said).type == wanted


def test_an_approval_is_a_word_of_somebody_and_an_event(stage: Stage):
    row = made(stage)
    with stage.scope(stage.ben) as scope:
        models.approve(scope, models.get(scope, "iris"), "read and tried")
    with stage.scope() as scope:
        found = models.as_json(scope, models.get(scope, "iris"))["facts"]["approval"]
        assert (found["by"], found["note"]) == ("ben", "read and tried")
        told = scope.session.exec(select(Event.message).where(Event.kind == "model", Event.name == "iris")).all()
        assert any("Approval" in message for message in told)
    with stage.scope(stage.cleo) as scope, pytest.raises(Denied):
        models.approve(scope, scope.session.get_one(Asset, row.id), "")
    assert not access.allowed({"Reader"}, "models/approve/action")


def test_another_workspaces_files_and_jobs_are_not_found(stage: Stage):
    for path in ("azureml://jobs/none/outputs/artifacts/paths/x", "runs:/none/x", "azureml://uploads/ab/x"):
        with pytest.raises(NotFound):
            made(stage, path=path)


def mine(version: str = "1", *, id: str = "a", labels: tuple[str, ...] = (), **words: str) -> Mine:
    return Mine(id, "m", version, words, frozenset(labels))


def settled(version: str = "1", *, id: str = "a", labels: tuple[str, ...] = (), **words: str) -> Mine:
    entry = {"version": version, "agreed": words, "labels": sorted(labels), "marked": True}
    return Mine(id, "m", version, words, frozenset(labels), entry)


def theirs(version: str = "1", mark: str = "", **what: Any) -> ModelVersion:
    tags = {**what.pop("tags", {}), **({MARK: mark} if mark else {})}
    return ModelVersion("m", version, tags=tags, **what)


def test_what_one_side_has_is_made_on_the_other():
    assert plan([mine()], [], {}) == [Give(mine())]
    version = theirs()
    assert plan([], [version], {"champion": "1"}) == [Take(version, ("champion",))]


def test_what_both_have_and_agree_on_is_left_alone():
    assert plan([settled(description="x")], [theirs(mark="a:m:1", description="x")], {}) == []


def test_a_crash_after_mlflow_has_it_is_noted_not_repeated():
    version = theirs(mark="a:m:1")
    assert plan([mine()], [version], {}) == [Adopt(mine(), version)]


def test_an_empty_version_that_a_crash_has_left_is_deleted():
    left = theirs("1", mark="a:m:5")
    assert plan([mine("5")], [left], {}) == [Forget(left), Give(mine("5"))]


def test_what_was_deleted_here_is_deleted_there_but_a_copy_of_it_is_not():
    gone, copied = theirs("1", mark="gone:m:1"), theirs("2", mark="gone:m:1")
    assert plan([], [gone, copied], {}) == [Forget(gone), Take(copied, ())]


def test_a_number_that_mlflow_gave_to_another_is_theirs():
    version = theirs()
    assert plan([mine()], [version], {}) == [Move(mine())]


def test_what_mlflow_has_no_more_is_lost_once():
    assert plan([settled()], [], {}) == [Lose(settled())]
    lost = Mine("a", "m", "1", entry={"version": "1", "why": "It was deleted in MLflow."})
    assert plan([lost], [], {}) == []


@pytest.mark.parametrize("version", ["1.0", "prod", "01", "0", "5000"])
def test_what_mlflow_cannot_number_is_ours_only(version: str):
    (action,) = plan([mine(version)], [], {})
    assert isinstance(action, Stay)


@pytest.mark.parametrize(
    ("base", "ours", "told", "here", "there"),
    [
        ("x", "x", "x", {}, {}),
        ("x", "y", "x", {}, {"k": "y"}),
        ("x", "x", "y", {"k": "y"}, {}),
        ("x", "y", "z", {"k": "z"}, {}),
        ("x", None, "x", {}, {"k": None}),
        ("x", "x", None, {"k": None}, {}),
        (None, "y", None, {}, {"k": "y"}),
        (None, None, "y", {"k": "y"}, {}),
        ("x", None, None, {}, {}),
    ],
)
def test_who_changed_it_since_is_followed(base: Any, ours: Any, told: Any, here: Any, there: Any):
    def words(value: str | None) -> dict[str, str]:
        return {} if value is None else {"k": value}

    found = merged(words(base), words(ours), words(told))
    assert found[:2] == (here, there)


def test_labels_and_aliases_follow_each_other():
    set_here = Mine("a", "m", "1", labels=frozenset({"champion", "v2"}), entry=settled().entry)
    actions = plan([set_here], [theirs(mark="a:m:1")], {})
    assert Label("m", "champion", "1", here=False) in actions
    assert not any(isinstance(each, Label) and each.label == "v2" for each in actions), "MLflow keeps v2 for itself"
    moved = plan(
        [settled(labels=("champion",)), settled("2", id="b")],
        [theirs(mark="a:m:1"), theirs("2", mark="b:m:2")],
        {"champion": "2"},
    )
    assert Label("m", "champion", "2", here=True) in moved
    assert any(isinstance(each, Agree) and each.labels == ("champion",) for each in moved)


def test_both_registries_become_equal_and_stay_so(stage: Stage):
    tracking = FakeTracking()
    registry = Registry(stage.studio, lambda: tracking, "t|1|1|x")
    there = f"ws-{stage.lab.id}"
    made(stage, description="ours", tags={"a": "1"}, stage="Staging")
    made(stage, version="1.5")
    registry.look()
    registry.look()
    (version,) = tracking.versions(there, "iris")
    assert (version.version, version.description, version.stage) == ("1", "ours", "Staging")
    theirs_ = tracking.register(there, "iris", source="s3://b/k", run_id="", description="theirs", tags={"b": "2"})
    tracking.alias(there, "iris", "champion", theirs_.version)
    registry.look(full=True)
    with stage.scope() as scope:
        row = models.get(scope, "iris", label="champion")
        assert (row.version, row.description, row.tags, row.path) == ("2", "theirs", {"b": "2"}, "s3://b/k")
        assets.change(scope, row, tags={"b": "3"}, stage="Production")
    registry.look()
    found = tracking._model(there, "iris", "2")
    assert (found.tags["b"], found.stage) == ("3", "Production")
    with stage.scope() as scope:
        assets.remove_label(scope, AssetKind.model, "iris", "champion")
        scope.session.flush()
        assets.remove(scope, models.get(scope, "iris", "2"))
    registry.look()
    assert [each.version for each in tracking.versions(there, "iris")] == ["1"]
    assert tracking.aliases_of(there, "iris") == {}
    before = dict(tracking.models)
    registry.look(full=True)
    assert tracking.models == before
    with stage.scope() as scope:
        assert sorted(row.version for row in assets.versions(scope, AssetKind.model, "iris")) == ["1", "1.5"]
        why = models.as_json(scope, models.get(scope, "iris", "1.5"))["facts"]["mlflow"]["why"]
        assert "no whole number" in why


def test_ours_moves_on_when_a_client_was_given_its_number(stage: Stage):
    tracking = FakeTracking()
    row = made(stage)
    with stage.scope() as scope:
        assets.set_label(scope, models.get(scope, "iris"), "champion")
    tracking.register(f"ws-{stage.lab.id}", "iris", source="s3://b/k", run_id="", description="", tags={})
    registry = Registry(stage.studio, lambda: tracking, "t|1|1|x")
    for _ in range(3):
        registry.look(full=True)
    with stage.scope() as scope:
        assert models.get(scope, "iris", "2").id == row.id
        assert models.get(scope, "iris", "1").path == "s3://b/k"
        assert models.get(scope, "iris", label="champion").version == "2"


def test_a_number_that_only_mlflow_remembers_is_not_chased(stage: Stage):
    tracking = FakeTracking()
    there = f"ws-{stage.lab.id}"
    for _ in range(3):
        number = tracking.register(there, "iris", source="s3://b/k", run_id="", description="", tags={}).version
        tracking.unregister(there, "iris", number)
    row = made(stage)
    registry = Registry(stage.studio, lambda: tracking, "t|1|1|x")
    for _ in range(3):
        registry.look(full=True)
    with stage.scope() as scope:
        assert [each.version for each in assets.versions(scope, AssetKind.model, "iris")] == ["4"]
        assert models.get(scope, "iris").id == row.id
    assert [each.version for each in tracking.versions(there, "iris")] == ["4"]
    assert made(stage).version == "5"


def test_what_is_used_keeps_its_number_and_stays_here(stage: Stage):
    tracking = FakeTracking()
    there = f"ws-{stage.lab.id}"
    tracking.unregister(
        there, "iris", tracking.register(there, "iris", source="x", run_id="", description="", tags={}).version
    )
    row = made(stage)
    with stage.scope() as scope:
        lineage.record(scope, ("model", row.id), ("model", made_other(scope, row)), "copy")
    for _ in range(2):
        Registry(stage.studio, lambda: tracking, "t|1|1|x").look(full=True)
    with stage.scope() as scope:
        shown = models.as_json(scope, models.get(scope, "iris", "1"))
        assert "given 1 to another" in shown["facts"]["mlflow"]["why"]
    assert tracking.versions(there, "iris") == []


def made_other(scope: Scope, row: Asset) -> str:
    """A model that was made from it."""
    content = assets.Content("h", type="custom_model", path=row.path)
    return assets.register(scope, AssetKind.model, "other", "1.x", content).id


def test_a_named_output_of_a_job_is_looked_into_when_mlflow_is_told(stage: Stage):
    """As the worker registers it: without a look at its files."""
    folder = stage.studio.folders.datastore(stage.lab.id, "workspaceblobstore") / "out"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(MLMODEL)
    uri = "azureml://datastores/workspaceblobstore/paths/out"
    with stage.scope() as scope:
        content = assets.Content("h", type="mlflow_model", path=uri)
        assets.register(scope, AssetKind.model, "named", None, content)
    Registry(stage.studio, lambda: FakeTracking(), "t|1|1|x").look()
    with stage.scope() as scope:
        assert models.get(scope, "named").facts["flavors"] == {"sklearn": {"sklearn_version": "1.5.0"}}


def test_a_second_worker_leaves_it_to_the_first(stage: Stage):
    tracking = FakeTracking()
    made(stage)
    Registry(stage.studio, lambda: tracking, "elsewhere|1|1|x").look()
    made(stage)
    Registry(stage.studio, lambda: tracking, "another|1|1|x").look(full=True)
    assert len(tracking.versions(f"ws-{stage.lab.id}", "iris")) == 1


def test_mlflows_silence_is_waited_out(stage: Stage):
    tracking = FakeTracking()
    registry = Registry(stage.studio, lambda: tracking, "t|1|1|x")
    made(stage)
    tracking.silent = True
    registry.look()
    tracking.silent = False
    registry.look()
    assert len(tracking.versions(f"ws-{stage.lab.id}", "iris")) == 1


def test_a_client_changes_as_the_person_that_it_is(stage: Stage):
    """Cleo only reads: what MLflow's side says in her name changes nothing here."""
    tracking = FakeTracking()
    there = f"ws-{stage.lab.id}"
    tracking.register(there, "iris", source="s3://b/k", run_id="", description="", tags={})
    Name(stage.studio, tracking, "lab", stage.lab.id, "iris", stage.cleo).compare()
    with stage.scope() as scope, pytest.raises(NotFound):
        models.get(scope, "iris")
    Name(stage.studio, tracking, "lab", stage.lab.id, "iris", stage.ben).compare()
    with stage.scope() as scope:
        assert models.get(scope, "iris").created_by == "ben"
        assert scope.session.exec(select(AssetLabel)).all() == []
        assert scope.session.exec(select(Edge)).all() == []
