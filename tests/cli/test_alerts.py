"""Alerts on the command line: set from a file, changed by flags, listed without what is secret in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import delete

from services.store.serving import Deployment, Endpoint, Replica
from tests.cli.conftest import Terminal
from tests.rolling import opened

ALERT = ("online-endpoint", "alert")
SHOP = ("--name", "shop")
WRITTEN = "name: Errors\non: error_rate\nthreshold: 5\nwebhook: https://hooks.example.com/T0/s3cret\n"


@pytest.fixture
def shop(terminal: Terminal) -> Iterator[Terminal]:
    stage = terminal.house.stage
    stage.studio.settings.allowed_url_hosts = "hooks.example.com"
    opened(stage, blue=100)
    yield terminal
    with stage.studio.database.session(write=True) as session:
        for table in (Endpoint, Deployment, Replica):
            session.connection().execute(delete(table))


def test_an_alert_is_set_changed_listed_and_taken_away(shop: Terminal) -> None:
    Path("alert.yml").write_text(WRITTEN, encoding="utf-8")
    (made,) = shop.ok(*ALERT, "set", *SHOP, "-f", "alert.yml")
    assert made["webhook"] == "https://hooks.example.com/…"
    shop.ok(*ALERT, "set", *SHOP, "--alert-name", "errors", "--threshold", "2.5", "--window", "30")
    said = shop.run(*ALERT, "list", *SHOP, "-o", "json")
    assert [(each["name"], each["threshold"], each["window"]) for each in said.document] == [("errors", 2.5, 30)]
    assert "s3cret" not in said.out
    shop.ok(*ALERT, "delete", *SHOP, "--alert-name", "Errors")
    assert shop.ok(*ALERT, "list", *SHOP) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("set", *SHOP, "--on", "failed", "--mail", "a@b.c"), 2, "needs a name"),
        (("set", *SHOP, "--alert-name", "x", "--on", "failed"), 2, "nobody would be told"),
        (("set", *SHOP, "--alert-name", "x", "--on", "p95", "--mail", "a@b.c"), 2, "needs one"),
        (("set", *SHOP, "--alert-name", "x", "--on", "failed", "--mail", "a@b.c"), 2, "ATELIER_SMTP_URL"),
        (("delete", *SHOP, "--alert-name", "x"), 3, "no alert 'x'"),
    ],
)
def test_what_cannot_be_is_said(shop: Terminal, words: tuple[str, ...], code: int, says: str) -> None:
    said = shop.run(*ALERT, *words)
    assert (said.code, says in said.err) == (code, True), said.err
