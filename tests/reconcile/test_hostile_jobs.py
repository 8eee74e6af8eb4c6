"""Jobs that mean harm: what they leave is never followed, and what they are given is in no list."""

from pathlib import Path

import pytest

from services import jobs
from tests.reconcile.conftest import Bench, eventually

pytestmark = pytest.mark.docker


def test_what_a_hostile_job_leaves_is_never_followed(bench: Bench) -> None:
    leave = (
        "cd {0} && ln -s /etc/shadow shadow && ln -s /etc etc && mkfifo pipe && ln -s /dev/zero zero && "
        "mkdir -m 0 locked && ln -s ../../../../../token token && echo fine >fine && "
        "echo fine >'na me\n;$(id)' && mkdir closed && echo in >closed/in && chmod 0 closed/in && chmod 0 closed"
    )
    job = bench.until(
        bench.submit(
            f"({leave.format('outputs')}) && ({leave.format('${{outputs.late}}')})",
            outputs={"late": {"mode": "upload"}},
        )
    )
    assert job.status == "Completed", job.message + bench.log(job.name)
    taken = {path for path in bench.files(job.name) if path.startswith("outputs/")}
    assert {"outputs/fine", "outputs/na me\n;$(id)"} <= taken
    assert taken <= {"outputs/fine", "outputs/na me\n;$(id)", "outputs/closed/in"}
    late = bench.store(f"azureml/{job.name}/late")
    assert not [path for path in late.rglob("*") if path.is_symlink() or path.is_fifo()]
    assert (late / "fine").read_text() == "fine\n"
    for name in ("shadow", "etc", "pipe", "zero", "token"):
        assert name in job.warning or "more in" in job.warning


def test_a_link_in_a_datastore_opens_no_door_to_the_host(bench: Bench) -> None:
    """A job may write links where it has a datastore's folder; the next one must not be led by them."""
    blob = "azureml://datastores/workspaceblobstore/paths"
    home = bench.stage.studio.folders.home
    (home / "token").write_text("secret of the owner")
    first = bench.until(
        bench.submit(
            f"ln -s {home} ${{{{outputs.o}}}}/home; ln -s {home}/token ${{{{outputs.o}}}}/key; "
            "ln -s / ${{outputs.o}}/all",
            outputs={"o": {"path": f"{blob}/trap"}},
        )
    )
    assert first.status == "Completed"
    for path, kind in (("trap/key", "uri_file"), ("trap/home", "uri_folder"), ("trap/all/etc/shadow", "uri_file")):
        for mode in ("ro_mount", "download"):
            job = bench.until(
                bench.submit("cat ${{inputs.i}}*", inputs={"i": {"type": kind, "path": f"{blob}/{path}", "mode": mode}})
            )
            assert job.status == "Failed", (path, mode)
            assert "secret" not in bench.log(job.name)
    for mode in ("rw_mount", "upload"):
        job = bench.until(
            bench.submit(
                "echo pwned >${{outputs.o}}/pwned", outputs={"o": {"path": f"{blob}/trap/home/new", "mode": mode}}
            )
        )
        assert job.status == "Failed", mode
    assert not list(home.glob("**/pwned"))


def test_an_output_that_became_a_link_is_not_written_through(bench: Bench, tmp_path: Path) -> None:
    """The folder was real when the job began; another job changed it before this one ended."""
    outside = tmp_path / "outside"
    outside.mkdir()
    blob = "azureml://datastores/workspaceblobstore/paths"
    name = bench.submit(
        "cd ${{outputs.o}}; mkdir deep; echo x >deep/pwned; echo ready; "
        "while [ ! -e $OLDPWD/outputs/go ]; do sleep 0.05; done",
        outputs={"o": {"path": f"{blob}/shared", "mode": "upload"}},
    )
    eventually(lambda: bench.job(name).status == "Running" and "ready" in bench.log(name), "it runs")
    shared = bench.store("shared")
    shared.mkdir(parents=True, exist_ok=True)
    (shared / "deep").symlink_to(outside)
    (bench.stage.studio.folders.run(bench.job(name).id) / "outputs" / "go").touch()
    job = bench.until(name)
    assert not list(outside.iterdir())
    assert "deep" in job.warning


def test_secrets_are_in_nothing_that_the_engine_keeps(bench: Bench) -> None:
    name = bench.submit("echo ready; sleep 600", environment_variables={"API_KEY": "canary-4711"})
    bench.until(name, "Running")
    facts = bench.engine.client.inspect_container(bench.job(name).container_id)  # type: ignore[attr-defined]
    assert "canary-4711" not in str(facts)
    with bench.stage.scope() as scope:
        jobs.cancel(scope, name)
    bench.until(name)


@pytest.mark.parametrize("mode", ["ro_mount", "download"])
@pytest.mark.parametrize("folder", ["/", "/etc", "home", "above"])
def test_a_careless_map_shows_no_system_folder_and_nothing_of_the_studio(bench: Bench, folder: str, mode: str) -> None:
    home = bench.stage.studio.folders.home
    use = {"home": home, "above": home.parent}.get(folder, Path(folder))
    (home / "maps.yml").write_text(f'urls: [{{match: "https://all.example/", use: "{use}"}}]\n')
    job = bench.until(
        bench.submit("ls ${{inputs.i}}", inputs={"i": {"path": "https://all.example/", "mode": mode}}), seconds=60
    )
    assert job.status == "Failed"
    assert "system folder" in job.message or "of the studio itself" in job.message
    assert not list((home / "runs").glob("*/inputs/i/*"))
