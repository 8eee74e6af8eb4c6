"""The screens of datastores: listed, registered by the form, looked into, tried; no screen repeats a secret."""

import base64
from pathlib import Path
from typing import Any, get_args

import pytest
from streamlit.testing.v1 import AppTest

from app.ui import datastorewords as words
from services import datastores, secrets
from services.specs import datastores as specs
from tests.conftest import Stage
from tests.pages.conftest import Opened, said

NEW, AGAIN = "act_New datastore", "act_Update authentication"
CLASSES = frozenset(specs.Credentials.__subclasses__())
KEY = base64.b64encode(b"canary" * 8).decode()


@pytest.fixture
def shelf(house: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An opened folder with files, registered as `shelf`."""
    place = tmp_path / "open" / "shelf"
    (place / "sub").mkdir(parents=True)
    (place / "a.txt").write_text("hello there")
    (place / "sub" / "<b>x.txt").write_text("inner")
    monkeypatch.setenv("ATELIER_DATA_ROOTS", str(tmp_path / "open"))
    house.studio.settings.data_roots = str(tmp_path / "open")
    register(house, {"name": "shelf", "type": "folder", "path": str(place)})
    return place


def register(house: Stage, value: dict[str, Any]) -> None:
    with house.scope() as scope:
        datastores.create(scope, specs.datastore(value))


def blob(house: Stage) -> None:
    register(
        house,
        {
            "name": "blob",
            "type": "azure_blob",
            "account_name": "acc",
            "container_name": "con",
            "endpoint": "http://127.0.0.1:9/acc",
            "credentials": {"account_key": KEY},
        },
    )


def typed(test: AppTest, **values: Any) -> AppTest:
    for key, value in values.items():
        kinds = (test.text_input, test.selectbox, test.toggle, test.text_area)
        found = next(element for kind in kinds for element in kind if element.key == key)
        found.set_value(value)
    return test


def pressed(test: AppTest, *keys: str) -> AppTest:
    """All at once: a dialog is drawn in the run in which it was asked for, and only then."""
    for key in keys:
        test.button(key=key).click()
    return test.run()


def asked(test: AppTest, opener: str, **chosen: str) -> AppTest:
    """The dialog that `opener` opens, with these choices made."""
    for key, value in chosen.items():
        test.session_state[key] = value
    return pressed(test, opener)


def test_the_form_has_fields_for_every_kind_and_every_way_to_sign_in():
    assert set(words.TYPES) == set(specs.KINDS) == set(words.PLACES) == set(words.DOORS)
    for type_, doors in words.DOORS.items():
        fields = specs.KINDS[type_].model_fields
        assert {field.name for field in words.PLACES[type_]} <= set(fields)
        credentials = fields["credentials"].annotation if "credentials" in fields else None
        for door in doors:
            names = {field.name for field in words.KEYS[door]}
            assert not names or any(
                names <= set(kind.model_fields) for kind in get_args(credentials) if kind in CLASSES
            )


def test_a_placeholder_is_registered_by_the_form(house: Stage, opened: Opened) -> None:
    test = asked(opened("datastores"), NEW, ds_type="azure_blob")
    typed(
        test,
        ds_name="blob",
        ds_azure_blob_account_name="acc",
        ds_azure_blob_container_name="con",
        ds_azure_blob_account_key_account_key=KEY,
    )
    pressed(test, NEW, "ds_create")
    assert not test.exception
    with house.scope() as scope:
        row = datastores.get(scope, "blob")
        assert KEY in secrets.reveal(scope, row.secret)
    assert KEY not in said(opened("datastores")) + said(opened("datastore", name="blob"))


def test_a_folder_is_registered_by_the_form_once_it_was_tried(house: Stage, shelf: Path, opened: Opened) -> None:
    test = asked(opened("datastores"), NEW)
    typed(test, ds_name="rack", ds_folder_path=str(shelf))
    pressed(test, NEW, "ds_create")
    with house.scope() as scope:
        assert datastores.get(scope, "rack").report["passed"]


def test_what_is_wrong_is_said_in_the_form_without_the_secret(house: Stage, opened: Opened) -> None:
    test = asked(opened("datastores"), NEW, ds_type="azure_blob")
    typed(test, ds_name="no name!", ds_azure_blob_account_key_account_key=KEY)
    pressed(test, NEW, "ds_create")
    words_ = said(test)
    assert "at-notice" in words_
    assert KEY not in words_


def test_other_credentials_are_put_in_by_the_form(house: Stage, opened: Opened) -> None:
    blob(house)
    test = asked(opened("datastore", name="blob"), AGAIN, auth_azure_blob_door="sas_token")
    typed(test, auth_azure_blob_sas_token_sas_token="sv=1&sig=new")
    pressed(test, AGAIN, "auth_update")
    with house.scope() as scope:
        row = datastores.get(scope, "blob")
        assert "sig=new" in secrets.reveal(scope, row.secret)
    assert "SAS token" in said(opened("datastore", name="blob"))


@pytest.mark.parametrize("tab", ["overview", "browse", "uses"])
@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_every_tab_opens_for_every_role(house: Stage, shelf: Path, opened: Opened, tab: str, who: str) -> None:
    test = opened("datastore", getattr(house, who), name="shelf", tab=tab)
    assert not test.exception
    assert "This page could not be shown" not in said(test)


def test_a_folder_is_looked_into(house: Stage, shelf: Path, opened: Opened) -> None:
    assert "a.txt" in said(opened("datastore", name="shelf", tab="browse"))
    inside = said(opened("datastore", name="shelf", tab="browse", path="sub"))
    assert "&lt;b&gt;x.txt" in inside
    assert "<b>x" not in inside
    assert "hello there" in said(opened("datastore", name="shelf", tab="browse", file="a.txt"))
    assert "not a path inside" in said(opened("datastore", name="shelf", tab="browse", path="../.."))


def test_one_that_does_not_answer_says_so_by_name(house: Stage, opened: Opened) -> None:
    blob(house)
    for tab in ("browse", "overview"):
        test = opened("datastore", name="blob", tab=tab)
        assert not test.exception
        assert KEY not in said(test)
        assert tab == "overview" or "&#x27;blob&#x27; does not answer" in said(test)


def test_a_test_is_run_and_its_report_shown(house: Stage, shelf: Path, opened: Opened) -> None:
    test = opened("datastore", name="shelf")
    assert "has not been tested" in said(test)
    pressed(test, "act_Test connection")
    shown = said(opened("datastore", name="shelf"))
    assert all(name in shown for name in ("range read", "large file", "clock skew"))


def test_the_default_is_set(house: Stage, shelf: Path, opened: Opened) -> None:
    pressed(opened("datastore", name="shelf"), "act_Set as default")
    with house.scope() as scope:
        assert datastores.default(scope.session, scope.workspace_id).name == "shelf"


def test_a_reader_sees_the_buttons_disabled_with_the_reason(house: Stage, opened: Opened) -> None:
    test = opened("datastores", house.cleo)
    button = test.button(key=NEW)
    assert (button.disabled, "datastores/write" in button.help) == (True, True)
