"""Rollouts on the command line: from flags or a file, step by step, and back with one command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import delete

from services.store.serving import Deployment, Endpoint, Replica, Rollout
from tests.cli.conftest import Terminal
from tests.rolling import endpoint_of, opened

ROLLOUT = ("online-endpoint", "rollout")
SHOP = ("--name", "shop")


@pytest.fixture
def shop(terminal: Terminal) -> Iterator[Terminal]:
    stage = terminal.house.stage
    opened(stage, blue=100, green=0)
    yield terminal
    with stage.studio.database.session(write=True) as session:
        for table in (Endpoint, Deployment, Replica, Rollout):
            session.connection().execute(delete(table))


def traffic(terminal: Terminal) -> dict[str, int]:
    return endpoint_of(terminal.house.stage).traffic


def test_a_rollout_goes_from_its_start_to_its_end(shop: Terminal) -> None:
    row = shop.ok(*ROLLOUT, "start", *SHOP, "-d", "green", "--steps", "10, 50,100", "--bake-seconds", "60")
    assert (row["steps"], row["bake_seconds"], traffic(shop)) == ([10, 50, 100], 60, {"blue": 90, "green": 10})
    assert shop.ok(*ROLLOUT, "show", *SHOP) == shop.ok(*ROLLOUT, "show", *SHOP, "--id", row["id"]) == row
    assert shop.ok(*ROLLOUT, "promote", *SHOP)["percent"] == 50
    assert shop.ok(*ROLLOUT, "promote", *SHOP, "--full")["state"] == "Succeeded"
    assert [each["state"] for each in shop.ok(*ROLLOUT, "list", *SHOP)] == ["Succeeded"]
    assert shop.ok("online-endpoint", "rollback", *SHOP)["traffic"] == {"blue": 100, "green": 0}


def test_a_file_says_more_than_flags(shop: Terminal) -> None:
    written = "deployment: green\ntype: linear\npercent: 50\nalarms:\n  p95_ms: 300\n"
    Path("rollout.yml").write_text(written, encoding="utf-8")
    row = shop.ok(*ROLLOUT, "start", *SHOP, "-f", "rollout.yml", "--set", "alarms.window=5", "--percent", "25")
    assert row["steps"] == [25, 50, 75, 100]
    assert (row["alarms"]["p95_ms"], row["alarms"]["window"]) == (300, 5)
    assert shop.ok(*ROLLOUT, "cancel", *SHOP)["state"] == "Canceled"
    assert traffic(shop) == {"blue": 75, "green": 25}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("start", *SHOP), 2, "deployment"),
        (("start", *SHOP, "-d", "green", "--steps", "ten"), 2, "no percents"),
        (("start", *SHOP, "-d", "green", "--steps", "50,10"), 2, "rising percents"),
        (("start", *SHOP, "-d", "nobody"), 3, "no deployment 'nobody'"),
        (("start", "--name", "nowhere", "-d", "green"), 3, "'nowhere' was not found"),
        (("show", *SHOP), 3, "no rollout yet"),
        (("show", *SHOP, "--id", "x"), 3, "no such rollout"),
        (("cancel", *SHOP), 5, "No rollout is under way"),
    ],
)
def test_what_cannot_be_is_said(shop: Terminal, words: tuple[str, ...], code: int, says: str) -> None:
    said = shop.run(*ROLLOUT, *words)
    assert (said.code, says in said.err) == (code, True), said.err


def test_who_only_looks_rolls_nothing_back(shop: Terminal) -> None:
    shop.ok(*ROLLOUT, "start", *SHOP, "-d", "green")
    shop.sit("cleo")
    assert shop.run("online-endpoint", "rollback", *SHOP).code == 4
    assert shop.ok(*ROLLOUT, "show", *SHOP)["state"] == "Running"
