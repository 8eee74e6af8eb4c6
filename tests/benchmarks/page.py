"""The comparison of 200 runs of 10,000 points in Chromium, ours and MLflow's own page side by side:

    python -m tests.benchmarks.page [--rounds 3] [--runs 200]

Seconds from the address to all lines drawn and the page's thread idle again; both after a first visit, so that
neither loads its programs for the first time. MLflow's database is analysed, which it never does itself.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import quote

from playwright.sync_api import BrowserContext, Error, sync_playwright

from services import sessions
from services.studio import mlflow_workspace
from tests.benchmarks.stack import answers, say, started, until
from tests.benchmarks.ten_thousand import CHARTED, Full, Size, charted, opened
from tests.conftest import free_port

PATIENCE = 600_000
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu"]
DRAWN = "count => document.querySelectorAll('.scatterlayer .trace').length >= count"
IDLE = "() => new Promise(done => requestIdleCallback(() => requestAnimationFrame(() => done(true))))"


def seconds(context: BrowserContext, address: str, lines: int) -> float:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    began = time.perf_counter()
    page.goto(address)
    try:
        page.wait_for_function(DRAWN, arg=lines)
        page.evaluate(IDLE)
        return time.perf_counter() - began
    except Error:
        page.screenshot(path="page-failed.png")
        raise
    finally:
        page.close()


def theirs(full: Full, runs: list[str]) -> str:
    origin = str(full.client.base_url).rstrip("/")
    said = {"runs": runs, "experiments": [full.experiment(CHARTED)], "plot_metric_keys": ["loss"]}
    query = "&".join(f"{name}={quote(json.dumps(value))}" for name, value in said.items())
    return f"{origin}/?workspace={mlflow_workspace(full.lab.id)}#/metric?{query}&metric=%22loss%22"


def ours(origin: str) -> str:
    where = "filter=" + quote("status = Completed") + "&sort=name&size=200&hidden=-"
    return f"{origin}/experiment?ws=lab&experiment={CHARTED}&show=dashboard&{where}"


def measured(rounds: int, count: int) -> None:
    size = Size()
    runs = charted(size)[:count]
    with opened(size) as full, sync_playwright() as play:
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        settings = {"ATELIER_HOME": str(full.home), "ATELIER_PORT": str(port)}
        with started([sys.executable, "-m", "app.server"], full.home / "web", **settings):
            until(lambda: answers(f"{origin}/healthz"), pause=0.2)
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            secret = sessions.issue_sign_in(full.studio, full.ada)
            page = context.new_page()
            page.goto(f"{origin}/auth/sign-in?token={secret}")
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{origin}/**")
            page.close()
            sides: dict[str, Callable[[], float]] = {
                "ours": lambda: seconds(context, ours(origin), count),
                "theirs": lambda: seconds(context, theirs(full, runs), count),
            }
            found: dict[str, list[float]] = {name: [] for name in sides}
            for side in sides.values():
                side()
            for _ in range(rounds):
                for name, side in sides.items():
                    found[name].append(side())
                    say(f"{name}: {found[name][-1]:.2f} s")
            middle = {name: statistics.median(each) for name, each in found.items()}
            print(f"PAGE {middle['ours']:.2f} s, MLflow's {middle['theirs']:.2f} s, {count} runs, n={rounds}")
            browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args()
    measured(asked.rounds, asked.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
