"""What is special where jobs are plain processes: they outlive the worker, keep to themselves and are told apart."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.core.errors import Invalid
from services.engines.containers import BuildWish, ImageNotFound, Mount
from services.engines.processes import MARK, ProcessEngine
from tests.engines.suite import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    engine = ProcessEngine(install="here", home=tmp_path)
    yield Bench(engine, tmp_path, "/usr")
    for one in engine.found({}):
        engine.remove(one.id)


def test_it_says_that_nothing_is_isolated(bench: Bench) -> None:
    info = bench.engine.info()
    assert not info.isolates
    assert info.gateway is None
    assert any("without isolation" in warning for warning in info.warnings)


def test_nothing_of_the_studios_own_environment_reaches_a_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_TOKEN", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PYTHONPATH", "/canary")
    out = bench.folder("out")
    assert bench.ran(f"env >{out}/env").exit_code == 0
    assert "canary" not in (out / "env").read_text()
    known = {line.partition("=")[0] for line in (out / "env").read_text().splitlines()}
    assert {"PATH", "VIRTUAL_ENV", MARK} <= known


def test_what_a_job_is_told_is_for_its_owner_only(bench: Bench) -> None:
    bench.engine.create(bench.wish(environment={"API_KEY": "k"}))
    state = bench.home / "processes" / bench.name("job-a-1") / "state.json"
    assert state.stat().st_mode & 0o077 == 0
    assert json.loads(state.read_text())["environment"]["API_KEY"] == "k"


def test_a_number_that_another_program_was_given_is_not_the_job(bench: Bench) -> None:
    id_ = bench.started("sleep 600")
    engine = bench.engine
    found = engine.inspect(id_)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        (bench.home / "processes" / id_ / "pid").write_text(str(stranger.pid))
        assert engine.inspect(id_).status == "dead"
        engine.stop(id_, grace=5)
        assert stranger.poll() is None, "another's program is left alone"
        assert found.pid is not None
        bench.until(lambda: not psutil.pid_exists(found.pid or 0) or is_over(found.pid or 0), "the job's own is gone")
    finally:
        stranger.kill()
        stranger.wait()


def test_a_job_whose_shell_was_killed_is_dead_and_its_code_unknown(bench: Bench) -> None:
    id_ = bench.started("sleep 600")
    os.kill(bench.engine.inspect(id_).pid or 0, 9)
    bench.until(lambda: bench.engine.inspect(id_).status == "dead", "it is dead")
    assert bench.engine.inspect(id_).exit_code is None


def test_stopping_reaches_programs_that_left_the_session(bench: Bench) -> None:
    out = bench.folder("out")
    id_ = bench.started(f"setsid -f sh -c 'echo $$ >{out}/pid; exec sleep 600'; sleep 600")
    bench.until(lambda: (out / "pid").is_file() and (out / "pid").read_text().strip() != "", "it runs")
    pid = int((out / "pid").read_text())
    bench.engine.stop(id_, grace=5)
    assert is_over(pid)


def test_removing_kills_what_still_runs(bench: Bench) -> None:
    pid = bench.engine.inspect(bench.started("trap '' TERM; while :; do sleep 0.1; done")).pid or 0
    bench.engine.remove(bench.name("job-a-1"))
    bench.until(lambda: is_over(pid), "it is gone")
    assert not (bench.home / "processes" / bench.name("job-a-1")).exists()


def test_two_starts_at_once_run_it_once(bench: Bench) -> None:
    out = bench.folder("out")
    id_ = bench.engine.create(bench.wish(f"echo x >>{out}/ran; sleep 600"))
    both = threading.Barrier(2)

    def start() -> None:
        both.wait()
        ProcessEngine(install="here", home=bench.home).start(id_)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    bench.until((out / "ran").exists, "it runs")
    bench.engine.stop(id_, grace=5)
    assert (out / "ran").read_text() == "x\n"


def test_the_links_of_a_sorted_input_leave_with_the_job(bench: Bench) -> None:
    source = bench.folder("many")
    for number in range(100):
        (source / str(number * 7919 % 1000)).touch()
    mount = Mount(source, "/in/many", read_only=True, sorted=True)
    place = Path(bench.engine.seen(mount))
    assert place != source, "it needs no sorting: nothing was tried"
    id_ = bench.engine.create(bench.wish(mounts=[mount]))
    assert place.exists()
    bench.engine.remove(id_)
    assert not place.exists()
    assert len(list(source.iterdir())) == 100


@pytest.mark.parametrize("name", ["../escape", "/etc", "a/../../b"])
def test_a_name_stays_inside_of_the_home(bench: Bench, name: str) -> None:
    with pytest.raises(Invalid):
        bench.engine.create(bench.wish(name=name))


def test_what_only_containers_can_run_is_refused_with_a_way_out(bench: Bench, tmp_path: Path) -> None:
    for wish in (BuildWish(hash="a", base="ubuntu:22.04"), BuildWish(hash="b", base="", context=tmp_path)):
        assert bench.engine.image(wish) is None
        with pytest.raises(ImageNotFound, match="plain processes"):
            bench.engine.build(wish, tmp_path / "log")


def test_packages_are_seen_by_the_job_only(bench: Bench, tmp_path: Path) -> None:
    image = bench.engine.build(
        BuildWish(hash="c" * 64, base="atelier/python:3.11", requirements=("six==1.16.0",)), tmp_path / "log"
    )
    assert "six==1.16.0" in image.packages
    out = bench.folder("out")
    script = f"python -c 'import six, sys; print(six.__version__, sys.prefix)' >{out}/said"
    assert bench.ran(script, image=image.reference).exit_code == 0
    assert (out / "said").read_text() == f"1.16.0 {image.reference}\n"


def is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
