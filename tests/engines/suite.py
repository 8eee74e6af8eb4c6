"""The promises of `services/engines/containers.py`, as tests that every engine runs.

`Promises` are kept by all, the fake too; `RealPromises` by those that run real programs.
"""

import queue
import shlex
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.core.errors import AtelierError, Conflict, NotFound
from services.engines.containers import (
    INSTALL,
    BuildCanceled,
    BuildFailed,
    BuildWish,
    Container,
    Ended,
    Engine,
    Found,
    Mount,
    WorkingCopy,
)

ENTRY = Path(__file__).parents[2] / "services" / "runtime" / "entry.sh"
SECONDS = 60


@dataclass
class Bench:
    """An engine with an image that it can run, and folders that it may show."""

    engine: Engine
    home: Path
    image: str
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def name(self, short: str) -> str:
        """Names are unique on a whole engine, and tests run beside each other."""
        return f"{short}-{self.suffix}"

    def wish(self, script: str = "exit 0", name: str = "job-a-1", **fields: object) -> Container:
        labels = {"atelier.kind": "job", "atelier.name": "a", **fields.pop("labels", {})}  # type: ignore[dict-item]
        made = Container(name=self.name(name), image=self.image, command=["sh", "-c", script], labels=labels)
        return Container(**{**vars(made), **fields})  # type: ignore[arg-type]

    def started(self, script: str = "exit 0", **fields: object) -> str:
        id_ = self.engine.create(self.wish(script, **fields))
        self.engine.start(id_)
        return id_

    def ran(self, script: str, **fields: object) -> Found:
        return self.end_of(self.started(script, **fields))

    def end_of(self, id_: str) -> Found:
        self.until(lambda: self.engine.inspect(id_).status in {"exited", "dead"}, f"{id_} ends")
        return self.engine.inspect(id_)

    def folder(self, name: str) -> Path:
        path = self.home / "runs" / name
        path.mkdir(parents=True)
        return path

    def copy(self, snapshot: Path | None = None, *links: str) -> WorkingCopy:
        places = {name: self.folder(name) for name in links}
        return WorkingCopy(snapshot, self.folder("changes"), "/job/wd", places)

    @staticmethod
    def until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"it never came true: {what}"
            time.sleep(0.01)


class Promises:
    """A subclass brings the fixture `bench`."""

    def test_it_says_what_it_is(self, bench: Bench) -> None:
        info = bench.engine.info()
        assert info.kind == bench.engine.kind
        assert info.cpus >= 1
        assert info.memory > 1 << 20
        assert info.version

    def test_what_was_created_is_found_by_name_and_by_labels(self, bench: Bench) -> None:
        id_ = bench.engine.create(bench.wish(labels={"atelier.attempt": "1"}))
        found = bench.engine.inspect(bench.name("job-a-1"))
        assert (found.id, found.name, found.status, found.started_at) == (id_, bench.name("job-a-1"), "created", None)
        assert found.labels[INSTALL]
        assert [one.id for one in bench.engine.found({"atelier.attempt": "1"})] == [id_]
        assert bench.engine.found({"atelier.attempt": "2"}) == []

    def test_a_name_is_taken_once_and_the_first_is_adopted_by_its_labels(self, bench: Bench) -> None:
        first = bench.engine.create(bench.wish("exit 4", labels={"atelier.attempt": "1"}))
        with pytest.raises(Conflict):
            bench.engine.create(bench.wish("exit 5", labels={"atelier.attempt": "1"}))
        [adopted] = bench.engine.found({"atelier.attempt": "1", "atelier.kind": "job"})
        bench.engine.start(adopted.id)
        assert (adopted.id, bench.end_of(first).exit_code) == (first, 4)

    def test_what_is_not_there_is_not_found(self, bench: Bench) -> None:
        for ask in (bench.engine.inspect, bench.engine.start, bench.engine.sample):
            with pytest.raises(NotFound):
                ask("nobody")
        with pytest.raises(NotFound):
            bench.engine.stop("nobody", grace=1)

    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_the_exit_code_is_the_commands_own(self, bench: Bench, code: int) -> None:
        found = bench.ran(f"exit {code}")
        assert (found.status, found.exit_code, found.oom_killed) == ("exited", code, False)
        assert found.started_at
        assert found.finished_at
        assert found.started_at <= found.finished_at

    def test_starting_what_runs_changes_nothing(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        before = bench.engine.inspect(id_)
        bench.engine.start(id_)
        after = bench.engine.inspect(id_)
        assert (after.status, after.exit_code) == ("running", None)
        assert (after.started_at, after.pid) == (before.started_at, before.pid)

    def test_what_ended_is_never_run_again(self, bench: Bench) -> None:
        found = bench.ran("exit 3")
        bench.engine.start(found.id)
        again = bench.end_of(found.id)
        assert (again.exit_code, again.started_at) == (3, found.started_at)

    def test_a_running_one_is_stopped_by_term(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        bench.engine.stop(id_, grace=20)
        found = bench.engine.inspect(id_)
        assert (found.status, found.exit_code) == ("exited", 143)

    def test_stopping_what_does_not_run_changes_nothing(self, bench: Bench) -> None:
        ended = bench.ran("exit 2")
        bench.engine.stop(ended.id, grace=1)
        assert bench.engine.inspect(ended.id) == ended
        created = bench.engine.create(bench.wish(name="job-b-1"))
        bench.engine.stop(created, grace=1)
        assert bench.engine.inspect(created).started_at is None

    def test_removing_is_done_once_and_may_be_repeated(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        bench.engine.remove(id_)
        bench.engine.remove(id_)
        bench.engine.remove("nobody")
        assert bench.engine.found({}) == []
        bench.engine.create(bench.wish())

    def test_the_end_of_one_is_told(self, bench: Bench) -> None:
        heard: queue.Queue[Ended] = queue.Queue()
        threading.Thread(target=self._listen, args=(bench.engine, heard), daemon=True).start()
        ended: list[Ended] = []
        for number in range(200):  # the stream opens at some time: what ends after that is told
            bench.ran("exit 0", name=f"job-a-{number}", labels={"atelier.attempt": str(number)})
            try:
                ended.append(heard.get(timeout=0.1))
                break
            except queue.Empty:
                continue
        assert ended, "nothing was told"
        assert ended[0].name.startswith("job-a-")
        assert ended[0].labels["atelier.attempt"] == ended[0].name.split("-")[2]
        assert bench.engine.inspect(ended[0].id).name == ended[0].name

    def test_a_running_one_is_measured(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        sample = bench.engine.sample(id_)
        assert sample.memory > 0
        assert sample.cpu_seconds >= 0
        assert min(sample.network_in, sample.network_out, sample.disk_read, sample.disk_write) >= 0

    def test_the_end_of_a_replica_is_told_as_that_of_a_job_is(self, bench: Bench) -> None:
        heard: queue.Queue[Ended] = queue.Queue()
        threading.Thread(target=self._listen, args=(bench.engine, heard), daemon=True).start()
        for number in range(SECONDS * 10):
            bench.ran("exit 0", name=f"rep-{number}", labels={"atelier.kind": "replica"})
            try:
                told = heard.get(timeout=0.1)
                break
            except queue.Empty:
                continue
        assert told.name.startswith("rep-")
        assert told.labels["atelier.kind"] == "replica"

    def test_only_what_runs_and_listens_has_an_address(self, bench: Bench) -> None:
        silent = bench.started("sleep 600")
        with pytest.raises(NotFound):
            bench.engine.address(silent)
        ended = bench.ran("exit 0", name="rep-1", port=5001)
        with pytest.raises(NotFound):
            bench.engine.address(ended.id)
        with pytest.raises(NotFound):
            bench.engine.address("nobody")

    def test_an_image_is_built_once(self, bench: Bench, buildable: BuildWish, tmp_path: Path) -> None:
        log = tmp_path / "builds" / "one.log"
        assert bench.engine.image(buildable) is None
        built = bench.engine.build(buildable, log)
        assert bench.engine.image(buildable) is not None
        said = log.read_bytes()
        assert said
        again = bench.engine.build(buildable, log)
        assert (again.reference, again.digest, log.read_bytes()) == (built.reference, built.digest, said)

    def test_a_discarded_image_is_gone_and_may_be_discarded_again(
        self, bench: Bench, buildable: BuildWish, tmp_path: Path
    ) -> None:
        made = bench.engine.build(buildable, tmp_path / "log")
        bench.engine.discard("python:3.11")
        assert bench.engine.image(buildable) is not None
        for _ in range(2):
            bench.engine.discard(made.reference)
        assert bench.engine.image(buildable) is None

    def test_a_rebuild_is_a_build_although_the_image_is_there(
        self, bench: Bench, buildable: BuildWish, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        bench.engine.build(buildable, log)
        before = log.stat().st_size
        bench.engine.build(replace(buildable, anew=True), log)
        assert log.stat().st_size > before
        assert bench.engine.image(buildable) is not None

    def test_what_was_built_is_counted_until_it_is_discarded(
        self, bench: Bench, buildable: BuildWish, tmp_path: Path
    ) -> None:
        assert [each.reference for each in bench.engine.stored()] == []
        made = bench.engine.build(buildable, tmp_path / "log")
        (stored,) = bench.engine.stored()
        assert (stored.reference, stored.digest, stored.is_used) == (made.reference, made.digest, False)
        assert 0 < stored.size < 60_000_000, "what it stands on does not count"
        bench.engine.discard(made.reference)
        assert bench.engine.stored() == []

    def test_what_a_job_stands_on_is_not_discarded(self, bench: Bench, buildable: BuildWish, tmp_path: Path) -> None:
        made = bench.engine.build(buildable, tmp_path / "log")
        id_ = bench.engine.create(replace(bench.wish("sleep 600"), image=made.reference))
        bench.engine.start(id_)
        assert [each.is_used for each in bench.engine.stored()] == [True]
        bench.engine.discard(made.reference)
        assert bench.engine.image(buildable) is not None
        bench.engine.remove(id_)
        bench.engine.discard(made.reference)
        assert bench.engine.image(buildable) is None

    def test_what_is_installed_is_written_down(self, bench: Bench, buildable: BuildWish, tmp_path: Path) -> None:
        pinned = replace(buildable, requirements=("six==1.16.0",))
        made = bench.engine.build(pinned, tmp_path / "log")
        assert "six==1.16.0" in made.packages
        found = bench.engine.image(pinned)
        assert found is not None
        assert "six==1.16.0" in bench.engine.packages(found)

    def test_a_build_that_is_given_up_ends_and_leaves_nothing(
        self, bench: Bench, endless: BuildWish, tmp_path: Path
    ) -> None:
        told: list[BaseException] = []
        building = threading.Thread(target=self._built, args=(bench.engine, endless, tmp_path / "log", told))
        building.start()
        self.until_building(bench, endless, tmp_path / "log")
        bench.engine.abandon(endless.hash)
        building.join(timeout=SECONDS)
        assert [type(each) for each in told] == [BuildCanceled]
        assert bench.engine.image(endless) is None
        bench.engine.abandon(endless.hash)

    def until_building(self, bench: Bench, wish: BuildWish, log: Path) -> None:
        bench.until(lambda: log.is_file() and log.stat().st_size > 0, "the build has begun")

    @staticmethod
    def _built(engine: Engine, wish: BuildWish, log: Path, told: "list[BaseException]") -> None:
        try:
            engine.build(wish, log)
        except BuildCanceled as canceled:
            told.append(canceled)

    def test_sweeping_leaves_what_runs(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600", holder="lab/ada")
        bench.engine.sweep(["lab/ada"])
        assert bench.engine.inspect(id_).status == "running"

    @staticmethod
    def _listen(engine: Engine, heard: "queue.Queue[Ended]") -> None:
        try:
            for ended in engine.ended():
                heard.put(ended)
        except AtelierError:
            return


class RealPromises(Promises):
    """What only real programs can show."""

    @pytest.mark.parametrize("profile", ["compat", "strict"])
    def test_a_server_is_reached_at_its_address(self, bench: Bench, profile: str) -> None:
        serve = 'exec python3 -m http.server "$ATELIER_PORT"'
        ids = [bench.started(serve, name=f"rep-{number}", port=5001, profile=profile) for number in (1, 2)]
        addresses = [bench.engine.address(id_) for id_ in ids]
        assert len(set(addresses)) == 2
        for host, port in addresses:
            bench.until(lambda host=host, port=port: self.answers(host, port), "it listens")  # type: ignore[misc]

    @staticmethod
    def answers(host: str, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def test_a_command_that_is_not_there_says_so(self, bench: Bench) -> None:
        assert bench.ran("no-such-program").exit_code == 127
        assert bench.ran("/etc/passwd", name="job-b-1").exit_code == 126

    def test_a_signal_is_told_as_shells_do(self, bench: Bench) -> None:
        assert bench.ran("kill -SEGV $$").exit_code == 139

    def test_whoever_ignores_term_is_killed_after_the_grace(self, bench: Bench) -> None:
        out = bench.folder("out")
        id_ = bench.started(
            f"trap '' TERM; touch {self.seen(bench, out)}/ready; while :; do sleep 0.1; done", mounts=self.shown(out)
        )
        bench.until((out / "ready").exists, "it runs")
        bench.engine.stop(id_, grace=1)
        assert bench.engine.inspect(id_).exit_code == 137

    def test_term_reaches_every_program_of_a_job(self, bench: Bench) -> None:
        """The entry script's whole purpose: `a; b`, children, and those in sessions of their own."""
        out = bench.folder("out")
        seen = self.seen(bench, out)
        child = f"trap 'touch {seen}/$0-told; exit 0' TERM; touch {seen}/$0-runs; while :; do sleep 0.05; done"
        text = f"sh -c {shlex.quote(child)} one & setsid sh -c {shlex.quote(child)} two & wait; echo over"
        id_ = bench.engine.create(self.job(bench, text, out))
        bench.engine.start(id_)
        bench.until(lambda: {"one-runs", "two-runs"} <= self.names(out), "both run")
        bench.engine.stop(id_, grace=20)
        assert {"one-told", "two-told"} <= self.names(out)
        assert bench.engine.inspect(id_).status == "exited"

    def test_the_entry_script_keeps_the_code_and_the_log(self, bench: Bench) -> None:
        out = bench.folder("out")
        id_ = bench.engine.create(self.job(bench, "echo out; echo err >&2; printf 'no end'; exit 7", out))
        bench.engine.start(id_)
        assert bench.end_of(id_).exit_code == 7
        assert (out / "std_log.txt").read_text() == "out\nerr\nno end"
        assert [line.split()[1] for line in (out / "lifecycle").read_text().splitlines()] == ["started", "ended"]

    def test_variables_are_handed_in_and_ours_are_not(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ATELIER_SECRET_OF_OURS", "x")
        out = bench.folder("out")
        bench.ran(
            f"env >{self.seen(bench, out)}/env", environment={"GREETING": "a b\n$(id)'\""}, mounts=self.shown(out)
        )
        said = (out / "env").read_text()
        assert "GREETING=a b\n$(id)'\"\n" in said
        assert "ATELIER_SECRET_OF_OURS" not in said

    def test_the_working_copy_is_writable_and_the_snapshot_stays_as_it_was(self, bench: Bench) -> None:
        snapshot = bench.folder("snapshot")
        (snapshot / "src").mkdir()
        (snapshot / "src" / "train.py").write_text("original")
        (snapshot / "run.sh").write_text("#!/bin/sh\nexit 0\n")
        (snapshot / "run.sh").chmod(0o755)
        copy = bench.copy(snapshot)
        script = "set -e; ./run.sh; test $PWD = $1; echo mine >src/train.py; echo new >src/new; rm run.sh"
        found = bench.ran(script.replace("$1", bench.engine.seen_code(copy)), code=copy)
        assert found.exit_code == 0
        assert (snapshot / "src" / "train.py").read_text() == "original"
        assert (snapshot / "run.sh").exists()
        assert [path.name for path in (snapshot / "src").iterdir()] == ["train.py"]
        bench.engine.remove(found.id)
        assert [path.read_text() for path in copy.changes.rglob("new")] == ["new\n"]

    def test_a_job_without_code_starts_in_an_empty_folder(self, bench: Bench) -> None:
        copy = bench.copy(None, "outputs")
        assert bench.ran("ls -A >outputs/there && touch x", code=copy).exit_code == 0
        assert (copy.links["outputs"] / "there").read_text() == "outputs\n"

    def test_outputs_and_logs_lead_to_their_folders(self, bench: Bench) -> None:
        snapshot = bench.folder("snapshot")
        (snapshot / "outputs").mkdir()
        (snapshot / "outputs" / "old").write_text("of an earlier run")
        (snapshot / "logs").write_text("a file where a folder is due")
        copy = bench.copy(snapshot, "outputs", "logs")
        assert bench.ran("echo one >outputs/a && mkdir logs/deep && echo two >logs/deep/b", code=copy).exit_code == 0
        assert (copy.links["outputs"] / "a").read_text() == "one\n"
        assert (copy.links["logs"] / "deep" / "b").read_text() == "two\n"

    def test_what_a_job_writes_into_outputs_is_gone_from_no_place_after_removal(self, bench: Bench) -> None:
        copy = bench.copy(None, "outputs")
        found = bench.ran("echo kept >outputs/a", code=copy)
        bench.engine.remove(found.id)
        assert (copy.links["outputs"] / "a").read_text() == "kept\n"

    def test_read_only_inputs_list_in_order_at_every_level(self, bench: Bench) -> None:
        source, out = bench.folder("many"), bench.folder("out")
        names = [f"{number * 7919 % 1000:03}.txt" for number in range(300)]
        for folder in (source, source / "deep"):
            folder.mkdir(exist_ok=True)
            for name in names:
                (folder / name).write_text(name)
        mount = Mount(source, "/in/many", read_only=True, sorted=True)
        seen = bench.engine.seen(mount)
        script = f"cd {self.seen(bench, out)} && ls -U {seen} >top && ls -U {seen}/deep >deep && cat {seen}/deep/*>all"
        assert bench.ran(script, mounts=[mount, *self.shown(out)]).exit_code == 0
        assert (out / "top").read_text().split() == sorted([*names, "deep"])
        assert (out / "deep").read_text().split() == sorted(names)
        assert (out / "all").read_text() == "".join(sorted(names))

    def test_a_single_file_is_shown(self, bench: Bench) -> None:
        folder, out = bench.folder("one"), bench.folder("out")
        (folder / "a.csv").write_text("1,2")
        mount = Mount(folder / "a.csv", "/in/a.csv", read_only=True, sorted=True)
        assert (
            bench.ran(
                f"cp {bench.engine.seen(mount)} {self.seen(bench, out)}/got", mounts=[mount, *self.shown(out)]
            ).exit_code
            == 0
        )
        assert (out / "got").read_text() == "1,2"

    def test_another_engine_object_of_the_install_finds_and_stops_what_runs(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        later = self.again(bench)
        assert later.inspect(id_).status == "running"
        later.stop(id_, grace=20)
        assert bench.engine.inspect(id_).exit_code == 143

    def test_nothing_of_another_install_is_touched(self, bench: Bench) -> None:
        id_ = bench.started("sleep 600")
        stranger = self.stranger(bench)
        assert stranger.found({}) == []
        stranger.sweep([])
        try:
            stranger.remove(bench.name("job-a-1"))
        except AtelierError:
            pass
        assert bench.engine.inspect(id_).status == "running"

    def test_a_package_that_does_not_exist_fails_the_build_and_is_named(
        self, bench: Bench, broken: BuildWish, tmp_path: Path
    ) -> None:
        with pytest.raises(BuildFailed, match="no-such-package-as-this"):
            bench.engine.build(broken, tmp_path / "log")
        assert bench.engine.image(broken) is None

    def again(self, bench: Bench) -> Engine:
        raise NotImplementedError

    def stranger(self, bench: Bench) -> Engine:
        raise NotImplementedError

    @staticmethod
    def names(folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir()}

    @staticmethod
    def shown(out: Path) -> list[Mount]:
        return [Mount(out, "/out")]

    def seen(self, bench: Bench, out: Path) -> str:
        return bench.engine.seen(self.shown(out)[0])

    def job(self, bench: Bench, text: str, out: Path) -> Container:
        """A command below the entry script, with its files in `out`."""
        here = self.seen(bench, out)
        entry = out.parent / "entry.sh"
        entry.write_bytes(ENTRY.read_bytes())
        isolated = "0" if bench.engine.kind == "process" else "1"
        return bench.wish(
            command=["sh", "/studio/entry.sh", text],
            mounts=[*self.shown(out), Mount(entry, "/studio/entry.sh", read_only=True)],
            environment={
                "ATELIER_LOG": f"{here}/std_log.txt",
                "ATELIER_STAMP": f"{here}/lifecycle",
                "ATELIER_VARIABLES": f"{here}/none",
                "ATELIER_ISOLATED": isolated,
            },
        )
