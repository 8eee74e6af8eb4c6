"""The studio opened on a home of its own, and screens run as a person of the cast would run them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.ui import nav
from services import sessions
from services.store.rows import Principal
from tests.conftest import Stage, make_stage
from tests.pages import seed

MAIN = str(nav.ROOT / "app" / "main.py")
Opened = Callable[..., AppTest]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """An empty workspace `lab`; the screens use the same home."""
    home = tmp_path / "home"
    monkeypatch.setenv("ATELIER_HOME", str(home))
    st.cache_resource.clear()
    stage = make_stage(home)
    yield stage
    st.cache_resource.clear()
    stage.studio.close()


@pytest.fixture
def lived(house: Stage) -> Stage:
    """The same with sixty jobs in it, a worker and an engine."""
    with house.scope() as scope:
        made = seed.jobs(scope)
        seed.facts(scope)
        scope.session.flush()
        for job in made[:4]:
            seed.files(scope, job)
    return house


@pytest.fixture
def opened(house: Stage) -> Opened:
    """`opened("jobs", who=ben, status="Failed")`: the screen after its first run."""

    def run(screen: str, who: Principal | None = None, **parameters: str) -> AppTest:
        test = AppTest.from_file(MAIN, default_timeout=30)
        person = who or house.ada
        test.user["sid"] = cookie(house, person)
        test.user["name"] = person.name
        test.query_params.update({"ws": "lab"} | parameters)
        if screen != "home":
            test.switch_page(str(nav.SCREENS[screen].path))
        test.run()
        return test

    return run


def cookie(stage: Stage, person: Principal) -> str:
    """A session of that person, as the gate would name it."""
    secret = sessions.issue_sign_in(stage.studio, person)
    found = sessions.sign_in(stage.studio, secret)
    assert found is not None
    return sessions.sid(found)


def said(test: AppTest) -> str:
    """All text and HTML of a screen, for looking for words in it."""
    bodies = [str(element.proto.body) for element in test.get("html")]
    texts = [str(each.value) for kind in ("markdown", "caption", "text", "code") for each in test.get(kind)]
    return "\n".join(bodies + texts)
