"""Copies runs, their files and registered models from one MLflow server to another, and goes on where it stopped.

A copy says where it came from in a tag, and whether it is complete in another: who starts again skips what is
complete and adds only what is missing to the rest. The source is only read.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryFile
from typing import Any

from services.core.errors import AtelierError, Conflict, EngineError, Invalid, NotFound, Unavailable
from services.engines import mlflow_files as files
from services.engines.mlflow_files import File
from services.engines.mlflow_servers import PIECE, Json, Server
from services.engines.tracking import JOB_TAG, PROMPT

SOURCE, STATE = "atelier.import.source", "atelier.import.state"
COMPLETE, RUNNING = "complete", "running"
PARENT, RUN_NAME = "mlflow.parentRunId", "mlflow.runName"
POINTS, PAIRS, PAGE, HISTORY_PAGE = 1_000, 100, 1_000, 25_000
LARGEST = 1.7976931348623157e308
SAY_SECONDS = 3.0
STATUS = {"LOGGED_MODEL_PENDING": 1, "LOGGED_MODEL_READY": 2, "LOGGED_MODEL_UPLOAD_FAILED": 3}
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
# What the target writes itself, or what would tie a copy to a job.
OURS = frozenset({SOURCE, STATE, JOB_TAG, "mlflow.modelVersions"})
Point = tuple[int, int, str]
Sent = Mapping[str, int]


@dataclass
class Report:
    """What a copy did. `bytes` are those of files; `notes` are what is not quite as it was."""

    experiments: int = 0
    runs_made: int = 0
    runs_continued: int = 0
    runs_skipped: int = 0
    points: int = 0
    files: int = 0
    bytes: int = 0
    logged_models: int = 0
    models: int = 0
    versions_made: int = 0
    versions_skipped: int = 0
    notes: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    is_interrupted: bool = False

    def fail(self, what: str, why: object) -> None:
        self.failed.append({"what": what, "why": str(why)})

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class _Head:
    """What decides when a run is copied: after its parent, the oldest first."""

    experiment_id: str
    run_id: str
    parent: str
    start_time: int


class Copier:
    """One copy, once. `tell` hears how far it is, now and then."""

    def __init__(
        self,
        source: Server,
        target: Server,
        *,
        with_files: bool = True,
        allows_slashes: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`allows_slashes` says that the target takes experiments with a `/` in their names."""
        self.source, self.target, self.report = source, target, Report()
        self._with_files, self._allows_slashes, self._tell = with_files, allows_slashes, tell
        self._said, self._whole, self._done = time.monotonic(), 0, 0
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._copies: dict[str, tuple[str, bool]] = {}
        self._model_copies: dict[str, tuple[str, bool]] = {}

    def copy(self, experiments: Sequence[str] = ()) -> Report:
        """Everything, or these experiments with the models of their runs.

        Raises NotFound for an experiment that is not there, Unavailable when one of both stops answering: what is
        copied by then stays, and `report` says what it is.
        """
        chosen = self._chosen(experiments)
        heads: list[_Head] = []
        for experiment in chosen:
            with self._failing(f"experiment {experiment['name']}"):
                self._experiment(experiment)
                heads += self._heads(str(experiment["experiment_id"]))
        self._whole = len(heads)
        models = self._logged_models(list(self._experiments))
        for head in _parents_first(heads):
            with self._failing(f"run {head.run_id}"):
                self._run(head, models.pop(head.run_id, []))
            self._done += 1
            self._say()
        for orphans in models.values():
            for model in orphans:
                with self._failing(f"model {model['info']['model_id']}"):
                    self._logged_model(model)
        self._registered(is_whole=not experiments)
        return self.report

    def _chosen(self, names: Sequence[str]) -> list[Json]:
        found = list(self.source.pages("experiments/search", "experiments", method="POST", max_results=PAGE))
        missing = sorted(set(names) - {str(each["name"]) for each in found})
        if missing:
            known = ", ".join(sorted(str(each["name"]) for each in found)[:10]) or "none"
            raise NotFound(f"There is no experiment '{missing[0]}' to copy.", hint=f"There are: {known}.")
        return [each for each in found if not names or each["name"] in names]

    def _experiment(self, told: Json) -> None:
        name = wanted = str(told["name"])
        if not self._allows_slashes:
            name = name.strip("/").replace("/", "-")
        if name != wanted:
            self.report.note(f"Experiment '{wanted}' is '{name}' here.")
        mine = self._ensured(name)
        self._experiments[str(told["experiment_id"])] = mine
        self.report.experiments += 1
        for tag in told.get("tags", []):
            if not tag["key"].startswith("mlflow.experiment"):
                with self._failing(f"experiment {wanted}, tag {tag['key']}"):
                    self.target.post("experiments/set-experiment-tag", {"experiment_id": mine, **_pair(tag)})
        self._know_copies(mine)

    def _ensured(self, name: str) -> str:
        try:
            return str(self.target.post("experiments/create", {"name": name})["experiment_id"])
        except Conflict:
            found = self.target.get("experiments/get-by-name", experiment_name=name)["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            self.target.post("experiments/restore", {"experiment_id": found["experiment_id"]})
        return str(found["experiment_id"])

    def _know_copies(self, experiment_id: str) -> None:
        """What an earlier copy has made there."""
        asked: dict[str, Any] = {"experiment_ids": [experiment_id], "max_results": PAGE}
        condition = {"filter": f"tags.`{SOURCE}` != ''", "run_view_type": "ACTIVE_ONLY"}
        for run in self.target.pages("runs/search", "runs", method="POST", **asked, **condition):
            tags = _tags(run.get("data", {}))
            origin = tags[SOURCE].rpartition("/")[2]
            self._copies[origin] = str(run["info"]["run_id"]), tags.get(STATE) == COMPLETE
        for model in self._models_of(self.target, [experiment_id]):
            tags = _tags(model["info"])
            if SOURCE in tags:
                is_ready = model["info"].get("status") != "LOGGED_MODEL_PENDING"
                self._model_copies[tags[SOURCE].rpartition("/")[2]] = str(model["info"]["model_id"]), is_ready

    def _heads(self, experiment_id: str) -> list[_Head]:
        asked: dict[str, Any] = {"experiment_ids": [experiment_id], "max_results": PAGE, "run_view_type": "ACTIVE_ONLY"}
        return [
            _Head(
                experiment_id,
                str(run["info"]["run_id"]),
                _tags(run.get("data", {})).get(PARENT, ""),
                int(run["info"].get("start_time") or 0),
            )
            for run in self.source.pages("runs/search", "runs", method="POST", **asked)
        ]

    def _run(self, head: _Head, models: Sequence[Json]) -> None:
        known, is_complete = self._copies.get(head.run_id, ("", False))
        told = {} if is_complete else self.source.get("runs/get", run_id=head.run_id)["run"]
        home = "" if known else self._at_home(told)
        if is_complete or home:
            self._runs[head.run_id] = known or home
            self._models |= {str(each["info"]["model_id"]): self._model_copy(each) for each in models}
            self.report.runs_skipped += 1
            return
        mine = known or self._made(head, told)
        self._runs[head.run_id] = mine
        before = self.target.get("runs/get", run_id=mine)["run"] if known else {}
        what, failures, sent = f"run {head.run_id}", len(self.report.failed), self._sent()
        self._pairs(what, mine, told, before)
        for model in models:
            with self._failing(f"model {model['info']['model_id']}"):
                self._logged_model(model)
        self._metrics(what, mine, told, before)
        with self._failing(f"{what}, its inputs and outputs"):
            self._linked(mine, told, before)
        if self._with_files:
            self._files(what, files.of_run(self.source, told, self.report.note), self._root_of_run(mine))
        for model in models:
            with self._failing(f"model {model['info']['model_id']}, its metrics"):
                self._model_metrics(mine, model)
        self._ended(mine, told["info"], is_complete=len(self.report.failed) == failures)
        if not known:
            self.report.runs_made += 1
        elif self._sent() != sent or before["info"].get("status") != told["info"].get("status"):
            self.report.runs_continued += 1
        else:
            self.report.runs_skipped += 1

    def _at_home(self, told: Json) -> str:
        """The id of the run that this one was once copied from, where it is still at the target."""
        origin = _tags(told.get("data", {})).get(SOURCE, "").rpartition("/")[2]
        if not origin:
            return ""
        try:
            found = self.target.get("runs/get", run_id=origin)["run"]["info"]
        except (NotFound, Invalid):
            return ""
        return str(found["run_id"]) if found.get("lifecycle_stage") == "active" else ""

    def _made(self, head: _Head, told: Json) -> str:
        info, tags = told["info"], _tags(told.get("data", {}))
        first = {SOURCE: f"{self.source.name}/{head.run_id}", STATE: RUNNING}
        if parent := self._runs.get(head.parent):
            first[PARENT] = parent
        body = {
            "experiment_id": self._experiments[head.experiment_id],
            "run_name": info.get("run_name") or tags.get(RUN_NAME, ""),
            "user_id": info.get("user_id", ""),
            "start_time": int(info.get("start_time") or 0),
            "tags": [{"key": key, "value": value} for key, value in first.items()],
        }
        return str(self.target.post("runs/create", body, again=False)["run"]["info"]["run_id"])

    def _pairs(self, what: str, mine: str, told: Json, before: Json) -> None:
        """Parameters and tags that are not there yet, one by one where the target refuses some."""
        data, there = told.get("data", {}), before.get("data", {})
        tags = {key: value for key, value in _tags(data).items() if key not in {*OURS, PARENT, RUN_NAME}}
        for field_, wanted, known in (
            ("params", _tags(data, "params"), _tags(there, "params")),
            ("tags", tags, _tags(there)),
        ):
            missing = [{"key": key, "value": value} for key, value in wanted.items() if known.get(key) != value]
            for some in _batches(missing, PAIRS):
                try:
                    self.target.post("runs/log-batch", {"run_id": mine, field_: some})
                except Invalid:
                    for each in some:
                        with self._failing(f"{what}, {field_[:-1]} {each['key'][:80]}"):
                            self.target.post("runs/log-batch", {"run_id": mine, field_: [each]})

    def _metrics(self, what: str, mine: str, told: Json, before: Json) -> None:
        there = {metric["key"] for metric in before.get("data", {}).get("metrics", [])}
        waiting: list[dict[str, Any]] = []
        for key in sorted({metric["key"] for metric in told.get("data", {}).get("metrics", [])}):
            with self._failing(f"{what}, metric {key[:80]}"):
                known = {_point(each) for each in self._history(self.target, mine, key)} if key in there else set()
                for each in self._history(self.source, str(told["info"]["run_id"]), key):
                    if _point(each) not in known:
                        waiting.append(_metric(each))
                    if len(waiting) == POINTS:
                        self._log(what, mine, waiting)
                        waiting = []
        self._log(what, mine, waiting)

    def _log(self, what: str, mine: str, points: Sequence[Json]) -> None:
        if not points:
            return
        with self._failing(f"{what}, {len(points)} points from {points[0]['key'][:80]} on"):
            self.target.post("runs/log-batch", {"run_id": mine, "metrics": points})
            self.report.points += len(points)
            self._say()

    def _history(self, server: Server, run_id: str, key: str) -> Iterator[Json]:
        asked: dict[str, Any] = {"run_id": run_id, "metric_key": key, "max_results": HISTORY_PAGE}
        return server.pages("metrics/get-history", "metrics", **asked)

    def _linked(self, mine: str, told: Json, before: Json) -> None:
        """Data sets that were noted, and which models went in and came out."""
        datasets = told.get("inputs", {}).get("dataset_inputs", [])
        there = {_digest(each) for each in before.get("inputs", {}).get("dataset_inputs", [])}
        new = [each for each in datasets if _digest(each) not in there]
        if new:
            self.target.post("runs/log-inputs", {"run_id": mine, "datasets": new})
        for side, call in (("inputs", "log-inputs"), ("outputs", "outputs")):
            key = f"model_{side}"
            there = {each["model_id"] for each in before.get(side, {}).get(key, [])}
            models = [
                {**each, "model_id": self._models[each["model_id"]]}
                for each in told.get(side, {}).get(key, [])
                if self._models.get(each["model_id"], "") not in {"", *there}
            ]
            if models:
                self.target.post(f"runs/{call}", {"run_id": mine, "models": models})

    def _ended(self, mine: str, info: Json, *, is_complete: bool) -> None:
        """The state is said last: whoever finds it needs to look at nothing else."""
        body = {"run_id": mine, "status": info.get("status", "RUNNING")}
        if info.get("end_time"):
            body["end_time"] = int(info["end_time"])
        self.target.post("runs/update", body)
        if is_complete and info.get("status") in ENDED:
            self.target.post("runs/set-tag", {"run_id": mine, "key": STATE, "value": COMPLETE})

    def _logged_models(self, experiment_ids: Sequence[str]) -> dict[str, list[Json]]:
        """By the run that made them; those of no run stand under ''."""
        found: dict[str, list[Json]] = {}
        try:
            for model in self._models_of(self.source, experiment_ids):
                found.setdefault(str(model["info"].get("source_run_id") or ""), []).append(model)
        except NotFound:  # servers before MLflow 3
            return {}
        return found

    def _models_of(self, server: Server, experiment_ids: Sequence[str]) -> Iterator[Json]:
        for some in _batches(experiment_ids, PAIRS):
            asked = {"experiment_ids": some, "max_results": 50}
            yield from server.pages("logged-models/search", "models", method="POST", **asked)

    def _logged_model(self, told: Json) -> None:
        info = told["info"]
        origin = str(info["model_id"])
        mine, is_ready = self._model_copies.get(origin, ("", False))
        if not mine:
            source_run = self._runs.get(str(info.get("source_run_id") or ""), "")
            body = {
                "experiment_id": self._experiments[str(info["experiment_id"])],
                "name": info.get("name", ""),
                "model_type": info.get("model_type", ""),
                "params": told.get("data", {}).get("params", []),
                "tags": [
                    *(_pair(tag) for tag in info.get("tags", []) if tag["key"] not in OURS),
                    {"key": SOURCE, "value": f"{self.source.name}/{origin}"},
                ],
                **({"source_run_id": source_run} if source_run else {}),
            }
            mine = str(self.target.post("logged-models", body, again=False)["model"]["info"]["model_id"])
            self.report.logged_models += 1
        self._models[origin] = mine
        if is_ready:
            return
        failures = len(self.report.failed)
        if self._with_files:
            self._files(
                f"model {origin}", files.of_model(self.source, info, self.report.note), self._root_of_model(mine)
            )
        status = STATUS.get(str(info.get("status")), 0)
        if len(self.report.failed) == failures and status > 1:
            self.target.post(f"logged-models/{mine}", {"model_id": mine, "status": status}, method="PATCH")

    def _model_copy(self, told: Json) -> str:
        origin = str(told["info"]["model_id"])
        return self._model_copies.get(origin, (origin, True))[0]

    def _model_metrics(self, mine: str, told: Json) -> None:
        """MLflow ties some points to a model as well."""
        model = self._models.get(str(told["info"]["model_id"]), "")
        run = str(told["info"].get("source_run_id") or "")
        points = [
            {**_metric(each), "model_id": model}
            for each in told.get("data", {}).get("metrics", [])
            if str(each.get("run_id") or run) == run
        ]
        for some in _batches(points if model else [], POINTS):
            self.target.post("runs/log-batch", {"run_id": mine, "metrics": some})

    def _files(self, what: str, found: Iterable[File], root: str) -> None:
        """Those that are not there with the same size."""
        there: dict[str, dict[str, int | None]] = {}
        with self._failing(f"{what}, its files"):
            for file in found:
                folder = file.path.rpartition("/")[0]
                with self._failing(f"{what}, file {file.path[:200]}"):
                    if folder not in there:
                        there[folder] = self._there(f"{root}/{folder}".rstrip("/"))
                    name = file.path.rpartition("/")[2]
                    if file.size is not None and there[folder].get(name, -1) == file.size:
                        continue
                    self.report.bytes += self._put(f"{root}/{file.path}", file)
                    self.report.files += 1
                    self._say()

    def _there(self, folder: str) -> dict[str, int | None]:
        """Sizes by name of what lies in a folder of the target."""
        found = self.target.folder(folder)
        return {each["path"].rpartition("/")[2]: each["size"] for each in found if not each["is_dir"]}

    def _put(self, path: str, file: File) -> int:
        """How many bytes it has. One whose size the source does not tell is read first."""
        with file.open() as pieces:
            if file.size is not None:
                self.target.put(path, pieces, file.size)
                return file.size
            with TemporaryFile() as whole:
                for piece in pieces:
                    whole.write(piece)
                size = whole.tell()
                whole.seek(0)
                self.target.put(path, iter(partial(whole.read, PIECE), b""), size)
                return size

    def _root_of_run(self, mine: str) -> str:
        return _root(self.target.get("runs/get", run_id=mine)["run"]["info"].get("artifact_uri", ""))

    def _root_of_model(self, mine: str) -> str:
        return _root(self.target.get(f"logged-models/{mine}")["model"]["info"].get("artifact_uri", ""))

    def _registered(self, *, is_whole: bool) -> None:
        """Registered models: all of them, or those of the runs that were copied."""
        versions: dict[str, list[Json]] = {}
        for each in self.source.pages("model-versions/search", "model_versions", max_results=PAGE):
            ours = self._runs.get(str(each.get("run_id") or "")) or self._models.get(str(each.get("model_id") or ""))
            if is_whole or ours:
                versions.setdefault(str(each["name"]), []).append(each)
        for model in list(self.source.pages("registered-models/search", "registered_models", max_results=100)):
            name = str(model["name"])
            if PROMPT in _tags(model):
                self.report.note(f"'{name}' is a prompt, and prompts are not copied.")
            elif is_whole or name in versions:
                with self._failing(f"model {name}"):
                    self._registered_model(model, sorted(versions.get(name, []), key=lambda each: int(each["version"])))

    def _registered_model(self, model: Json, versions: Sequence[Json]) -> None:
        name = str(model["name"])
        try:
            there = self.target.get("registered-models/get", name=name)["registered_model"]
        except NotFound:
            body = {"name": name, "description": model.get("description", "")}
            body["tags"] = [_pair(tag) for tag in model.get("tags", []) if tag["key"] not in OURS]
            there = self.target.post("registered-models/create", body)["registered_model"]
        self.report.models += 1
        quote = '"' if "'" in name else "'"
        asked: dict[str, Any] = {"filter": f"name={quote}{name}{quote}", "max_results": PAGE}
        known = {}
        for each in self.target.pages("model-versions/search", "model_versions", **asked):
            if SOURCE in (tags := _tags(each)) and str(each["name"]) == name:
                known[tags[SOURCE]] = str(each["version"])
        numbers: dict[str, str] = {}
        for each in versions:
            origin = f"{self.source.name}/{name}/{each['version']}/{each.get('creation_timestamp', 0)}"
            mine = next((known[key] for key in known if key.partition("/")[2] == origin.partition("/")[2]), "")
            if mine:
                self.report.versions_skipped += 1
            else:
                with self._failing(f"model {name}, version {each['version']}"):
                    mine = self._version(each, origin)
                    self.report.versions_made += 1
            if mine:
                numbers[str(each["version"])] = mine
        for was, mine in numbers.items():
            if was != mine:
                self.report.note(f"Version {was} of model '{name}' is version {mine} here.")
        self._aliases(model, there, numbers)

    def _version(self, told: Json, origin: str) -> str:
        run, model = str(told.get("run_id") or ""), str(told.get("model_id") or "")
        source = self._source_of(str(told.get("source") or ""), run, model)
        body = {
            "name": told["name"],
            "source": source,
            "description": told.get("description", ""),
            "tags": [
                *(_pair(tag) for tag in told.get("tags", []) if tag["key"] not in OURS),
                {"key": SOURCE, "value": origin},
            ],
        }
        if run in self._runs:
            body["run_id"] = self._runs[run]
        if source.startswith("models:/"):
            body["model_id"] = source.removeprefix("models:/")
        made = self.target.post("model-versions/create", body, again=False)["model_version"]
        stage = str(told.get("current_stage") or "None")
        if stage != "None":
            which = {"name": told["name"], "version": made["version"], "archive_existing_versions": False}
            self.target.post("model-versions/transition-stage", {**which, "stage": stage})
        return str(made["version"])

    def _source_of(self, source: str, run: str, model: str) -> str:
        """Where the copy's files are: in the copies of its run or logged model."""
        named = source.removeprefix("models:/") if source.startswith("models:/m-") else model
        if named and named in self._models:
            return f"models:/{self._models[named]}"
        if run in self._runs:
            before = f"runs:/{run}/" if source.startswith("runs:") else f"/{run}/artifacts/"
            tail = source.rstrip("/").partition(before)[2]
            if tail:
                return f"mlflow-artifacts:/{self._root_of_run(self._runs[run])}/{tail}"
        if files.is_local(source) or source.startswith(("mlflow-artifacts:", "runs:", "models:")) or not source:
            raise Invalid(f"Its files ('{source[:200]}') are in no run that was copied.")
        return source

    def _aliases(self, model: Json, there: Json, numbers: Mapping[str, str]) -> None:
        """One that somebody has put on another version at the target stays where it is."""
        taken = {str(each["alias"]): str(each["version"]) for each in there.get("aliases", [])}
        for each in model.get("aliases", []):
            alias, mine = str(each["alias"]), numbers.get(str(each["version"]), "")
            if not mine or taken.get(alias) == mine:
                continue
            if alias in taken and taken[alias] not in numbers.values():
                self.report.note(f"'{alias}' of model '{model['name']}' stands on version {taken[alias]} already.")
                continue
            with self._failing(f"model {model['name']}, label {alias}"):
                self.target.post("registered-models/alias", {"name": model["name"], "alias": alias, "version": mine})

    def _sent(self) -> Sent:
        return {"points": self.report.points, "files": self.report.files, "models": self.report.logged_models}

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Notes what is refused and goes on; a server that is gone ends the copy."""
        try:
            yield
        except Unavailable:
            raise
        except (AtelierError, OSError) as error:
            self.report.fail(what, error)

    def _say(self) -> None:
        if time.monotonic() - self._said > SAY_SECONDS:
            self._said = time.monotonic()
            done = self.report
            self._tell(f"{self._done} of {self._whole} runs, {done.points:,} points, {done.files:,} files …")


def _parents_first(heads: Sequence[_Head]) -> list[_Head]:
    """The oldest first, but none before its parent."""
    waiting = {head.run_id: head for head in sorted(heads, key=lambda head: (head.start_time, head.run_id))}
    ordered: dict[str, _Head] = {}
    for head in waiting.values():
        line = [head]
        while (parent := waiting.get(line[-1].parent)) is not None and parent not in line:
            line.append(parent)
        ordered |= {each.run_id: each for each in reversed(line) if each.run_id not in ordered}
    return list(ordered.values())


def _tags(told: Json, key: str = "tags") -> dict[str, str]:
    return {str(each["key"]): str(each.get("value", "")) for each in told.get(key, [])}


def _pair(tag: Json) -> dict[str, str]:
    return {"key": str(tag["key"]), "value": str(tag.get("value", ""))}


def _metric(told: Json) -> dict[str, Any]:
    """NaN and infinities stay the words that MLflow writes."""
    kept = {key: told[key] for key in ("key", "value", "dataset_name", "dataset_digest") if key in told}
    return {"value": 0.0, **kept, "timestamp": int(told.get("timestamp", 0)), "step": int(told.get("step", 0))}


def _point(told: Json) -> Point:
    """As MLflow keeps one: infinities are its largest number, and zero has no sign."""
    value = float(told.get("value", 0.0))
    bounded = value if value != value else max(-LARGEST, min(LARGEST, value)) + 0.0
    return int(told.get("step", 0)), int(told.get("timestamp", 0)), repr(bounded)


def _digest(dataset: Json) -> tuple[str, str]:
    told = dataset.get("dataset", {})
    return str(told.get("name", "")), str(told.get("digest", ""))


def _root(uri: str) -> str:
    """Below which files are put. Raises EngineError where only a server's own clients could."""
    if root := files.served(uri):
        return root
    raise EngineError(
        "This server keeps files where only its clients reach them.",
        hint="Start it with --serve-artifacts, or leave files out with --no-artifacts.",
    )


def _batches(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
