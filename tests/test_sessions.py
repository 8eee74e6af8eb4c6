"""Sessions and tokens: one-time links, cookies kept as hashes, job tokens that end with the run."""

from datetime import timedelta

import pytest
from sqlmodel import select

from services import sessions
from services.core.times import now
from services.store.rows import Principal, Session, Token
from tests.conftest import Stage


def test_the_first_start_makes_one_owner_with_a_private_token(lite: Stage):
    owner = sessions.ensure_owner(lite.studio)
    again = sessions.ensure_owner(lite.studio)
    path = lite.studio.folders.token
    bearer = sessions.of_bearer(lite.studio, path.read_text().strip())
    assert owner.id == again.id
    assert path.stat().st_mode & 0o777 == 0o600
    assert bearer is not None
    assert bearer.principal.id == owner.id


def test_a_lost_token_file_is_replaced(lite: Stage):
    sessions.ensure_owner(lite.studio)
    lite.studio.folders.token.write_text("garbage")
    sessions.ensure_owner(lite.studio)
    assert sessions.of_bearer(lite.studio, lite.studio.folders.token.read_text().strip()) is not None


def test_a_sign_in_link_works_once(stage: Stage):
    secret = sessions.issue_sign_in(stage.studio, stage.ben)
    cookie = sessions.sign_in(stage.studio, secret)
    assert cookie is not None
    alive = sessions.alive(stage.studio, sessions.sid(cookie))
    assert alive is not None
    assert alive.name == "ben"
    assert sessions.sign_in(stage.studio, secret) is None


def test_a_sign_in_token_is_no_bearer_and_an_api_token_no_link(stage: Stage):
    secret = sessions.issue_sign_in(stage.studio, stage.ben)
    assert sessions.of_bearer(stage.studio, secret) is None
    sessions.ensure_owner(stage.studio)
    assert sessions.sign_in(stage.studio, stage.studio.folders.token.read_text().strip()) is None


@pytest.mark.parametrize(
    "secret", ["", "atl", "atl__", "atl_x_y", "atl_" + "0" * 16 + "_" + "a" * 43, "ätl_ö_ü", "a" * 9999]
)
def test_nonsense_is_nobody(lite: Stage, secret: str):
    assert sessions.of_bearer(lite.studio, secret) is None
    assert sessions.sign_in(lite.studio, secret) is None


def test_signing_out_ends_the_session(stage: Stage):
    cookie = sessions.sign_in(stage.studio, sessions.issue_sign_in(stage.studio, stage.ben))
    assert cookie is not None
    sessions.sign_out(stage.studio, sessions.sid(cookie))
    assert sessions.alive(stage.studio, sessions.sid(cookie)) is None


def test_idle_and_old_sessions_and_disabled_people_are_out(stage: Stage):
    cookies = [sessions.sign_in(stage.studio, sessions.issue_sign_in(stage.studio, stage.ben)) or "" for _ in range(3)]
    idle, old, fresh = (sessions.sid(cookie) for cookie in cookies)
    with stage.studio.database.session(write=True) as session:
        session.get_one(Session, idle).seen_at = now() - sessions.IDLE - timedelta(seconds=1)
        session.get_one(Session, old).expires_at = now() - timedelta(seconds=1)
    assert [sessions.alive(stage.studio, sid) is not None for sid in (idle, old, fresh)] == [False, False, True]
    with stage.studio.database.session(write=True) as session:
        session.get_one(Principal, stage.ben.id).disabled_at = now()
    assert sessions.alive(stage.studio, fresh) is None


def test_a_job_token_is_bound_and_ends_with_the_run(stage: Stage):
    with stage.studio.database.session(write=True) as session:
        first = sessions.issue_job_token(session, principal_id=stage.ben.id, workspace_id=stage.lab.id, job_id="j1")
    with stage.studio.database.session(write=True) as session:
        second = sessions.issue_job_token(session, principal_id=stage.ben.id, workspace_id=stage.lab.id, job_id="j1")
    assert sessions.of_bearer(stage.studio, first) is None
    bearer = sessions.of_bearer(stage.studio, second)
    assert bearer is not None
    assert (bearer.kind, bearer.job_id, bearer.workspace_id) == ("job", "j1", stage.lab.id)
    with stage.studio.database.session(write=True) as session:
        sessions.revoke_job_tokens(session, "j1")
    assert sessions.of_bearer(stage.studio, second) is None


def test_no_secret_is_stored(stage: Stage):
    secret = sessions.issue_sign_in(stage.studio, stage.ben)
    cookie = sessions.sign_in(stage.studio, secret) or ""
    with stage.studio.database.session(write=False) as session:
        stored = repr([row.model_dump() for table in (Token, Session) for row in session.exec(select(table)).all()])
    assert secret.split("_", 2)[2] not in stored
    assert cookie not in stored
