"""No job, however it is written, gets more of the host than its profile allows (FAULTS C24).

Ten thousand jobs as people (and those who mean harm) write them go the worker's own way, up to the request that
Docker would get; only the wire to Docker is another.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from docker import APIClient
from docker.types import Mount as DockerMount
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.worker import Worker, engine_for
from services.core.errors import AtelierError, Invalid
from services.core.states import JobStatus
from services.engines import files
from services.engines.containers import Container
from services.engines.docker import DockerEngine, hardening
from services.reconcile import launch
from services.specs.jobs import CommandJob
from services.store.rows import Job, Workspace
from services.studio import SYSTEM
from tests.conftest import Stage

EXAMPLES = 10_000
ALLOWED_CAPABILITIES = {
    "compat": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    "standard": set(),
    "strict": set(),
}
MEMORY = 8 << 30


class Wire(requests.adapters.BaseAdapter):
    """Answers as Docker does when all is well, and keeps what it was asked to create."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        path = str(request.path_url)
        answer: dict[str, Any] = {"Id": "0" * 64, "Name": "x", "State": {"Running": True}}
        if "/containers/create" in path and "holder" not in path:
            self.created.append(json.loads(request.body or b"{}"))
        made = requests.Response()
        made.status_code = 204 if request.method == "DELETE" else 200
        made._content = json.dumps(answer).encode()
        made.url, made.request = str(request.url), request
        return made

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Road:
    """What a job passes on its way from the file to the engine."""

    stage: Stage
    engine: DockerEngine
    wire: Wire
    worker: Worker
    job: Job
    workspace: Workspace
    below: frozenset[Path]
    counts: dict[str, int] = field(default_factory=lambda: {"created": 0, "refused": 0})

    def drive(self, written: dict[str, Any], profile: str) -> dict[str, Any] | None:
        """The request that Docker would get; None when the job was refused before."""
        self.stage.studio.settings.profile = profile  # type: ignore[assignment]
        self.wire.created.clear()
        try:
            spec = CommandJob.model_validate(written)
            attempts = self.worker.jobs.attempts
            with self.stage.studio.scope(SYSTEM) as scope:
                inputs, outputs, _ = attempts._data(scope.session, self.job, spec, again=True)
            self.job.resolved = {"command": launch.command(spec, inputs, outputs)}
            wish = launch.container(
                self.stage.studio,
                self.engine,
                self.job,
                self.workspace,
                spec,
                image="python:3.11",
                memory=MEMORY,
                inputs=inputs,
                outputs=outputs,
                tracking=launch.Tracking("http://here/mlflow", "t", "e"),
            )
            self.engine.create(wish)
        except (AtelierError, ValueError):
            self.counts["refused"] += 1
            return None
        self.counts["created"] += 1
        [request] = self.wire.created
        return request


@pytest.fixture
def road(lite: Stage) -> Iterator[Road]:
    home = lite.studio.folders.home
    lite.studio.settings.engine = "docker"
    (home / "maps.yml").write_text(
        'urls: [{match: "https://all.example/", use: "/"}, {match: "https://etc.example/", use: "/etc"}]\n'
    )
    workspace = lite.lab
    store = lite.studio.folders.datastore(workspace.id, "workspaceblobstore")
    (store / "raw" / "deep").mkdir(parents=True)
    (store / "raw" / "a.csv").write_text("1")
    for name, target in {"root": "/", "key": f"{home}/master.key", "socket": "/var/run/docker.sock"}.items():
        (store / name).symlink_to(target)
    (home / "master.key").write_text("k")
    wire = Wire()
    client = APIClient(base_url="http://engine.example:2375", version="1.41")
    client.mount("http://engine.example:2375", wire)
    engine = engine_for(lite.studio)
    assert isinstance(engine, DockerEngine)
    engine._client = client
    job = Job(
        workspace_id=workspace.id, name="one", experiment_id="e", experiment_name="e", environment_id="e",
        display_name="one", spec={}, status=JobStatus.Starting, created_by="ada", container_name="job-one-1", attempt=1,
    )  # fmt: skip
    launch.folders(lite.studio, job)
    launch.fresh_copy(lite.studio, job)
    pip = [shown.source.resolve() for shown in launch.pip_settings.for_containers(home).mounts]
    farms = engine._farms("x").parent  # links of ours on tmpfs
    below = frozenset({home / "runs", store.parent, home / "runtime", farms, *pip})
    yield Road(lite, engine, wire, Worker(lite.studio, engine), job, workspace, below)
    shutil.rmtree(farms, ignore_errors=True)


words = st.sampled_from(
    [
        *"abc",
        "raw",
        "..",
        "privileged",
        "--privileged",
        "-v /:/host",
        "$(id)",
        "x;y",
        "a,b",
        "a:b",
        "/",
        "é",
        "host",
        "x\ny",
    ]
)
BLOB = "azureml://datastores/workspaceblobstore/paths"
places = st.one_of(
    st.sampled_from(
        [
            *("/", "/etc", "/etc/shadow", "/proc", "/proc/1/root", "/sys", "/dev", "/dev/sda", "/var/run/docker.sock"),
            *("file:///", "file:///etc", "file:///var/run/docker.sock", "../../..", "./data", "~/.ssh", "C:\\"),
            *("https://all.example/", "https://all.example/etc/passwd", "https://all.example/var/run/docker.sock"),
            *("https://all.example/proc/self/root", "https://etc.example/shadow", "https://etc.example/../root/.ssh"),
            *(
                "https://all.example/run/docker.sock",
                "https://all.example/dev/kmsg",
                "https://all.example/var/lib/docker",
            ),
            *(f"{BLOB}/root", f"{BLOB}/root/etc", f"{BLOB}/key", f"{BLOB}/socket", f"{BLOB}/raw/../../../.."),
            *(f"{BLOB}/raw", f"{BLOB}/raw/a.csv", f"{BLOB}/raw/deep", f"{BLOB}/", f"{BLOB}/new/${{{{name}}}}"),
            *("azureml://datastores/../paths/x", "azureml://datastores/nowhere/paths/x", f"{BLOB}/%2e%2e/x"),
        ]
    ),
    st.lists(words, min_size=1, max_size=4).map(lambda parts: f"{BLOB}/{'/'.join(parts)}"),
)
names = st.one_of(
    st.sampled_from(["a", "data_1", "x-y", "artifacts", "wd", "INPUT_a", "b", "..", "a/b"]),
    st.sampled_from(["a", "data", "é", ""]),
)
types = st.sampled_from(["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "bogus"])
inputs = st.one_of(
    st.sampled_from([1, 0.5, True, "text", "/", "--privileged"]),
    st.fixed_dictionaries(
        {"path": places},
        optional={
            "type": types,
            "mode": st.sampled_from(["ro_mount", "download", "direct", "rw_mount", "eval_mount", "bogus"]),
        },
    ),
)
outputs = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "type": types,
            "path": places,
            "mode": st.sampled_from(["rw_mount", "upload", "mount", "direct", "x"]),
        },
    ),
)
sizes = st.sampled_from(["2g", "64m", "2G", 8 << 20, "1", None, "512k", "1g", "9999999g", "-1"])
resources = st.fixed_dictionaries(
    {},
    optional={
        "shm_size": sizes,
        "memory": sizes,
        "cpus": st.sampled_from([0.5, 2, 1, 16, 1024, "2", 0, float("nan")]),
        "docker_args": st.sampled_from([None, "", "", "--privileged", "-v /:/host --pid=host"]),
        "instance_count": st.sampled_from([1, 1, 1, 2]),
        "properties": st.dictionaries(words, words, max_size=2),
    },
)
variables = st.dictionaries(
    st.sampled_from(["A", "PATH", "LD_PRELOAD", "DOCKER_HOST", "MLFLOW_RUN_ID", "TINI_KILL_PROCESS_GROUP"]),
    words,
    max_size=3,
)
extras = st.dictionaries(
    st.sampled_from(
        ["privileged", "devices", "cap_add", "network_mode", "HostConfig", "volumes", "services", "identity"]
    ),
    st.sampled_from([True, "host", {"x": {"port": 22}}, ["/dev/mem"], None]),
    max_size=1,
)
jobs = st.builds(
    lambda more, **job: {**job, **(more if len(str(more)) % 9 == 0 else {})},
    more=extras,
    command=st.sampled_from(
        ["echo", "rm -rf /", "mount /dev/sda /mnt", "echo $(id)", "$[[cat ${{inputs.a}}]]", "cat ${{inputs.a}}", "x\0"]
    ),
    environment=st.sampled_from([{"image": "python:3.11"}, "azureml:x:1"]),
    inputs=st.dictionaries(names, inputs, max_size=2),
    outputs=st.dictionaries(names, outputs, max_size=2),
    resources=resources,
    environment_variables=variables,
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_job_gets_more_of_the_host_than_its_profile_allows(road: Road) -> None:
    began = time.process_time()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(written=jobs, profile=st.sampled_from(["compat", "standard", "strict"]))
    def holds(written: dict[str, Any], profile: str) -> None:
        request = road.drive(written, profile)
        if request is not None:
            check(request, profile, road)

    holds()
    print(f"{road.counts} in {time.process_time() - began:.0f} s")
    assert sum(road.counts.values()) >= EXAMPLES
    assert road.counts["created"] >= EXAMPLES / 20, "most were refused: nothing was tried"


def check(request: dict[str, Any], profile: str, road: Road) -> None:
    host = request["HostConfig"]
    assert not host.get("Privileged")
    assert not host.get("AutoRemove")
    assert set(host.get("CapAdd") or ()) <= ALLOWED_CAPABILITIES[profile]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert 0 < host["PidsLimit"] <= 4096
    assert 0 < host["Memory"] <= MEMORY
    assert host["MemorySwap"] == host["Memory"]
    assert host["IpcMode"] == "private"
    for namespace in ("PidMode", "UTSMode", "UsernsMode", "CgroupnsMode", "CgroupParent", "Runtime"):
        assert not host.get(namespace), namespace
    for gate in ("Devices", "DeviceRequests", "DeviceCgroupRules", "PortBindings", "PublishAllPorts", "Binds", "VolumesFrom", "Sysctls", "GroupAdd", "Links"):  # fmt: skip  # noqa: E501
        assert not host.get(gate), gate
    assert host["NetworkMode"] == "none" if profile == "strict" else re.match(r"container:0{64}\Z", host["NetworkMode"])
    assert bool(host.get("ReadonlyRootfs")) == (profile == "strict")
    assert profile == "compat" or not request["User"].startswith(("0", "root"))
    assert request["WorkingDir"].startswith("/mnt/azureml/")
    for mount in host["Mounts"]:
        assert_harmless(mount, road)


def assert_harmless(mount: dict[str, Any], road: Road) -> None:
    assert re.match(r"/(mnt/azureml|studio|opt)/", mount["Target"]), mount
    assert ".." not in Path(mount["Target"]).parts
    if mount["Type"] == "volume":
        assert mount["Source"].endswith("-code")
        return
    source = Path(mount["Source"])
    assert source == source.resolve(), mount
    assert source.is_dir() or source.is_file(), mount
    above = {source, *source.parents}
    if above.isdisjoint(road.below):  # what an admin has opened in maps.yml, read only
        assert mount["ReadOnly"], mount
        assert road.stage.studio.folders.home not in above, mount
        assert above.isdisjoint(files.SYSTEM_FOLDERS), mount
        assert source != Path("/")


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/etc/passwd", "/proc", "/proc/self/root/etc", "/sys", "/dev/null", "/run", "/var/run", "/bin"],
)
def test_a_system_folder_is_never_shown_whatever_an_admin_has_opened(path: str) -> None:
    with pytest.raises(Invalid, match=r"system folder|neither"):
        hardening.checked_source(Path(path), [Path("/")])


def test_a_socket_is_never_shown(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(Invalid, match="neither"):
            hardening.checked_source(tmp_path / "s", [tmp_path])


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/usr")
    with pytest.raises(Invalid, match="outside"):
        hardening.checked_source(tmp_path / "out", [tmp_path])


def test_memory_and_processes_are_bounded_even_when_nobody_said_so() -> None:
    wish = Container(name="a", image="i", command=["x"], labels={})
    config = hardening.host_config(wish, list[DockerMount](), network="n", shares_network=False)
    assert config["pids_limit"] > 0
    assert not config["privileged"]
