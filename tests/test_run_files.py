"""Files of any run: confined to it, images by step as MLflow names them, tables as it writes them."""

import os
from pathlib import Path

import orjson
import pytest
from sqlmodel import select

from services import run_files
from services.core.errors import Denied, Invalid, NotFound
from services.core.states import AssetKind
from services.run_files import Image, Picture, Table
from services.store import metrics as store
from services.store.rows import Asset, Job, Principal, RoleAssignment
from services.studio import run_root
from tests.conftest import Stage
from tests.test_run_marks import RUN, with_job, with_run

ID = "0b1c6a2e-1111-4222-8333-444455556666"


def put(stage: Stage, path: str, content: bytes = b"x", run_id: str = RUN) -> Path:
    target = run_root(stage.studio, stage.lab.id, "1", run_id) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def paths(stage: Stage, name: str = RUN, path: str = "") -> list[str]:
    with stage.scope(stage.cleo, write=False) as scope:
        return [file.path for file in run_files.listing(scope, name, path)]


def pictures(stage: Stage, *names: str, prefix: str = "") -> dict[str, list[Image]]:
    with stage.scope(stage.cleo, write=False) as scope:
        return run_files.images(scope, names or (RUN,), prefix=prefix)


def read(stage: Stage, path: str, name: str = RUN, who: Principal | None = None) -> bytes:
    with stage.scope(who or stage.cleo, write=False) as scope:
        file, size = run_files.opened(scope, name, path)
        with file:
            content = file.read()
    assert len(content) == size
    return content


def test_the_files_of_a_run_that_no_job_made(stage: Stage):
    with_run(stage)
    put(stage, "model/MLmodel", b"flavors:")
    put(stage, "b.txt", b"hello")
    assert paths(stage) == ["b.txt", "model/MLmodel"]
    assert paths(stage, path="model") == ["model/MLmodel"]
    assert read(stage, "b.txt") == b"hello"


def test_the_files_of_a_job_are_found_by_its_name_and_by_its_run(stage: Stage):
    with_run(stage)
    with_job(stage, "calm_otter", RUN)
    put(stage, "plot.png")
    assert paths(stage, "calm_otter") == paths(stage, RUN) == ["plot.png"]
    assert read(stage, "plot.png", "calm_otter") == b"x"


def test_nothing_outside_of_a_run_is_read(lite: Stage):
    with_run(lite)
    secret = put(lite, "secret.txt", run_id="b" * 32)
    (put(lite, "a.txt").parent / "link").symlink_to(secret)
    (secret.parent.parent.parent / RUN / "artifacts" / "folder").symlink_to(secret.parent)
    assert paths(lite) == ["a.txt"]
    for path in ("link", "folder/secret.txt", "nothing", "folder"):
        with pytest.raises((NotFound, Invalid)):
            read(lite, path)
    for path in ("../../" + "b" * 32 + "/artifacts/secret.txt", str(secret), "", "a\0b", ".."):
        with pytest.raises((Invalid, NotFound)):
            read(lite, path)


def test_another_workspaces_run_is_not_found(stage: Stage):
    with_run(stage, workspace_id="other")
    put(stage, "a.png")
    for ask in (lambda: paths(stage), lambda: read(stage, "a.png")):
        with pytest.raises(NotFound):
            ask()
    assert pictures(stage) == {}


def test_who_may_not_read_runs_reads_none(lite: Stage):
    with_run(lite)
    put(lite, "a.txt")
    with lite.studio.database.session(write=True) as session:
        session.add(RoleAssignment(principal_id=lite.dan.id, role="AzureML Compute Operator", scope=lite.lab.id))
    with pytest.raises(Denied):
        read(lite, "a.txt", who=lite.dan)


@pytest.mark.parametrize("by", ["+", "%"])
def test_pictures_with_a_key_go_by_step(stage: Stage, by: str):
    with_run(stage)
    names = [f"images/val~digits{by}step{by}{step}{by}timestamp{by}{1000 + step}{by}{ID}" for step in (10, 2)]
    for name in names:
        put(stage, f"{name}.png")
        put(stage, f"{name}{by}compressed.webp")
    put(stage, f"images/other one{by}step{by}-1{by}timestamp{by}5{by}{ID}.png")
    assert pictures(stage) == {
        RUN: [
            Image("other one", -1, f"images/other one{by}step{by}-1{by}timestamp{by}5{by}{ID}.png", "", 5),
            Image("val/digits", 2, f"{names[1]}.png", f"{names[1]}{by}compressed.webp", 1002),
            Image("val/digits", 10, f"{names[0]}.png", f"{names[0]}{by}compressed.webp", 1010),
        ]
    }
    assert [each.step for each in pictures(stage, prefix="val/")[RUN]] == [2, 10]
    assert run_files.is_settled(f"{names[0]}.png")


def test_of_two_pictures_of_one_step_the_newest_counts(lite: Stage):
    with_run(lite)
    for time in (5, 7, 6):
        put(lite, f"images/k+step+1+timestamp+{time}+{ID}.png")
    assert [each.time for each in pictures(lite)[RUN]] == [7]


@pytest.mark.parametrize(
    ("path", "key", "step"),
    [
        ("epoch_10.png", "epoch_*.png", 10),
        ("plots/Epoch-3.jpg", "plots/Epoch-*.jpg", 3),
        ("step=0020/sample.svg", "step=*/sample.svg", 20),
        ("val_step5_rgb.webp", "val_step*_rgb.webp", 5),
        ("round 2/epoch 7.gif", "round 2/epoch *.gif", 7),
        ("confusion.png", "confusion.png", 0),
        ("sample_7.png", "sample_7.png", 0),
        ("misstep1.png", "misstep1.png", 0),
    ],
)
def test_of_other_pictures_the_step_is_read_where_it_is_plain(lite: Stage, path: str, key: str, step: int):
    with_run(lite)
    put(lite, path)
    ((one,),) = pictures(lite).values()
    assert (one.key, one.step, one.path) == (key, step, path)
    assert not run_files.is_settled(path)


def test_what_is_no_picture_of_the_run_is_left_out(lite: Stage):
    with_run(lite)
    for path in ("a.txt", "table_images/t/x.png", "model/weights.bin", f"images/k+step+1+timestamp+5+{ID}.txt"):
        put(lite, path)
    assert pictures(lite, RUN, "nothing") == {}


def test_tables_are_read_as_mlflow_writes_them(stage: Stage):
    with_run(stage)
    told = [{"path": path, "type": "table"} for path in ("eval/t.json", "gone.json", "t.parquet", "eval/t.json")]
    with stage.scope() as scope:
        store.save_tags(scope.session, [(RUN, run_files.LOGGED_TABLES, orjson.dumps([*told, {"x": 1}, 3]).decode())])
    picture = {"type": "image", "filepath": "table_images/x.png", "compressed_filepath": "table_images/x.webp"}
    data = [["<b>", 1, 0.5, None, True], [picture, {"a": [1]}, "", -2, False]]
    put(stage, "eval/t.json", orjson.dumps({"columns": ["a", "b", 3, "d", "e"], "data": data * 3}))
    with stage.scope(stage.cleo, write=False) as scope:
        assert run_files.tables(scope, RUN) == ["eval/t.json"]
        assert run_files.table(scope, RUN, "eval/t.json", limit=2) == Table(
            "eval/t.json",
            ["a", "b", "3", "d", "e"],
            [
                ["<b>", 1, 0.5, None, True],
                [Picture("table_images/x.png", "table_images/x.webp"), '{"a":[1]}', "", -2, False],
            ],
            6,
        )


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"columns": 3, "data": []}', b'{"columns": [], "data": [3]}', b"1"])
def test_what_is_no_table_is_said_to_be_none(lite: Stage, content: bytes):
    with_run(lite)
    put(lite, "t.json", content)
    with lite.scope(write=False) as scope, pytest.raises(Invalid, match="is no table"):
        run_files.table(scope, RUN, "t.json")


@pytest.mark.parametrize("told", ["", "{", "[]", "3", '{"a": 1}', '[{"type": "table"}]', '["x"]'])
def test_a_tag_that_names_no_tables_names_none(lite: Stage, told: str):
    with_run(lite)
    with lite.scope() as scope:
        store.save_tags(scope.session, [(RUN, run_files.LOGGED_TABLES, told)])
        assert run_files.tables(scope, RUN) == []


def test_a_name_that_is_no_text_is_listed_and_read(lite: Stage):
    with_run(lite)
    put(lite, os.fsdecode(b"caf\xe9.txt"), b"au lait")
    assert paths(lite) == ["caf\ufffd.txt"]
    assert read(lite, "caf\ufffd.txt") == b"au lait"


def test_a_job_that_has_no_run_yet_has_no_tables(lite: Stage):
    with_job(lite, "calm_otter", None)
    with lite.scope(write=False) as scope:
        assert run_files.tables(scope, "calm_otter") == []
        assert run_files.images(scope, ["calm_otter"]) == {}
        with pytest.raises(NotFound):
            run_files.opened(scope, "calm_otter", "x")


def test_models_that_were_made_of_a_run_are_found_by_what_mlflow_said_and_by_the_job(stage: Stage):
    with_run(stage)
    with_run(stage, "b" * 32)
    with_job(stage, "calm_otter", "b" * 32)
    with stage.scope() as scope:
        job = scope.session.exec(select(Job)).one()
        mine: list[dict[str, object]] = [
            {"facts": {"run_id": RUN}},
            {"facts": {"registry": {"run_id": RUN}}},
            {"job_id": job.id},
            {"facts": {"run_id": "c" * 32}},
        ]
        for version, fields in enumerate(mine, 1):
            fixed = {"workspace_id": stage.lab.id, "kind": AssetKind.model, "name": "m", "hash": ""}
            scope.session.add(Asset.model_validate({**fixed, "version": str(version), **fields}))
    with stage.scope(stage.cleo, write=False) as scope:
        assert {row.version for row in run_files.registered(scope, RUN)} == {"1", "2"}
        assert [row.version for row in run_files.registered(scope, "calm_otter")] == ["3"]
