"""Jobs as people submit them, run by the worker in real containers."""

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest

from services import artifacts, environments, jobs
from services.engines.containers import INSTALL, Container
from services.specs.environments import Environment
from tests.reconcile.conftest import Bench, eventually

pytestmark = pytest.mark.docker


def test_a_hello_leaves_its_log_its_files_and_nothing_on_the_engine(bench: Bench) -> None:
    job = bench.until(bench.submit("echo hello; echo trouble >&2; echo kept >outputs/a.txt; mkdir logs/x; >logs/x/b"))
    assert (job.status, job.exit_code, job.warning) == ("Completed", 0, "")
    assert bench.log(job.name) == "hello\ntrouble\n"
    assert bench.read(job.name, "outputs/a.txt") == b"kept\n"
    assert {"outputs/a.txt", "logs/x/b", "user_logs/std_log.txt"} <= set(bench.files(job.name))
    eventually(lambda: not bench.engine.found({"atelier.kind": "job"}), "the container is removed")
    eventually(lambda: not bench.stage.studio.folders.run(job.id).exists(), "its folder is removed")
    volumes = bench.engine.client.volumes(filters={"label": f"{INSTALL}={bench.stage.studio.install}"})  # type: ignore[attr-defined]
    assert not volumes["Volumes"]


def test_it_runs_in_a_writable_copy_of_its_code(bench: Bench) -> None:
    snapshot = bench.code({"src/go.sh": b"#!/bin/sh\necho from code\n", "data.txt": b"original"})
    command = "./src/go.sh && echo changed >data.txt && pwd && test -d outputs && python3 -c 'print(1)'"
    job = bench.until(bench.submit_with(snapshot, command))
    assert job.status == "Completed", job.message
    assert bench.log(job.name).splitlines() == ["from code", f"/mnt/azureml/cr/j/{job.id}/exe/wd", "1"]
    folder = bench.stage.studio.folders.snapshot(bench.stage.lab.id, snapshot)
    assert (folder / "data.txt").read_text() == "original"
    again = bench.until(bench.submit_with(snapshot, "cat data.txt"))
    assert bench.log(again.name) == "original"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("echo before; exit 3", 3, "before"),
        ("no-such-program --x", 127, "not found"),
        ("/etc/passwd", 126, "may not be executed"),
        ("kill -SEGV $$", 139, "139"),
        ("exit 137", 137, "137"),
    ],
)
def test_a_failing_command_says_how(bench: Bench, command: str, code: int, said: str) -> None:
    job = bench.until(bench.submit(command))
    assert (job.status, job.exit_code) == ("Failed", code)
    assert said in job.message or code == 137
    assert job.reason == ("KilledExternally" if code == 137 else "UserError")


def test_an_image_without_a_registry_fails_the_job_and_says_what_to_do(bench: Bench) -> None:
    job = bench.until(bench.submit("exit 0", environment={"image": "localhost:1/nobody/nothing:1"}), seconds=60)
    assert (job.status, job.reason) == ("Failed", "ImageNotFound")
    assert "localhost:1/nobody/nothing:1" in job.message


def test_a_time_limit_stops_it(bench: Bench) -> None:
    job = bench.until(bench.submit("echo on; sleep 600", limits={"timeout": 1}))
    assert (job.status, job.reason) == ("Failed", "Timeout")
    assert "limits.timeout = 1 s" in job.message
    assert bench.log(job.name).startswith("on\n")


def test_a_cancelled_job_may_put_its_things_in_order(bench: Bench) -> None:
    script = "import signal,time,sys\ndef end(*_):\n open('outputs/last','w').write('x'); sys.exit(9)\n"
    script += "signal.signal(signal.SIGTERM, end); print('ready', flush=True)\nwhile True: time.sleep(.1)"
    snapshot = bench.code({"wait.py": script.encode()})
    name = bench.submit_with(snapshot, "python3 wait.py; echo over")
    bench.until(name, "Running")
    eventually(lambda: "ready" in bench.log(name), "it listens")
    with bench.stage.scope() as scope:
        jobs.cancel(scope, name)
    job = bench.until(name)
    assert job.status == "Canceled"
    assert "Canceled by ada" in job.message
    assert "SIGTERM" in job.message
    assert bench.read(name, "outputs/last") == b"x"


def test_whoever_ignores_the_cancel_is_killed(bench: Bench) -> None:
    name = bench.submit("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    eventually(lambda: bench.job(name).status == "Running" and "ready" in bench.log(name), "it runs")
    with bench.stage.scope() as scope:
        jobs.cancel(scope, name)
    job = bench.until(name)
    assert (job.status, job.exit_code) == ("Canceled", 137)
    assert "SIGKILL" in job.message


def test_memory_beyond_the_limit_is_named(bench: Bench) -> None:
    eat = "python3 -c 'x = bytearray(300 << 20)'"
    job = bench.until(bench.submit(f"exec {eat}", resources={"memory": "64m"}))
    assert (job.status, job.reason) == ("Failed", "OutOfMemory")
    assert "0.0625 GiB limit" in job.message
    child = bench.until(bench.submit(f"{eat}; echo went on; exit 0", resources={"memory": "64m"}))
    assert child.status == "Completed"
    assert "killed for memory" in child.warning


def test_more_memory_than_the_engine_has_is_refused_before_it_starts(bench: Bench) -> None:
    job = bench.until(bench.submit("exit 0", resources={"memory": "900000g"}))
    assert job.status == "Failed"
    assert "GiB of memory" in job.message


def test_inputs_of_every_kind_are_there(bench: Bench, tmp_path: Path) -> None:
    folder = bench.store("raw/many")
    folder.mkdir(parents=True)
    names = [f"{number * 7919 % 100:02}.txt" for number in range(50)]
    for name in names:
        (folder / name).write_text(name)
    site = tmp_path / "site"
    site.mkdir()
    (site / "iris data.csv").write_text("1,2\n")
    with serving(site) as url:
        job = bench.until(
            bench.submit(
                "ls -U ${{inputs.many}} | head -3; cat ${{inputs.one}}; echo; cat '${{inputs.web}}'; "
                "touch ${{inputs.many}}/no && exit 9; touch ${{inputs.own}}/yes && ls -U ${{inputs.own}} | wc -l; "
                "echo ${{inputs.rate}} $AZUREML_INPUT_rate ${{inputs.where}}; "
                "test $AZURE_ML_INPUT_many = ${{inputs.many}}",
                inputs={
                    "many": {"path": "azureml://datastores/workspaceblobstore/paths/raw/many"},
                    "one": {
                        "type": "uri_file",
                        "path": "azureml://datastores/workspaceblobstore/paths/raw/many/03.txt",
                    },
                    "web": {"type": "uri_file", "path": f"{url}/iris%20data.csv"},
                    "own": {"path": "azureml://datastores/workspaceblobstore/paths/raw/many/", "mode": "download"},
                    "where": {"path": "azureml://datastores/workspaceblobstore/paths/raw/many", "mode": "direct"},
                    "rate": 0.25,
                },
            )
        )
    assert job.status == "Completed", job.message + bench.log(job.name)
    lines = bench.log(job.name).splitlines()
    assert lines[:5] == [*sorted(names)[:3], "03.txt", "1,2"]
    assert lines[-2:] == ["51", "0.25 0.25 azureml://datastores/workspaceblobstore/paths/raw/many"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_an_input_that_is_not_there_fails_the_job_by_name(bench: Bench) -> None:
    inputs = {"raw": {"path": "azureml://datastores/workspaceblobstore/paths/nowhere"}}
    job = bench.until(bench.submit("exit 0", inputs=inputs))
    assert (job.status, job.reason) == ("Failed", "InputNotFound")
    assert "'raw'" in job.message


def test_named_outputs_land_in_their_datastores(bench: Bench) -> None:
    blob = "azureml://datastores/workspaceblobstore/paths"
    job = bench.until(
        bench.submit(
            "echo 1 >${{outputs.plain}}/a; mkdir -p ${{outputs.late}}/deep; echo 2 >${{outputs.late}}/deep/b; "
            "echo 3 >${{outputs.file}}; echo 4 >$AZURE_ML_OUTPUT_there/d; test ! -e ${{outputs.file}}x",
            outputs={
                "plain": {},
                "late": {"mode": "upload"},
                "file": {"type": "uri_file", "path": f"{blob}/results/score.csv"},
                "there": {"path": f"{blob}/custom/${{{{name}}}}/"},
            },
        )
    )
    assert (job.status, job.warning) == ("Completed", ""), job.message
    default = bench.store(f"azureml/{job.name}")
    assert (default / "plain" / "a").read_text() == "1\n"
    assert (default / "late" / "deep" / "b").read_text() == "2\n"
    assert bench.store("results/score.csv").read_text() == "3\n"
    assert bench.store(f"custom/{job.name}/d").read_text() == "4\n"
    with bench.stage.scope(write=False) as scope:
        assert [file.path for file in artifacts.output(scope, job.name, "file")] == ["score.csv"]


def test_outputs_are_kept_when_the_job_fails(bench: Bench) -> None:
    job = bench.until(bench.submit("echo half >outputs/a; echo 1 >${{outputs.o}}/b; exit 1", outputs={"o": {}}))
    assert job.status == "Failed"
    assert bench.read(job.name, "outputs/a") == b"half\n"
    assert bench.store(f"azureml/{job.name}/o/b").read_text() == "1\n"


def test_a_job_sees_itself_as_the_cloud_shows_it(bench: Bench) -> None:
    variables = {"GREETING": "a 'b'\n$(id) é", "MLFLOW_RUN_ID": "another"}
    job = bench.until(
        bench.submit(
            'printf "%s|" "$GREETING" "$MLFLOW_RUN_ID" "$AZUREML_RUN_ID" "$MLFLOW_TRACKING_URI"; '
            'test -n "$MLFLOW_TRACKING_TOKEN" && getent hosts host.docker.internal >/dev/null && echo reached',
            environment_variables=variables,
        )
    )
    assert job.status == "Completed", bench.log(job.name)
    expected = f"a 'b'\n$(id) é|{job.name}|{job.name}|http://host.docker.internal:9/mlflow|reached\n"
    assert bench.log(job.name) == expected


def test_a_worker_that_stops_leaves_no_holder_that_nobody_needs(bench: Bench) -> None:
    bench.until(bench.submit("exit 0"))
    client, mine = bench.engine.client, {"label": f"{INSTALL}={bench.stage.studio.install}"}  # type: ignore[attr-defined]
    assert client.containers(filters=mine)
    bench.worker.stop()
    eventually(lambda: not client.containers(all=True, filters=mine), "the holder is gone")


def test_a_holder_that_somebody_removed_is_made_again(bench: Bench) -> None:
    assert bench.until(bench.submit("exit 0")).status == "Completed"
    client = bench.engine.client  # type: ignore[attr-defined]
    mine = {"label": [f"{INSTALL}={bench.stage.studio.install}", "atelier.kind=holder"]}
    [holder] = client.containers(filters=mine)
    client.remove_container(holder["Id"], force=True)
    assert bench.until(bench.submit("exit 0")).status == "Completed"


@pytest.mark.parametrize("harm", ["stop", "remove"])
def test_a_holder_that_goes_between_create_and_start_costs_nothing(bench: Bench, harm: str) -> None:
    client, create, harmed = bench.engine.client, bench.engine.create, []  # type: ignore[attr-defined]

    def unlucky(wish: Container) -> str:
        made = create(wish)
        if not harmed:
            [holder] = client.containers(
                filters={"label": [f"{INSTALL}={bench.engine.install}", "atelier.kind=holder"]}
            )
            client.stop(holder["Id"], timeout=0) if harm == "stop" else client.remove_container(
                holder["Id"], force=True
            )
            harmed.append(holder["Id"])
        return made

    bench.engine.create = unlucky  # type: ignore[method-assign]
    job = bench.until(bench.submit("echo once"))
    assert (job.status, bench.log(job.name)) == ("Completed", "once\n"), job.message
    assert harmed


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_a_job_without_rights_can_still_do_its_work(bench: Bench, profile: str) -> None:
    bench.stage.studio.settings.profile = profile  # type: ignore[assignment]
    snapshot = bench.code({"src/train.py": b"print('trained')", "notes.txt": b"old"})
    command = (
        "id -u; python3 src/train.py; echo new >>notes.txt; cat notes.txt; mkdir made; echo 1 >outputs/a; "
        "echo 2 >logs/b; echo 3 >${{outputs.plain}}/c; echo 4 >${{outputs.late}}/d"
    )
    job = bench.until(bench.submit_with(snapshot, command, outputs={"plain": {}, "late": {"mode": "upload"}}))
    assert job.status == "Completed", job.message + bench.log(job.name)
    user, *rest = bench.log(job.name).splitlines()
    assert user != "0"
    assert rest == ["trained", "oldnew"]
    assert bench.read(job.name, "outputs/a") == b"1\n"
    assert bench.store(f"azureml/{job.name}/plain/c").read_text() == "3\n"
    assert bench.store(f"azureml/{job.name}/late/d").read_text() == "4\n"


def test_a_wanted_package_is_there_and_built_once(bench: Bench) -> None:
    conda = {"dependencies": ["python=3.11", {"pip": ["six==1.16.0"]}]}
    with bench.stage.scope() as scope:
        environments.create(scope, Environment(name="six", image="python:3.11", conda_file=conda))
    first = bench.until(
        bench.submit("python3 -c 'import six; print(six.__version__)'", environment="azureml:six:1"), seconds=120
    )
    assert first.status == "Completed", first.message
    assert bench.log(first.name) == "1.16.0\n"
    assert "six" in bench.read(first.name, "system_logs/build_log.txt").decode()
    again = bench.until(bench.submit("exit 0", environment="azureml:six@latest"))
    assert again.status == "Completed"
    assert again.resolved["digest"] == first.resolved["digest"]


class serving:  # noqa: N801 (used as a context, like a function)
    """A web server of a folder on this host."""

    def __init__(self, folder: Path) -> None:
        quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
