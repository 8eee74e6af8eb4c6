"""Comparisons of runs: distances to a baseline, what differs, and what is known of two of them. On both databases."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from services import assets, comparisons, experiments, jobs, metric_healing
from services.assets import Content
from services.core.errors import Denied, Invalid, NotFound
from services.core.states import AssetKind, JobStatus
from services.metric_tee import Tee
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace
from services.store.metrics import Point, Run
from services.store.rows import Build, Job
from services.studio import Scope
from services.workspaces import create
from tests.conftest import Stage

IDS = {name: f"{place:032x}" for place, name in enumerate("abcdefghij", 1)}


@pytest.fixture
def tee(stage: Stage) -> Iterator[Tee]:
    made = Tee(stage.studio)
    yield made
    made.close()


def job(scope: Scope, name: str, run_id: str = "", **changes: Any) -> Job:
    """A job of the experiment `iris`, MLflow's number 1, with a run when an id is given."""
    spec = {"command": "python train.py", "environment": {"image": "debian:12"}, "name": name, **changes}
    row = jobs.submit(scope, CommandJob.model_validate({"experiment_name": "iris", **spec}))
    experiments.get(scope, "iris").mlflow_id = "1"
    if run_id:
        row.status, row.run_id = JobStatus.Completed, run_id
        metric_healing.note_run(scope.session, row, run_id, "1", 1000)
    return row


def logged(
    tee: Tee,
    stage: Stage,
    run_id: str,
    metrics: Mapping[str, list[float]] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    **fields: Any,
) -> None:
    """A run of a plain MLflow script."""
    said = {"experiment_id": "1", "status": "FINISHED", "start_time": 1000, **fields}
    tee.run(Run.model_validate({"run_id": run_id, "workspace_id": stage.lab.id, **said}))
    for key, values in (metrics or {}).items():
        tee.points(run_id, [Point(key, value, step, step) for step, value in enumerate(values)])
    tee.params(run_id, params or {})
    tee.tags(run_id, tags or {})
    tee.flush()


def test_the_baseline_stands_first_and_others_say_how_far_they_are(stage: Stage, tee: Tee):
    for name, loss, accuracy in (("a", 0.4, 0.8), ("b", 0.2, 0.8), ("c", 0.6, 0.9)):
        logged(tee, stage, IDS[name], {"loss": [9.0, loss], "accuracy": [accuracy], "nothing": [math.nan]})
    logged(tee, stage, IDS["d"], {"accuracy": [math.nan]})
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, [IDS[name] for name in "abcd"], baseline=IDS["b"])
    assert [run.id for run in found.runs] == [IDS[name] for name in "bacd"]
    rows = {row.key: row for row in found.metrics}
    loss = rows["loss"].cells
    assert [cell.value for cell in loss] == [0.2, 0.4, 0.6, None]
    assert [cell.is_better for cell in loss] == [None, False, False, None]
    assert [cell.is_best for cell in loss] == [True, False, False, False]
    assert loss[1].delta == pytest.approx(0.2)
    assert loss[1].relative == pytest.approx(1.0)
    accuracy = rows["accuracy"].cells
    assert [(cell.is_better, cell.is_nan) for cell in accuracy] == [
        (None, False),
        (None, False),
        (True, False),
        (None, True),
    ]
    assert [rows[key].is_higher_better for key in ("loss", "accuracy")] == [False, True]
    assert [cell.value for cell in rows["nothing"].cells] == [None] * 4


@pytest.mark.parametrize(("aggregate", "values"), [("last", [2.0, 7.0]), ("min", [1.0, 7.0]), ("max", [3.0, 7.0])])
def test_what_is_compared_of_a_metric_is_chosen(stage: Stage, tee: Tee, aggregate: str, values: list[float]):
    logged(tee, stage, IDS["a"], {"score": [3.0, 1.0, 2.0]})
    logged(tee, stage, IDS["b"], {"score": [7.0]})
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, [IDS["a"], IDS["b"]], aggregate=aggregate)
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [IDS["a"], IDS["b"]], aggregate="median")
    assert [cell.value for cell in found.metrics[0].cells] == values


def test_only_what_differs_is_left(stage: Stage, tee: Tee):
    logged(tee, stage, IDS["a"], {"x": [1.0], "y": [1.0], "n": [math.nan]}, {"p": "1", "q": "1"}, {"t": "1", "u": "1"})
    logged(tee, stage, IDS["b"], {"x": [1.0], "y": [2.0], "n": [math.nan]}, {"p": "1", "q": "2"}, {"t": "1"})
    with stage.scope(write=False) as scope:
        names = [IDS["a"], IDS["b"]]
        everything = comparisons.compare_runs(scope, names)
        different = comparisons.compare_runs(scope, names, only_differing=True)
        searched = comparisons.compare_runs(scope, names, search="Y", limit=1)
    assert [row.key for row in everything.metrics] == ["n", "x", "y"]
    assert [row.key for row in different.metrics] == ["y"]
    assert [(row.key, row.values) for row in different.params] == [("q", ["1", "2"])]
    assert [(row.key, row.values) for row in different.tags] == [("u", ["1", None])]
    assert [row.key for row in searched.metrics] == ["y"]
    assert everything.totals == {"metrics": 3, "params": 2, "tags": 2}


def test_what_a_job_was_given_counts_as_a_parameter_that_it_did_not_log(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        job(scope, "one", IDS["a"], inputs={"rate": 0.1, "depth": 3}, tags={"team": "red"})
        job(scope, "two", inputs={"rate": 0.2})
    tee.params(IDS["a"], {"rate": "0.15"})
    tee.flush()
    with stage.scope(write=False) as scope:
        found = comparisons.compare_runs(scope, ["two", IDS["a"]])
    assert [run.id for run in found.runs] == ["two", "one"]
    assert [(row.key, row.values) for row in found.params] == [("depth", [None, "3"]), ("rate", ["0.2", "0.15"])]
    assert [(row.key, row.values) for row in found.tags] == [("team", [None, "red"])]


def test_a_run_has_one_name_however_it_is_asked_for(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        made = job(scope, "one", IDS["a"])
    logged(tee, stage, IDS["b"], job_id=made.id, parent_run_id=IDS["a"], name="fold 1")
    with stage.scope(write=False) as scope:
        found = comparisons.sides(scope, [IDS["a"], "one", IDS["b"], "nobody"])
        heads = comparisons.compare_runs(scope, ["one", IDS["b"]]).runs
    assert [side.name for side in found] == ["one", IDS["b"]]
    assert [side.is_own for side in found] == [True, False]
    assert found[1].job is not None
    assert [(head.label, head.job, head.experiment) for head in heads] == [
        ("one", "one", "iris"),
        ("fold 1", "", "iris"),
    ]


def test_who_may_compare_what(stage: Stage, tee: Tee):
    with stage.scope(workspace=None) as scope:
        create(scope, Workspace(name="other"))
    with stage.scope(workspace="other") as scope:
        job(scope, "theirs", IDS["c"])
    for name in "ab":
        logged(tee, stage, IDS[name])
    with stage.scope(write=False) as scope:
        told = comparisons.compare_runs(scope, [IDS["a"], IDS["b"], "theirs", IDS["c"]])
        assert told.missing == ["theirs", IDS["c"]]
        with pytest.raises(NotFound):
            comparisons.compare_runs(scope, [IDS["a"], "theirs"])
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [IDS["a"], IDS["a"]])
        with pytest.raises(Invalid):
            comparisons.compare_runs(scope, [f"r{place}" for place in range(201)])
    with stage.scope(stage.cleo, write=False) as scope:
        assert len(comparisons.compare_runs(scope, [IDS["a"], IDS["b"]]).runs) == 2
    with stage.studio.scope(stage.dan, None) as scope, pytest.raises(Denied):
        comparisons.compare_runs(scope, [IDS["a"], IDS["b"]])


def test_courses_are_short_and_keep_their_extremes(stage: Stage, tee: Tee):
    logged(tee, stage, IDS["a"], {"loss": [float(-1000 if step == 777 else step) for step in range(2000)]})
    logged(tee, stage, IDS["b"], {"other": [1.0]})
    with stage.scope(write=False) as scope:
        found = comparisons.sparks(scope, [IDS["a"], IDS["b"]], ["loss", "nothing"])
    assert set(found) == {"loss"}
    assert set(found["loss"]) == {IDS["a"]}
    line = found["loss"][IDS["a"]]
    assert len(line) <= comparisons.POINTS
    assert (line.value.min(), line.value.max(), line.value[-1]) == (-1000, 1999, 1999)


def test_other_runs_are_found_by_their_words(stage: Stage, tee: Tee):
    with stage.scope() as scope:
        job(scope, "one", IDS["a"], display_name="Swift otter")
    logged(tee, stage, IDS["b"], name="plain", start_time=5000)
    with stage.scope(write=False) as scope:
        assert [run.id for run in comparisons.candidates(scope, [])] == [IDS["b"], "one"]
        assert [run.id for run in comparisons.candidates(scope, ["one"])] == [IDS["b"]]
        assert [run.id for run in comparisons.candidates(scope, [], search="OTTER")] == ["one"]
        assert len(comparisons.candidates(scope, [], search="iris")) == 2


def snapshot(stage: Stage, row: Job, digit: str, files: Mapping[str, str | bytes]) -> None:
    row.snapshot_id = digit * 64
    folder = stage.studio.folders.snapshot(row.workspace_id, row.snapshot_id)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)


def wrote(stage: Stage, row: Job, files: Mapping[str, str]) -> None:
    """What a job left behind, as the worker keeps it."""
    for path, content in files.items():
        place = stage.studio.folders.run(row.id) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def built(stage: Stage, row: Job, *packages: str) -> None:
    with stage.scope() as scope:
        build = Build(workspace_id=stage.lab.id, engine="docker", hash=row.name, status="Succeeded")
        build.packages = list(packages)
        scope.session.add(build)
        scope.session.get_one(Job, row.id).build_id = build.id


def lines(part: comparisons.Part) -> dict[str, tuple[str, str]]:
    return {line.name: (line.before, line.after) for line in part.lines if line.differs}


def test_code_is_compared_line_by_line(stage: Stage):
    with stage.scope() as scope:
        one, two = job(scope, "one", command="python a.py"), job(scope, "two", command="python b.py")
        one.git, two.git = {"commit": "abc", "branch": "main"}, {"commit": "def", "branch": "main"}
        snapshot(stage, one, "1", {"train.py": "a\nb\nc\n", "same.py": "x", "old.py": "gone", "model.bin": b"\0\1"})
        snapshot(stage, two, "2", {"train.py": "a\nB\nc\n", "same.py": "x", "new.py": "come", "model.bin": b"\0\2"})
    with stage.scope(write=False) as scope:
        about, files = comparisons.diff(scope, "one", "two", "code").parts
    assert lines(about) == {
        "command": ("python a.py", "python b.py"),
        "snapshot": ("1" * 12, "2" * 12),
        "git commit": ("abc", "def"),
    }
    found = {each.path: each for each in files.files}
    assert {path: each.word for path, each in found.items()} == {
        "train.py": "changed",
        "old.py": "removed",
        "new.py": "added",
        "model.bin": "changed",
    }
    assert [(line.kind, line.text) for line in found["train.py"].lines[1:]] == [
        ("same", "a"),
        ("removed", "b"),
        ("added", "B"),
        ("same", "c"),
    ]
    assert found["model.bin"].note.startswith("Binary")


def test_packages_that_are_known_of_one_run_only_are_not_called_new(stage: Stage):
    with stage.scope() as scope:
        one, two, three = (job(scope, name, environment_variables={"TOKEN": name}) for name in ("one", "two", "three"))
        two.resolved = {**two.resolved, "digest": "sha256:2"}
    built(stage, one, "numpy==1.26.4", "old==1")
    built(stage, two, "numpy==2.0.1", "new==1")
    with stage.scope(write=False) as scope:
        about, packages, variables = comparisons.diff(scope, "one", "two", "environment").parts
        unknown = comparisons.diff(scope, "one", three.name, "environment").parts[1]
    assert lines(about)["digest"] == ("", "sha256:2")
    assert lines(packages) == {"numpy": ("1.26.4", "2.0.1"), "old": ("1", ""), "new": ("", "1")}
    assert lines(variables) == {"TOKEN": ("a value", "another value")}
    assert unknown.lines == []
    assert "not known of three" in unknown.notes[0]


def test_data_is_compared_by_version_content_and_what_is_known_of_its_size(stage: Stage):
    with stage.scope() as scope:
        for version, size in (("1", 10), ("2", 20)):
            content = Content(version * 64, type="uri_folder", path=f"azureml://x/{version}", facts={"size": size})
            assets.register(scope, AssetKind.data, "iris", version, content)
        for place, name in enumerate(("one", "two"), 1):
            data = {"type": "uri_folder", "path": f"azureml:iris:{place}"}
            job(scope, name, command="python a.py ${{inputs.table}}", inputs={"table": data, "rate": place})
    with stage.scope(write=False) as scope:
        (part,) = comparisons.diff(scope, "one", "two", "data").parts
        (params,) = comparisons.diff(scope, "one", "two", "params").parts
    assert lines(part) == {
        "table": ("iris:1", "iris:2"),
        "table: content": ("1" * 12, "2" * 12),
        "table: bytes": ("10", "20"),
    }
    assert lines(params) == {"rate": ("1", "2")}


def test_files_are_compared_by_content_and_logs_by_their_last_lines(stage: Stage):
    with stage.scope() as scope:
        one, two = job(scope, "one"), job(scope, "two")
    log = "user_logs/std_log.txt"
    wrote(stage, one, {log: "start\nloss 1\nend\n", "outputs/a.txt": "one", "outputs/b.txt": "same", "outputs/c": "x"})
    wrote(stage, two, {log: "start\nloss 2\nend\n", "outputs/a.txt": "two", "outputs/b.txt": "same", "outputs/d": "x"})
    with stage.scope(write=False) as scope:
        (files,) = comparisons.diff(scope, "one", "two", "files").parts
        (log_part,) = comparisons.diff(scope, "one", "two", "logs").parts
    assert [(each.path, each.word) for each in files.files] == [
        ("outputs/a.txt", "changed"),
        ("outputs/c", "removed"),
        ("outputs/d", "added"),
    ]
    assert "1 file is the same on both sides." in files.notes
    assert [line.text for line in log_part.text if line.kind in {"added", "removed"}] == ["loss 1", "loss 2"]


def test_runs_from_elsewhere_are_compared_by_what_mlflow_says(stage: Stage, tee: Tee):
    source = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": "abc", "mlflow.git.diff": "+a\n"}
    logged(tee, stage, IDS["a"], params={"lr": "1"}, tags=source)
    logged(tee, stage, IDS["b"], params={"lr": "2"}, tags={**source, "mlflow.git.diff": "+b\n"})
    with stage.scope(write=False) as scope:
        found = {name: comparisons.diff(scope, IDS["a"], IDS["b"], name) for name in comparisons.SECTIONS}
        with pytest.raises(Invalid):
            comparisons.diff(scope, IDS["a"], IDS["b"], "weather")
        with pytest.raises(NotFound):
            comparisons.diff(scope, IDS["a"], "nobody", "code")
    assert lines(found["params"].parts[0]) == {"lr": ("1", "2")}
    about, files = found["code"].parts
    assert {line.name for line in about.lines} == {"source", "git commit"}
    assert [(line.kind, line.text) for line in files.files[0].lines[1:]] == [("removed", "+a"), ("added", "+b")]
    assert found["data"].count == found["logs"].count == found["host"].count == 0


def test_groups_are_runs_that_differ_in_their_seed_alone(stage: Stage, tee: Tee):
    scores = {"0.1": [0.81, 0.83, 0.80, 0.82], "0.2": [0.86, 0.85, 0.88, 0.87], "0.3": [0.5]}
    runs = [(rate, seed, score) for rate, found in scores.items() for seed, score in enumerate(found)]
    for (rate, seed, score), run_id in zip(runs, IDS.values(), strict=False):
        params = {"lr": rate, "seed": str(seed), "model.random_state": str(seed), "same": "x", "out": f"{rate}"}
        logged(tee, stage, run_id, {"accuracy": [score]}, params)
    names = list(IDS.values())[: len(runs)]
    with stage.scope(write=False) as scope:
        found = comparisons.significance(scope, names, "accuracy", set_aside=["out"])
        tagged = comparisons.significance(scope, names, "accuracy", group_by=["params.same"])
        few = comparisons.significance(scope, names, "accuracy", baseline=names[-1])
        with pytest.raises(Invalid):
            comparisons.significance(scope, names, "accuracy", group_by=["duration"])
    assert found.set_aside == ["model.random_state", "out", "seed"]
    assert found.grouped_by == ["params.lr"]
    assert [(group.values["params.lr"], group.n) for group in found.groups] == [("0.1", 4), ("0.2", 4), ("0.3", 1)]
    (test,) = found.tests
    assert (test.group, test.is_better, test.result.test, test.result.n) == (1, True, "welch", (4, 4))
    assert test.result.p == pytest.approx(0.0015474, abs=1e-7)  # t = √30 with 6 degrees of freedom
    assert test.adjusted == test.result.p
    assert found.notes == ["1 group of fewer than 3 runs is not tested."]
    assert [group.n for group in tagged.groups] == [9]
    assert (few.tests, len(few.notes)) == ([], 1)


def good_and_bad(stage: Stage, tee: Tee) -> None:
    """Three good runs, and a bad one with other code, another package and another rate."""
    for place, name in enumerate(("g1", "g2", "g3", "bad")):
        is_bad = name == "bad"
        with stage.scope() as scope:
            row = job(scope, name, IDS["abcd"[place]], inputs={"rate": 0.1 * (place + 1), "depth": 5 if is_bad else 3})
            scope.session.get_one(Run, IDS["abcd"[place]]).start_time = 1000 + place
            snapshot(stage, row, "2" if is_bad else "1", {"train.py": "b\n" if is_bad else "a\n", "x.py": "x\n"})
            if is_bad:
                row.status = JobStatus.Failed
            scope.session.get_one(Run, IDS["abcd"[place]]).status = "FAILED" if is_bad else "FINISHED"
        built(stage, row, "numpy==2.0" if is_bad else "numpy==1.26")
        tee.points(IDS["abcd"[place]], [Point("loss", [0.5, 0.2, 0.6, 0.9][place], 0, 0)])
    tee.flush()


def test_what_changed_since_the_last_good_run_is_ranked_by_how_rare_it_is(stage: Stage, tee: Tee):
    good_and_bad(stage, tee)
    with stage.scope(write=False) as scope:
        found = comparisons.changed(scope, "bad")
        first = comparisons.changed(scope, "g1")
    assert found.good == "g3"
    assert [(each.section, each.name) for each in found.changes] == [
        ("code", "train.py"),
        ("packages", "numpy"),
        ("params", "depth"),
        ("params", "rate"),
    ]
    assert [each.weight for each in found.changes[:3]] == [1, 1, 1]
    assert found.changes[3].weight == pytest.approx(1 / 3)
    assert [each.sentence for each in found.changes[:3]] == [
        "File train.py changed.",
        "Package numpy is 2.0 and was 1.26.",
        "Parameter depth is 5 and was 3.",
    ]
    assert "none as it is now" in found.changes[0].evidence
    assert (first.good, first.changes) == ("", [])


def test_a_good_run_is_not_worse_than_the_one_that_is_asked_about(stage: Stage, tee: Tee):
    good_and_bad(stage, tee)
    with stage.scope(write=False) as scope:
        assert comparisons.changed(scope, "g3").good == "g2"
        assert comparisons.changed(scope, "g2", metric="loss").good == ""
        assert comparisons.changed(scope, "g3", metric="loss").good == "g2"
        assert comparisons.changed(scope, "bad", metric="nothing").good == ""
