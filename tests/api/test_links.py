"""Downloads: always attachments, by range, inside of the run only; signed links that end, and end with the right."""

import io
import os
import time
import zipfile
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest

from app import links
from tests.api.conftest import House

JOBS = "/api/v1/workspaces/lab/jobs"
CANARY = b"canary-of-the-host"
HOSTILE = {
    "outputs/page.html": b"<script>alert(1)</script>",
    "outputs/picture.svg": b"<svg onload=alert(1)>",
    "outputs/a\"b'\r\nSet-Cookie: x=1; é 🦊.txt": b"named to break a header",
    "outputs/empty.txt": b"",
}
LEADING_OUT = [
    "../../atelier.db", "../token", "outputs/../../../token", "/etc/passwd", "//etc/passwd", "outputs//../../../token",
    "..\\..\\token", "outputs\\..\\..\\..\\token", "....//....//token", "outputs/..;/..;/token", "file:///etc/passwd",
    "outputs/%2e%2e/%2e%2e/token", "%2e%2e%2f%2e%2e%2ftoken", "..%c0%af..%c0%aftoken", "outputs/./../../token",
    "outputs/page.html/../../../token", "outputs/link", "outputs/folder-link/token", "outputs/pipe", "outputs", "", ".",
    "changes/x", "named/model/x", "~/token", "outputs/page.html?x", "#",
]  # fmt: skip


def furnished(house: House) -> House:
    """A job whose outputs want to do harm, beside what they want."""
    job = house.job("j1")
    run = house.stage.studio.folders.run(job.id)
    for path, content in HOSTILE.items():
        house.write(job, path, content)
    house.stage.studio.folders.token.write_bytes(CANARY)
    (run / "outputs" / "link").symlink_to(house.stage.studio.folders.token)
    (run / "outputs" / "folder-link").symlink_to(house.stage.studio.folders.home)
    os.mkfifo(run / "outputs" / "pipe")
    for hidden in ("changes", "named/model"):
        (run / hidden).mkdir(parents=True)
        (run / hidden / "x").write_bytes(CANARY)
    return house


@pytest.fixture(scope="module")
def lab(shared: House) -> House:
    return furnished(shared)


@pytest.fixture
def fresh(house: House) -> House:
    """For what changes who may do what."""
    return furnished(house)


def encoded(path: str, times: int) -> str:
    for _ in range(times):
        path = quote(path, safe="")
    return path


@pytest.mark.parametrize("path", HOSTILE)
def test_what_a_job_wrote_is_downloaded_and_never_shown(lab: House, path: str):
    answers = [lab.browser("cleo").get("/files/artifact/lab/j1", params={"path": path})]
    if "\n" not in path:  # no route takes a line end
        answers.append(lab.bearer("cleo").get(f"{JOBS}/j1/files/{quote(path)}"))
    for answer in answers:
        assert (answer.status_code, answer.content) == (200, HOSTILE[path])
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("path", LEADING_OUT)
def test_no_path_leads_out_of_the_run(lab: House, path: str, times: int):
    """By every address that takes one, however often it is encoded."""
    shown, bearer, browser = encoded(path, times), lab.bearer("ada"), lab.browser("ada")
    answers = [
        bearer.get(f"{JOBS}/j1/files/{shown if times else path.strip()}"),
        bearer.get(f"{JOBS}/j1/outputs/model/files/{shown}"),
        bearer.get(f"{JOBS}/j1/outputs/{shown}/files/x"),
        bearer.get(f"{JOBS}/{shown}/log"),
        bearer.get(f"{JOBS}/j1/log?file={shown}"),
        bearer.post(f"{JOBS}/j1/links", json={"path": shown}),
        bearer.get(f"/api/v1/workspaces/{shown}/jobs"),
        bearer.get(f"/api/v1/workspaces/lab/environments/{shown}/versions/{shown}/build-log"),
        bearer.get(f"/api/v1/workspaces/lab/experiments/{shown}/runs"),
        browser.get(f"/files/artifact/lab/j1?path={shown}"),
        browser.get(f"/files/code/lab/j1?path={shown}"),
        browser.get(f"/files/output/lab/j1?name={shown}&path={shown}"),
        browser.get(f"/files/log/lab/{shown}"),
        browser.get(f"/files/log/lab/j1?file={shown}"),
        browser.get(f"/files/archive/lab/{shown}"),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.request.url
        assert CANARY not in answer.content, answer.request.url
        assert b"root:" not in answer.content, answer.request.url
        assert b"SQLite format" not in answer.content, answer.request.url
    assert all(answer.status_code >= 400 for answer in answers[9:12])


@pytest.mark.parametrize(
    ("wanted", "status", "content", "said"),
    [
        ("bytes=0-2", 206, b"one", "bytes 0-2/8"),
        ("bytes=4-", 206, b"two\n", "bytes 4-7/8"),
        ("bytes=-4", 206, b"two\n", "bytes 4-7/8"),
        ("bytes=-99", 200, b"one\ntwo\n", ""),
        ("bytes=6-99", 206, b"o\n", "bytes 6-7/8"),
        ("bytes=8-", 416, b"", "bytes */8"),
        ("bytes=-0", 416, b"", "bytes */8"),
        ("bytes=5-2", 416, b"", "bytes */8"),
        ("bytes=0-1,3-4", 200, b"one\ntwo\n", ""),
        ("bytes=" + ",".join(["0-"] * 5000), 200, b"one\ntwo\n", ""),
        ("bytes=" + "9" * 40 + "-", 200, b"one\ntwo\n", ""),
        ("lines=1-2", 200, b"one\ntwo\n", ""),
    ],
)
def test_a_range_is_one_piece_or_the_whole(lab: House, wanted: str, status: int, content: bytes, said: str):
    answer = lab.bearer("cleo").get(f"{JOBS}/j1/files/user_logs/std_log.txt", headers={"Range": wanted})
    assert (answer.status_code, answer.content, answer.headers.get("content-range", "")) == (status, content, said)


def test_an_archive_holds_the_regular_files_only(lab: House):
    odd = os.fsdecode(b"outputs/caf\xe9.txt")
    lab.write(lab.job("j2"), odd, b"no utf-8 in its name")
    for name, expected in (
        ("j1", {"user_logs/std_log.txt", *HOSTILE}),
        ("j2", {"user_logs/std_log.txt", "outputs/caf\ufffd.txt"}),
    ):
        answer = lab.browser("cleo").get(f"/files/archive/lab/{name}")
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}.zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert set(archive.namelist()) == expected
    listed = [each["path"] for each in lab.bearer("cleo").get(f"{JOBS}/j2/files").json()["value"]]
    assert listed == ["outputs/caf\ufffd.txt", "user_logs/std_log.txt"]
    assert lab.bearer("cleo").get(f"{JOBS}/j2/files/{quote(listed[0])}").content == b"no utf-8 in its name"


def link(house: House, who: str = "cleo", path: str = "user_logs/std_log.txt") -> str:
    answer = house.bearer(who).post(f"{JOBS}/j1/links", json={"path": path})
    assert answer.status_code == 201, answer.json()
    url: str = answer.json()["url"]
    return url


def opened(house: House, url: str) -> httpx.Response:
    return house.anonymous().get(url)


def test_a_link_opens_one_file_without_signing_in(lab: House):
    answer = opened(lab, link(lab))
    assert (answer.status_code, answer.content) == (200, b"one\ntwo\n")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert link(lab).startswith(lab.url + "/files/signed?")


def test_only_what_is_there_is_linked_to(lab: House):
    for path in ("nothing.txt", "../token", "outputs/link", ""):
        assert lab.bearer("cleo").post(f"{JOBS}/j1/links", json={"path": path}).status_code in {404, 422}
    assert lab.bearer("cleo").post(f"{JOBS}/j9/links", json={"path": "x"}).status_code == 404


@pytest.mark.parametrize("name", ["ws", "job", "path", "user", "expires", "signature"])
def test_a_changed_link_is_no_link(lab: House, name: str):
    url = urlsplit(link(lab))
    fields = {key: values[0] for key, values in parse_qs(url.query).items()}
    other = {
        "ws": "LAB",
        "user": lab.stage.ada.id,
        "expires": str(int(time.time()) + 9999),
        "path": "outputs/page.html",
    }
    for changed in (
        {**fields, name: other.get(name, fields[name] + "0")},
        {k: v for k, v in fields.items() if k != name},
    ):
        answer = opened(lab, f"{url.path}?{urlencode(changed)}")
        assert (answer.status_code, answer.json()["detail"]) == (403, "This link is not valid.")
    twice = opened(lab, f"{url.path}?{url.query}&{urlencode({name: 'x'})}")
    assert twice.status_code == 403


def test_a_link_ends_after_its_time(lab: House, monkeypatch: pytest.MonkeyPatch):
    url = link(lab)
    later = time.time() + links.SECONDS + 1
    monkeypatch.setattr(links.time, "time", lambda: later)
    answer = opened(lab, url)
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (403, True)


def test_a_link_is_worth_what_its_maker_may_do_now(fresh: House):
    by_cleo, by_ben = link(fresh), link(fresh, "ben")
    fresh.grant("cleo", "")
    fresh.disable("ben")
    assert [opened(fresh, url).status_code for url in (by_cleo, by_ben)] == [404, 404]


def test_a_link_of_another_studio_is_not_valid_here(fresh: House):
    url = link(fresh)
    (fresh.stage.studio.folders.home / "link.key").write_bytes(b"x" * 32)
    assert opened(fresh, url).status_code == 403


def test_the_key_of_links_is_the_owners_alone(fresh: House):
    link(fresh)
    assert (fresh.stage.studio.folders.home / "link.key").stat().st_mode & 0o777 == 0o600
