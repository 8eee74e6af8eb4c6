"""Images: made from this host, built with packages, built from contexts; and why a build failed."""

import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services import environments
from services.core.errors import Invalid
from services.engines import bases, dockerfiles
from services.engines.containers import BuildCanceled, BuildFailed, BuildWish, Container, Image
from services.engines.docker import DockerEngine
from services.engines.docker.images import DEPTH, HELD, ON, OPTIONS
from services.engines.interpreters import Interpreter, choose, interpreters, left_out
from services.specs.environments import Environment
from tests.conftest import Stage

BASE = "atelier/python:3.11"
HERE = [one.version for one in interpreters()]


def said_in(engine: DockerEngine, image: str, script: str) -> str:
    """What a script prints in a container of the image."""
    id_ = engine.create(Container(name=f"look-{engine.install}", image=image, command=["sh", "-c", script], labels={}))
    try:
        engine.start(id_)
        engine.client.wait(id_)
        return str(engine.client.logs(id_).decode())
    finally:
        engine.remove(id_)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def context(home: Path, files: Mapping[str, str]) -> Path:
    folder = home / "workspaces" / "context"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class TestBases:
    @pytest.mark.docker
    @pytest.mark.slow
    @pytest.mark.parametrize("version", HERE or ["3.11"])
    def test_every_interpreter_of_this_host_becomes_an_image_that_works(
        self, docker_engine: DockerEngine, tmp_path: Path, version: str
    ) -> None:
        image = docker_engine.build(BuildWish(hash=version, base=f"atelier/python:{version}"), tmp_path / "log")
        script = (
            "import ssl, sqlite3, ctypes, zlib, bz2, lzma, hashlib, sys, decimal, uuid, readline, multiprocessing; "
            "import os, sysconfig; assert sysconfig.get_path('scripts') in os.environ['PATH'].split(':'); "
            "print('%d.%d' % sys.version_info[:2], len(ssl.create_default_context().get_ca_certs()) > 50)"
        )
        said = said_in(
            docker_engine,
            image.reference,
            f'python3 -c "{script}" && python -m pip --version >/dev/null && pip --version >/dev/null '
            "&& git --version && bash --version | head -1 && awk 'BEGIN{print 1}' && find / -xdev -perm /6000 -type f",
        )
        lines = said.splitlines()
        assert lines[0] == f"{version} True", said
        assert lines[1].startswith("git version")
        assert lines[2].startswith("GNU bash")
        assert lines[3:] == ["1"], "no program raises its rights"

    def test_nothing_private_of_the_host_is_in_it(self, tmp_path: Path) -> None:
        if not HERE:
            pytest.skip("no interpreter to make an image from")
        bases.write(choose("3.11-nearest", interpreters())[0], tmp_path / "base.tar")
        with tarfile.open(tmp_path / "base.tar") as tar:
            members = tar.getmembers()
        names = {member.name for member in members}
        assert not names & {"etc/shadow", "etc/hostname", "etc/hosts", "etc/machine-id", "etc/pip.conf"}
        assert not [name for name in names if name.startswith(("root/", "home/", "etc/ssh", "var/lib/dpkg/"))]
        assert not [member.name for member in members if member.mode & 0o6000 and member.isfile()]
        assert len(names) == len(members), "no name is there twice"

    def test_a_python_that_is_not_here_is_refused_naming_those_that_are(self) -> None:
        there = [Interpreter("3.9", Path("/a")), Interpreter("3.11", Path("/b"))]
        assert choose("3.9.18", there) == (there[0], "")
        with pytest.raises(BuildFailed, match=r"3\.8 was not found on this host.*There are 3\.9, 3\.11"):
            choose("3.8", there)
        with pytest.raises(BuildFailed, match=r"'slim'.*there are 3\.9, 3\.11"):
            choose("slim", there)

    def test_the_nearest_interpreter_is_taken_and_said_where_any_will_do(self) -> None:
        there = [Interpreter("3.9", Path("/a")), Interpreter("3.11", Path("/b")), Interpreter("3.13", Path("/c"))]
        assert choose("3.10-nearest", there)[0] == there[1]
        one, note = choose("3.99-nearest", there)
        assert one == there[-1]
        assert "3.99 is not on this host (there are 3.9, 3.11, 3.13); using 3.13" in note

    def test_a_base_may_be_named_with_its_key(self) -> None:
        assert choose("3.11-aee591b082ff78e8", [Interpreter("3.11", Path("/a"))])[1] == ""

    def test_what_is_for_other_pythons_is_said(self) -> None:
        wanted = ['pandas~=1.5.3; python_version < "3.12"', 'pandas; python_version >= "3.12"', "numpy"]
        assert left_out(wanted, "3.12") == ['Not for Python 3.12, left out: pandas~=1.5.3; python_version < "3.12"']
        assert left_out(wanted, "3.10") == ['Not for Python 3.10, left out: pandas; python_version >= "3.12"']

    @pytest.mark.docker
    def test_a_build_on_a_python_that_is_not_here_says_so(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        for wish in (
            BuildWish(hash="6" * 64, base="atelier/python:3.6"),
            BuildWish("7" * 64, BASE, ("six",), (), "3.6"),
        ):
            assert docker_engine.image(wish) is None
            with pytest.raises(BuildFailed, match=r"Python 3\.6 was not found"):
                docker_engine.build(wish, tmp_path / "log")


@pytest.mark.docker
class TestPackages:
    def test_a_python_without_packages_is_ready_under_the_same_wish(
        self, docker_engine: DockerEngine, tmp_path: Path
    ) -> None:
        other = next((version for version in HERE if version != "3.11"), None)
        if other is None:
            pytest.skip("only one interpreter here")
        wish = BuildWish(hash="p", base=BASE, python=other, conda="dependencies: [python]")
        built = docker_engine.build(wish, tmp_path / "log")
        assert docker_engine.image(wish) == Image(built.reference, built.digest, built.size)
        assert f":{other}-" in built.reference

    def test_what_is_built_holds_its_packages_and_no_trace_of_the_builder(
        self, docker_engine: DockerEngine, tmp_path: Path
    ) -> None:
        wish = BuildWish(hash="a" * 64, base=BASE, requirements=("six==1.16.0",), workspace="lab")
        image = docker_engine.build(wish, tmp_path / "log")
        assert "six==1.16.0" in image.packages
        said = said_in(
            docker_engine,
            image.reference,
            "python3 -c 'import six; print(six.__version__, six.__file__)'; ls -A /atelier /tmp; env; "
            "find / -xdev -name 'six*.pyc' | wc -l",
        )
        assert said.startswith("1.16.0 /usr/")
        assert said.endswith("1\n"), "compiled before it is used"
        assert said.splitlines()[1:4] == ["/atelier:", "", "/tmp:"], "nothing is left where it was built"
        assert "UV_" not in said
        facts = docker_engine.client.inspect_image(image.reference)
        config = facts["Config"]
        assert config["Cmd"] == ["python3"]
        assert not config["Entrypoint"]
        assert {name.partition("=")[0] for name in config["Env"]} == {"PATH", "LANG"}
        assert set(config["Labels"]) == {bases.LABEL, "atelier.environment", ON, OPTIONS, HELD, DEPTH}
        assert "six" not in str(config["Labels"])
        assert not config.get("Volumes")
        assert "UV_" not in str(facts)
        assert docker_engine.client.containers(all=True, filters={"name": docker_engine.install}) == []

    def test_one_package_more_is_added_to_what_is_there_and_a_rebuild_starts_anew(
        self, docker_engine: DockerEngine, tmp_path: Path
    ) -> None:
        first = docker_engine.build(
            BuildWish(hash="8" * 64, base=BASE, requirements=("six==1.16.0",)), tmp_path / "log"
        )
        more = BuildWish(hash="9" * 64, base=BASE, requirements=("pyjokes", "six==1.16.0"))
        made = docker_engine.build(more, tmp_path / "more")
        assert f"Adding to {first.reference}" in (tmp_path / "more").read_text()
        assert [each.partition("==")[0] for each in made.packages if "pip" not in each] == ["pyjokes", "six"]
        docker_engine.discard(first.reference)
        assert docker_engine.image(more) is not None
        assert "six" in said_in(docker_engine, made.reference, "python3 -c 'import six, pyjokes; print(six.__name__)'")
        docker_engine.build(replace(more, anew=True), tmp_path / "anew")
        assert "Adding to" not in (tmp_path / "anew").read_text()

    @pytest.mark.parametrize(
        ("requirements", "options"), [(("pyjokes",), ()), (("six", "pyjokes"), ("--pre",)), (("six==1.15.0",), ())]
    )
    def test_what_holds_other_packages_or_came_from_elsewhere_is_not_added_to(
        self, docker_engine: DockerEngine, tmp_path: Path, requirements: tuple[str, ...], options: tuple[str, ...]
    ) -> None:
        docker_engine.build(BuildWish(hash="8" * 64, base=BASE, requirements=("six",)), tmp_path / "log")
        docker_engine.build(BuildWish("9" * 64, BASE, requirements, options), tmp_path / "other")
        assert "Adding to" not in (tmp_path / "other").read_text()

    def test_two_who_want_the_same_wait_for_one_build(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        wish = BuildWish(hash="b" * 64, base=BASE, requirements=("six",))
        made: list[Image] = []
        threads = [
            threading.Thread(target=lambda: made.append(docker_engine.build(wish, tmp_path / "log"))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert len(made) == 2
        assert made[0].digest == made[1].digest
        assert (tmp_path / "log").read_text().count("six==") == 1

    def test_a_failing_build_names_the_line_and_a_remedy_and_leaves_nothing(
        self, docker_engine: DockerEngine, tmp_path: Path
    ) -> None:
        wish = BuildWish(hash="c" * 64, base=BASE, requirements=("six==99.99",))
        with pytest.raises(BuildFailed) as failed:
            docker_engine.build(wish, tmp_path / "log")
        assert "six==99.99" in str(failed.value)
        assert "Check its name and version" in str(failed.value)
        assert "six==99.99" in (tmp_path / "log").read_text()
        assert docker_engine.client.containers(all=True, filters={"name": docker_engine.install}) == []

    def test_an_earlier_failure_in_the_same_log_is_not_told_again(
        self, docker_engine: DockerEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "log").write_text("No space left on device\n")
        with pytest.raises(BuildFailed, match="does not exist for this Python"):
            docker_engine.build(BuildWish(hash="d" * 64, base=BASE, requirements=("six==99.99",)), tmp_path / "log")


@pytest.mark.docker
class TestContexts:
    FROMS: Mapping[str, str] = {"python:3.11-slim": BASE, "mcr.example/tools:1": BASE}

    def test_a_context_is_built_on_what_is_here(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        text = (
            "ARG TAG=3.11-slim\nFROM mcr.example/tools:1 AS tools\nRUN echo tool >/tool\n"
            "FROM python:${TAG}\nCOPY --from=tools /tool /tool\n"
            "COPY . /app\nRUN test ! -e /app/secret.env \\\n  && python3 -V\n"
        )
        folder = context(
            docker_engine.home,
            {"docker/Dockerfile": text, "app.py": "print(1)", "secret.env": "x", ".dockerignore": "*.env\n"},
        )
        wish = BuildWish(hash="e" * 64, base="", context=folder, dockerfile="docker/Dockerfile", froms=self.FROMS)
        image = docker_engine.build(wish, tmp_path / "log")
        assert said_in(docker_engine, image.reference, "cat /tool; python3 /app/app.py") == "tool\n1\n"
        assert "Python 3.11" in (tmp_path / "log").read_text()
        facts = docker_engine.client.inspect_image(image.reference)
        assert {name.partition("=")[0] for name in facts["Config"]["Env"]} == {"PATH", "LANG"}

    def test_a_step_that_fails_is_named(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        folder = context(docker_engine.home, {"Dockerfile": "FROM python:3.11-slim\nRUN echo so far >&2\nRUN exit 7\n"})
        with pytest.raises(BuildFailed, match=r"exit 7.*lines above it"):
            docker_engine.build(BuildWish(hash="f" * 64, base="", context=folder, froms=self.FROMS), tmp_path / "log")
        assert "so far" in (tmp_path / "log").read_text()
        assert "\x1b" not in (tmp_path / "log").read_text()

    def test_what_is_no_dockerfile_is_said(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        folder = context(docker_engine.home, {"Dockerfile": "FROM python:3.11-slim\nRUNN x\n"})
        with pytest.raises(BuildFailed, match=r"RUNN.*Correct the named line"):
            docker_engine.build(BuildWish(hash="0" * 64, base="", context=folder, froms=self.FROMS), tmp_path / "log")


@pytest.mark.docker
class TestGivenUp:
    def test_a_step_of_a_context_is_ended_with_its_build(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        folder = context(docker_engine.home, {"Dockerfile": "FROM python:3.11-slim\nRUN echo begun && sleep 3456\n"})
        wish = BuildWish(hash="3" * 64, base="", context=folder, froms={"python:3.11-slim": BASE})
        told: list[BaseException] = []

        def build() -> None:
            try:
                docker_engine.build(wish, tmp_path / "log")
            except BuildCanceled as canceled:
                told.append(canceled)

        thread = threading.Thread(target=build)
        thread.start()
        until(lambda: "begun" in _text(tmp_path / "log"))
        docker_engine.abandon(wish.hash)
        thread.join(timeout=60)
        assert len(told) == 1
        until(lambda: not [one for one in docker_engine.client.containers() if "sleep 3456" in one["Command"]])

    def test_what_a_dead_worker_left_building_is_taken_away(self, docker_engine: DockerEngine) -> None:
        name = f"atelier-build-{docker_engine.install}-{'4' * 32}"
        base = docker_engine.build(BuildWish(hash="b", base=BASE), docker_engine.home / "log")
        docker_engine.client.create_container(base.reference, command=["sleep", "600"], name=name)
        docker_engine.client.start(name)
        docker_engine.abandon("4" * 64)
        assert docker_engine.client.containers(all=True, filters={"name": name}) == []

    def test_a_rebuild_leaves_no_image_without_a_name(self, docker_engine: DockerEngine, tmp_path: Path) -> None:
        wish = BuildWish(hash="5" * 64, base=BASE, requirements=("six",))
        first = docker_engine.build(wish, tmp_path / "log")
        second = docker_engine.build(replace(wish, anew=True), tmp_path / "log")
        assert first.digest != second.digest
        assert first.digest not in {one["Id"] for one in docker_engine.client.images()}


class TestDockerfiles:
    def test_images_are_found_and_stages_are_not(self) -> None:
        text = (
            "# FROM comment\nARG BASE=python:3.10\nFROM --platform=linux/amd64 ${BASE} AS one\nFROM one AS two\n"
            "FROM scratch\n"
            "COPY --from=two /a /a\nCOPY --chown=1:1 --from=busybox:1 /b /b\nCOPY --from=0 /c /c\nfrom Debian:12 as X\n"
        )
        assert dockerfiles.images(text) == ["python:3.10", "busybox:1", "Debian:12"]

    def test_only_images_are_rewritten(self) -> None:
        text = "FROM a:1 AS build # a:1\nRUN echo FROM a:1\nFROM build\nCOPY --from=b:2 /x /b:2\n"
        assert dockerfiles.rewritten(text, {"a:1": "x/y:9", "b:2": "z"}) == (
            "FROM x/y:9 AS build # a:1\nRUN echo FROM a:1\nFROM build\nCOPY --from=z /x /b:2\n"
        )

    def test_a_from_of_nothing_is_refused(self) -> None:
        with pytest.raises(Invalid, match="names no image"):
            dockerfiles.images("FROM ${NEVER_SET}\n")


class TestWishes:
    def wish(self, stage: Stage, spec: Environment, files: Mapping[str, str] | None = None) -> BuildWish:

        with stage.scope() as scope:
            if files is None:
                row = environments.create(scope, spec)
            else:
                folder = stage.studio.folders.snapshot(stage.lab.id, "a" * 64)
                for name, text in files.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_text(text)
                row = environments.create(scope, spec, context="a" * 64)
            scope.session.flush()
            scope.session.expunge(row)
        return environments.wish(stage.studio, row)

    def test_a_conda_file_is_told_to_pip(self, lite: Stage) -> None:
        conda = {"dependencies": ["python=3.10", "numpy=1.26", "pip", {"pip": ["mlflow>=2", "--pre"]}]}
        wish = self.wish(lite, Environment(name="a", image="mcr.microsoft.com/azureml/x:1", conda_file=conda))
        assert (wish.base, wish.python) == ("atelier/python:3.10-nearest", "3.10")
        assert wish.requirements == ("numpy==1.26.*", "mlflow>=2")
        assert wish.pip_options == ("--pre",)
        assert "numpy=1.26" in (wish.conda or "")

    def test_the_images_of_a_context_pass_the_image_map(self, lite: Stage) -> None:
        spec = Environment.model_validate({"name": "b", "build": {"path": ".", "dockerfile_path": "d/Dockerfile"}})
        wish = self.wish(lite, spec, {"d/Dockerfile": "FROM mcr.microsoft.com/azureml/x:1\nFROM own:1\n"})
        assert dict(wish.froms) == {"mcr.microsoft.com/azureml/x:1": "atelier/python:3.10-nearest", "own:1": "own:1"}

    @pytest.mark.parametrize("path", ["Dockerfile", "../../../../../master.key", "/etc/passwd", "d"])
    def test_a_dockerfile_is_read_inside_of_its_context_only(self, lite: Stage, path: str) -> None:
        spec = Environment.model_validate({"name": "c", "build": {"path": ".", "dockerfile_path": path}})
        with pytest.raises((BuildFailed, Invalid)):
            self.wish(lite, spec, {"d/Dockerfile": "FROM x"})
