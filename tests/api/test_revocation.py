"""Tabs that are open when their person is signed out: they close, and their session does not live on by them."""

import threading
from collections.abc import Callable

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.auth import COOKIE
from app.sockets import REVOKED
from services import sessions
from services.core.times import now
from services.store.rows import Principal, Session
from tests.api.conftest import House, eventually


def tab(lab: House, name: str) -> ClientConnection:
    headers = {"Cookie": f"{COOKIE}={lab.cookie(name)}"}
    address = f"ws://127.0.0.1:{lab.port}/_stcore/stream"
    return connect(address, origin=lab.url, additional_headers=headers, proxy=None)  # type: ignore[arg-type]


def heard_to_the_end(connection: ClientConnection) -> tuple[int, str]:
    """The code that it was closed with, and where the last message sends the tab."""
    messages: list[str | bytes] = [b""]
    with pytest.raises(ConnectionClosed) as closed:
        messages.extend(connection)
    forward = ForwardMsg()
    forward.ParseFromString(bytes(messages[-1]))  # type: ignore[arg-type]
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, forward.auth_redirect.url


def grow_old(lab: House) -> None:
    with lab.stage.studio.database.session(write=True) as session:
        session.get_one(Session, sessions.sid(lab.cookies["cleo"])).seen_at = now() - sessions.IDLE


@pytest.mark.parametrize(
    "end",
    [lambda lab: lab.sign_out("cleo"), lambda lab: lab.disable("cleo"), grow_old],
    ids=["signed out", "disabled", "idle for too long"],
)
def test_an_idle_tab_closes_when_its_session_ends(lab: House, end: Callable[[House], None]):
    """Nothing is clicked in it: it is hung up all the same, and sent to the sign-in page."""
    with tab(lab, "cleo") as connection:
        end(lab)
        assert heard_to_the_end(connection) == (REVOKED, "/auth/sign-in")
    with lab.stage.studio.database.session(write=True) as session:
        session.get_one(Principal, lab.stage.cleo.id).disabled_at = None


def test_what_is_clicked_after_the_end_does_not_arrive(lab: House):
    with tab(lab, "cleo") as connection:
        lab.sign_out("cleo")
        eventually(lambda: is_hung_up(connection), "the tab is still connected")
        assert connection.close_code == REVOKED


def is_hung_up(connection: ClientConnection) -> bool:
    try:
        connection.send(b"")
        connection.recv(timeout=0.05)
    except TimeoutError:
        return False
    except ConnectionClosed:
        return True
    return False


def test_signing_out_in_one_tab_closes_the_others_of_that_browser_only(lab: House):
    with tab(lab, "ben") as staying, tab(lab, "cleo") as leaving:
        browser = lab.anonymous(Cookie=f"{COOKIE}={lab.cookies['cleo']}", Origin=lab.url)
        answer = browser.post("/auth/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/auth/sign-in?said=out")
        assert "Max-Age=0" in answer.headers["set-cookie"] or "expires=" in answer.headers["set-cookie"].lower()
        assert heard_to_the_end(leaving)[0] == REVOKED
        assert staying.ping().wait(30)
    eventually(lambda: browser.get("/_stcore/health").status_code == 401, "the cookie is still good")


def test_the_cookie_is_kept_from_scripts_and_other_sites(lab: House):
    secret = sessions.issue_sign_in(lab.stage.studio, lab.stage.cleo)
    answer = lab.anonymous(Origin=lab.url).post("/auth/sign-in", data={"token": secret, "next": "/jobs?ws=lab"})
    cookie = answer.headers["set-cookie"].lower()
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?ws=lab")
    assert all(word in cookie for word in ("httponly", "samesite=lax", "path=/"))
    again = lab.anonymous(Origin=lab.url).post("/auth/sign-in", data={"token": secret})
    assert (again.status_code, "set-cookie" in again.headers) == (401, False)


@pytest.mark.parametrize(
    "target",
    ["http://evil.example", "//evil.example", "/\\evil.example", "/nowhere", "javascript:alert(1)", "/jobs\r\nX: y",
     "http://[", "//[", "/jobs/../auth/sign-out", "///jobs", "https:/jobs", "/%2f/evil.example", "jobs"],
)  # fmt: skip
def test_signing_in_leads_to_pages_of_ours_only(lab: House, target: str):
    secret = sessions.issue_sign_in(lab.stage.studio, lab.stage.cleo)
    shown = lab.anonymous().get("/auth/sign-in", params={"next": target, "token": secret})
    assert shown.status_code == 200
    assert "evil" not in shown.text
    answer = lab.anonymous(Origin=lab.url).post("/auth/sign-in", data={"token": secret, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_link_that_is_only_looked_at_stays_good(lab: House):
    secret = sessions.issue_sign_in(lab.stage.studio, lab.stage.cleo)
    for _ in range(2):
        assert secret in lab.anonymous().get("/auth/sign-in", params={"token": secret}).text
    assert sessions.sign_in(lab.stage.studio, secret)


def test_what_is_shown_of_an_address_is_text(lab: House):
    page = lab.anonymous().get("/auth/sign-in", params={"token": '"><script>x</script>', "said": "<b>"}).text
    assert "<script>x" not in page
    assert "<b>" not in page


def test_a_sign_in_is_small(lab: House):
    answer = lab.anonymous(Origin=lab.url).post("/auth/sign-in", content=b"token=" + b"x" * 10_000)
    assert answer.status_code == 413


def test_a_token_is_spent_once_by_ten_at_once(lab: House):
    secret, cookies = sessions.issue_sign_in(lab.stage.studio, lab.stage.cleo), []
    spend = lambda: cookies.append(sessions.sign_in(lab.stage.studio, secret))  # noqa: E731
    threads = [threading.Thread(target=spend) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([cookie for cookie in cookies if cookie]) == 1
