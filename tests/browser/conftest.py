"""A real studio, a real browser: everything that a person does is done by clicking and typing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from services.core.errors import EngineError
from services.engines.docker import DockerEngine
from services.studio import Settings, Studio
from tests.conftest import forget_install, free_port

ROOT = Path(__file__).parents[2]
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Streamlit asks twice beside the page before it asks at the root: known, harmless, only on deep links.
DEEP_LINK = ("/_stcore/health", "/_stcore/host-config")
# Chromium drops requests whenever any container on this machine starts or ends: it sees a new network interface.
SHAKEN = ("net::ERR_NETWORK_CHANGED", "Failed to fetch dynamically imported module", "Unable to preload CSS")
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


@dataclass
class House:
    """The studio that runs: its address, its home, and the command line beside it."""

    url: str
    home: Path
    environment: dict[str, str]

    def cli(self, *words: str) -> str:
        command = [sys.executable, "-c", "from app.cli import main; main()", *words]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def sign_in_link(self) -> str:
        return str(json.loads(self.cli("status", "--sign-in", "-o", "json"))["sign_in"])

    def settings(self) -> Settings:
        return Settings(home=self.home)

    def web(self) -> psutil.Process:
        return psutil.Process(json.loads(self.cli("status", "-o", "json"))["processes"]["web"])

    def restart_web(self) -> None:
        """Kills the web process; the supervisor starts another."""
        old = self.web()
        old.send_signal(signal.SIGKILL)
        old.wait(30)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                if self.web().pid != old.pid:
                    return
            except (AssertionError, KeyError, psutil.NoSuchProcess):
                time.sleep(0.2)
        raise AssertionError("the web process did not come back")


@dataclass
class Watch:
    """What went wrong in a tab, as its developer tools would show it."""

    faults: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        where = urlsplit((message.location or {}).get("url", "")).path
        is_known = where.endswith(DEEP_LINK) or any(word in message.text for word in SHAKEN)
        if message.type == "error" and not is_known:
            self.faults.append(f"console: {message.text} ({where})")

    def response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        is_deep_link = response.status == 404 and path.endswith(DEEP_LINK) and path not in DEEP_LINK
        if response.status >= 400 and not is_deep_link:
            self.faults.append(f"{response.status}: {path}")

    def failed(self, request: Request) -> None:
        # What was left behind by going elsewhere, and what the browser itself gave up.
        if request.failure not in {"net::ERR_ABORTED", "net::ERR_NETWORK_CHANGED"}:
            self.faults.append(f"{request.failure}: {urlsplit(request.url).path}")

    def crashed(self, error: Exception) -> None:
        self.faults.append(f"script: {error}")

    def over(self, page: Page) -> None:
        page.on("console", self.console)
        page.on("response", self.response)
        page.on("requestfailed", self.failed)
        page.on("pageerror", self.crashed)


@pytest.fixture(scope="session")
def engine_word() -> str:
    try:
        DockerEngine(install="probe", home=Path("/nonexistent")).info()
    except EngineError:
        return "process"
    return "docker"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, engine_word: str) -> Iterator[House]:
    """`atelier up` on a home and a port of its own, with one workspace, `lab`."""
    home, port = tmp_path_factory.mktemp("house") / "home", free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATELIER_")}
    environment |= {"ATELIER_HOME": str(home), "ATELIER_ENGINE": engine_word, "ATELIER_WORKSPACE": "lab"}
    made = House(f"http://127.0.0.1:{port}", home, environment)
    made.cli("up", "--detach", "--no-browser", "--port", str(port))
    try:
        made.cli("workspace", "create", "--name", "lab")
        yield made
    finally:
        made.cli("down")
        if engine_word == "docker":
            studio = Studio(made.settings())
            engine = DockerEngine(install=studio.install, home=home)
            studio.close()
            forget_install(engine)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def signed_in(house: House, browser: Browser) -> Callable[[], BrowserContext]:
    """A fresh browser profile of a person who has just followed the sign-in link."""

    def new() -> BrowserContext:
        context = browser.new_context(base_url=house.url, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(house.sign_in_link())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{house.url}/**")
        page.close()
        return context

    return new


@pytest.fixture(scope="session")
def profile(signed_in: Callable[[], BrowserContext]) -> Iterator[BrowserContext]:
    context = signed_in()
    yield context
    context.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def page(profile: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A tab of the owner; at the end its console must be clean and no request may have failed."""
    opened = profile.new_page()
    watch.over(opened)
    yield opened
    opened.close()
    assert watch.faults == []


def settled(page: Page) -> None:
    """Until the page's script has run."""
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        " && document.querySelector('.at-title, .at-notice, .at-empty')"
    )


def visit(page: Page, address: str) -> None:
    page.goto(address)
    settled(page)


def title(page: Page, text: str) -> None:
    expect(page.locator("h1", has_text=text)).to_be_visible()


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row").filter(has_text=text)


def box(page: Page, label: str) -> Locator:
    """A field of a form; one that is being replaced is no textbox any more."""
    return page.get_by_role("textbox", name=label, exact=True)
