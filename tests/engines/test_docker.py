"""What only Docker promises: limits, networks, holders, profiles."""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import EngineError, Invalid, NotFound, Unavailable
from services.engines.containers import INSTALL, Container, Mount
from services.engines.docker import DockerEngine
from tests.engines.suite import Bench

pytestmark = pytest.mark.docker
IDENTITY = b"this is the studio"


@pytest.fixture
def bench(docker_engine: DockerEngine, python_image: str) -> Bench:
    return Bench(docker_engine, docker_engine.home, python_image)


@pytest.fixture
def door(docker_engine: DockerEngine) -> Iterator[str]:
    """The studio's door for jobs, on the address at which they reach this host."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(IDENTITY)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    gateway = docker_engine.info().gateway
    if gateway is None:
        pytest.skip("this engine has no address at which containers reach the host")
    server = http.server.ThreadingHTTPServer((gateway, 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://host.docker.internal:{server.server_port}/"
    server.shutdown()
    server.server_close()


def asks(url: str) -> str:
    return f"import urllib.request as r; print(r.urlopen('{url}', timeout=5).read().decode(), end='')"


@pytest.mark.parametrize("holder", ["lab/ada", None])
def test_a_job_reaches_the_studio_from_its_network(bench: Bench, door: str, holder: str | None) -> None:
    out = bench.folder("out")
    found = bench.ran(
        f'python3 -c "{asks(door)}" >/out/said', holder=holder, mounts=[Mount(out, "/out")], memory=256 << 20
    )
    assert found.exit_code == 0
    assert (out / "said").read_bytes() == IDENTITY


def test_a_strict_job_has_no_network_and_no_place_but_its_own(bench: Bench, door: str) -> None:
    out, copy = bench.folder("out"), bench.copy(None, "outputs")
    for folder in (out, copy.changes, *copy.links.values()):
        folder.chmod(0o777)
    script = (
        f'python3 -c "{asks(door)}" 2>/dev/null && echo reached; touch /usr/x 2>/dev/null && echo wrote; '
        "touch /tmp/x mine outputs/y && id -u && grep -c . /proc/net/route && grep CapEff /proc/self/status"
    )
    (copy.changes / "upper").mkdir(mode=0o777)
    (copy.changes / "upper").chmod(0o777)
    found = bench.ran(
        f"({script}) >/out/said", profile="strict", code=copy, holder="lab/ada", mounts=[Mount(out, "/out")]
    )
    assert found.exit_code == 0
    user, routes, capabilities = (out / "said").read_text().splitlines()
    assert user != "0"
    assert routes == "1"
    assert int(capabilities.split()[1], 16) == 0


@pytest.mark.parametrize(("profile", "bits"), [("compat", 0b11001011), ("standard", 0)])
def test_a_job_has_the_rights_of_its_profile_and_cannot_get_more(bench: Bench, profile: str, bits: int) -> None:
    out = bench.folder("out")
    out.chmod(0o777)
    bench.ran("cat /proc/self/status >/out/status", profile=profile, mounts=[Mount(out, "/out")])
    status = dict(line.split(":\t", 1) for line in (out / "status").read_text().splitlines())
    assert int(status["CapBnd"], 16) == bits
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_memory_beyond_the_limit_is_told_of_parent_and_child(bench: Bench) -> None:
    eat = "python3 -c 'x = bytearray(200 << 20)'"
    parent = bench.ran(f"exec {eat}", memory=32 << 20)
    assert (parent.exit_code, parent.oom_killed) == (137, True)
    child = bench.ran(f"{eat}; exit 0", name="job-b-1", memory=32 << 20)
    assert (child.exit_code, child.oom_killed) == (0, True)


def test_shared_memory_and_cores_are_as_wished(bench: Bench) -> None:
    id_ = bench.engine.create(bench.wish(shm_size=128 << 20, cpus=0.5, memory=64 << 20, pids=77))
    host = client_of(bench).inspect_container(id_)["HostConfig"]
    assert (host["ShmSize"], host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (
        128 << 20,
        500_000_000,
        64 << 20,
        77,
    )
    assert host["MemorySwap"] == host["Memory"]


def test_a_missing_image_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="nobody/nothing"):
        bench.engine.create(bench.wish(image="nobody/nothing:1"))
    assert bench.engine.found({}) == []


def test_a_folder_outside_is_refused_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    for source in (tmp_path / "elsewhere", Path("/etc"), bench.home, bench.home / "runs" / "absent"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        with pytest.raises(Invalid):
            bench.engine.create(bench.wish(mounts=[Mount(source, "/x")]))
    assert bench.engine.found({}) == []


def test_jobs_of_one_person_share_a_holder_and_others_do_not(bench: Bench) -> None:
    first = bench.started("sleep 600", holder="lab/ada")
    second = bench.started("sleep 600", name="job-b-1", holder="lab/ada")
    other = bench.started("sleep 600", name="job-c-1", holder="lab/ben")
    modes = [client_of(bench).inspect_container(id_)["HostConfig"]["NetworkMode"] for id_ in (first, second, other)]
    assert modes[0] == modes[1] != modes[2]


def test_a_holder_that_is_gone_or_stopped_is_made_again(bench: Bench) -> None:
    bench.ran("exit 0", holder="lab/ada")
    for number, harm in enumerate(("stop", "remove_container")):
        [holder] = holders(bench)
        getattr(client_of(bench), harm)(holder["Id"], **({"force": True} if harm != "stop" else {"timeout": 0}))
        assert bench.ran("exit 0", name=f"job-x-{number}", holder="lab/ada").exit_code == 0


def test_workers_that_need_the_same_holder_at_the_same_moment_get_the_same_one(bench: Bench) -> None:
    engines = [DockerEngine(install=bench.engine.install, home=bench.home) for _ in range(4)]  # type: ignore[attr-defined]
    for round_ in range(5):
        group, gate = f"lab/p{round_}", threading.Barrier(len(engines))

        def get(engine: DockerEngine, group: str = group, gate: threading.Barrier = gate) -> tuple[str, str]:
            gate.wait()
            return engine.networks.holder(group, bench.image), engine.networks.network(group)

        with ThreadPoolExecutor(len(engines)) as pool:
            got = list(pool.map(get, engines))
        assert len({holder for holder, _ in got}) == 1
        [network] = {network for _, network in got}
        assert len([row for row in client_of(bench).networks() if row["Name"] == network]) == 1


def test_a_second_network_of_the_same_name_keeps_no_job_from_starting(bench: Bench) -> None:
    client = client_of(bench)
    name = bench.engine.networks.network("lab/ada")  # type: ignore[attr-defined]
    labels = client.inspect_network(name)["Labels"]
    client.create_network(name, driver="bridge", labels=labels)
    assert bench.ran("exit 0", holder="lab/ada").exit_code == 0
    assert len([row for row in client.networks() if row["Name"] == name]) == 1


def test_a_holder_that_was_never_started_is_started_or_made_anew(bench: Bench) -> None:
    client = client_of(bench)
    bench.ran("exit 0", holder="lab/ada")
    [holder] = holders(bench)
    client.stop(holder["Id"], timeout=0)
    facts = client.inspect_container(holder["Id"])
    client.remove_container(holder["Id"], force=True)
    bench.engine.remove(bench.name("job-a-1"))
    name, network = facts["Name"].lstrip("/"), facts["HostConfig"]["NetworkMode"]
    client.create_container(
        bench.image,
        ["sleep", "600"],
        name=name,
        labels=facts["Config"]["Labels"],
        host_config=client.create_host_config(network_mode=network),
    )
    client.remove_network(network)
    assert bench.ran("exit 0", name="job-b-1", holder="lab/ada").exit_code == 0


def test_sweeping_takes_what_nobody_needs_and_leaves_the_rest(bench: Bench) -> None:
    bench.ran("exit 0", holder="lab/ada")
    bench.ran("exit 0", name="job-b-1", holder="lab/ben")
    for name in ("job-a-1", "job-b-1"):
        bench.engine.remove(bench.name(name))
    assert bench.engine.sweep(["lab/ben"]) == 2
    assert [one["Labels"]["atelier.name"] for one in holders(bench)] == ["lab/ben"]
    assert bench.engine.sweep([]) == 2
    mine = {"label": f"{INSTALL}={bench.engine.install}"}  # type: ignore[attr-defined]
    assert client_of(bench).networks(filters=mine) == []


def test_a_container_of_somebody_else_is_left_alone(bench: Bench) -> None:
    client = client_of(bench)
    made = client.create_container(bench.image, ["sleep", "600"], name=f"mine-{bench.engine.install}")  # type: ignore[attr-defined]
    try:
        for act in (bench.engine.start, bench.engine.remove, lambda id_: bench.engine.stop(id_, grace=1)):
            with pytest.raises(EngineError, match="not of this install"):
                act(made["Id"])
        assert client.inspect_container(made["Id"])["State"]["Status"] == "created"
    finally:
        client.remove_container(made["Id"], force=True)


def test_an_overlay_where_the_names_cannot_be_spelt_is_a_copy(bench: Bench) -> None:
    snapshot = bench.folder("snap,shot")
    (snapshot / "a").write_text("1")
    copy = bench.copy(snapshot, "outputs")
    assert bench.ran("cat a >outputs/b && echo 2 >a", code=copy).exit_code == 0
    assert (copy.links["outputs"] / "b").read_text() == "1"
    assert (snapshot / "a").read_text() == "1"


@pytest.mark.parametrize("by", ["us", "somebody else"])
def test_nothing_is_left_of_a_removed_job(bench: Bench, by: str) -> None:
    snapshot, many = bench.folder("snapshot"), bench.folder("many")
    for name in ("c", "a", "b", *(f"{number * 7919 % 1000}" for number in range(100))):
        (many / name).touch()
    found = bench.ran("ls", code=bench.copy(snapshot), mounts=[Mount(many, "/in", read_only=True, sorted=True)])
    engine = bench.engine
    assert isinstance(engine, DockerEngine)
    assert engine._farms(bench.name("job-a-1")).exists()
    if by == "somebody else":
        engine.client.remove_container(found.id, force=True)
    engine.remove(bench.name("job-a-1"))
    assert not engine._farms(bench.name("job-a-1")).exists()
    assert not client_of(bench).volumes(filters={"label": f"{INSTALL}={engine.install}"})["Volumes"]


def test_an_engine_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    engine = DockerEngine(install="x", home=tmp_path, host=f"unix://{tmp_path}/no.sock")
    wish = Container(name="a", image="b", command=["c"], labels={})
    for ask in (engine.info, lambda: engine.create(wish), lambda: engine.inspect("a"), lambda: engine.found({})):
        with pytest.raises(Unavailable):
            ask()
    with pytest.raises(Unavailable):
        next(engine.ended())


def client_of(bench: Bench) -> Any:
    assert isinstance(bench.engine, DockerEngine)
    return bench.engine.client


def holders(bench: Bench) -> list[dict[str, Any]]:
    mine = {"label": [f"{INSTALL}={bench.engine.install}", "atelier.kind=holder"]}  # type: ignore[attr-defined]
    return list(client_of(bench).containers(all=True, filters=mine))
