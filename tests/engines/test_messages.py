"""Messages: sent once and in time, never inside of the network unless an admin said so, never telling a secret."""

import socket

import pytest

from services.core.errors import EngineError, Invalid, Unavailable
from services.engines import messages
from tests.conftest import free_port
from tests.posted import hook, letterbox

BODY = {"text": "Ünïcode"}


def test_a_webhook_gets_the_body():
    with hook() as kept:
        messages.post(kept.url, BODY, allowed_hosts=["127.0.0.1"])
        assert (kept.got, kept.paths, kept.hosts) == ([BODY], ["/hook/s3cret?token=t0ken"], [kept.host])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://localhost/x",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.7/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[::127.0.0.1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[64:ff9b::a9fe:a9fe]/x",
        "http://[2002:7f00:1::]/x",
        "http://[fec0::1]/x",
        "http://224.0.0.1/x",
        "http://0/x",
        "http://0x7f.1/x",
        "http://user:pass@127.0.0.1/x",
        "http://good.example@127.0.0.1/x",
    ],
)
def test_nothing_is_sent_inside_of_the_network(url: str):
    with pytest.raises(Invalid, match="inside of the network") as refused:
        messages.post(url, BODY)
    assert "/x" not in str(refused.value)


def test_an_admin_opens_one_host_and_not_its_neighbour():
    with hook() as kept:
        messages.post(kept.url, BODY, allowed_hosts=[kept.host])
        with pytest.raises(Invalid):
            messages.post(kept.url, BODY, allowed_hosts=[f"127.0.0.1:{kept.port + 1}"])
        assert len(kept.got) == 1


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "http://[::1", "https://x:0/", "http://x:99999/", "file:///x"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(Invalid, match="not an http"):
        messages.post(url, BODY)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int):
    with hook(status) as kept, hook() as inside:
        kept.location = inside.url
        with pytest.raises(EngineError, match=f"answered {status}"):
            messages.post(kept.url, BODY, allowed_hosts=["127.0.0.1"])
        assert inside.got == []


@pytest.mark.parametrize(
    ("status", "kind"), [(400, EngineError), (404, EngineError), (429, Unavailable), (503, Unavailable)]
)
def test_a_refusal_says_its_status_and_no_secret(status: int, kind: type[EngineError]):
    with hook(status) as kept, pytest.raises(EngineError) as refused:
        messages.post(kept.url, BODY, allowed_hosts=["127.0.0.1"])
    assert type(refused.value) is kind
    assert refused.value.message == f"{kept.host} answered {status}."


def test_who_does_not_answer_in_time_is_given_up():
    with hook() as kept:
        kept.is_stalling = True
        with pytest.raises(Unavailable, match="did not answer") as refused:
            messages.post(kept.url, BODY, allowed_hosts=["127.0.0.1"], seconds=0.3)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_nobody_there_is_silence():
    with pytest.raises(Unavailable, match="did not answer"):
        messages.post(f"http://127.0.0.1:{free_port()}/s3cret", BODY, allowed_hosts=["127.0.0.1"])


def test_mail_arrives():
    with letterbox() as kept:
        messages.mail(kept.url, "studio@example.com", ["a@example.com", "b@example.com"], "Down\r\nBcc: x@y", "Ünïcode")
        letter = kept.letters[0]
    assert "rcpt TO:<a@example.com>" in kept.said
    assert "rcpt TO:<b@example.com>" in kept.said
    assert "Subject: Down Bcc: x@y" in letter.splitlines()
    assert "From: studio@example.com" in letter
    assert not any(line.startswith("Bcc") for line in letter.splitlines())


def test_mail_signs_in_with_what_the_url_says():
    with letterbox() as kept:
        url = f"smtp://post%40example.com:p%3Aw@127.0.0.1:{kept.port}"
        messages.mail(url, "", ["a@example.com"], "s", "t")
    assert any(line.startswith("AUTH PLAIN") for line in kept.said)
    assert "From: post@example.com" in kept.letters[0]


@pytest.mark.parametrize(
    ("refused", "kind", "says"),
    [
        ({"AUTH": "535 who are you"}, EngineError, "refused the mail \\(535\\)"),
        ({"MAIL": "451 later"}, Unavailable, "refused the mail \\(451\\)"),
        ({"RCPT": "550 nobody here"}, EngineError, "refused the recipients"),
    ],
)
def test_a_refused_mail_says_why(refused: dict[str, str], kind: type[EngineError], says: str):
    with letterbox(**refused) as kept:
        with pytest.raises(EngineError, match=says) as said:
            messages.mail(f"smtp://u:p4ss@127.0.0.1:{kept.port}", "a@b.c", ["a@example.com"], "s", "t")
        assert type(said.value) is kind
        assert "p4ss" not in str(said.value)


def test_a_server_without_tls_is_sent_no_password_where_tls_was_asked_for():
    with letterbox() as kept:
        with pytest.raises(Unavailable):
            messages.mail(f"smtp://u:p4ss@127.0.0.1:{kept.port}?starttls", "a@b.c", ["a@example.com"], "s", "t")
        assert not any(line.startswith("AUTH") for line in kept.said)


@pytest.mark.parametrize(
    "url", ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://x:99999", "smtp://[::1"]
)
def test_what_is_no_mail_server_is_refused(url: str):
    with pytest.raises(Invalid, match="ATELIER_SMTP_URL"):
        messages.mail(url, "a@b.c", ["a@example.com"], "s", "t")


def test_a_mail_server_that_is_silent_is_given_up():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(Unavailable, match="did not take the mail"):
            messages.mail(f"smtp://127.0.0.1:{mute.getsockname()[1]}", "a@b.c", ["a@b.c"], "s", "t", seconds=0.3)
