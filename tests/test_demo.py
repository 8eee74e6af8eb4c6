"""The README's first command: from nothing to a trained model, with its log and metrics shown; then all is stopped."""

import os
import subprocess
from pathlib import Path

import pytest

from services.engines.docker import DockerEngine
from services.studio import Settings, Studio
from tests.conftest import forget_install, free_port

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_demo_trains_a_model_and_leaves_nothing_running(docker: None, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    environment |= {"ATELIER_HOME": str(home), "ATELIER_PORT": str(free_port())}
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo"), "--exit"], env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for words in ("Workspace: demo", "epoch  30: loss", "Status: Completed", "test_accuracy", "/job?ws=demo&job="):
        assert words in done.stdout, said
    assert "Jobs run in containers" in done.stderr
    assert "Stopped." in done.stderr
    assert not (home / "studio.json").exists()
    studio = Studio(Settings(home=home))
    forget_install(DockerEngine(install=studio.install, home=home))
    studio.close()
