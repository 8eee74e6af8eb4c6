"""Every screen opens: empty, lived in, for every role; and none shows a traceback."""

import pytest

from app.ui import nav
from tests.conftest import Stage
from tests.pages import seed
from tests.pages.conftest import Opened, said

NAMED = {
    "datastore": {"name": "workspaceblobstore"},
    "job": {"job": "quick_lemon_000002"},
    "experiment": {"experiment": "digits"},
    "environment": {"name": "train"},
    "component": {"name": "train"},
    "lineage": {"kind": "job", "id": "quick_lemon_000002"},
    "compare": {"before": "quick_lemon_000002", "after": "brave_otter_000003"},
}
WITHOUT = [name for name in nav.SCREENS if name not in NAMED]


@pytest.mark.parametrize("screen", WITHOUT)
def test_every_screen_opens_empty(opened: Opened, screen: str) -> None:
    test = opened(screen)
    assert not test.exception
    assert "This page could not be shown" not in said(test)


@pytest.mark.parametrize(
    "screen", ["jobs", "experiments", "components", "environments", "models", "lineage", "compare"]
)
def test_an_empty_list_says_what_to_do_and_how_on_the_command_line(opened: Opened, screen: str) -> None:
    words = said(opened(screen))
    assert "at-empty" in words
    assert "<code>atelier " in words


@pytest.mark.parametrize("screen", nav.SCREENS)
@pytest.mark.parametrize("who", ["ada", "ben", "cleo"])
def test_every_screen_opens_for_every_role(lived: Stage, opened: Opened, screen: str, who: str) -> None:
    test = opened(screen, getattr(lived, who), **NAMED.get(screen, {}))
    assert not test.exception
    assert "This page could not be shown" not in said(test)


@pytest.mark.parametrize("tab", ["overview", "metrics", "outputs", "code", "monitoring", "yaml"])
@pytest.mark.parametrize("job", ["brave_lemon_000000", "calm_lemon_000001", "quick_lemon_000002", "brave_otter_000003"])
def test_every_tab_of_a_job_opens_in_every_state(lived: Stage, opened: Opened, tab: str, job: str) -> None:
    test = opened("job", job=job, tab=tab)
    assert not test.exception
    assert "This page could not be shown" not in said(test)


def test_a_stranger_sees_no_workspace(lived: Stage, opened: Opened) -> None:
    words = said(opened("jobs", lived.dan))
    assert "does not allow" in words
    assert "train digits" not in words


def test_a_job_of_another_workspace_is_not_found(lived: Stage, opened: Opened) -> None:
    words = said(opened("job", job="no_such_job"))
    assert "was not found" in words
    assert "request " in words


def test_a_revoked_session_shows_nothing(lived: Stage, opened: Opened) -> None:
    test = opened("jobs")
    test.user["sid"] = "0" * 64
    test.run()
    words = said(test)
    assert "You are not signed in" in words
    assert "train digits" not in words


def test_a_reader_sees_the_buttons_disabled_with_the_reason(lived: Stage, opened: Opened) -> None:
    test = opened("new_job", lived.cleo)
    submit = next(button for button in test.button if button.label == "Submit")
    assert submit.disabled
    assert "jobs/write" in submit.help


def test_hostile_words_stay_text_on_every_screen(lived: Stage, opened: Opened) -> None:
    for screen, parameters in (
        ("home", {}),
        ("job", {"job": "brave_otter_000003"}),
        ("job", {"job": "brave_otter_000003", "tab": "outputs"}),
    ):
        test = opened(screen, **parameters)
        words = "\n".join(str(element.proto.body) for element in test.get("html"))
        assert "<img" not in words
        assert "<script" not in words
        assert "&lt;img src=x onerror=alert(1)&gt;" in words or "&lt;b&gt;x" in words


def test_banners_say_when_nobody_works_and_when_jobs_are_not_isolated(house: Stage, opened: Opened) -> None:
    assert "No worker is running" in said(opened("home"))
    with house.scope() as scope:
        seed.facts(scope, kind="process")
    words = said(opened("home"))
    assert "No worker is running" not in words
    assert "plain processes" in words
